"""The Gaussian averages of a student and its teacher whose fields have means: of a student with
biases, or on inputs with a mean.

The fields of the student's units are lambda_k + b_k, those of the teacher's are nu_m; together they
are Gaussian with the covariance C = [[Q, R], [R^T, T]] of `base.py` and a mean: (b, 0) on centred
inputs, where the teacher has no biases.  Beside the averages of `base.py`, at this mean, the
gradient of the biases takes

    S2(k, c) = E[g'(h_k) g_c(h_c)].

A teacher's unit with the student's activation is one more unit, so that all of it are averages of
`shifted.py` for K + M units.  Two polynomials are so too.  For all other pairs there is quadrature
(`biased_quadrature.py`).
"""

import abc

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.averages.base import Averages
from teacherstudent.averages.shifted import ShiftedAverages


class BiasedAverages(Averages):
    """Averages over the fields h ~ N(mean, C) of K student and M teacher units."""

    @abc.abstractmethod
    def S2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        """E[g'(h_k) g_c(h_c)] for student fields k and all fields c."""


class ShiftedFields(BiasedAverages):
    """The same from closed forms of K + M units with any means."""

    def __init__(self, shifted: ShiftedAverages, mean: Float[Array, " fields"], students: int):
        super().__init__(students, shifted.students - students)
        self.shifted = shifted
        self.mean = mean

    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        return self.shifted.I2(self.mean, C)

    def S2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        return self.shifted.S2(self.mean, C)[: self.students]

    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        return self.shifted.J2(self.mean, C)[: self.students]

    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        return self.shifted.G2(self.mean, C)[: self.students]

    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        # The label is among the fields.
        label = jnp.zeros((), C.dtype)
        return self.shifted.I4(self.mean, C, u, label)[: self.students, : self.students]
