"""Gradient flow: the limit of small learning rates."""

from teacherstudent.checking import arguments, checks
from teacherstudent.rules.base import Rule


class GradientFlow(Rule):
    """Gradient flow, the limit eta -> 0 of SGD at fixed tau = eta t: theory only.

        dw_k/dtau = -d (expected loss) / d w_k - kappa w_k

    and the same for the readout, times `readout_rate`, and for the biases, times `bias_rate`.  The
    times of `integrate` are then tau = (learning rate) x (updates) / N, and of the equations of SGD
    the terms of second order in eta are gone: label noise and the batch size play no part.

    - `readout_rate`, `bias_rate`: eta_v / eta and eta_b / eta, 1 unless given.
    - `weight_decay`: kappa / eta, of all trained layers but the biases.

    A flow slows down where it converges.  To follow it there, take an implicit solver and a
    threshold of the velocity, max |d(Q, R, v, b)/dtau|:

        ts.integrate(
            ts.Protocol((problem, ts.until("velocity", below=1e-8))),
            start, ts.log_times(1e6), solver="kvaerno5",
        )

    Raises ValueError if a number is negative or not finite.  `simulate` refuses it: a network with
    small steps is SGD with a small learning rate.

    Saad & Solla, Phys. Rev. E 52, 4225 (1995), section on small learning rates.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> task, student = ts.TeacherStudent(1, "linear"), ts.Student(1, "linear")
    >>> problem = ts.Problem(task, student, ts.GradientFlow())
    >>> start = ts.OrderParameters([[0.0]], [[0.0]], [[1.0]])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0])
    >>> round(float(theory.R[-1, 0, 0]), 6)  # R = 1 - exp(-tau)
    0.632121
    """

    TIME = ("learning rate times updates over input dimension", r"$\tau$", "eta updates / N")

    readout_rate: checks.Parameter
    bias_rate: checks.Parameter
    weight_decay: checks.Parameter

    @arguments.of("rule.")
    def __init__(self, readout_rate=1.0, bias_rate=1.0, weight_decay=0.0):
        self.readout_rate = checks.parameter(readout_rate)
        self.bias_rate = checks.parameter(bias_rate)
        self.weight_decay = checks.parameter(weight_decay)

    def __check_init__(self):
        checks.number("rule.readout_rate", self.readout_rate)
        checks.number("rule.bias_rate", self.bias_rate)
        checks.number("rule.weight_decay", self.weight_decay)

    def check_dimension(self, N: int) -> None:
        raise ValueError(
            "GradientFlow is the limit of small learning rates, which no finite network takes in "
            "steps; integrate it, or simulate SGD with a small learning_rate."
        )

    def update(self, layers, gradient, memory, N):
        raise ValueError("GradientFlow has no updates, only a flow; use SGD.")
