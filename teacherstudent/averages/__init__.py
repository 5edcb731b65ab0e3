"""Gaussian averages over the fields of student and teacher: `averages_for` picks the formulas for
two activations.
"""

from collections.abc import Callable
from functools import partial

from teacherstudent.activations.activation import ACTIVATIONS, Activation, polynomial_of
from teacherstudent.averages.base import Averages
from teacherstudent.averages.erf import ErfAverages
from teacherstudent.averages.linear_sign import LinearSignAverages
from teacherstudent.averages.polynomial import PolynomialAverages
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.relu import ReluAverages
from teacherstudent.averages.relu_sign import ReluSignAverages

__all__ = ["Averages", "averages_for"]

ERF, RELU, SIGN, LINEAR = (ACTIVATIONS[name] for name in ("erf", "relu", "sign", "linear"))
# Student and teacher, by the activations themselves: a name may be given to another function.
CLOSED_FORMS: dict[tuple[Activation, Activation], Callable[[int, int], Averages]] = {
    (ERF, ERF): ErfAverages,
    (ERF, SIGN): partial(ErfAverages, d=0.0),
    (RELU, RELU): ReluAverages,
    (RELU, SIGN): ReluSignAverages,
    (LINEAR, SIGN): LinearSignAverages,
}


def averages_for(
    student: Activation, teacher: Activation, students: int, teachers: int
) -> Averages:
    """The averages for K = `students` units with activation g and M = `teachers` units with
    activation g*.

    Closed forms where both are polynomials, both erf, or both ReLU, and for erf, ReLU and linear
    students of a sign; quadrature for any other pair.

    Raises ValueError if the student's g jumps.
    """
    polynomials = polynomial_of(student), polynomial_of(teacher)
    if polynomials[0] is not None and polynomials[1] is not None:
        return PolynomialAverages(polynomials[0], polynomials[1], students, teachers)
    closed = CLOSED_FORMS.get((student, teacher))
    if closed is not None:
        return closed(students, teachers)
    return QuadratureAverages(student, teacher, students, teachers)
