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

and M_10 is S2, M_11 is I2.  I4 of one or two units needs nothing else.  With more, theta_k theta_l
(sum_j v_j g_j - y)^2 is integrated over lambda_k, lambda_l > 0 by Gauss-Legendre rules in
standardised coordinates, in panels cut where the quadrant begins, at -2, 2 and 8.5, and where the
mean of another field, given these two, changes its sign; the other fields are Gaussian given these
two and enter by E[g_i] and E[g_i g_j] above.

Accuracy of I4: rounding for K <= 2; 1e-12 for K = 3 and 1e-9 for K >= 4, which has fewer nodes, in
generic position; 3e-7 where another field is known from lambda_k and lambda_l up to a hundredth of
its variance, and 4e-6 at worst where it is known exactly.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.bivariate_normal import Phi, Phi2, density
from teacherstudent.averages.pairs import pair_number, unordered_pairs
from teacherstudent.averages.shifted import Covariance, Mean, PerPair, PerUnit, ShiftedAverages

CUTS = (-2.0, 2.0)
RADIUS = 8.5
FAR = 1e3  # h of a field without variance, whose sign is certain
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
    """I4 by integration over one or two positive fields."""
    K = len(mean)
    nodes = 12
    if K == 3:
        nodes = 16
    k, l = unordered_pairs(K)
    orders = []
    for one, other in zip(k.tolist(), l.tolist(), strict=True):
        orders.append(_with_the_others(one, other, K))

    def integrated(over_some, chosen):
        """The integrals of the chosen pairs, with the fields of each in its own order."""
        order = np.array([orders[n] for n in chosen])
        blocks = C[order[:, :, None], order[:, None, :]]
        of_pair = partial(over_some, y=y, nodes=nodes)
        return jax.vmap(of_pair)(mean[order], blocks, v[order])

    equal = np.flatnonzero(k == l)
    different = np.flatnonzero(k != l)
    values = jnp.zeros(len(k), C.dtype)
    values = values.at[equal].set(integrated(_over_one, equal))
    values = values.at[different].set(integrated(_over_two, different))
    return values[pair_number(K)]


def _with_the_others(k: int, l: int, K: int) -> list[int]:
    """k and l, once if they are equal, and then all other units."""
    first = list(dict.fromkeys((k, l)))
    others = [i for i in range(K) if i not in first]
    return first + others


def _over_one(
    mean: Mean, C: Covariance, v: PerUnit, y: Float[Array, ""], nodes: int
) -> Float[Array, ""]:
    """E[theta(lambda_0) (v . g - y)^2]."""
    # lambda_0 = a_0 + s_0 z, and the others are a_i + slope_i z and a rest without z.
    slope = _ratio(C[1:, 0], _root(C[0, 0]))
    height = _height(mean[0], C[0, 0])
    corners = _crossing(mean[1:], slope)
    z, weights = _above(height, corners, nodes)
    fixed = mean[0] + _root(C[0, 0]) * z
    others = mean[1:][None, :] + z[:, None] * slope[None, :]
    rest = C[1:, 1:] - jnp.outer(slope, slope)
    linear = v[0] * fixed - y
    return weights @ _square_given(linear, others, rest, v[1:])


def _over_two(
    mean: Mean, C: Covariance, v: PerUnit, y: Float[Array, ""], nodes: int
) -> Float[Array, ""]:
    """E[theta(lambda_0) theta(lambda_1) (v . g - y)^2]."""
    # lambda_i = a_i + slope0_i z_0 + slope1_i z_1 and a rest with neither.
    slope0 = _ratio(C[:, 0], _root(C[0, 0]))
    rest = C - jnp.outer(slope0, slope0)
    varies = rest[1, 1] > FIXED * C[1, 1]
    variance = jnp.where(varies, rest[1, 1], 0.0)
    scale1 = _root(variance)
    slope1 = _ratio(rest[2:, 1], scale1)
    # Where the line lambda_1 = 0 meets the lines on which the mean of another field vanishes.
    mean_on_line = mean[2:] * scale1 - slope1 * mean[1]
    slope_on_line = slope0[2:] * scale1 - slope1 * slope0[1]
    corners = _crossing(mean_on_line, slope_on_line)
    height = _height(mean[0], C[0, 0])
    z0, weights0 = _above(height, corners, nodes)
    lam0 = mean[0] + slope0[0] * z0
    mean1 = mean[1] + slope0[1] * z0
    means = mean[2:][None, :] + slope0[2:][None, :] * z0[:, None]

    def nodes_given_first(mean1, means):
        """The nodes z_1 for one z_0, from the means given it."""
        height = _height(mean1, variance)
        corners = _crossing(means, slope1)
        return _above(height, corners, nodes)

    z1, weights1 = jax.vmap(nodes_given_first)(mean1, means)
    lam1 = mean1[:, None] + scale1 * z1
    others = means[:, None, :] + z1[..., None] * slope1[None, None, :]
    linear = v[0] * lam0[:, None] + v[1] * lam1 - y
    count = linear.size
    points = linear.reshape(count)
    others = others.reshape(count, -1)
    rest = rest[2:, 2:] - jnp.outer(slope1, slope1)
    given = _square_given(points, others, rest, v[2:])
    over_z1 = jnp.sum(weights1 * given.reshape(linear.shape), axis=1)
    return weights0 @ over_z1


def _square_given(
    linear: Float[Array, " points"],
    mean: Float[Array, "points others"],
    C: Float[Array, "others others"],
    v: Float[Array, " others"],
) -> Float[Array, " points"]:
    """E[(linear + sum_i v_i g_i)^2] over the other fields, at many means with one covariance."""
    variance = jnp.broadcast_to(jnp.diag(C), mean.shape)
    value = _positive_part(mean, variance) @ v

    def square_of_sum(mean):
        return v @ _products(mean, C) @ v

    square = jax.vmap(square_of_sum)(mean)
    return linear**2 + 2 * linear * value + square


def _above(
    height: Float[Array, ""], cuts: Float[Array, " cuts"], nodes: int
) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """Nodes z > -height and weights for a standard normal z, in panels."""
    t, weights = np.polynomial.legendre.leggauss(nodes)
    begin = jnp.clip(-height, -RADIUS, RADIUS)
    end = jnp.full((1,), RADIUS, cuts.dtype)
    all_cuts = jnp.concatenate([jnp.asarray(CUTS, cuts.dtype), cuts])
    inside = jnp.sort(jnp.clip(all_cuts, begin, RADIUS))
    ends = jnp.concatenate([begin[None], inside, end])
    left = ends[:-1, None]
    right = ends[1:, None]
    middle = (left + right) / 2
    half = (right - left) / 2
    z = (middle + half * jnp.asarray(t)[None, :]).ravel()
    lengths = (half * jnp.asarray(weights)[None, :]).ravel()
    return z, lengths * density(z)


def _crossing(
    mean: Float[Array, " fields"], slope: Float[Array, " fields"]
) -> Float[Array, " fields"]:
    """Where mean + slope z vanishes; 0 where it does not move."""
    moves = jnp.abs(slope) > 0
    divisor = jnp.where(moves, slope, 1.0)
    return jnp.where(moves, -mean / divisor, 0.0)


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
