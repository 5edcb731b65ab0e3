"""Averages for g(x) = max(x, 0), where g' is the step theta and g'' the delta function, and fields
with any means.

With s_k = sqrt(C_kk), h_k = a_k / s_k (a the mean), R the correlations and Phi2 of
`bivariate_normal.py`,

    E[g_k]   = a_k Phi(h_k) + s_k phi(h_k)
    E[g'_k]  = Phi(h_k)
    E[g''_k] = phi(h_k) / s_k =: delta_k
    J2(k, l) = Phi2(h_k, h_l; R_kl)
    G2(k, j) = delta_k E[g_j | lambda_k = 0].

Products are moments of a bivariate normal law cut to a quadrant,

    M_pq = E[theta_k theta_l lambda_k^p lambda_l^q].

Stein's lemma reduces them to lower ones and to the boundary, with P(l | k)
the probability that lambda_l > 0 given lambda_k = 0:

    M_00 = Phi2
    M_10 = a_k M_00 + C_kk delta_k P(l | k) + C_kl delta_l P(k | l)
    M_11 = a_l M_10 + C_kl M_00 + C_ll delta_l E[g_k | lambda_l = 0]
    M_20 = a_k M_10 + C_kk M_00 + C_kl delta_l E[g_k | lambda_l = 0]

and M_10 is S2, M_11 is I2.  I4 of one or two units needs nothing else.  With more it is a sum over
sets S of units, three and four of them, of the moments of their fields cut to where all are
positive (`cut_moments.py`).  Each set serves all pairs k, l in it, so that there are
K (K - 1) (K - 2) (K - 3) / 24 integrals over one angle.

Accuracy of I4: rounding for K <= 2 and for more units in generic position; 1e-7 where three or four
fields coincide, with each other or with each other's negatives; 2e-5 where a field is known exactly
from two others, and 1e-4 at worst where all are functions of one number.
"""

from itertools import combinations, combinations_with_replacement
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.bivariate_normal import Phi, Phi2, density
from teacherstudent.averages.cut_moments import FAR, CutMoments, cut_moments
from teacherstudent.averages.pairs import pair_number
from teacherstudent.averages.shifted import Covariance, Mean, PerPair, PerUnit, ShiftedAverages

# A conditional variance below this, relative to the unconditional one, is zero up to rounding.
FIXED = 1e-14


class ShiftedRelu(ShiftedAverages):
    """Averages for a student with g(x) = max(x, 0)."""

    def values(self, mean: Mean, C: Covariance) -> PerUnit:
        variance = jnp.diag(C)
        return _positive_part(mean, variance)

    def slopes(self, mean: Mean, C: Covariance) -> PerUnit:
        variance = jnp.diag(C)
        return Phi(_height(mean, variance))

    def curvatures(self, mean: Mean, C: Covariance) -> PerUnit:
        variance = jnp.diag(C)
        return _at_zero(mean, variance)

    def I2(self, mean: Mean, C: Covariance) -> PerPair:
        return _products(mean, C)

    def S2(self, mean: Mean, C: Covariance) -> PerPair:
        pairs = _moments(mean, C).M_01
        values = self.values(mean, C)
        return _off_diagonal(pairs, values)

    def J2(self, mean: Mean, C: Covariance) -> PerPair:
        pairs = _moments(mean, C).M_00
        slopes = self.slopes(mean, C)
        return _off_diagonal(pairs, slopes)

    def G2(self, mean: Mean, C: Covariance) -> PerPair:
        variance = jnp.diag(C)
        k, j = np.ix_(range(self.students), range(self.students))
        given = _given_zero(mean[k], mean[j], variance[k], variance[j], C)
        delta = _at_zero(mean, variance)[:, None]
        pairs = delta * _positive_part(*given)
        return _off_diagonal(pairs, jnp.zeros_like(mean))

    def I4(self, mean: Mean, C: Covariance, v: PerUnit, y: Float[Array, ""]) -> PerPair:
        if self.students <= 2:
            return _two_units(mean, C, v, y)
        return _many_units(mean, C, v, y)


class Moments(NamedTuple):
    """M_pq for all ordered pairs k, l of different units; the diagonals have no meaning."""

    M_00: PerPair
    M_10: PerPair
    M_01: PerPair
    M_11: PerPair
    M_20: PerPair


def _moments(mean: Mean, C: Covariance) -> Moments:
    students = range(len(mean))
    k, l = np.ix_(students, students)
    variance = jnp.diag(C)
    height = _height(mean, variance)
    delta = _at_zero(mean, variance)[:, None]
    scale = _root(variance)
    # The two indices of a diagonal entry must not reach the formulas as separate fields that
    # coincide.
    same = np.eye(len(mean), dtype=bool)
    correlation = _ratio(C, scale[:, None] * scale[None, :])
    R = jnp.where(same, 0.0, correlation)
    h_k, h_l = jnp.broadcast_arrays(height[:, None], height[None, :])
    M_00 = Phi2(h_k, h_l, jnp.clip(R, -1.0, 1.0))
    given = _given_zero(mean[k], mean[l], variance[k], variance[l], C)
    # P(l | k) and E[g_l | lambda_k = 0]; their transposes are P(k | l) and E[g_k | lambda_l = 0].
    above = Phi(_height(*given))
    part = _positive_part(*given)
    a_k = mean[:, None]
    C_kk = variance[:, None]
    M_10 = a_k * M_00 + C_kk * delta * above + C * delta.T * above.T
    M_11 = a_k.T * M_10 + C * M_00 + C_kk.T * delta.T * part.T
    M_20 = a_k * M_10 + C_kk * M_00 + C * delta.T * part.T
    return Moments(M_00, M_10, M_10.T, M_11, M_20)


