"""Gaussian averages over the fields of student and teacher: `averages_for` picks the formulas for two activations."""

from teacherstudent.activations import ACTIVATIONS, Activation, Polynomial
from teacherstudent.averages.base import Averages
from teacherstudent.averages.erf import ErfAverages
from teacherstudent.averages.polynomial import PolynomialAverages
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.relu import ReluAverages

__all__ = ["Averages", "averages_for"]

CLOSED_FORMS = {"erf": ErfAverages, "relu": ReluAverages}


def averages_for(student: Activation, teacher: Activation, students: int, teachers: int) -> Averages:
    """The averages for K = `students` units with activation g and M = `teachers` units with activation g*.

    Closed forms where both are polynomials, both erf, or both ReLU; quadrature for any other pair.
    """
    if isinstance(student.function, Polynomial) and isinstance(teacher.function, Polynomial):
        return PolynomialAverages(student.function, teacher.function, students, teachers)
    if student == teacher == ACTIVATIONS.get(student.name) and student.name in CLOSED_FORMS:
        return CLOSED_FORMS[student.name](students, teachers)
    return QuadratureAverages(student, teacher, students, teachers)
