"""Closed forms for a student with g(x) = erf(x / sqrt 2) and a teacher with the same g, or with
g*(x) = sign(x).

g'(x) = sqrt(2/pi) exp(-x^2/2) is itself Gaussian, and g(x) = E sign(x + z), z ~ N(0, 1), so that
both teachers are one case, erf(x / sqrt(2 d)) with d = 1 or, for the sign, d = 0.  With d_a = 1 for
a student's field, the teacher's d for the others, and L_ab = (d_a + C_aa)(d_b + C_bb) - C_ab^2,

    I2(a, b) = (2/pi) asin( C_ab / sqrt((d_a + C_aa)(d_b + C_bb)) )
    J2(k, b) = (2/pi) / sqrt(L_kb)
    G2(k, c) = -(2/pi) C_kc / ((1 + C_kk) sqrt(L_kc)).

For d = 0 J2 is the average with the delta function sign'(x) = 2 delta(x).

In I4 the factor g'(h_k) g'(h_l) tilts the Gaussian measure: the other fields keep zero mean and get
the covariance

    C'_ab = C_ab - p_a p_b - q_a q_b,
    p_a = C_ka / sqrt(1 + C_kk),    q_a = (C_la - C_kl C_ka / (1 + C_kk)) / sqrt(L_kl / (1 + C_kk)),

which is the conditional covariance given two noisy observations h_k + N(0, 1) and h_l + N(0, 1),
written with their Cholesky factor.  What remains is an average of the form I2 under C':

    I4(k, l, a, b) = 4 / (pi^2 sqrt(L_kl)) asin( C'_ab / sqrt((d_a + C'_aa)(d_b + C'_bb)) ).

D. Saad and S. A. Solla, Phys. Rev. E 52, 4225 (1995), doi:10.1103/PhysRevE.52.4225, give I4 with
determinants in place of C'; both agree, and this one loses fewer digits.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.arcsin import arcsin
from teacherstudent.averages.base import Averages
from teacherstudent.averages.pairs import multiplicity, pair_number, unordered_pairs
from teacherstudent.programs.compilation import computed_once

# From so many entries of I4 on, XLA is told to keep intermediate results rather than compute them
# again wherever they are used.
MANY = 2**12
# Of the four indices of I4: what stays in the cache of a core.
ENTRIES_AT_ONCE = 2**16


class ErfAverages(Averages):
    """Averages for a student with g(x) = erf(x / sqrt 2) and a teacher with erf(x / sqrt(2 d)), or
    sign(x) for d = 0.
    """

    def __init__(self, students: int, teachers: int, d: float = 1.0):
        super().__init__(students, teachers)
        self._d = np.array([1.0] * students + [d] * teachers)

    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        scale = _inverse_root(self._widened(C))
        sine = C * scale[:, None] * scale[None, :]
        return (2 / math.pi) * self._angles(sine, np.diag(self._d == 0))

    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        return (2 / math.pi) * _inverse_root(self._determinants(C))

    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        of_students = C[: self.students]
        widened = self._widened(C)[: self.students, None]
        return -(2 / math.pi) * of_students / widened * _inverse_root(self._determinants(C))

    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        k, l = unordered_pairs(self.students)
        a, b = unordered_pairs(self.students + self.teachers)
        p, q = _tilts(C, k, l)
        scale = _inverse_root(self._widened(C)[:, None] - p**2 - q**2)
        weight = multiplicity(a, b) * u[a] * u[b]
        same_sign = ((a == b) & (self._d[a] == 0))[:, None]
        many = len(a) * len(k) > MANY

        def contract(columns):
            """The sum over a and b for some of the pairs k, l."""
            if many:
                columns = computed_once(columns)
            scale, p, q = columns
            sine = C[a, b][:, None] * scale[a] * scale[b] - p[a] * p[b] - q[a] * q[b]
            if many:
                sine = computed_once(sine)
            return weight @ self._angles(sine, same_sign)

        pairs_at_once = max(1, ENTRIES_AT_ONCE // len(a))
        contracted = _in_parts(contract, (scale, p * scale, q * scale), pairs_at_once)
        determinant = self._determinants(C)[k, l]
        values = 4 / (math.pi**2 * jnp.sqrt(determinant)) * contracted
        return values[pair_number(self.students)]

    def _angles(
        self, sine: Float[Array, "*shape"], same_sign: np.ndarray
    ) -> Float[Array, "*shape"]:
        """asin, and pi/2 for E[sign(h)^2] = 1, which rounding would lift over the end of the
        arcsine.
        """
        if not same_sign.any():
            return arcsin(sine)
        inside = jnp.clip(jnp.where(same_sign, 0.0, sine), -1.0, 1.0)
        return jnp.where(same_sign, math.pi / 2, arcsin(inside))

    def _widened(self, C: Float[Array, "fields fields"]) -> Float[Array, " fields"]:
        """d_a + C_aa."""
        return jnp.asarray(self._d) + jnp.diag(C)

    def _determinants(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        """L_kb = (d_k + C_kk)(d_b + C_bb) - C_kb^2, at least d_b for a covariance C."""
        widened = self._widened(C)
        return widened[: self.students, None] * widened[None, :] - C[: self.students] ** 2


def _inverse_root(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 / sqrt(x), and zero where x is: of a teacher's unit that vanishes, sign(0) = 0."""
    return jnp.where(x > 0, 1 / jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)


def _tilts(
    C: Float[Array, "fields fields"], k: np.ndarray, l: np.ndarray
) -> tuple[Float[Array, "fields pairs"], Float[Array, "fields pairs"]]:
    """p_a and q_a of all fields a (rows) for all pairs k, l (columns)."""
    widened_k = 1 + C[k, k]
    widened_l = 1 + C[l, l]
    slope = C[k, l] / widened_k
    variance = widened_l - slope * C[k, l]
    p = C[:, k] / jnp.sqrt(widened_k)[None, :]
    q = (C[:, l] - slope[None, :] * C[:, k]) / jnp.sqrt(variance)[None, :]
    return p, q


def _in_parts(f: Callable, columns: tuple[Array, ...], size: int) -> Array:
    """f of matrices, at most so many of their columns at once."""
    count = columns[0].shape[1]
    if count <= size:
        return f(columns)
    parts = math.ceil(count / size)

    def split(matrix):
        filled = jnp.pad(matrix, ((0, 0), (0, parts * size - count)), mode="edge")
        return jnp.moveaxis(filled.reshape(len(matrix), parts, size), 1, 0)

    return jax.lax.map(f, jax.tree.map(split, columns)).reshape(-1)[:count]
