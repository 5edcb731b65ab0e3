"""The error function in the convention of the field, and GELU, which is made of it.

g(x) = erf(x / sqrt 2),    g'(x) = sqrt(2/pi) exp(-x^2/2)
"""

import math

import jax
from jaxtyping import Float

from teacherstudent.activations.base import Activation
from teacherstudent.activations.signs import SIGN
from teacherstudent.checking.checks import AnyArray


def erf(x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
    """erf(x / sqrt 2)."""
    return jax.scipy.special.erf(x / math.sqrt(2))


def gelu(x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
    """x Phi(x), with the normal distribution function Phi."""
    return x * (1 + erf(x)) / 2


def erf_averages(student: Activation, teacher: Activation, students: int, teachers: int):
    """Closed forms of an erf student with an erf teacher or the sign."""
    from teacherstudent.averages.erf import ErfAverages

    if student == ERF and teacher == ERF:
        return ErfAverages(students, teachers)
    if student == ERF and teacher == SIGN:
        return ErfAverages(students, teachers, d=0.0)
    return None


def shifted_erf_averages(student: Activation, students: int):
    """Closed forms of an erf student for fields with any means."""
    from teacherstudent.averages.shifted_erf import ShiftedErf

    if student != ERF:
        return None
    return ShiftedErf(students)


ERF = Activation("erf", erf, averages=erf_averages, shifted_averages=shifted_erf_averages)
GELU = Activation("gelu", gelu)
