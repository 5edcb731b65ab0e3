"""Automatic gradient descent: no learning rate."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import Rule, replacing, single_rate


class AGD(Rule):
    """Automatic gradient descent (J. Bernstein, C. Mingard, K. Huang, N. Azizan & Y. Yue,
    arXiv:2304.05187, algorithm 1).

        G = (1/L) sum_l s_l |g_l|,   eta = log((1 + sqrt(1 + 4 G)) / 2),   W_l <- W_l - gain (eta / L) s_l g_l / |g_l|

    with Frobenius norms over the L layers that are trained, and s_l = sqrt(d_l / d_(l-1)).  In the
    paper's units W_1 = w / sqrt N, so that s_1 = sqrt(K / N), and for the weights w that we keep
    this is the same rule with s_w = sqrt K; for the readout s_v = 1 / sqrt K. A layer without a
    gradient stays; with none at all eta = 0.

    - `gain`: multiplies the step, not G; 1 in the paper.
    - `readout_gain`: kappa, so that the gain of the readout is kappa / N, as the readout's learning
      rates are of other rules.  Unless given, the readout has the paper's rule with `gain`, and
      moves by O(1) at each update; that has no closed theory.
    - `first_scale`: s_1 in place of sqrt(K / N); of order one, with batches of order N
      (`Problem.batch_ratio`), all moves by O(1) per update.

    Departures: the loss is e^2 / 2; the paper's code takes e^2, which without a learning rate is
    another algorithm.  The step of a layer with zero gradient is zero (the paper's code gets there
    by nan_to_num).  Biases are not defined.

    `optax(outputs="first")`: for matrices (out, in) and convolution kernels (out, in, kx, ky), as
    Equinox and PyTorch store them, or with "last" (in, out) and (kx, ky, in, out), as Flax does.
    Each kernel position is normalised by itself, with s_l over sqrt(kx ky).  What enters is the
    gradient of the loss as you average it; the paper's is |out - y|^2 / (2 d_L), averaged over
    samples.
    """

    rotation_invariant = True
    TRAINS_BIASES = False
    gain: checks.Parameter
    readout_gain: checks.Parameter | None
    first_scale: checks.Parameter | None

    @arguments.of("rule.")
    def __init__(self, gain=1.0, readout_gain=None, first_scale=None):
        self.gain = checks.parameter(gain)
        self.readout_gain, self.first_scale = (
            checks.parameter(readout_gain),
            checks.parameter(first_scale),
        )

    def __check_init__(self):
        checks.number("rule.gain", self.gain, strict=True)
        for name in ("readout_gain", "first_scale"):
            checks.optional_number(f"rule.{name}", getattr(self, name), strict=True)

    def update(self, layers, gradient, memory, N):
        K = layers["w"].shape[0]
        s_w = K**0.5 if self.first_scale is None else self.first_scale * N**0.5
        gain_v = self.gain if self.readout_gain is None else self.readout_gain / N
        scales, gains = {"w": s_w, "v": K**-0.5}, {"w": self.gain, "v": gain_v}
        norms = {name: jnp.sqrt(jnp.sum(gradient[name] ** 2)) for name in layers}
        eta = automatic_rate(sum(scales[name] * norms[name] for name in layers) / len(layers))
        return {
            name: layer
            - gains[name] * (eta / len(layers)) * scales[name] * over(gradient[name], norms[name])
            for name, layer in layers.items()
        }, memory

    def optax(self, outputs: str = "first"):
        checks.one_of("outputs", outputs, ("first", "last"))
        gain = single_rate(self.gain, "gain")

        def step(params, gradients, state):
            leaves, structure = jax.tree.flatten(params)
            g = [_outputs_first(one, outputs) for one in jax.tree.leaves(gradients)]
            scales = [_shape_scale(one.shape) for one in g]
            norms = [jnp.sqrt(jnp.sum(one**2, axis=(0, 1), keepdims=True)) for one in g]
            eta = automatic_rate(
                _mean([s * jnp.sum(norm) for s, norm in zip(scales, norms, strict=True)])
            )
            factor = jnp.asarray(gain, eta.dtype) * eta / len(g)
            moved = [
                W - (factor * s).astype(W.dtype) * _as_given(over(one, norm), outputs)
                for W, one, s, norm in zip(leaves, g, scales, norms, strict=True)
            ]
            return jax.tree.unflatten(structure, moved), state

        return replacing(_check_tensors, step)


def automatic_rate(G: Float[Array, "..."]) -> Float[Array, "..."]:
    """log((1 + sqrt(1 + 4 G)) / 2), in a form that keeps its digits where G is small."""
    return jnp.log1p(2 * G / (1 + jnp.sqrt(1 + 4 * G)))


def over(g: Float[Array, "..."], norm: Float[Array, "..."]) -> Float[Array, "..."]:
    """g / norm, and 0 where the norm is."""
    return jnp.where(norm > 0, g / jnp.where(norm > 0, norm, 1.0), 0.0)


def _mean(values: Sequence[Float[Array, ""]]) -> Float[Array, ""]:
    return sum(values[1:], values[0]) / len(values)


def _outputs_first(tensor, outputs: str):
    """(out, in) or (out, in, kx, ky)."""
    return (
        tensor
        if outputs == "first"
        else tensor.transpose(*((1, 0) if tensor.ndim == 2 else (3, 2, 0, 1)))
    )


def _as_given(tensor, outputs: str):
    return (
        tensor
        if outputs == "first"
        else tensor.transpose(*((1, 0) if tensor.ndim == 2 else (2, 3, 1, 0)))
    )


def _shape_scale(shape: tuple[int, ...]) -> float:
    """sqrt(fan out / fan in), over sqrt(kx ky) for a convolution."""
    positions = shape[2] * shape[3] if len(shape) == 4 else 1
    return (shape[0] / (shape[1] * positions)) ** 0.5


def _check_tensors(params) -> tuple:
    for leaf in jax.tree.leaves(params):
        if leaf.ndim not in (2, 4):
            raise ValueError(
                f"a parameter has shape {leaf.shape}, but AGD is defined for matrices and "
                "convolution kernels (4 axes); leave biases out, or give AGD only the other "
                "parameters (optax.partition)."
            )
    return ()
