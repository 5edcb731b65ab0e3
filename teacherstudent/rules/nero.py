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
    """Of one tensor: the running mean V of each row's squared gradient, the bias 1 - beta^t in it,
    the scale of steps.
    """

    V: Float[Array, "..."]
    filled: Float[Array, ""]
    scale: Float[Array, ""]


class Nero(RatedRule):
    """Nero (Y. Liu, J. Bernstein, M. Meister & Y. Yue, ICML 2021, arXiv:2102.07227): every neuron
    has its own normalised step.

        V_k <- beta V_k + (1 - beta) |g_k|^2,   w_k <- w_k - lr scale g_k / sqrt(V_k / (1 - beta^t)),   lr = eta / sqrt N,

    then, row by row, w_k <- w_k less its mean over inputs, and w_k <- sqrt N w_k / |w_k|.  The
    start is projected in the same way, and must have Q_kk = 1.  scale = sqrt N is the length of the
    rows, so that w_k moves by eta g_k / rms |g_k|.

    - `learning_rate`: eta.  `readout_learning_rate`: eta_v; v is one neuron without constraints,
      with lr = eta_v / N and scale = |v| at the start (0.01 if that is 0).
    - `beta`: the memory, fixed as N grows; or `gamma`, with beta = 1 - gamma / N.  beta = 0.999 if
      neither is given.
    - `constraints`: whether rows are centred and normalised.

    Departure: the length of a row is sqrt N, 1 for the paper's W = w / sqrt N.

    `optax()`: for matrices (out, in), with rows of length 1 if there are constraints; vectors move
    entry by entry, without constraints.  The parameters must begin on the constraints: use
    `rule.projected(params)`.  A constant row, and any with one input, cannot be projected.
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
        self.beta = checks.parameter(0.999 if beta is None and gamma is None else beta)
        self.gamma = checks.parameter(gamma)
        checks.one_of("rule.constraints", constraints, (True, False))
        self.constraints = constraints

    def __check_init__(self):
        check_memory(self.beta, self.gamma)

    def check_dimension(self, N: int) -> None:
        check_gamma(self.gamma, N)

    def begin(self, layers):
        w = layers["w"]
        return dict(layers) | ({"w": balanced(w, w.shape[-1] ** 0.5)} if self.constraints else {})

    def memory(self, layers: Layers):
        return {name: first_memory(self._matrix(name, layer)) for name, layer in layers.items()}

    def update(self, layers, gradient, memory, N):
        beta = self.beta if self.gamma is None else 1 - self.gamma / N
        rates = {"w": self.learning_rate / N**0.5, "v": self.eta_v / N}
        moved, kept = {}, {}
        for name, layer in layers.items():
            rows, slopes = self._matrix(name, layer), self._matrix(name, gradient[name])
            rows, kept[name] = row_step(rows, slopes, memory[name], rates[name], beta)
            moved[name] = rows.reshape(layer.shape)
        if self.constraints:
            moved["w"] = balanced(moved["w"], N**0.5)
        return moved, kept

    def start_weights(self, w):
        return unit_rows(w) if self.constraints else w

    def check_start(self, start) -> None:
        if self.constraints:
            check_unit_rows(start, "Nero")

    @staticmethod
    def _matrix(name: str, layer):
        return layer if name == "w" else layer[None, :]

    def projected(self, params):
        """Parameters that fulfil the constraints: every row of a matrix with mean 0 and length 1."""
        return jax.tree.map(
            lambda W: balanced(W, 1.0) if self.constraints and W.ndim > 1 else W, params
        )

    def optax(self):
        if self.beta is None:
            raise ValueError(
                "rule.gamma is the memory relative to N, which ordinary networks do not have; "
                "give beta."
            )
        lr, beta = self.rate, single_rate(self.beta, "beta")
        as_rows = lambda W: W if W.ndim == 2 else W[:, None]

        def moved(W, g, memory):
            rows, memory = row_step(
                as_rows(W), as_rows(g), memory, jnp.asarray(lr, W.dtype), jnp.asarray(beta, W.dtype)
            )
            return rows.reshape(W.shape), memory

        def step(params, gradients, memory):
            leaves, structure = jax.tree.flatten(params)
            kept = structure.flatten_up_to(memory)
            new, kept = zip(*map(moved, leaves, jax.tree.leaves(gradients), kept), strict=True)
            return self.projected(jax.tree.unflatten(structure, new)), jax.tree.unflatten(
                structure, kept
            )

        def init(params):
            for leaf in jax.tree.leaves(params):
                if leaf.ndim not in (1, 2):
                    raise ValueError(
                        f"a parameter has shape {leaf.shape}, but Nero here is for matrices and "
                        "vectors."
                    )
            return jax.tree.map(lambda W: first_memory(as_rows(W)), params)

        return replacing(init, step)


def balanced(w: Float[Array, "rows inputs"], length) -> Float[Array, "rows inputs"]:
    """Rows of mean 0 and of this length; a constant row has no direction left and becomes 0."""
    centred = w - jnp.mean(w, axis=-1, keepdims=True)
    largest = jnp.max(jnp.abs(w), axis=-1, keepdims=True)
    rounding = (
        jnp.max(jnp.abs(centred), axis=-1, keepdims=True) <= 10 * jnp.finfo(w.dtype).eps * largest
    )
    return with_row_lengths(jnp.where(rounding, 0.0, centred), length)


def first_memory(rows: Float[Array, "rows inputs"]) -> RowMemory:
    """Nothing seen yet; steps are scaled with the mean length of the rows, 0.01 if that is 0."""
    length = jnp.mean(jnp.linalg.norm(rows, axis=-1))
    zero = jnp.zeros((), rows.dtype)
    return RowMemory(
        jnp.zeros(rows.shape[:1], rows.dtype), zero, jnp.where(length > 0, length, 0.01)
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
