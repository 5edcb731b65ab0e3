"""The teacher-student task on inputs that have a mean.

    x ~ N(m, I_N),   m = sum_m mu_m w*_m / sqrt N

A mean of length O(1), so that its entries are of order 1 / sqrt N, gives fields of order-one means,
and its overlaps with the weights move at the rate of all others.  A mean with entries of order one
would be longer by sqrt N: each update would then move the student's output by O(1), and there is no
limit at these learning rates.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import ActivationLike
from teacherstudent.checking import arguments, checks
from teacherstudent.schedules import is_schedule
from teacherstudent.tasks.teacher_student import TeacherStudent


class ShiftedTeacherStudent(TeacherStudent):
    """Labels of a two-layer teacher on isotropic Gaussian inputs with a mean.

        x ~ N( sum_m mu_m w*_m / sqrt N, I_N )
        y = sum_m v*_m g*(w*_m . x / sqrt N) + sigma zeta,   zeta ~ N(0, 1)

    - `width`: number M of the teacher's vectors.
    - `activation`: g*, a name, polynomial coefficients or an elementwise JAX function.
    - `readout`: v*, one number for all units or one per unit.
    - `noise`: sigma, the standard deviation (not the variance) of the label noise.
    - `mean`: mu, one number for all of the teacher's vectors or one for each.

    The mean is given by the teacher's vectors, so that the order parameters know it.  One along a
    vector of its own is that of a unit with readout 0: `width=3, readout=[1, 1, 0]` and `mean=[0,
    0, 2]` are two units that label, and a mean of length 2 along a third vector with T_33 = 1.

    Student and teacher see the same inputs.  Q, R and T are overlaps of weights, as always: the
    covariances of the fields, whose means are R mu, or R mu + b of a student with biases, and T mu.
    With a = E[delta] of one update,

        dR/dt = (dR/dt of centred inputs, at these means) - eta a (T mu)^T
        dQ/dt = (likewise) - eta (a (R mu)^T + (R mu) a^T)

    Time is t = updates / N.

    Raises ValueError if a value is outside its range, or `readout` or `mean` does not fit `width`.

    The equations are this project's own; means along fixed vectors are those of one cluster of a
    Gaussian mixture, Refinetti, Goldt, Krzakala & Zdeborova, ICML 2021 (arXiv:2102.11742).

    >>> import teacherstudent as ts
    >>> task = ts.ShiftedTeacherStudent(width=3, readout=[1, 1, 0], mean=[0, 0, 2])
    >>> problem = ts.Problem(task, ts.Student(2), ts.SGD(0.1))
    >>> start = ts.OrderParameters(Q=np.eye(2), R=[[0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    >>> print(task.mean_of_fields(problem.student, start.R, start.T, start.b))
    [1. 0. 0. 0. 2.]
    """

    mean: checks.Parameter

    @arguments.of("task.")
    def __init__(
        self,
        width: int,
        activation: ActivationLike = "erf",
        readout=1.0,
        noise=0.0,
        *,
        mean=1.0,
    ):
        super().__init__(width, activation, readout, noise)
        _refuse_schedules(mean)
        self.mean = checks.parameter(mean)

    def __check_init__(self):
        fitting = ((), (self.width,))
        given = checks.real_numbers(self.mean)
        # A mean is no sweep, of which `number` would speak where the shape is wrong.
        if given is None or given.shape in fitting:
            checks.number("task.mean", self.mean, minimum=-np.inf)
        if np.shape(self.mean) not in fitting:
            raise ValueError(
                f"task.mean has shape {np.shape(self.mean)} but task.width = {self.width}; give "
                "one number for all of the teacher's vectors, or one for each."
            )

    @property
    def mean_coordinates(self) -> Float[Array, " teachers"]:
        """mu, one entry for each of the teacher's vectors."""
        return jnp.broadcast_to(jnp.asarray(self.mean), (self.width,))


def _refuse_schedules(mean) -> None:
    """Raise ValueError for a mean, or one of its entries, that changes with time."""
    entries = mean if isinstance(mean, list | tuple) else [mean]
    if any(map(is_schedule, entries)):
        raise ValueError(
            "task.mean cannot change with time; give numbers, and a ts.Protocol of several "
            "problems for a mean that jumps."
        )
