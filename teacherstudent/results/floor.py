"""Below what a generalisation error is rounding.

eps_g = 1/2 u^T I2 u is a small difference of numbers of order one, so it carries their errors:
those of the solver's Q and R in a theory, and in both theory and simulation those of floating-point
numbers.  Below this floor it may even be negative.  The values stay as they were computed, for a
clipped one looks like a measured one; the floor goes into the report.
"""

import numpy as np
from jaxtyping import Float

from teacherstudent.checking.checks import AnyArray
from teacherstudent.checking.contracts import is_ours
from teacherstudent.problem import Problem
from teacherstudent.schedules import at_time, schedules_in
from teacherstudent.tasks.sweeping import each_task, first_task

MOST_MOMENTS = 50  # at which a readout that changes with time is looked at
ROUNDING = 64 * np.finfo(np.float64).eps  # of one entry of I2, relative to the largest variance


def error_floor(
    problem: Problem,
    times: Float[AnyArray, " time"],
    Q: Float[AnyArray, "*all students students"],
    T: Float[AnyArray, "*batch teachers teachers"],
    v: Float[AnyArray, "*all students"],
    eps_g: Float[AnyArray, " *all"],
    rtol: float = 0.0,
    atol: float = 0.0,
) -> float:
    """The smallest eps_g that means something along these overlaps, if a solver knows them to rtol
    and atol.

    Measured on noise-free runs to late times, errors of eps_g are a tenth to a half of this.  A
    negative eps_g is an error that shows: the floor is not below the largest of them.

    The error of a teacher that tells signs is an angle over pi, arccos(rho) / pi, whose floor is
    that of a correlation rho that is off by rtol + atol.
    """
    if problem.task.BINARY_LABELS:
        return float(np.sqrt(2 * (rtol + atol + ROUNDING)) / np.pi)
    readouts = [np.abs(_readout(task)) for task in _tasks(problem, times)]
    u = np.concatenate([_largest(v, axis=-1), np.max(readouts, axis=0)])
    variance = max(1.0, _largest(Q).max(), _largest(T).max())
    of_solver = 0.5 * (u**2).sum() * (rtol * variance + atol)
    of_numbers = 0.5 * u.sum() ** 2 * ROUNDING * variance
    return float(of_solver + of_numbers + 2 * _largest(np.minimum(eps_g, 0.0)).max())


def _tasks(problem: Problem, times) -> list:
    """The tasks of a sweep, at some times if they change.

    Of ours one is enough of a sweep, since the swept noise is not in the readout.
    """
    tasks = [first_task(problem.task)]
    if not is_ours(type(problem.task)):
        tasks = list(each_task(problem.task))
    if not schedules_in(problem.task):
        return tasks
    moments = times[np.linspace(0, len(times) - 1, MOST_MOMENTS).astype(int)]
    return [at_time(task, time) for task in tasks for time in np.unique(moments)]


def _readout(task) -> np.ndarray:
    """A teacher's readout v*, one entry per unit.

    Of our tasks it is read without JAX, which would compile two programs for it.
    """
    if is_ours(type(task)):
        return np.broadcast_to(np.asarray(task.readout, np.float64), (task.width,))
    return np.atleast_1d(task.v_star)


def _largest(part, axis: int | None = None) -> np.ndarray:
    """The largest size of the numbers that are finite: of all, or for each index of one axis."""
    sizes = np.abs(np.where(np.isfinite(part), part, 0.0))
    return sizes.reshape(-1, 1 if axis is None else sizes.shape[axis]).max(axis=0)
