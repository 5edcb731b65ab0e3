"""Which closed forms there are for fields with non-zero means."""

from teacherstudent.activations.activation import ACTIVATIONS, Activation, polynomial_of
from teacherstudent.averages.shifted import ShiftedAverages
from teacherstudent.averages.shifted_erf import ShiftedErf
from teacherstudent.averages.shifted_polynomial import ShiftedPolynomial
from teacherstudent.averages.shifted_relu import ShiftedRelu

CLOSED_FORMS = {ACTIVATIONS["erf"]: ShiftedErf, ACTIVATIONS["relu"]: ShiftedRelu}


def shifted_averages_for(activation: Activation, students: int) -> ShiftedAverages | None:
    """The closed forms for K = `students` units with this activation; None where there are none."""
    polynomial = polynomial_of(activation)
    if polynomial is not None:
        return ShiftedPolynomial(polynomial, students)
    return CLOSED_FORMS[activation](students) if activation in CLOSED_FORMS else None
