"""Automatic gradient descent: no learning rate."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import Rule, replacing, single_rate

# The axes that make a kernel (kx, ky, in, out) one with (out, in, kx, ky), and back.
OUTPUTS_FIRST = (3, 2, 0, 1)
OUTPUTS_LAST = (2, 3, 1, 0)


class AGD(Rule):
    """Automatic gradient descent: the sizes of the gradients set the steps.

        G   = (1/L) sum_l s_l |g_l|
        eta = log((1 + sqrt(1 + 4 G)) / 2)
        W_l <- W_l - gain (eta / L) s_l g_l / |g_l|

    with Frobenius norms over the L layers that are trained, and s_l = sqrt(d_l / d_(l-1)).  In the
    paper's units W_1 = w / sqrt N, so that s_1 = sqrt(K / N), and for the weights w that we keep
    this is the same rule with s_w = sqrt K; for the readout s_v = 1 / sqrt K. A layer without a
    gradient stays; with none at all eta = 0.  Time is t = updates / N, or counts updates with
    batches of order N.

    - `gain`: multiplies the step, not G; 1 in the paper.
    - `readout_gain`: kappa, so that the gain of the readout is kappa / N, as the readout's learning
      rates are of other rules.  Unless given, the readout has the paper's rule with `gain`, and
      moves by O(1) at each update; that has no closed theory.
    - `first_scale`: s_1 in place of sqrt(K / N); of order one, with batches of order N
      (`Problem.batch_ratio`), all moves by O(1) per update.

    Raises ValueError unless these are positive.

    J. Bernstein, C. Mingard, K. Huang, N. Azizan & Y. Yue, arXiv:2304.05187, algorithm 1.
    Departures: the loss is e^2 / 2; the paper's code takes e^2, which without a learning rate is
    another algorithm.  The step of a layer with zero gradient is zero (the paper's code gets there
    by nan_to_num).  Biases are not defined.

    `optax(outputs="first")`: for matrices (out, in) and convolution kernels (out, in, kx, ky), as
    Equinox and PyTorch store them, or with "last" (in, out) and (kx, ky, in, out), as Flax does.
    Each kernel position is normalised by itself, with s_l over sqrt(kx ky).  What enters is the
    gradient of the loss as you average it; the paper's is |out - y|^2 / (2 d_L), averaged over
    samples.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.AGD()
    >>> layers = {"w": np.array([[1.0, 1.0]])}
    >>> gradient = {"w": np.array([[2.0, 0.0]])}
    >>> moved, memory = rule.update(layers, gradient, rule.memory(layers), N=2)
    >>> [f"{w:.4f}" for w in moved["w"][0]]  # K = 1, G = 2: eta = log 2
    ['0.3069', '1.0000']
    """

    rotation_invariant = True
    TRAINS_BIASES = False
    gain: checks.Parameter
    readout_gain: checks.Parameter | None
    first_scale: checks.Parameter | None

    @arguments.of("rule.")
    def __init__(self, gain=1.0, readout_gain=None, first_scale=None):
        self.gain = checks.parameter(gain)
        self.readout_gain = checks.parameter(readout_gain)
        self.first_scale = checks.parameter(first_scale)

    def __check_init__(self):
        checks.number("rule.gain", self.gain, strict=True)
        checks.optional_number("rule.readout_gain", self.readout_gain, strict=True)
        checks.optional_number("rule.first_scale", self.first_scale, strict=True)

    def update(self, layers, gradient, memory, N):
        L = len(layers)
        K = layers["w"].shape[0]
        scales = {"w": self._scale_of_w(K, N), "v": K**-0.5}
        gains = {"w": self.gain, "v": self._gain_of_v(N)}
        norms = {}
        total = 0
        for name in layers:
            norms[name] = jnp.sqrt(jnp.sum(gradient[name] ** 2))
            total = total + scales[name] * norms[name]
        eta = automatic_rate(total / L)
        moved = {}
        for name, layer in layers.items():
            unit = over(gradient[name], norms[name])
            moved[name] = layer - gains[name] * (eta / L) * scales[name] * unit
        return moved, memory

    def _scale_of_w(self, K: int, N):
        """s_w, for the weights w = sqrt N W_1 that we keep."""
        if self.first_scale is None:
            return K**0.5
        return self.first_scale * N**0.5

    def _gain_of_v(self, N):
        if self.readout_gain is None:
            return self.gain
        return self.readout_gain / N

    def optax(self, outputs: str = "first"):
        checks.one_of("outputs", outputs, ("first", "last"))
        gain = single_rate(self.gain, "gain")

        def init(params):
            _check_tensors(params)
            return ()

        def step(params, gradients, state):
            leaves, structure = jax.tree.flatten(params)
            slopes = [_outputs_first(g, outputs) for g in jax.tree.leaves(gradients)]
            scales = [_shape_scale(g.shape) for g in slopes]
            norms = [_norms_by_position(g) for g in slopes]
            L = len(slopes)
            total = 0
            for scale, norm in zip(scales, norms, strict=True):
                total = total + scale * jnp.sum(norm)
            eta = automatic_rate(total / L)
            factor = jnp.asarray(gain, eta.dtype) * eta / L
            moved = []
            for W, g, scale, norm in zip(leaves, slopes, scales, norms, strict=True):
                unit = _as_given(over(g, norm), outputs)
                moved.append(W - (factor * scale).astype(W.dtype) * unit)
            return structure.unflatten(moved), state

        return replacing(init, step)


def automatic_rate(G: Float[Array, "..."]) -> Float[Array, "..."]:
    """log((1 + sqrt(1 + 4 G)) / 2), in a form that keeps its digits where G is small."""
    return jnp.log1p(2 * G / (1 + jnp.sqrt(1 + 4 * G)))


def over(g: Float[Array, "..."], norm: Float[Array, "..."]) -> Float[Array, "..."]:
    """g / norm, and 0 where the norm is."""
    return jnp.where(norm > 0, g / jnp.where(norm > 0, norm, 1.0), 0.0)


def _outputs_first(tensor, outputs: str):
    """The tensor as (out, in) or (out, in, kx, ky)."""
    if outputs == "first":
        return tensor
    if tensor.ndim == 2:
        return tensor.T
    return tensor.transpose(*OUTPUTS_FIRST)


def _as_given(tensor, outputs: str):
    """The tensor in the axes that the user has, from those of `_outputs_first`."""
    if outputs == "first":
        return tensor
    if tensor.ndim == 2:
        return tensor.T
    return tensor.transpose(*OUTPUTS_LAST)


def _norms_by_position(g):
    """The Frobenius norm of a matrix, or of each position of a kernel."""
    return jnp.sqrt(jnp.sum(g**2, axis=(0, 1), keepdims=True))


def _shape_scale(shape: tuple[int, ...]) -> float:
    """sqrt(fan out / fan in), over sqrt(kx ky) for a convolution."""
    positions = 1
    if len(shape) == 4:
        positions = shape[2] * shape[3]
    return (shape[0] / (shape[1] * positions)) ** 0.5


def _check_tensors(params) -> None:
    for leaf in jax.tree.leaves(params):
        if leaf.ndim not in (2, 4):
            raise ValueError(
                f"a parameter has shape {leaf.shape}, but AGD is defined for matrices and "
                "convolution kernels (4 axes); leave biases out, or give AGD only the other "
                "parameters (optax.partition)."
            )
