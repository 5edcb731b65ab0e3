"""Which closed forms there are for fields with non-zero means."""

from teacherstudent.activations import ACTIVATIONS, Activation, Polynomial
from teacherstudent.averages.shifted import ShiftedAverages
from teacherstudent.averages.shifted_erf import ShiftedErf
from teacherstudent.averages.shifted_polynomial import ShiftedPolynomial
from teacherstudent.averages.shifted_relu import ShiftedRelu

CLOSED_FORMS = {"erf": ShiftedErf, "relu": ShiftedRelu}


def shifted_averages_for(activation: Activation, students: int) -> ShiftedAverages | None:
    """The closed forms for K = `students` units with this activation; None where there are none."""
    if isinstance(activation.function, Polynomial):
        return ShiftedPolynomial(activation.function, students)
    if activation == ACTIVATIONS.get(activation.name) and activation.name in CLOSED_FORMS:
        return CLOSED_FORMS[activation.name](students)
    return None
