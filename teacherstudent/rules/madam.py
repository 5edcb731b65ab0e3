"""Madam: multiplicative updates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import RatedRule, replacing
from teacherstudent.schedules import is_schedule

# The memory of the running mean of squared gradients.
MEMORY = 0.999


class TensorMemory(NamedTuple):
    """What is remembered of one tensor.

    - `square`: the running mean of its squared gradient.
    - `filled`: 1 - 0.999^t, the bias in that mean.
    - `largest`: the largest entry allowed.
    """

    square: Float[Array, "..."]
    filled: Float[Array, ""]
    largest: Float[Array, ""]


class Madam(RatedRule):
    """Multiplicative Adam: every weight is multiplied by a factor of its own.

        s <- 0.999 s + 0.001 g^2
        h = clip(g / sqrt(s / (1 - 0.999^t)), +-g_bound)
        W <- clip(W exp(-lr h sign W), +-W_max)

    entry by entry, with lr = eta / sqrt N for w, eta_v / N for v, and W_max = p_scale times the
    root mean square of the layer at the start.  Zero weights stay zero, and no weight changes its
    sign.  Time is t = updates / N; in 0.999^t it counts updates.

    - `learning_rate`: eta.  `readout_learning_rate`: eta_v; the same unless given.
    - `p_scale`, `g_bound`: the bounds on weights and steps, positive.

    The dynamics depends on the joint law of student and teacher weights over the coordinates, not
    on overlaps alone: there is no theory, only simulation.  `optax()`: lr = eta for every tensor.

    J. Bernstein, J. Zhao, M. Meister, M.-Y. Liu, A. Anandkumar & Y. Yue, NeurIPS 2020
    (arXiv:2006.14560).

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.Madam(learning_rate=0.02)
    >>> layers = {"w": np.array([[1.0, -1.0, 0.0, 2.0]])}
    >>> gradient = {"w": np.array([[1.0, 1.0, 1.0, 0.0]])}
    >>> moved, memory = rule.update(layers, gradient, rule.memory(layers), N=4)
    >>> [f"{w:.3f}" for w in moved["w"][0]]  # exp(-0.01) and -exp(0.01)
    ['0.990', '-1.010', '0.000', '2.000']
    """

    TRAINS_BIASES = False
    p_scale: checks.Parameter = 3.0
    g_bound: checks.Parameter = 10.0

    @arguments.of("rule.")
    def __init__(self, learning_rate=0.01, readout_learning_rate=None, p_scale=3.0, g_bound=10.0):
        super().__init__(learning_rate, readout_learning_rate)
        self.p_scale = checks.parameter(p_scale)
        self.g_bound = checks.parameter(g_bound)

    def __check_init__(self):
        if is_schedule(self.p_scale):  # the largest weights are set when training begins
            checks.single("rule.p_scale", self.p_scale)
        checks.number("rule.p_scale", self.p_scale, strict=True)
        checks.number("rule.g_bound", self.g_bound, strict=True)

    def memory(self, layers):
        return {name: self._first_memory(layer) for name, layer in layers.items()}

    def update(self, layers, gradient, memory, N):
        rates = {"w": self.learning_rate / N**0.5, "v": self.eta_v / N}
        moved = {}
        kept = {}
        for name, layer in layers.items():
            moved[name], kept[name] = self._step(layer, gradient[name], memory[name], rates[name])
        return moved, kept

    def _first_memory(self, W) -> TensorMemory:
        rms = jnp.sqrt(jnp.mean(W**2))
        return TensorMemory(
            square=jnp.zeros_like(W),
            filled=jnp.zeros((), W.dtype),
            largest=jnp.asarray(self.p_scale, W.dtype) * rms,
        )

    def _step(self, W, g, memory: TensorMemory, lr):
        """The tensor after one step, and its memory."""
        square = MEMORY * memory.square + (1 - MEMORY) * g**2
        filled = MEMORY * memory.filled + (1 - MEMORY)
        rms = jnp.sqrt(square / filled)
        unit = jnp.where(rms == 0, 0.0, g / jnp.where(rms == 0, 1.0, rms))
        bound = jnp.asarray(self.g_bound, W.dtype)
        h = jnp.clip(unit, -bound, bound)
        grown = W * jnp.exp(-lr * h * jnp.sign(W))
        moved = jnp.clip(grown, -memory.largest, memory.largest)
        return moved, TensorMemory(square, filled, memory.largest)

    def optax(self):
        lr = self.rate

        def init(params):
            return jax.tree.map(self._first_memory, params)

        def step(params, gradients, memory):
            leaves, structure = jax.tree.flatten(params)
            slopes = jax.tree.leaves(gradients)
            moved = []
            kept = []
            for W, g, one in zip(leaves, slopes, structure.flatten_up_to(memory), strict=True):
                after, remembered = self._step(W, g, one, jnp.asarray(lr, W.dtype))
                moved.append(after)
                kept.append(remembered)
            return structure.unflatten(moved), structure.unflatten(kept)

        return replacing(init, step)
