"""Nero: steps normalised neuron by neuron, on the sphere of balanced weights."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import Layers, RatedRule, replacing, single_rate
from teacherstudent.rules.heavy_ball import check_gamma, check_memory
from teacherstudent.rules.spherical_sgd import check_unit_rows, unit_rows, with_row_lengths


class RowMemory(NamedTuple):
    """What is remembered of the rows of one tensor.

    - `V`: the running mean of each row's squared gradient.
    - `filled`: 1 - beta^t, the bias in that mean.
    - `scale`: the scale of steps.
    """

    V: Float[Array, "..."]
    filled: Float[Array, ""]
    scale: Float[Array, ""]


class Nero(RatedRule):
    """Neuronal rotator: every neuron has its own normalised step.

        V_k <- beta V_k + (1 - beta) |g_k|^2
        w_k <- w_k - lr scale g_k / sqrt(V_k / (1 - beta^t)),   lr = eta / sqrt N

    and then, row by row,

        w_k <- w_k - (its mean over inputs)
        w_k <- sqrt N w_k / |w_k|

    The start is projected in the same way, and must have Q_kk = 1.  scale = sqrt N is the length of
    the rows, so that w_k moves by eta g_k / rms |g_k|.  Time is updates / N; in beta^t it counts
    updates.

    - `learning_rate`: eta.
    - `readout_learning_rate`: eta_v; v is one neuron without constraints, with lr = eta_v / N and
      scale = |v| at the start (0.01 if that is 0).
    - `beta`: the memory, fixed as N grows; or `gamma`, with beta = 1 - gamma / N.  beta = 0.999 if
      neither is given.
    - `constraints`: whether rows are centred and normalised.

    Raises ValueError if both `beta` and `gamma` are given.

    Y. Liu, J. Bernstein, M. Meister & Y. Yue, ICML 2021 (arXiv:2102.07227).  Departure: the length
    of a row is sqrt N, 1 for the paper's W = w / sqrt N.

    `optax()`: for matrices (out, in), with rows of length 1 if there are constraints; vectors move
    entry by entry, without constraints.  The parameters must begin on the constraints: use
    `rule.projected(params)`.  A constant row, and any with one input, cannot be projected.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.Nero(learning_rate=1.0)
    >>> layers = {"w": np.array([[1.0, -1.0, 1.0, -1.0]])}
    >>> gradient = {"w": np.array([[1.0, -1.0, -1.0, 1.0]])}
    >>> moved, memory = rule.update(layers, gradient, rule.memory(layers), N=4)
    >>> [f"{w:.4f}" for w in moved["w"][0]]  # two orthogonal vectors of lengths 2 and 1
    ['0.4472', '-0.4472', '1.3416', '-1.3416']
    """

    TRAINS_BIASES = False
    beta: checks.Parameter | None = None
    gamma: checks.Parameter | None = None
    constraints: bool = eqx.field(static=True, default=True)

    @arguments.of("rule.")
    def __init__(
        self,
        learning_rate=0.01,
        beta=None,
        gamma=None,
        readout_learning_rate=None,
        constraints=True,
    ):
        super().__init__(learning_rate, readout_learning_rate)
        if beta is None and gamma is None:
            beta = 0.999
        self.beta = checks.parameter(beta)
        self.gamma = checks.parameter(gamma)
        checks.one_of("rule.constraints", constraints, (True, False))
        self.constraints = constraints

    def __check_init__(self):
        check_memory(self.beta, self.gamma)

    def check_dimension(self, N: int) -> None:
        check_gamma(self.gamma, N)

    def begin(self, layers):
        layers = dict(layers)
        if self.constraints:
            w = layers["w"]
            layers["w"] = balanced(w, w.shape[-1] ** 0.5)
        return layers

    def memory(self, layers: Layers):
        return {name: first_memory(rows_of(layer)) for name, layer in layers.items()}

    def update(self, layers, gradient, memory, N):
        beta = self._beta_in(N)
        rates = {"w": self.learning_rate / N**0.5, "v": self.eta_v / N}
        moved = {}
        kept = {}
        for name, layer in layers.items():
            slopes = rows_of(gradient[name])
            rows, kept[name] = row_step(rows_of(layer), slopes, memory[name], rates[name], beta)
            moved[name] = rows.reshape(layer.shape)
        if self.constraints:
            moved["w"] = balanced(moved["w"], N**0.5)
        return moved, kept

    def _beta_in(self, N):
        """The memory of one update in N dimensions."""
        if self.gamma is None:
            return self.beta
        return 1 - self.gamma / N

    def start_weights(self, w):
        if self.constraints:
            return unit_rows(w)
        return w

    def check_start(self, start) -> None:
        if self.constraints:
            check_unit_rows(start, "Nero")

    def projected(self, params):
        """The parameters on the constraints: every row of a matrix with mean 0 and length 1."""

        def on_constraints(W):
            if self.constraints and W.ndim > 1:
                return balanced(W, 1.0)
            return W

        return jax.tree.map(on_constraints, params)

    def optax(self):
        if self.beta is None:
            raise ValueError(
                "rule.gamma is the memory relative to N, which ordinary networks do not have; "
                "give beta."
            )
        lr = self.rate
        beta = single_rate(self.beta, "beta")

        def init(params):
            _check_matrices_and_vectors(params)
            return jax.tree.map(lambda W: first_memory(_as_matrix(W)), params)

        def step(params, gradients, memory):
            leaves, structure = jax.tree.flatten(params)
            slopes = jax.tree.leaves(gradients)
            moved = []
            kept = []
            for W, g, one in zip(leaves, slopes, structure.flatten_up_to(memory), strict=True):
                rates = jnp.asarray(lr, W.dtype), jnp.asarray(beta, W.dtype)
                rows, remembered = row_step(_as_matrix(W), _as_matrix(g), one, *rates)
                moved.append(rows.reshape(W.shape))
                kept.append(remembered)
            return self.projected(structure.unflatten(moved)), structure.unflatten(kept)

        return replacing(init, step)


def rows_of(layer: Float[Array, "..."]) -> Float[Array, "rows inputs"]:
    """A layer as rows of neurons: w has one for each unit, the readout v is one neuron."""
    if layer.ndim == 2:
        return layer
    return layer[None, :]


def balanced(w: Float[Array, "rows inputs"], length) -> Float[Array, "rows inputs"]:
    """Rows of mean 0 and of this length; a constant row has no direction left and becomes 0."""
    centred = w - jnp.mean(w, axis=-1, keepdims=True)
    largest = jnp.max(jnp.abs(w), axis=-1, keepdims=True)
    left = jnp.max(jnp.abs(centred), axis=-1, keepdims=True)
    only_rounding = left <= 10 * jnp.finfo(w.dtype).eps * largest
    return with_row_lengths(jnp.where(only_rounding, 0.0, centred), length)


def first_memory(rows: Float[Array, "rows inputs"]) -> RowMemory:
    """Nothing seen yet; steps are scaled with the mean length of the rows, 0.01 if that is 0."""
    length = jnp.mean(jnp.linalg.norm(rows, axis=-1))
    return RowMemory(
        V=jnp.zeros(rows.shape[:1], rows.dtype),
        filled=jnp.zeros((), rows.dtype),
        scale=jnp.where(length > 0, length, 0.01),
    )


def row_step(
    rows: Float[Array, "rows inputs"], g: Float[Array, "rows inputs"], memory: RowMemory, lr, beta
) -> tuple[Float[Array, "rows inputs"], RowMemory]:
    """One normalised step, before any projection."""
    V = beta * memory.V + (1 - beta) * jnp.sum(g**2, axis=-1)
    filled = beta * memory.filled + (1 - beta)
    rms = jnp.sqrt(V / filled)[:, None]
    unit = jnp.where(rms == 0, 0.0, g / jnp.where(rms == 0, 1.0, rms))
    return rows - lr * memory.scale * unit, RowMemory(V, filled, memory.scale)


def _as_matrix(W):
    """A tensor as rows of neurons for other networks: each entry of a vector is one."""
    if W.ndim == 2:
        return W
    return W[:, None]


def _check_matrices_and_vectors(params) -> None:
    for leaf in jax.tree.leaves(params):
        if leaf.ndim not in (1, 2):
            raise ValueError(
                f"a parameter has shape {leaf.shape}, but Nero here is for matrices and vectors."
            )
