"""Madam: multiplicative updates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import RatedRule, replacing

MEMORY = 0.999  # of the running mean of squared gradients


class TensorMemory(NamedTuple):
    """Of one tensor: the running mean of its squared gradient, the bias 1 - 0.999^t in it, and the
    largest entry allowed.
    """

    square: Float[Array, "..."]
    filled: Float[Array, ""]
    largest: Float[Array, ""]


class Madam(RatedRule):
    """Multiplicative Adam (J. Bernstein, J. Zhao, M. Meister, M.-Y. Liu, A. Anandkumar & Y. Yue,
    NeurIPS 2020, arXiv:2006.14560).

        s <- 0.999 s + 0.001 g^2,   h = clip(g / sqrt(s / (1 - 0.999^t)), +-g_bound),   W <- clip(W exp(-lr h sign W), +-W_max)

    entry by entry, with lr = eta / sqrt N for w, eta_v / N for v, and W_max = p_scale times the
    root mean square of the layer at the start.  Zero weights stay zero, and no weight changes its
    sign.

    - `learning_rate`: eta.  `readout_learning_rate`: eta_v; the same unless given.

    The dynamics depends on the joint law of student and teacher weights over the coordinates, not
    on overlaps alone: there is no theory, only simulation.  `optax()`: lr = eta for every tensor.
    """

    TRAINS_BIASES = False
    p_scale: checks.Parameter = 3.0
    g_bound: checks.Parameter = 10.0

    @arguments.of("rule.")
    def __init__(self, learning_rate=0.01, readout_learning_rate=None, p_scale=3.0, g_bound=10.0):
        super().__init__(learning_rate, readout_learning_rate)
        self.p_scale, self.g_bound = checks.parameter(p_scale), checks.parameter(g_bound)

    def __check_init__(self):
        for name in ("p_scale", "g_bound"):
            checks.number(f"rule.{name}", getattr(self, name), strict=True)

    def memory(self, layers):
        return {name: self._first(layer) for name, layer in layers.items()}

    def update(self, layers, gradient, memory, N):
        rates = {"w": self.learning_rate / N**0.5, "v": self.eta_v / N}
        pairs = {
            name: self._step(layer, gradient[name], memory[name], rates[name])
            for name, layer in layers.items()
        }
        return {name: pair[0] for name, pair in pairs.items()}, {
            name: pair[1] for name, pair in pairs.items()
        }

    def _first(self, W) -> TensorMemory:
        rms = jnp.sqrt(jnp.mean(W**2))
        return TensorMemory(
            jnp.zeros_like(W), jnp.zeros((), W.dtype), jnp.asarray(self.p_scale, W.dtype) * rms
        )

    def _step(self, W, g, memory: TensorMemory, lr):
        """The tensor after one step, and its memory."""
        square = MEMORY * memory.square + (1 - MEMORY) * g**2
        filled = MEMORY * memory.filled + (1 - MEMORY)
        rms = jnp.sqrt(square / filled)
        bound = jnp.asarray(self.g_bound, W.dtype)
        h = jnp.clip(jnp.where(rms == 0, 0.0, g / jnp.where(rms == 0, 1.0, rms)), -bound, bound)
        moved = jnp.clip(W * jnp.exp(-lr * h * jnp.sign(W)), -memory.largest, memory.largest)
        return moved, TensorMemory(square, filled, memory.largest)

    def optax(self):
        lr = self.rate

        def step(params, gradients, memory):
            leaves, structure = jax.tree.flatten(params)
            slopes, kept = jax.tree.leaves(gradients), structure.flatten_up_to(memory)
            pairs = [
                self._step(W, g, one, jnp.asarray(lr, W.dtype))
                for W, g, one in zip(leaves, slopes, kept, strict=True)
            ]
            new, memory = zip(*pairs, strict=True)
            return jax.tree.unflatten(structure, new), jax.tree.unflatten(structure, memory)

        return replacing(lambda params: jax.tree.map(self._first, params), step)
