"""The rectified linear unit, g(x) = max(x, 0)."""

import jax

from teacherstudent.activations.base import Activation
from teacherstudent.activations.signs import SIGN


def relu_averages(student: Activation, teacher: Activation, students: int, teachers: int):
    """Closed forms of a ReLU student with a ReLU teacher or the sign."""
    from teacherstudent.averages.relu import ReluAverages
    from teacherstudent.averages.relu_sign import ReluSignAverages

    if student == RELU and teacher == RELU:
        return ReluAverages(students, teachers)
    if student == RELU and teacher == SIGN:
        return ReluSignAverages(students, teachers)
    return None


def shifted_relu_averages(student: Activation, students: int):
    """Closed forms of a ReLU student for fields with any means."""
    from teacherstudent.averages.shifted_relu import ShiftedRelu

    if student != RELU:
        return None
    return ShiftedRelu(students)


RELU = Activation(
    "relu",
    jax.nn.relu,
    kinks=(0.0,),
    averages=relu_averages,
    shifted_averages=shifted_relu_averages,
)
