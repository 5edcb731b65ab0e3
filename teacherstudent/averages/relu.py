"""Closed forms for g(x) = g*(x) = max(x, 0), where g' is the step theta(x) and g'' the delta function.

With s = sqrt(C_aa C_bb - C_ab^2) and the angle t = atan2(s, C_ab) between two fields,

    I2(a, b) = (s + (pi - t) C_ab) / (2 pi),    J2(k, b) = (pi - t) / (2 pi),    G2(k, c) = s / (2 pi C_kk).

The same s enters inside and outside of atan2, so that rounding cancels and a vanishing generalisation error is resolved.

I4 is E[x_a x_b prod_{s in S} theta(x_s)] with S the *distinct* fields among k, l, a, b, for theta^2 = theta.  Two steps
of Gaussian integration by parts turn it into probabilities P_n that n Gaussian fields are all positive:

    I4 = C_ab P_n(S) + sum_{j in S, j != b} C_aj (2 pi C_jj)^(-1/2)
                       sum_{i in S, i != j} C_bi|j (2 pi C_ii|j)^(-1/2) P_{n-2}(S without i, j | x_i = x_j = 0),

where C_..|j is the covariance given x_j.  Below, fields have unit variance and the standard deviations of a and b are
multiplied in at the end.  With t_ij the angles, P_1 = 1/2, P_2 = 1/2 - t_12 / (2 pi) and
P_3 = 1/2 - (t_12 + t_13 + t_23) / (4 pi).  P_4 has no elementary form.  Split the fields in pairs {0, 1} and {2, 3} and
scale the correlations across by tau; Plackett's identity for the derivative with respect to tau gives

    P_4 = P_2(0, 1) P_2(2, 3) + int_0^1 dtau sum_{i in {0,1}, j in {2,3}}
              rho_ij / (2 pi sqrt(1 - tau^2 rho_ij^2)) P_2(k, l | x_i = x_j = 0; tau)    (k, l: the other two fields).

Of the three splits we take the one with the smallest correlations across; tau = sin(angle) removes the root where a
correlation reaches 1; Gauss-Legendre nodes do the rest.  R. L. Plackett, Biometrika 41, 351 (1954).

Accuracy of I4: about 1e-14 for generic covariances; it falls as fields come close to each other, to about 1e-9 for two
pairs of fields at relative distance 1e-4 and to 1e-3 for *three* fields within 1e-6 of each other.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.base import Averages
from teacherstudent.averages.pairs import multiplicity, pair_number, unordered_pairs

COINCIDENT = 1e-15  # a conditional variance, relative to the unconditional one, that is zero up to rounding
NODES = 64


class ReluAverages(Averages):
    """Averages for a student and a teacher with g(x) = max(x, 0)."""

    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        s = _areas(C)
        return (s + (math.pi - _angle(s, C)) * C) / (2 * math.pi)

    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        return (math.pi - _angle(_areas(C), C)[: self.students]) / (2 * math.pi)

    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        variance = jnp.diag(C)[: self.students, None]
        return _ratio(_areas(C)[: self.students], 2 * math.pi * variance)

    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        deviation = _root(jnp.diag(C))
        correlation = _ratio(C, deviation[:, None] * deviation[None, :])
        weighted = u * deviation
        values = jnp.zeros(len(unordered_pairs(self.students)[0]))
        for (_, b), (pairs, fields, weights) in _patterns(self.students, self.students + self.teachers).items():
            blocks = correlation[fields[:, :, None], fields[:, None, :]]
            moments = jax.vmap(partial(_half_space_moment, a=0, b=b))(blocks)
            values = values.at[pairs].add(weights * weighted[fields[:, 0]] * weighted[fields[:, b]] * moments)
        return values[pair_number(self.students)]


def _patterns(students: int, fields: int) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All k <= l and a <= b, grouped by the number of distinct fields and by whether a = b.

    Per group: the position of the pair k, l; the distinct fields, a first and then b; the multiplicity of the pair a, b.
    Structurally equal fields must not reach the formulas as separate ones: these would see a singular covariance.
    """
    groups: dict[tuple[int, int], list] = {}
    for pair, (k, l) in enumerate(zip(*unordered_pairs(students), strict=True)):
        for a, b in zip(*unordered_pairs(fields), strict=True):
            distinct = tuple(dict.fromkeys((a, b, k, l)))
            groups.setdefault((len(distinct), int(a != b)), []).append((pair, distinct, float(multiplicity(a, b))))
    return {key: tuple(map(np.array, zip(*rows, strict=True))) for key, rows in groups.items()}


