"""Closed forms for g(x) = g*(x) = max(x, 0), where g' is the step theta(x) and g'' the delta
function.

With s = sqrt(C_aa C_bb - C_ab^2) and the angle t = atan2(s, C_ab) between two fields,

    I2(a, b) = (s + (pi - t) C_ab) / (2 pi)
    J2(k, b) = (pi - t) / (2 pi)
    G2(k, c) = s / (2 pi C_kk).

The same s enters inside and outside of atan2, so that rounding cancels and a vanishing
generalisation error is resolved.

I4 is E[x_a x_b prod_{s in S} theta(x_s)] with S the *distinct* fields among k, l, a, b, for theta^2
= theta.  Two steps of Gaussian integration by parts turn it into probabilities P_n that n Gaussian
fields are all positive:

    I4 = C_ab P_n(S)
         + sum_{j in S, j != b} C_aj (2 pi C_jj)^(-1/2)
           sum_{i in S, i != j} C_bi|j (2 pi C_ii|j)^(-1/2) P_{n-2}(S - {i, j} | x_i = x_j = 0),

where C_..|j is the covariance given x_j.  Below, fields have unit variance and the standard
deviations of a and b are multiplied in at the end.  With t_ij the angles,

    P_1 = 1/2
    P_2 = 1/2 - t_12 / (2 pi)
    P_3 = 1/2 - (t_12 + t_13 + t_23) / (4 pi).

P_4 has no elementary form.  Split the fields in pairs {0, 1} and {2, 3} and scale the correlations
across by tau; Plackett's identity for the derivative with respect to tau gives, with k, l the two
fields that are not i, j,

    P_4 = P_2(0, 1) P_2(2, 3)
          + int_0^1 dtau sum_{i in {0,1}, j in {2,3}} rho_ij / (2 pi sqrt(1 - tau^2 rho_ij^2))
                                                      P_2(k, l | x_i = x_j = 0; tau).

Of the three splits we take the one with the smallest correlations across; tau = sin(angle) removes
the root where a correlation reaches 1; Gauss-Legendre nodes do the rest.  R. L. Plackett,
Biometrika 41, 351 (1954).

Accuracy of I4: 1e-14 for generic covariances, 1e-12 with pairs of fields at a relative distance of
1e-4 from each other, 1e-8 at 1e-6.  Where *three* fields almost coincide, say two students near one
teacher, it falls to 1e-10 at a distance of 1e-2 and to 1e-5 below 1e-3.  Fields that coincide
exactly are handled exactly.
"""

import math
from functools import partial
from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.base import Averages
from teacherstudent.averages.pairs import pair_number, unordered_pairs

# A conditional variance below this, relative to the unconditional one, is zero up to rounding.
COINCIDENT = 1e-15
NODES = 64  # of the integral over tau


class ReluAverages(Averages):
    """Averages for a student and a teacher with g(x) = max(x, 0)."""

    def __init__(self, students: int, teachers: int):
        super().__init__(students, teachers)
        self._groups = _groups_of_equal_pattern(students, students + teachers)

    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        s = _areas(C)
        t = _angle(s, C)
        return (s + (math.pi - t) * C) / (2 * math.pi)

    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        s = _areas(C)
        t = _angle(s, C)[: self.students]
        return (math.pi - t) / (2 * math.pi)

    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        variance = jnp.diag(C)[: self.students, None]
        return _ratio(_areas(C)[: self.students], 2 * math.pi * variance)

    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        deviation = _root(jnp.diag(C))
        correlation = _ratio(C, deviation[:, None] * deviation[None, :])
        weighted = u * deviation
        k, _ = unordered_pairs(self.students)
        values = jnp.zeros(len(k))
        for (_, b), (pairs, fields) in self._groups.items():
            blocks = correlation[fields[:, :, None], fields[:, None, :]]
            moment = partial(_half_space_moment, b=b)
            moments = jax.vmap(moment)(blocks)
            multiplicity = 1 + b  # the pair a, b with a < b stands for two ordered pairs
            of_a = weighted[fields[:, 0]]
            of_b = weighted[fields[:, b]]
            factor = multiplicity * of_a * of_b
            values = values.at[pairs].add(factor * moments)
        return values[pair_number(self.students)]


def _groups_of_equal_pattern(
    students: int, fields: int
) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """All k <= l and a <= b, grouped by the number of distinct fields and by whether a = b (0) or
    not (1).

    Per group: the position of the pair k, l, and the distinct fields, a first and then b.
    Structurally equal fields must not reach the formulas as separate ones: these would see a
    singular covariance.
    """
    groups: dict[tuple[int, int], list] = {}
    pairs_of_students = zip(*unordered_pairs(students), strict=True)
    for pair, (k, l) in enumerate(pairs_of_students):
        for a, b in zip(*unordered_pairs(fields), strict=True):
            distinct = tuple(dict.fromkeys((a, b, k, l)))
            pattern = (len(distinct), int(a != b))
            rows = groups.setdefault(pattern, [])
            rows.append((pair, distinct))
    return {pattern: columns(rows) for pattern, rows in groups.items()}


