"""Polynomials, which have closed forms for all averages (`averages/polynomial.py`)."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Float

from teacherstudent.checking.checks import AnyArray


@dataclass(frozen=True)
class Polynomial:
    """The polynomial

    c_0 + c_1 x + ... + c_d x^d.
    """

    coefficients: tuple[float, ...]

    def __call__(self, x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
        value = jnp.zeros_like(x)
        for coefficient in reversed(self.coefficients):
            value = value * x + coefficient
        return value

    def derivative(self) -> "Polynomial":
        """The polynomial c_1 + 2 c_2 x + ... + d c_d x^(d-1)."""
        slopes = [power * c for power, c in enumerate(self.coefficients)]
        if len(slopes) == 1:
            return Polynomial((0.0,))
        return Polynomial(tuple(slopes[1:]))
