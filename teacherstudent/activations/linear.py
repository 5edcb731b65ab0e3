"""The linear activation, g(x) = x."""

from teacherstudent.activations.base import Activation
from teacherstudent.activations.polynomial import Polynomial
from teacherstudent.activations.signs import SIGN


def linear_averages(student: Activation, teacher: Activation, students: int, teachers: int):
    """Closed forms of a linear student: with the sign as teacher, or with a polynomial."""
    from teacherstudent.averages.linear_sign import LinearSignAverages
    from teacherstudent.averages.polynomial import averages_of_polynomials

    if student == LINEAR and teacher == SIGN:
        return LinearSignAverages(students, teachers)
    return averages_of_polynomials(student, teacher, students, teachers)


LINEAR = Activation("linear", Polynomial((0.0, 1.0)), averages=linear_averages)
