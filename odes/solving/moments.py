"""Quantities at many moments of a trajectory, those that are costly at some of them only."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# An extra of a solve: the error is wanted at all times, since it is a closed form.
CHEAP_ERROR = "cheap error"


def along(function: Callable, moments: Any, wanted: Float[Array, " time"] | None = None) -> Any:
    """The function at each of the moments, one after the other; nan where it is not wanted (0)."""
    if wanted is None:
        return jax.lax.map(function, moments)

    def unknown(moment):
        shapes = jax.eval_shape(function, moment)
        return jax.tree.map(lambda one: jnp.full(one.shape, jnp.nan, one.dtype), shapes)

    def at_one(parts):
        is_wanted, moment = parts
        return jax.lax.cond(is_wanted > 0, function, unknown, moment)

    return jax.lax.map(at_one, (wanted, moments))
