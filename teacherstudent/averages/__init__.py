"""Gaussian averages over the fields of student and teacher: `averages_for` picks the formulas for two activations."""

from collections.abc import Callable
from functools import partial

from teacherstudent.activations import ACTIVATIONS, Activation, Polynomial
from teacherstudent.averages.base import Averages
from teacherstudent.averages.erf import ErfAverages
from teacherstudent.averages.linear_sign import LinearSignAverages
from teacherstudent.averages.polynomial import PolynomialAverages
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.relu import ReluAverages
from teacherstudent.averages.relu_sign import ReluSignAverages

__all__ = ["Averages", "averages_for"]

CLOSED_FORMS: dict[tuple[str, str], Callable[[int, int], Averages]] = {  # student and teacher
    ("erf", "erf"): ErfAverages,
    ("erf", "sign"): partial(ErfAverages, d=0.0),
    ("relu", "relu"): ReluAverages,
    ("relu", "sign"): ReluSignAverages,
    ("linear", "sign"): LinearSignAverages,
}


def averages_for(student: Activation, teacher: Activation, students: int, teachers: int) -> Averages:
    """The averages for K = `students` units with activation g and M = `teachers` units with activation g*.

    Closed forms where both are polynomials, both erf, or both ReLU, and for erf, ReLU and linear students of a sign; quadrature
    for any other pair.

    Raises ValueError if the student's g jumps.
    """
    if isinstance(student.function, Polynomial) and isinstance(teacher.function, Polynomial):
        return PolynomialAverages(student.function, teacher.function, students, teachers)
    if student == ACTIVATIONS.get(student.name) and teacher == ACTIVATIONS.get(teacher.name):
        closed = CLOSED_FORMS.get((student.name, teacher.name))
        if closed is not None:
            return closed(students, teachers)
    return QuadratureAverages(student, teacher, students, teachers)