def _half_space_moment(R: Float[Array, "n n"], a: int, b: int) -> Float[Array, ""]:
    """E[x_a x_b prod_s theta(x_s)] over n = 1..4 distinct fields with correlation matrix R."""
    fields = range(len(R))
    total = R[a, b] * _orthant(R, tuple(fields))
    for j in fields:
        for i in fields:
            if j not in (b, i):
                others = tuple(s for s in fields if s not in (i, j))
                slope = _over_root(_given(R, b, i, (j,)), _given(R, i, i, (j,)))
                total += R[a, j] * slope / (2 * math.pi) * _orthant(R, others, (j, i))
    return total


def _orthant(R: Float[Array, "n n"], fields: tuple[int, ...], given: tuple[int, ...] = ()) -> Float[Array, ""]:
    """The probability that all the fields are positive, given that some others are zero."""
    if len(fields) < 2:
        return jnp.array(0.5 ** len(fields))
    if len(fields) == 4:
        return _four_orthant(R)
    angles = [_angle_given(R, p, q, given) for n, p in enumerate(fields) for q in fields[:n]]
    return 0.5 - sum(angles) / (2 * math.pi * (len(fields) - 1))


def _four_orthant(R: Float[Array, "4 4"]) -> Float[Array, ""]:
    """The probability that four fields with correlation matrix R are all positive."""
    splits = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]])
    candidates = R[splits[:, :, None], splits[:, None, :]]
    R = candidates[jnp.argmin(jnp.max(jnp.abs(candidates[:, :2, 2:]), axis=(1, 2)))]
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    angles, weights = (nodes + 1) * math.pi / 4, weights * math.pi / 4
    slopes = jax.vmap(partial(_four_orthant_slope, R))(jnp.asarray(angles))
    return _orthant(R, (0, 1)) * _orthant(R, (2, 3)) + weights @ slopes


def _four_orthant_slope(R: Float[Array, "4 4"], angle: Float[Array, ""]) -> Float[Array, ""]:
    """The derivative of P_4 with respect to the angle, tau = sin(angle), for the split {0, 1}, {2, 3}."""
    across = np.kron(1 - np.eye(2), np.ones((2, 2)))
    scaled = R * (1 - across + across * jnp.sin(angle))
    slope = jnp.zeros(())
    for i, k in ((0, 1), (1, 0)):
        for j, l in ((2, 3), (3, 2)):
            density = R[i, j] / (2 * math.pi * jnp.sqrt((1 - scaled[i, j]) * (1 + scaled[i, j])))
            slope += density * _orthant(scaled, (k, l), (i, j))
    return slope * jnp.cos(angle)


def _given(R: Float[Array, "n n"], p: int, q: int, given: tuple[int, ...]) -> Float[Array, ""]:
    """The conditional covariance of fields p and q."""
    if not given:
        return R[p, q]
    *rest, j = given
    to_p, to_q, variance = (_given(R, x, j, tuple(rest)) for x in (p, q, j))
    return _given(R, p, q, tuple(rest)) - to_p * _ratio(to_q, variance, COINCIDENT)


def _angle_given(R: Float[Array, "n n"], p: int, q: int, given: tuple[int, ...]) -> Float[Array, ""]:
    """The angle between fields p and q under the condition; a right angle if one of them is fixed by it."""
    variances = [_positive_or(_given(R, x, x, given), 0.0, COINCIDENT) for x in (p, q)]
    covariance = jnp.where(variances[0] * variances[1] > 0, _given(R, p, q, given), 0.0)
    return _angle(_root(variances[0] * variances[1] - covariance**2), covariance)


def _areas(C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
    """s_ab = sqrt(C_aa C_bb - C_ab^2), exactly zero for a = b."""
    variance = jnp.diag(C)
    return _root(jnp.where(np.eye(len(C), dtype=bool), 0.0, variance[:, None] * variance[None, :] - C**2))


def _angle(s: Float[Array, "*shape"], covariance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """atan2(s, covariance) in [0, pi]; a right angle where both are zero, that is where a field vanishes."""
    return jnp.arctan2(jnp.where((s == 0) & (covariance == 0), 1.0, s), covariance)


def _positive_or(x: Float[Array, "*shape"], instead: float, threshold: float = 0.0) -> Float[Array, "*shape"]:
    return jnp.where(x > threshold, x, instead)


def _root(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """sqrt(max(x, 0)) with derivative zero where x <= 0."""
    return jnp.where(x > 0, jnp.sqrt(_positive_or(x, 1.0)), 0.0)


def _ratio(
    x: Float[Array, "*shape"], y: Float[Array, "*#shape"], threshold: float = 0.0
) -> Float[Array, "*shape"]:
    """x / y, and zero with derivative zero where y <= threshold."""
    return jnp.where(y > threshold, x / _positive_or(y, 1.0, threshold), 0.0)


def _over_root(x: Float[Array, ""], variance: Float[Array, ""]) -> Float[Array, ""]:
    """x / sqrt(variance), and zero where the variance is zero up to rounding."""
    return _ratio(x, _root(jnp.where(variance > COINCIDENT, variance, 0.0)))
