"""Exact averages for polynomial g and fields with any means.

The sums of `polynomial.py` hold for any mean a_k: it enters only through

    m_k(s) = E[p^(s)(lambda_k)] = sum_n p^(s + 2n)(a_k) (C_kk / 2)^n / n!

for p = g, g' and g''.  In I4 the label is one more field, a constant without covariance.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.polynomial import Polynomial
from teacherstudent.averages.polynomial import degree_of, pair_sums, quartic_sums
from teacherstudent.averages.shifted import Covariance, Mean, PerPair, PerUnit, ShiftedAverages


class ShiftedPolynomial(ShiftedAverages):
    """Averages for a student with a polynomial g."""

    def __init__(self, polynomial: Polynomial, students: int):
        super().__init__(students)
        self._degree = degree_of(polynomial)
        self._table = _derivatives(polynomial, 4 * self._degree + 3)

    def values(self, mean: Mean, C: Covariance) -> PerUnit:
        return self._means(mean, C, 0)[:, 0]

    def slopes(self, mean: Mean, C: Covariance) -> PerUnit:
        return self._means(mean, C, 1)[:, 0]

    def curvatures(self, mean: Mean, C: Covariance) -> PerUnit:
        return self._means(mean, C, 2)[:, 0]

    def I2(self, mean: Mean, C: Covariance) -> PerPair:
        return self._pairs(mean, C, 0, 0)

    def S2(self, mean: Mean, C: Covariance) -> PerPair:
        return self._pairs(mean, C, 1, 0)

    def J2(self, mean: Mean, C: Covariance) -> PerPair:
        return self._pairs(mean, C, 1, 1)

    def G2(self, mean: Mean, C: Covariance) -> PerPair:
        return self._pairs(mean, C, 2, 0)

    def I4(self, mean: Mean, C: Covariance, v: PerUnit, y: Float[Array, ""]) -> PerPair:
        values = self._means(mean, C, 0)
        slopes = self._means(mean, C, 1)
        label = jnp.zeros((1, values.shape[1]), values.dtype).at[0, 0].set(-y)
        weighted = jnp.concatenate([v[:, None] * values, label])
        with_label = jnp.pad(C, ((0, 1), (0, 1)))
        slope_degree = max(self._degree - 1, 0)
        return quartic_sums(with_label, slopes, weighted, self._degree, slope_degree)

    def _pairs(self, mean: Mean, C: Covariance, first: int, second: int) -> PerPair:
        """E[g^(first)(lambda_k) g^(second)(lambda_l)]."""
        one = self._means(mean, C, first)
        other = self._means(mean, C, second)
        return pair_sums(C, one, other, self._degree)

    def _means(self, mean: Mean, C: Covariance, order: int) -> Float[Array, "students derivatives"]:
        """m_k(s) of g^(order), for s = 0..3 degree."""
        factors = [jnp.ones_like(mean)] + [mean] * self._degree
        powers = jnp.cumprod(jnp.stack(factors, axis=1), axis=1)
        derivatives = self._derivatives_at(powers)
        half = jnp.diag(C) / 2
        terms = np.arange(self._degree // 2 + 1)
        heat = jnp.stack([half**n / math.factorial(n) for n in terms], axis=1)
        orders = np.arange(3 * self._degree + 1)
        s, n = np.ix_(orders, terms)
        return jnp.einsum("ksn,kn->ks", derivatives[:, order + s + 2 * n], heat)

    def _derivatives_at(self, powers: Float[Array, "units powers"]) -> Float[Array, "units orders"]:
        """p^(s)(a_k) from the powers of the means."""
        return powers @ jnp.asarray(self._table).T


class ShiftedPolynomials(ShiftedPolynomial):
    """Averages for units each of which has a polynomial of its own."""

    def __init__(self, polynomials: Sequence[Polynomial]):
        highest = max(polynomials, key=degree_of)
        super().__init__(highest, len(polynomials))
        shape = self._table.shape
        tables = []
        for one in polynomials:
            table = _derivatives(one, shape[0])
            tables.append(np.pad(table, ((0, 0), (0, shape[1] - table.shape[1]))))
        self._tables = np.stack(tables)

    def _derivatives_at(self, powers: Float[Array, "units powers"]) -> Float[Array, "units orders"]:
        return jnp.einsum("kp,ksp->ks", powers, jnp.asarray(self._tables))


def _derivatives(polynomial: Polynomial, orders: int) -> Float[np.ndarray, "orders powers"]:
    """The coefficients of p, p', p'', ..., by powers; zeros beyond the degree."""
    coefficients = polynomial.coefficients
    table = np.zeros((orders, len(coefficients)))
    for order in range(len(coefficients)):
        for power in range(order, len(coefficients)):
            table[order, power - order] = math.perm(power, order) * coefficients[power]
    return table
