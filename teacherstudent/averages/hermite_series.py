"""The Hermite coefficients of a function of one Gaussian field.

For h = mu + s x with x ~ N(0, 1) and normalised Hermite polynomials he_n = He_n / sqrt(n!),

    gamma_n(mu, s) = E[f(mu + s x) he_n(x)],   f(mu + s x) = sum_n gamma_n he_n(x).

By Mehler's formula two such fields of correlation rho have

    E[f_a(h_a) f_b(h_b)] = sum_n rho^n gamma_an gamma_bn.

The smooth part of f is averaged at equidistant nodes x, the truncated powers (x - x_j)_+^p / p! of
its jumps in closed form.  With m = (mu - x_j) / s and the normal density phi(m),

    gamma_n = s^n / sqrt(n!) I_{p - n}                                     n <= p
    gamma_n = s^p / sqrt(n!) (-1)^i He_i(m) phi(m),   i = n - p - 1        n > p

where I_p = E[(h - x_j)_+^p / p!] has I_0 = P(h > x_j) and

    I_1 = (mu - x_j) I_0 + s phi(m),    p I_p = (mu - x_j) I_{p-1} + s^2 I_{p-2}.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.jumps import Jumps
from teacherstudent.averages.rule import Nodes

BESIDE = 1e-12  # a distance that is beside a jump
FAR = 40.0  # a field without variance is this many deviations from any point


class HermiteSeries:
    """The first coefficients of a function with known jumps."""

    def __init__(
        self,
        function: Callable,
        jumps: Jumps,
        nodes: Nodes,
        polynomials: Float[Array | np.ndarray, "terms nodes"],
    ):
        self.function = function
        self.jumps = jumps
        self.nodes = nodes
        self.polynomials = polynomials
        self.terms = len(polynomials)

    def coefficients(
        self, mean: Float[Array, "*shape"], deviation: Float[Array, "*#shape"]
    ) -> Float[Array, "terms *shape"]:
        """gamma_0, gamma_1, ... of fields N(mean, deviation^2); the deviation may be zero."""
        deviation = jnp.broadcast_to(deviation, mean.shape)
        x = jnp.asarray(self.nodes).reshape(-1, *[1] * mean.ndim)
        values = self._smooth(mean[None] + deviation[None] * x)
        flat = jnp.asarray(self.polynomials) @ values.reshape(len(self.nodes), -1)
        series = flat.reshape(self.terms, *mean.shape)

        def with_point(total, jump):
            point, heights = jump
            powers = truncated_powers(mean - point, deviation, orders, heights, self.terms)
            return total + powers, None

        orders, *jumps = self.jumps.as_arrays()
        if not orders:
            return series
        return jax.lax.scan(with_point, series, tuple(map(jnp.asarray, jumps)))[0]

    def _smooth(self, h: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The function without its jumps; at a jump itself their limit from above."""
        if not self.jumps.points:
            return self.function(h)
        for point in self.jumps.points:
            h = jnp.where(h == point, point + BESIDE * (1 + abs(point)), h)
        return self.function(h) - self.jumps.singular_part(h)


def truncated_powers(
    mean: Float[Array, "*shape"],
    deviation: Float[Array, "*#shape"],
    orders: tuple[int, ...],
    heights: Float[Array, " orders"],
    terms: int,
) -> Float[Array, "terms *shape"]:
    """The coefficients of sum_p height_p h_+^p / p! for h = mean + deviation x and some orders
    p.
    """
    deviation = jnp.broadcast_to(deviation, mean.shape)
    m = standardised(mean, deviation)
    density = jnp.exp(-(m**2) / 2) / math.sqrt(2 * math.pi)
    density = jnp.where(deviation > 0, density, 0.0)
    integrals = _integrals(mean, deviation, m, density, orders[-1])
    beyond = _beyond(m, density, terms)
    total = jnp.zeros((terms, *mean.shape))
    for p, height in zip(orders, heights, strict=True):
        series = _of_one_order(p, deviation, integrals, beyond)
        total += height * series[:terms]
    return total


def _of_one_order(p: int, deviation, integrals, beyond) -> Float[Array, "more *shape"]:
    """The coefficients of h_+^p / p!, at least as many as `beyond` has entries."""
    lower = []
    for n in range(p + 1):
        lower.append(deviation**n / math.sqrt(math.factorial(n)) * integrals[p - n])
    i = np.arange(len(beyond))
    # (-1)^i sqrt(i! / n!) with n = i + p + 1
    factors = (-1.0) ** i
    for more in range(1, p + 2):
        factors /= np.sqrt(i + more)
    upper = jnp.asarray(factors).reshape(-1, *[1] * deviation.ndim) * beyond
    return jnp.concatenate([jnp.stack(lower), (deviation**p)[None] * upper])


def standardised(
    mean: Float[Array, "*shape"], deviation: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """mean / deviation, far from zero on the side of the mean where there is no deviation."""
    varies = deviation > 0
    ratio = mean / jnp.where(varies, deviation, 1.0)
    return jnp.where(varies, jnp.clip(ratio, -FAR, FAR), FAR * jnp.sign(mean))


def _integrals(mean, deviation, m, density, highest: int) -> list[Float[Array, "*shape"]]:
    """I_0, I_1, ... of h, up to E[h_+^p / p!] of the highest order p."""
    first = jax.scipy.special.ndtr(m)
    integrals = [first, mean * first + deviation * density]
    for p in range(2, highest + 1):
        integrals.append((mean * integrals[-1] + deviation**2 * integrals[-2]) / p)
    return integrals


def _beyond(m, density, count: int) -> Float[Array, "count *shape"]:
    """he_i(m) phi(m) for i = 0, 1, ..., normalised."""

    def following(parts, i):
        before, last = parts
        new = (m * last - jnp.sqrt(i) * before) / jnp.sqrt(i + 1.0)
        return (last, new), last

    nothing = jnp.zeros_like(density)
    _, parts = jax.lax.scan(following, (nothing, density), jnp.arange(count, dtype=m.dtype))
    return parts