def columns(rows: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """The two columns of a table, each as an array."""
    first = np.array([row[0] for row in rows])
    second = np.array([row[1] for row in rows])
    return first, second


def _half_space_moment(R: Float[Array, "n n"], b: int) -> Float[Array, ""]:
    """E[x_a x_b prod_s theta(x_s)] over n = 1..4 distinct fields with correlation matrix R, where a
    is field 0.
    """
    # C_ab P_n(S)
    total = R[0, b] * orthant(R)
    orders = []
    for j, i in permutations(range(len(R)), 2):
        if j != b:
            orders.append((j, i, *_without(len(R), j, i)))
    if not orders:
        return total
    j, i, *others = np.array(orders).T
    # C_bi|j, and the square root of C_ii|j.
    covariance = R[b, i] - R[b, j] * R[j, i]
    deviation = _root(_variance_given(R[j, i]))
    slope = _ratio(covariance, deviation) / (2 * math.pi)
    terms = R[0, j] * slope * _conditional_orthant(R, i, j, *others)
    return total + jnp.sum(terms)


def _without(size: int, *fields: int) -> tuple[int, ...]:
    return tuple(s for s in range(size) if s not in fields)


def orthant(R: Float[Array, "n n"]) -> Float[Array, ""]:
    """P_n, the probability that n = 1..4 fields with correlation matrix R are all positive."""
    if len(R) == 1:
        return jnp.array(0.5)
    if len(R) == 4:
        return _four_orthant(R)
    above_diagonal = np.triu_indices(len(R), 1)
    angles = _angle(_areas(R), R)[above_diagonal]
    each_field_in = len(R) - 1
    return 0.5 - jnp.sum(angles) / (2 * math.pi * each_field_in)


def _four_orthant(R: Float[Array, "4 4"]) -> Float[Array, ""]:
    """P_4 for the correlation matrix R."""
    splits = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]])
    candidates = R[splits[:, :, None], splits[:, None, :]]
    across = candidates[:, :2, 2:]
    largest_across = jnp.max(jnp.abs(across), axis=(1, 2))
    R = candidates[jnp.argmin(largest_across)]
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    angles = jnp.asarray((nodes + 1) * math.pi / 4)
    slope_at = partial(_four_orthant_slope, R)
    slopes = jax.vmap(slope_at)(angles)
    apart = orthant(R[:2, :2]) * orthant(R[2:, 2:])
    lengths = weights * math.pi / 4
    return apart + lengths @ slopes


def _four_orthant_slope(R: Float[Array, "4 4"], angle: Float[Array, ""]) -> Float[Array, ""]:
    """dP_4 / d(angle) where the correlations across the pairs {0, 1} and {2, 3} are scaled by
    sin(angle).
    """
    across = np.kron([[0, 1], [1, 0]], np.ones((2, 2)))
    scale = 1 - across + across * jnp.sin(angle)
    scaled = R * scale
    orders = np.array([(0, 2, 1, 3), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 0, 2)])
    i, j, k, l = orders.T
    deviation = _root(_variance_given(scaled[i, j]))
    density = R[i, j] * jnp.cos(angle) / (2 * math.pi * deviation)
    return jnp.sum(density * _conditional_orthant(scaled, i, j, k, l))


def _conditional_orthant(
    R: Float[Array, "n n"], i: np.ndarray, j: np.ndarray, *others: np.ndarray
) -> float | Float[Array, " orders"]:
    """The probability that the other fields, two at most, are positive given x_i = x_j = 0, for
    arrays of indices.

    A field that coincides with one set to zero is positive or negative with equal chances, and of
    three that coincide each is equally often the smallest: these are the limits of fields that
    differ by independent small amounts.
    """
    if len(others) < 2:
        return 0.5 ** len(others)
    k, l = others
    variance_j = _variance_given(R[i, j])
    # Covariances given x_i = 0.
    jk = R[j, k] - R[i, j] * R[i, k]
    jl = R[j, l] - R[i, j] * R[i, l]
    kl = R[k, l] - R[i, k] * R[i, l]
    # Given x_j = 0 as well.
    variance_k = _variance_given(R[i, k]) - jk * _ratio(jk, variance_j)
    variance_k = _nonzero(variance_k)
    variance_l = _variance_given(R[i, l]) - jl * _ratio(jl, variance_j)
    variance_l = _nonzero(variance_l)
    k_fixed = variance_k == 0
    l_fixed = variance_l == 0
    fixed = k_fixed | l_fixed
    k_is_l = _variance_given(R[k, l]) == 0
    all_coincide = k_fixed & l_fixed & k_is_l
    limit = jnp.where(all_coincide, jnp.sign(R[k, l]) / 2, 0.0)
    covariance = kl - jk * _ratio(jl, variance_j)
    covariance = jnp.where(fixed, limit, covariance)
    variances = jnp.where(fixed, 1.0, variance_k * variance_l)
    area = _root(variances - covariance**2)
    angle = _angle(area, covariance)
    return 0.5 - angle / (2 * math.pi)


def _variance_given(correlation: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The variance of a field of unit variance given another one."""
    return _nonzero((1 - correlation) * (1 + correlation))


def _nonzero(variance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The variance, or zero where it is zero up to rounding."""
    return jnp.where(variance > COINCIDENT, variance, 0.0)


def _areas(C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
    """s_ab = sqrt(C_aa C_bb - C_ab^2), exactly zero for a = b."""
    variance = jnp.diag(C)
    products = variance[:, None] * variance[None, :]
    squares = products - C**2
    same = np.eye(len(C), dtype=bool)
    return _root(jnp.where(same, 0.0, squares))


def _angle(s: Float[Array, "*shape"], covariance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """atan2(s, covariance) in [0, pi]; a right angle where both are zero, that is where a field
    vanishes.
    """
    vanishes = (s == 0) & (covariance == 0)
    opposite = jnp.where(vanishes, 1.0, s)
    return jnp.arctan2(opposite, covariance)


def _root(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """sqrt(x), and zero with derivative zero where x <= 0."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


def _ratio(x: Float[Array, "*shape"], y: Float[Array, "*#shape"]) -> Float[Array, "*shape"]:
    """x / y, and zero with derivative zero where y = 0."""
    return jnp.where(y > 0, x / jnp.where(y > 0, y, 1.0), 0.0)
