"""The length of a Gaussian vector in d dimensions, from one standard normal number.

    r(z) = F_d^(-1)(Phi(z)),   F_d the distribution of chi_d = sqrt(chi2_d),   z ~ N(0, 1)

r is analytic and nearly linear, z / sqrt 2 + sqrt d, so that a Chebyshev polynomial holds it to
rounding, for one multiplication and addition per term; no draw is rejected, and each takes one
number from the stream.
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

# Beyond this dimension SciPy's inverse loses digits.
LARGE = 10**5
# Standard normal numbers are within these limits; terms below the accuracy are left out.
LIMITS = {"float32": (6.7, 2e-8), "float64": (8.6, 1e-10)}


@cache
def coefficients(d: int, dtype: str) -> tuple[float, ...]:
    """Chebyshev coefficients of r in z / limit; none for d = 0, where r = 0."""
    if d == 0:
        return (0.0,)
    limit, accuracy = LIMITS[dtype]
    series = np.polynomial.Chebyshev.interpolate(lambda u: quantile(limit * u, d), 160)
    terms = np.asarray(series.coef)
    needed = np.nonzero(np.abs(terms) > accuracy * np.abs(terms).max())[0][-1] + 1
    return tuple(terms[:needed])


def quantile(z: Float[np.ndarray, " points"], d: int) -> Float[np.ndarray, " points"]:
    """F_d^(-1)(Phi(z)), from whichever tail is smaller.

    For large d it is taken from the Cornish-Fisher series, to d^(-3/2).
    """
    if d > LARGE:
        s = np.sqrt(2 / d)
        series = (
            1
            + s * z
            + s**2 * (z**2 - 1) / 3
            + s**3 * (z**3 - 7 * z) / 36
            - s**4 * (3 * z**4 + 7 * z**2 - 16) / 810
            + s**5 * (9 * z**5 + 256 * z**3 - 433 * z) / 38880
        )
        return np.sqrt(d * series)
    low, high = np.minimum(z, 0.0), np.maximum(z, 0.0)
    below = special.gammaincinv(d / 2, special.ndtr(low))
    above = special.gammainccinv(d / 2, special.ndtr(-high))
    return np.sqrt(2 * np.where(z < 0, below, above))


def table(dimensions: list[int], dtype: str) -> Float[np.ndarray, "lengths terms"]:
    """The coefficients for several d, at least three each, filled up with zeros."""
    rows = [coefficients(d, dtype) for d in dimensions]
    terms = max(3, *map(len, rows))
    return np.stack([np.pad(row, (0, terms - len(row))) for row in rows])


def length(
    z: Float[Array, "..."], terms: Float[Array, " terms"], limit: float
) -> Float[Array, "..."]:
    """r(z) by Clenshaw's recurrence."""
    u = z / limit
    one_later, two_later = jnp.zeros_like(u), jnp.zeros_like(u)
    for index in reversed(range(1, terms.shape[0])):
        one_later, two_later = terms[index] + 2 * u * one_later - two_later, one_later
    return jnp.maximum(terms[0] + u * one_later - two_later, 0.0)
