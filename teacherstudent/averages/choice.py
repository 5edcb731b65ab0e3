"""Which averages two activations have: closed forms where the student's activation brings them,
quadrature for all others.
"""

from typing import Any

from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation, polynomial_of
from teacherstudent.averages.base import Averages
from teacherstudent.averages.biased import BiasedAverages, ShiftedFields
from teacherstudent.averages.biased_quadrature import BiasedQuadrature
from teacherstudent.averages.polynomial import averages_of_polynomials
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.resolution import DEFAULT, Resolution
from teacherstudent.averages.shifted import ShiftedAverages
from teacherstudent.averages.shifted_polynomial import ShiftedPolynomial, ShiftedPolynomials
from teacherstudent.checking import arguments


@arguments.checked
def averages_for(
    student: Activation,
    teacher: Activation,
    students: int,
    teachers: int,
    resolution: Resolution | None = None,
) -> Averages:
    """The averages for K = `students` units with activation g and M = `teachers` units with
    activation g*.

    These are closed forms where both are polynomials, both erf, or both ReLU, for erf, ReLU and
    linear students of a sign, and where an activation of a user's own brings them; quadrature for
    any other pair, at a `resolution` that is the default one unless given.

    Raises ValueError if an activation answers with something else than averages.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> linear = ts.Student(2, "linear").activation
    >>> averages = ts.averages_for(linear, linear, students=1, teachers=1)
    >>> print(averages.I2(jnp.array([[1.0, 0.5], [0.5, 2.0]])))
    [[1.  0.5]
     [0.5 2. ]]
    """
    closed = _closed_forms(student, teacher, students, teachers)
    if closed is None:
        return QuadratureAverages(student, teacher, students, teachers, resolution or DEFAULT)
    if not isinstance(closed, Averages):
        raise ValueError(_wrong_kind(student, "averages", closed, "Averages"))
    if (closed.students, closed.teachers) != (students, teachers):
        raise ValueError(
            f"{student.name}: averages answers with closed forms for {closed.students} student and "
            f"{closed.teachers} teacher units, but {students} and {teachers} are wanted; give "
            "these numbers on to its class."
        )
    return closed


def _closed_forms(student: Activation, teacher: Activation, students: int, teachers: int) -> Any:
    """What the student's activation answers."""
    if type(student) is not Activation:
        return None  # A subclass may be another function than the one that has the closed forms.
    if student.averages is not None:
        return student.averages(student, teacher, students, teachers)
    return averages_of_polynomials(student, teacher, students, teachers)


def shifted_averages_for(activation: Activation, students: int) -> ShiftedAverages | None:
    """The closed forms for K = `students` units with this activation and fields with any means;
    None where there are none.

    Raises ValueError if the activation answers with something else than averages.
    """
    if type(activation) is not Activation:
        return None
    if activation.shifted_averages is None:
        polynomial = polynomial_of(activation)
        if polynomial is None:
            return None
        return ShiftedPolynomial(polynomial, students)
    closed = activation.shifted_averages(activation, students)
    if closed is not None and not isinstance(closed, ShiftedAverages):
        raise ValueError(_wrong_kind(activation, "shifted_averages", closed, "ShiftedAverages"))
    return closed


def biased_averages_for(
    student: Activation,
    teacher: Activation,
    mean: Float[Array, " fields"],
    students: int,
    resolution: Resolution | None = None,
) -> BiasedAverages:
    """The averages for fields with these means, first those of K = `students` units with activation
    g, then those of units with activation g*.

    These are closed forms where both are polynomials, and where both are the same activation and it
    has closed forms for fields with any means: erf, ReLU, and that of a user's own which brings
    them.  Quadrature for any other pair.

    Raises ValueError if an activation answers with something else than averages.
    """
    closed = _shifted_averages_of_both(student, teacher, students, len(mean) - students)
    if closed is None:
        return BiasedQuadrature(student, teacher, mean, students, resolution or DEFAULT)
    return ShiftedFields(closed, mean, students)


def _shifted_averages_of_both(
    student: Activation, teacher: Activation, students: int, teachers: int
) -> ShiftedAverages | None:
    """Closed forms for the units of student and teacher and fields with any means, if any."""
    of_student, of_teacher = polynomial_of(student), polynomial_of(teacher)
    if of_student is not None and of_teacher is not None:
        return ShiftedPolynomials([of_student] * students + [of_teacher] * teachers)
    if student != teacher:
        return None
    return shifted_averages_for(student, students + teachers)


def _wrong_kind(activation: Activation, part: str, found, wanted: str) -> str:
    return (
        f"{activation.name}: {part} answers with an object of class {type(found).__name__}; give "
        f"one of a class derived from teacherstudent.averages.{wanted}, or None where there are no "
        "closed forms."
    )
