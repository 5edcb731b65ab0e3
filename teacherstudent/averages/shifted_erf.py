"""Closed forms for g(x) = erf(x / sqrt 2) and fields with any means.

With h_k = a_k / sqrt(1 + C_kk), a the mean, and R_ij = C_ij / sqrt((1 + C_ii)(1 + C_jj)),

    E[g_k]     = 2 Phi(h_k) - 1
    E[g'_k]    = Z_k = 2 phi(h_k) / sqrt(1 + C_kk)
    E[g_i g_j] = E[g_i] E[g_j] + 4 L(h_i, h_j; R_ij),

with phi the normal density and Phi, L of `bivariate_normal.py`.

g'(x) = sqrt(2/pi) exp(-x^2 / 2) is itself Gaussian: a factor g'_k tilts the measure to

    a^k = a - C_.k a_k / (1 + C_kk)
    C^k = C - C_.k C_k. / (1 + C_kk)

with the weight Z_k,

so E[g'_k g_j] = Z_k E^k[g_j], and g'_k g'_l tilts twice, weight Z_k Z^k_l: what remains of I4 are
averages of g_i g_j and g_j.  g''(x) = -x g'(x), and Stein's lemma gives

    E[g''_k g_j] = -E[g'_k lambda_k g_j] = -Z_k ( a^k_k E^k[g_j] + C^k_kj Z^k_j ).

With a = 0 all is as in `erf.py`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.averages.bivariate_normal import L, density
from teacherstudent.averages.pairs import multiplicity, pair_number, unordered_pairs
from teacherstudent.averages.shifted import Covariance, Mean, PerPair, PerUnit, ShiftedAverages


class ShiftedErf(ShiftedAverages):
    """Averages for a student with g(x) = erf(x / sqrt 2)."""

    def values(self, mean: Mean, C: Covariance) -> PerUnit:
        return _value(mean, jnp.diag(C))

    def slopes(self, mean: Mean, C: Covariance) -> PerUnit:
        return _slope(mean, jnp.diag(C))

    def curvatures(self, mean: Mean, C: Covariance) -> PerUnit:
        variance = jnp.diag(C)
        return -_slope(mean, variance) * mean / (1 + variance)

    def I2(self, mean: Mean, C: Covariance) -> PerPair:
        return _value_products(mean, C)[pair_number(self.students)]

    def S2(self, mean: Mean, C: Covariance) -> PerPair:
        weight, tilted, covariance = _tilted_once(mean, C)
        return weight[:, None] * _value(tilted, _diagonals(covariance))

    def J2(self, mean: Mean, C: Covariance) -> PerPair:
        weight, tilted, covariance = _tilted_once(mean, C)
        return weight[:, None] * _slope(tilted, _diagonals(covariance))

    def G2(self, mean: Mean, C: Covariance) -> PerPair:
        weight, tilted, covariance = _tilted_once(mean, C)
        variance = _diagonals(covariance)
        tilted_k = jnp.einsum("kk->k", tilted)[:, None]
        covariance_kj = jnp.einsum("kkj->kj", covariance)
        by_mean = tilted_k * _value(tilted, variance)
        by_covariance = covariance_kj * _slope(tilted, variance)
        return -weight[:, None] * (by_mean + by_covariance)

    def I4(self, mean: Mean, C: Covariance, v: PerUnit, y: Float[Array, ""]) -> PerPair:
        k, l = unordered_pairs(self.students)
        by_k = jax.vmap(_tilt, (None, None, 0))
        by_l = jax.vmap(_tilt, (0, 0, 0))
        weight_k, tilted, covariance = by_k(mean, C, jnp.asarray(k))
        weight_l, tilted, covariance = by_l(tilted, covariance, jnp.asarray(l))
        i, j = unordered_pairs(self.students)
        vv = multiplicity(i, j) * v[i] * v[j]
        squares = jax.vmap(_value_products)(tilted, covariance) @ vv
        outputs = _value(tilted, _diagonals(covariance)) @ v
        values = weight_k * weight_l * (squares - 2 * y * outputs + y**2)
        return values[pair_number(self.students)]


def _value(
    mean: Float[Array, "*shape"], variance: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """E[g]."""
    return jax.scipy.special.erf(mean / jnp.sqrt(2 * (1 + variance)))


def _slope(
    mean: Float[Array, "*shape"], variance: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """E[g']."""
    scale = jnp.sqrt(1 + variance)
    return 2 * density(mean / scale) / scale


def _value_products(mean: Mean, C: Covariance) -> Float[Array, " pairs"]:
    """E[g_i g_j] for the unordered pairs i <= j."""
    i, j = unordered_pairs(len(mean))
    scale = jnp.sqrt(1 + jnp.diag(C))
    value = _value(mean, jnp.diag(C))
    h = mean / scale
    R = C / (scale[:, None] * scale[None, :])
    return value[i] * value[j] + 4 * L(h[i], h[j], R[i, j])


def _tilt(mean: Mean, C: Covariance, k) -> tuple[Float[Array, ""], Mean, Covariance]:
    """Weight, mean and covariance of the measure times g'_k."""
    column = C[:, k]
    widened = 1 + C[k, k]
    weight = _slope(mean[k], C[k, k])
    tilted = mean - column * (mean[k] / widened)
    covariance = C - column[:, None] * column[None, :] / widened
    return weight, tilted, covariance


def _tilted_once(mean: Mean, C: Covariance):
    """The tilts by g'_k for all k, k as first axis."""
    return jax.vmap(_tilt, (None, None, 0))(mean, C, jnp.arange(len(mean)))


def _diagonals(C: Float[Array, "tilts students students"]) -> Float[Array, "tilts students"]:
    return jnp.einsum("tkk->tk", C)
