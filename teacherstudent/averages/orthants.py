"""The probability P_n that n = 1..4 normal numbers with means h, variance 1 and correlations R are
all positive.

    P_1 = Phi(h_0)
    P_2 = Phi2(h_0, h_1; R_01)

Of more numbers, split {0, 1, ..} in two groups A, B and scale the correlations across by
tau = sin(angle).  Plackett's identity for the derivative with respect to tau gives

    P_n = P(A) P(B) + int_0^1 dtau sum_{i in A, j in B} R_ij phi2(h_i, h_j; tau R_ij)
                                                    P(the others | x_i = x_j = 0; tau),

phi2 the density at zero of two of the numbers.  Of the three splits we take the one with the
smallest correlations across.  Correlations across of almost one make the integrand change within
w = sqrt(1 - R_ij^2) of the right angle: the nodes are those of Gauss and Legendre in u,

    angle = pi/2 - w sinh(u),

which are as dense there as they need to be.  R. L. Plackett, Biometrika 41, 351 (1954).

Accuracy: 1e-15 for generic correlations, also for pairs of numbers that almost coincide, and 1e-10
where one is known from two others.  Where three or four are close to each other or to each other's
negatives, 1e-10 at a distance of 1e-2 and 1e-7 at 1e-5; 6e-6 at worst where all are functions of
one number.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.bivariate_normal import Phi, Phi2

# A conditional variance below this is zero up to rounding.
FIXED = 1e-14
NODES = 32  # of the integral over the angle
SPLITS = {
    3: np.array([[0, 1, 2], [1, 0, 2], [2, 0, 1]]),
    4: np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]]),
}
# i, j across the groups, and then the others.
ACROSS = {
    3: np.array([[0, 1, 2], [0, 2, 1]]),
    4: np.array([[0, 2, 1, 3], [0, 3, 1, 2], [1, 2, 0, 3], [1, 3, 0, 2]]),
}


def all_positive(h: Float[Array, " n"], R: Float[Array, "n n"]) -> Float[Array, ""]:
    """P_n."""
    n = len(h)
    if n == 0:
        return jnp.ones(())
    if n == 1:
        return Phi(h[0])
    if n == 2:
        return Phi2(h[0], h[1], R[0, 1])
    first = n - 2  # how many numbers the group A has
    h, R = _best_split(h, R, first)
    apart = _apart(h, R)
    offsets, lengths = _offsets(jnp.max(jnp.abs(R[:first, first:])))
    slope_at = partial(_slope, h, R, first)
    return apart + lengths @ jax.vmap(slope_at)(offsets)


def _best_split(
    h: Float[Array, " n"], R: Float[Array, "n n"], first: int
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """The numbers in an order in which the correlations across the groups are smallest."""
    splits = SPLITS[len(h)]
    across = R[splits[:, :first, None], splits[:, None, first:]]
    order = jnp.asarray(splits)[jnp.argmin(jnp.max(jnp.abs(across), axis=(1, 2)))]
    return h[order], R[order[:, None], order[None, :]]


def _apart(h: Float[Array, " n"], R: Float[Array, "n n"]) -> Float[Array, ""]:
    """P(A) P(B) of the groups: one number and two, or two and two, in one call."""
    if len(h) == 3:
        return Phi(h[0]) * Phi2(h[1], h[2], R[1, 2])
    within = jnp.stack([R[0, 1], R[2, 3]])
    return jnp.prod(Phi2(h[0::2], h[1::2], within))


def _offsets(largest: Float[Array, ""]) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """pi/2 - angle at the nodes, and their weights, for the largest correlation across."""
    t, weights = np.polynomial.legendre.leggauss(NODES)
    width = jnp.sqrt(jnp.maximum((1 - largest) * (1 + largest), FIXED))
    end = jnp.arcsinh(math.pi / 2 / width)
    u = end * jnp.asarray(t + 1) / 2
    return width * jnp.sinh(u), width * jnp.cosh(u) * end * jnp.asarray(weights) / 2


def _slope(
    h: Float[Array, " n"], R: Float[Array, "n n"], first: int, offset: Float[Array, ""]
) -> Float[Array, ""]:
    """dP_n / d(angle) at pi/2 - offset."""
    tau = jnp.cos(offset)
    group = np.arange(len(h)) < first
    together = group[:, None] == group[None, :]
    scaled = jnp.where(together, R, R * tau)
    i, j, *others = ACROSS[len(h)].T
    across = R[i, j]
    # 1 - tau^2 R_ij^2, with all digits where it is small.
    variance = (1 - across) * (1 + across) + (across * jnp.sin(offset)) ** 2
    mean = h[j] - scaled[i, j] * h[i]
    density = jnp.exp(-(h[i] ** 2 + mean**2 / variance) / 2) / (2 * math.pi * jnp.sqrt(variance))
    rests = [_given_two(h, scaled, i, j, variance, mean, k) for k in others]
    heights = [rest.height for rest in rests]
    if len(others) == 1:
        positive = Phi(heights[0])
    else:
        k, l = others
        of_k, of_l = rests
        shared = scaled[i, k] * scaled[i, l] + of_k.slope * of_l.slope * variance
        correlation = (scaled[k, l] - shared) / (of_k.deviation * of_l.deviation)
        positive = Phi2(*heights, jnp.clip(correlation, -1.0, 1.0))
    return jnp.sin(offset) * jnp.sum(across * density * positive)


class _Rest(NamedTuple):
    """A number x_k given x_i = x_j = 0: its slope in what x_j has beside x_i, its deviation, and
    its mean in units of that.
    """

    slope: Float[Array, " pairs"]
    deviation: Float[Array, " pairs"]
    height: Float[Array, " pairs"]


def _given_two(h, scaled, i, j, variance, mean, k) -> _Rest:
    """The rests of the numbers k, for arrays of indices i, j, k; `mean` and `variance` are those of
    x_j given x_i = 0.
    """
    with_i = scaled[i, k]
    slope = (scaled[j, k] - scaled[i, j] * with_i) / variance
    rest = (1 - with_i) * (1 + with_i) - slope**2 * variance
    deviation = jnp.sqrt(jnp.maximum(rest, FIXED))
    return _Rest(slope, deviation, (h[k] - with_i * h[i] - slope * mean) / deviation)