def _products(mean: Mean, C: Covariance) -> PerPair:
    """E[g_i g_j] for all pairs."""
    squares = _square(mean, jnp.diag(C))
    if len(mean) == 1:
        return squares[:, None]
    pairs = _moments(mean, C).M_11
    return _off_diagonal(pairs, squares)


def _two_units(mean: Mean, C: Covariance, v: PerUnit, y: Float[Array, ""]) -> PerPair:
    """I4 from M_pq: on theta_k the other unit l contributes where it is positive; on theta_k
    theta_l both are linear.
    """
    variance = jnp.diag(C)
    value = _positive_part(mean, variance)
    step = Phi(_height(mean, variance))
    square = _square(mean, variance)
    alone = v**2 * square - 2 * y * v * value + y**2 * step
    if len(mean) == 1:
        return alone[:, None]
    M = _moments(mean, C)
    v_k = v[:, None]
    v_l = v[None, :]
    from_k = v_k**2 * M.M_20 - 2 * y * v_k * M.M_10
    from_l = v_l**2 * M.M_20.T - 2 * y * v_l * M.M_01
    product = 2 * v_k * v_l * M.M_11
    both = from_k + from_l + product + y**2 * M.M_00
    # On theta_k alone, what the other unit l adds.
    added = jnp.where(np.eye(2, dtype=bool), 0.0, from_l + product)
    return _off_diagonal(both, alone + jnp.sum(added, axis=1))


def _many_units(mean: Mean, C: Covariance, v: PerUnit, y: Float[Array, ""]) -> PerPair:
    """I4 as a sum over the sets S of the units that are positive in each of its terms.

    theta_k theta_l (sum_j v_j g_j - y)^2 multiplied out, S is {k, l} with the units of the two
    factors: one to four.
    """
    K = len(mean)
    number = pair_number(K)
    values = jnp.zeros(number.max() + 1, C.dtype)
    for size, cut in cut_moments(mean, C).items():
        sets = np.array(list(combinations(range(K), size)))
        for k, l in combinations_with_replacement(range(size), 2):
            others = [i for i in range(size) if i not in (k, l)]
            if len(others) <= 2:
                terms = _terms_with_all(cut, v[sets], y, sorted({k, l}), others)
                values = values.at[number[sets[:, k], sets[:, l]]].add(terms)
    return values[number]


def _terms_with_all(
    cut: CutMoments,
    v: Float[Array, "sets units"],
    y: Float[Array, ""],
    slopes: list[int],
    others: list[int],
) -> Float[Array, " sets"]:
    """The terms of E[theta(slopes) (sum_j v_j g_j - y)^2] in which all units of a set occur: the
    `others` in one factor at least.
    """
    if len(others) == 2:
        a, b = others
        return 2 * v[:, a] * v[:, b] * cut.M[:, a, b]
    if len(others) == 1:
        (a,) = others
        with_slopes = sum(v[:, i] * cut.M[:, a, i] for i in slopes)
        return v[:, a] * (v[:, a] * cut.M[:, a, a] + 2 * with_slopes - 2 * y * cut.m[:, a])
    # All are in `slopes`, and linear there.
    square = jnp.einsum("si,sij,sj->s", v, cut.M, v)
    return square - 2 * y * jnp.sum(v * cut.m, axis=1) + y**2 * cut.P


def _height(
    mean: Float[Array, "*shape"], variance: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """mean over standard deviation; +-1000 where the field does not vary."""
    varies = variance > 0
    deviation = jnp.sqrt(jnp.where(varies, variance, 1.0))
    return jnp.where(varies, mean / deviation, FAR * jnp.sign(mean))


def _positive_part(
    mean: Float[Array, "*shape"], variance: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """E[max(x, 0)] = a Phi(h) + s phi(h)."""
    height = _height(mean, variance)
    inside = mean * Phi(height)
    boundary = _root(variance) * density(height)
    return inside + boundary


def _square(
    mean: Float[Array, "*shape"], variance: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """E[max(x, 0)^2] = (a^2 + s^2) Phi(h) + a s phi(h)."""
    height = _height(mean, variance)
    inside = (mean**2 + variance) * Phi(height)
    boundary = mean * _root(variance) * density(height)
    return inside + boundary


def _at_zero(
    mean: Float[Array, "*shape"], variance: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """The density of a field at zero; none where it does not vary."""
    height = _height(mean, variance)
    return _ratio(density(height), _root(variance))


def _given_zero(mean_k, mean_l, variance_k, variance_l, C: Covariance):
    """Mean and variance of lambda_l given lambda_k = 0, for all k (rows) and l."""
    slope = _ratio(C, variance_k)
    rest = variance_l - slope * C
    mean = mean_l - slope * mean_k
    variance = jnp.where(rest > FIXED * variance_l, rest, 0.0)
    return mean, variance


def _off_diagonal(pairs: PerPair, diagonal: PerUnit) -> PerPair:
    """The values of all pairs, with those of single units on the diagonal."""
    same = np.eye(len(diagonal), dtype=bool)
    return jnp.where(same, diagonal[:, None], pairs)


def _root(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """sqrt(x), and zero with derivative zero where x <= 0."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


def _ratio(x: Float[Array, "*shape"], y: Float[Array, "*#shape"]) -> Float[Array, "*shape"]:
    """x / y, and zero with derivative zero where y = 0."""
    return jnp.where(y > 0, x / jnp.where(y > 0, y, 1.0), 0.0)
