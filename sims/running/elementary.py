"""Activations in the functions that a kernel on a GPU has."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.activations.activation import ACTIVATIONS, polynomial_of

ERF, RELU = ACTIVATIONS["erf"], ACTIVATIONS["relu"]


class ElementaryErf(NamedTuple):
    """erf(x / sqrt 2) and its slope from one exponential, to 1.5e-7 (Abramowitz & Stegun 7.1.26);
    GPU kernels have no erf.
    """

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        size = jnp.abs(x) * 0.5**0.5
        t = 1 / (1 + 0.3275911 * size)
        series = t * (
            0.254829592
            + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
        )
        value = 1 - series * jnp.exp(-size * size)
        return jnp.where(x < 0, -value, value)

    def derivative(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return 0.7978845608028654 * jnp.exp(-0.5 * x * x)


def elementary(activation: Any) -> Any:
    """The activation in functions that a kernel has; None if it is not known to be."""
    if activation is None or polynomial_of(activation) is not None or activation == RELU:
        return activation
    return ElementaryErf() if activation == ERF else None
