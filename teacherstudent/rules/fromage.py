"""Fromage: steps in proportion to the norm of the layer."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import RatedRule, replacing


class Fromage(RatedRule):
    """Frobenius-matched gradient descent: each layer moves in proportion to its own norm.

        W_l <- (W_l - lr_l |W_l| g_l / |g_l|) / sqrt(1 + lr_l^2)
        lr_w = eta / sqrt N,   lr_v = eta_v / N

    with Frobenius norms.  Where |g_l| or |W_l| is 0 the step is -lr_l g_l; the shrinking is always
    applied.  Time is t = updates / N.

    - `learning_rate`: eta.  `readout_learning_rate`: eta_v; the same unless given.
    - `p_bound`: if given, a layer longer than p_bound times its first norm is scaled back to that
      length.

    Raises ValueError if a rate is negative or `p_bound` not positive.

    J. Bernstein, A. Vahdat, Y. Yue & M.-Y. Liu, NeurIPS 2020 (arXiv:2002.03432).

    `optax()`: lr = eta for every tensor.  It equals `optax.fromage` but for the zero norms (optax
    has a floor of 1e-6) and p_bound.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> rule = ts.Fromage(learning_rate=1.5)
    >>> layers = {"w": np.array([[4.0, 3.0, 0.0, 0.0]])}
    >>> gradient = {"w": np.array([[0.0, 0.0, 2.0, 0.0]])}
    >>> moved, memory = rule.update(layers, gradient, rule.memory(layers), N=4)
    >>> [f"{w:.3f}" for w in moved["w"][0]]  # (w - 0.75 |w| g / |g|) / 1.25
    ['3.200', '2.400', '-3.000', '0.000']
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
        return self._first_norms(dict(layers))

    def update(self, layers, gradient, memory, N):
        rates = {"w": self.learning_rate / N**0.5, "v": self.eta_v / N}
        moved = {}
        for name, layer in layers.items():
            moved[name] = matched_step(layer, gradient[name], rates[name])
        return self._bounded(moved, memory), memory

    def _first_norms(self, layers):
        """The norms that the layers are bound to, if they are."""
        if self.p_bound is None:
            return ()
        return jax.tree.map(norm, layers)

    def _bounded(self, layers, first_norms):
        """The layers, each at most p_bound times as long as at the start."""
        if self.p_bound is None:
            return layers

        def bounded(W, first_norm):
            return shortened(W, jnp.asarray(self.p_bound, W.dtype) * first_norm)

        return jax.tree.map(bounded, layers, first_norms)

    def optax(self):
        lr = self.rate

        def moved(W, g):
            return matched_step(W, g, jnp.asarray(lr, W.dtype))

        def step(params, gradients, first_norms):
            params = jax.tree.map(moved, params, gradients)
            return self._bounded(params, first_norms), first_norms

        return replacing(self._first_norms, step)


def norm(W: Float[Array, "..."]) -> Float[Array, ""]:
    """The Frobenius norm."""
    return jnp.sqrt(jnp.sum(W**2))


def matched_step(
    W: Float[Array, "*shape"], g: Float[Array, "*shape"], lr
) -> Float[Array, "*shape"]:
    """(W - lr |W| g / |g|) / sqrt(1 + lr^2)."""
    length = norm(W)
    slope = norm(g)
    safe = jnp.where(slope > 0, slope, 1.0)
    both = (length > 0) & (slope > 0)
    factor = jnp.where(both, length / safe, 1.0)
    return (W - lr * factor * g) / jnp.sqrt(1 + jnp.square(lr))


def shortened(W: Float[Array, "*shape"], longest: Float[Array, ""]) -> Float[Array, "*shape"]:
    """The tensor, scaled back to the length `longest` if it is longer."""
    length = norm(W)
    safe = jnp.where(length > 0, length, 1.0)
    return W * jnp.where(length > longest, longest / safe, 1.0)
