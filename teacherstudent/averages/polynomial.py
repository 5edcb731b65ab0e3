"""Exact averages for polynomial g and g*, of any two degrees (linear and quadratic networks among
them).

Repeated use of Price's theorem turns the average of a product of polynomials p_i of Gaussian fields
into the finite sum

    E[prod_i p_i(h_i)] = sum_{n_ij >= 0, i < j}  prod_{i<j} C_ij^n_ij / n_ij!  prod_i m_i(s_i),
    s_i = sum_j n_ij,    m_i(s) = E[p_i^(s)(h_i)]   (the mean of the s-th derivative),

which also holds where fields coincide.  For two fields it is sum_n C_ab^n / n! m_a(n) m_b(n).  For
the four fields of I4 the sums over a and b factorise once the numbers x = n_ka, y = n_la, z = n_kb,
w = n_lb are fixed:

    sum_ab u_a u_b I4(k, l, a, b) = sum_{x y z w} V(x + z, y + w) W(x, y, z, w)
    V(s, t)       = sum_n C_kl^n / n!  m'_k(n + s) m'_l(n + t)
    W(x, y, z, w) = sum_{n a b} A_n(x, y, a) C_ab^n / n! A_n(z, w, b)
    A_n(x, y, a)  = u_a m_a(n + x + y) C_ka^x / x! C_la^y / y!

with n = n_kl in V, where m' belongs to g', and n = n_ab in W.

For degree d of g and D the larger degree of g and g*, I4 takes of the order of K^2 P D d^2 (P +
d^2) operations; the compiled code does not grow with the degrees.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from teacherstudent.activations.base import Activation, polynomial_of
from teacherstudent.activations.polynomial import Polynomial
from teacherstudent.averages.base import Averages


class PolynomialAverages(Averages):
    """Averages for a student with a polynomial g and a teacher with a polynomial g*."""

    def __init__(self, student: Polynomial, teacher: Polynomial, students: int, teachers: int):
        super().__init__(students, teachers)
        polynomials = [student] * students + [teacher] * teachers
        slopes = [polynomial.derivative() for polynomial in polynomials]
        curvatures = [slope.derivative() for slope in slopes]
        self._degree = max(degree_of(student), degree_of(teacher))
        self._slope_degree = degree_of(student.derivative())
        self._values = _mean_coefficients(polynomials, self._degree)
        self._slopes = _mean_coefficients(slopes, self._degree)
        self._curvatures = _mean_coefficients(curvatures, self._degree)

    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        values = _means(self._values, C)
        return pair_sums(C, values, values, self._degree)

    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        slopes = _means(self._slopes, C)
        return pair_sums(C, slopes, slopes, self._degree)[: self.students]

    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        curvatures = _means(self._curvatures, C)
        values = _means(self._values, C)
        return pair_sums(C, curvatures, values, self._degree)[: self.students]

    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        weighted = u[:, None] * _means(self._values, C)
        slopes = _means(self._slopes, C)[: self.students]
        return quartic_sums(C, slopes, weighted, self._degree, self._slope_degree)


def averages_of_polynomials(
    student: Activation, teacher: Activation, students: int, teachers: int
) -> PolynomialAverages | None:
    """The averages of two polynomials; None if one of the activations is something else."""
    first = polynomial_of(student)
    second = polynomial_of(teacher)
    if first is None or second is None:
        return None
    return PolynomialAverages(first, second, students, teachers)


def pair_sums(
    C: Float[Array, "fields fields"],
    first: Float[Array, "fields derivatives"],
    second: Float[Array, "fields derivatives"],
    degree: int,
) -> Float[Array, "fields fields"]:
    """sum_n C_ab^n / n! m_a(n) m_b(n) for all pairs of fields, given m of the first and of the
    second factor.
    """
    powers = _divided_powers(C, degree)
    first = first[:, : degree + 1]
    second = second[:, : degree + 1]
    return jnp.einsum("nab,an,bn->ab", powers, first, second)


def quartic_sums(
    C: Float[Array, "fields fields"],
    slopes: Float[Array, "students derivatives"],
    weighted: Float[Array, "fields derivatives"],
    degree: int,
    slope_degree: int,
) -> Float[Array, "students students"]:
    """sum_ab u_a u_b I4(k, l, a, b) for all pairs of students, given m' of the slopes and u m of
    the values.
    """
    powers = _divided_powers(C, degree)
    students = jnp.arange(len(slopes))

    def of_pair(k, l):
        return _quartic(powers, slopes, weighted, k, l, slope_degree)

    over_l = jax.vmap(of_pair, (None, 0))
    return jax.vmap(over_l, (0, None))(students, students)


def _quartic(
    powers: Float[Array, "orders fields fields"],
    slopes: Float[Array, "students derivatives"],
    weighted: Float[Array, "fields derivatives"],
    k: Int[Array, ""],
    l: Int[Array, ""],
    slope_degree: int,
) -> Float[Array, ""]:
    """sum_{x y z w} V(x + z, y + w) W(x, y, z, w) for one pair of students."""
    links = np.arange(slope_degree + 1)
    n, x, y = np.ix_(np.arange(len(powers)), links, links)
    to_k, to_l = powers[: len(links), k], powers[: len(links), l]
    A = jnp.einsum("anxy,xa,ya->nxya", weighted[:, n + x + y], to_k, to_l)
    W = jnp.einsum("nxya,nab,nzwb->xyzw", A, powers, A)
    n, s = np.ix_(links, np.arange(2 * len(links) - 1))
    V = jnp.einsum("n,ns,nt->st", powers[: len(links), k, l], slopes[k][n + s], slopes[l][n + s])
    x, y, z, w = np.ix_(links, links, links, links)
    return jnp.sum(V[x + z, y + w] * W)


def degree_of(polynomial: Polynomial) -> int:
    """The degree d."""
    return len(polynomial.coefficients) - 1


def _divided_powers(
    C: Float[Array, "fields fields"], degree: int
) -> Float[Array, "orders fields fields"]:
    """C_ab^n / n! for n = 0..degree, elementwise."""
    powers = [jnp.ones_like(C)]
    for n in range(1, degree + 1):
        powers.append(powers[-1] * C / n)
    return jnp.stack(powers)


def _means(
    coefficients: np.ndarray, C: Float[Array, "fields fields"]
) -> Float[Array, "fields derivatives"]:
    """m_a(s) = sum_k coefficients[a, s, k] C_aa^k."""
    variance = jnp.diag(C)
    highest = coefficients.shape[2] - 1
    factors = [jnp.ones_like(variance)] + [variance] * highest
    powers = jnp.cumprod(jnp.stack(factors), axis=0)
    return jnp.einsum("ask,ka->as", coefficients, powers)


def _mean_coefficients(polynomials: Sequence[Polynomial], degree: int) -> np.ndarray:
    """The coefficients, by powers of the variance, of E[p^(s)(h)] for each polynomial p and s =
    0..3 degree.

    E[h^(2k)] = (2k - 1)!! C_aa^k.  Orders s above the degree of p have mean zero and are kept as
    zeros, so that a sum over link numbers may run over a full box.
    """
    table = np.zeros((len(polynomials), 3 * degree + 1, degree // 2 + 1))
    for a, polynomial in enumerate(polynomials):
        for power, coefficient in enumerate(polynomial.coefficients):
            for s in range(power % 2, power + 1, 2):
                k = (power - s) // 2
                moment = _double_factorial(2 * k - 1)
                table[a, s, k] += coefficient * math.perm(power, s) * moment
    return table


def _double_factorial(odd: int) -> int:
    """1 * 3 * ... * odd, and 1 for odd = -1."""
    return math.prod(range(1, odd + 1, 2))
