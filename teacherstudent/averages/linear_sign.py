"""Closed forms for a linear student, g(x) = x, and a teacher with g*(x) = sign(x): regression on
class labels.

With k, l student fields and m, n teacher fields,

    I2(k, l) = C_kl
    I2(k, m) = sqrt(2/pi) C_km / sqrt(C_mm)
    I2(m, n) = (2/pi) asin( C_mn / sqrt(C_mm C_nn) )
    J2(k, l) = 1
    J2(k, m) = E[2 delta(h_m)] = sqrt(2/pi) / sqrt(C_mm)
    G2       = 0
    I4(k, l; u) = E[(sum_a u_a g_a)^2] = u^T I2 u,    for all k, l, since g' = 1.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.base import Averages
from teacherstudent.averages.signs import correlations_of_signs, inverse_deviations

ROOT = math.sqrt(2 / math.pi)


class LinearSignAverages(Averages):
    """Averages for a student with g(x) = x and a teacher with g*(x) = sign(x)."""

    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        K = self.students
        mixed = ROOT * C[:K, K:] * inverse_deviations(C[K:, K:])[None, :]
        return jnp.block([[C[:K, :K], mixed], [mixed.T, correlations_of_signs(C[K:, K:])]])

    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        K = self.students
        of_teachers = ROOT * inverse_deviations(C[K:, K:])
        row = jnp.concatenate([jnp.ones(K), of_teachers])
        return jnp.broadcast_to(row[None, :], (K, len(C)))

    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        return jnp.zeros((self.students, len(C)))

    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        square = u @ self.I2(C) @ u
        return square * np.ones((self.students, self.students))
