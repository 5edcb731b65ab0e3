"""Fromage: steps in proportion to the norm of the layer."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import RatedRule, replacing


class Fromage(RatedRule):
    """Frobenius-matched gradient descent (J. Bernstein, A. Vahdat, Y. Yue & M.-Y. Liu, NeurIPS
    2020, arXiv:2002.03432).

        W_l <- (W_l - lr_l |W_l| g_l / |g_l|) / sqrt(1 + lr_l^2),   lr = eta / sqrt N for w, eta_v / N for v

    with Frobenius norms.  Where |g_l| or |W_l| is 0 the step is -lr_l g_l; the shrinking is always
    applied.

    - `learning_rate`: eta.  `readout_learning_rate`: eta_v; the same unless given.
    - `p_bound`: if given, a layer longer than p_bound times its first norm is scaled back to that
      length.

    `optax()`: lr = eta for every tensor.  It equals `optax.fromage` but for the zero norms (optax
    has a floor of 1e-6) and p_bound.
    """

    rotation_invariant = True
    TRAINS_BIASES = False
    p_bound: checks.Parameter | None = None

    @arguments.of("rule.")
    def __init__(self, learning_rate, readout_learning_rate=None, p_bound=None):
        super().__init__(learning_rate, readout_learning_rate)
        self.p_bound = checks.parameter(p_bound)

    def __check_init__(self):
        checks.optional_number("rule.p_bound", self.p_bound, strict=True)

    def memory(self, layers):
        return () if self.p_bound is None else jax.tree.map(norm, dict(layers))

    def update(self, layers, gradient, memory, N):
        rates = {"w": self.learning_rate / N**0.5, "v": self.eta_v / N}
        moved = {
            name: matched_step(layer, gradient[name], rates[name]) for name, layer in layers.items()
        }
        return self._bounded(moved, memory), memory

    def _bounded(self, layers, first):
        if self.p_bound is None:
            return layers
        return jax.tree.map(
            lambda W, length: _at_most(W, jnp.asarray(self.p_bound, W.dtype) * length),
            layers,
            first,
        )

    def optax(self):
        lr = self.rate

        def step(params, gradients, first):
            moved = jax.tree.map(
                lambda W, g: matched_step(W, g, jnp.asarray(lr, W.dtype)), params, gradients
            )
            return self._bounded(moved, first), first

        return replacing(
            lambda params: () if self.p_bound is None else jax.tree.map(norm, params), step
        )


def norm(W: Float[Array, "..."]) -> Float[Array, ""]:
    """The Frobenius norm."""
    return jnp.sqrt(jnp.sum(W**2))


def matched_step(
    W: Float[Array, "*shape"], g: Float[Array, "*shape"], lr
) -> Float[Array, "*shape"]:
    """(W - lr |W| g / |g|) / sqrt(1 + lr^2)."""
    length, slope = norm(W), norm(g)
    both = (length > 0) & (slope > 0)
    factor = jnp.where(both, length / jnp.where(slope > 0, slope, 1.0), 1.0)
    return (W - lr * factor * g) / jnp.sqrt(1 + jnp.square(lr))


def _at_most(W: Float[Array, "*shape"], length: Float[Array, ""]) -> Float[Array, "*shape"]:
    own = norm(W)
    return W * jnp.where(own > length, length / jnp.where(own > 0, own, 1.0), 1.0)
