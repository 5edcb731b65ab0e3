"""Whether numbers that change with time are allowed at every time of a run.

The values of a schedule over a run are looked at by the same checks as a single number: those that
the class of the rule or the task makes when an object of it is made.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.checking import checks
from teacherstudent.checking.contracts import is_ours
from teacherstudent.models.learnable import Learnable
from teacherstudent.problem import Problem
from teacherstudent.schedules import Schedule, break_times, named_schedules
from teacherstudent.tasks.base import with_fields

GRID = 1000  # times at which a schedule is looked at, beside those that are recorded
MOST_RECORDED = 2000


def check_over_time(problem: Learnable, first: float, last: float, times) -> None:
    """Raise ValueError if a schedule of a problem is not allowed at some time from `first` to
    `last`, or jumps outside the run.
    """
    if not problem.changes_with_time:
        return
    looked_at = _times_to_look_at(problem, first, last, times)
    for where, part in problem.scheduled.items():
        for field, schedule in named_schedules(part):
            _check_jumps(f"{where}.{field}", schedule, last)
            _check_values(part, where, field, schedule, looked_at)


def rule_over_time(problem: Problem, first: float, last: float) -> Any:
    """The rule with all values of its schedules from `first` to `last`, as if they were a sweep."""
    looked_at = _times_to_look_at(problem, first, last, [])
    values = {
        field: _values(f"rule.{field}", schedule, looked_at).ravel()
        for field, schedule in named_schedules(problem.rule)
    }
    return with_fields(problem.rule, values)


def _times_to_look_at(problem: Learnable, first: float, last: float, times) -> np.ndarray:
    """A grid with the recorded times, and the times just before and at each break."""
    breaks = [np.ravel(one) for one in break_times(problem.schedules)]
    breaks = [one for one in breaks if not checks.is_traced(one)]
    inside = np.concatenate([np.zeros(0), *breaks])
    recorded = np.ravel(times)[:MOST_RECORDED]
    everything = [np.linspace(first, last, GRID), recorded, inside, np.nextafter(inside, -np.inf)]
    together = np.unique(np.concatenate(everything))
    return together[(together >= first) & (together <= last)]


def _check_jumps(name: str, schedule: Schedule, last: float) -> None:
    """Raise ValueError if a schedule jumps before the beginning, or after the last time."""
    if not is_ours(type(schedule)):
        _check_traceable(name, schedule)
    for jump in schedule.jump_times():
        if checks.is_traced(jump):
            continue
        for time in np.ravel(jump):
            if time > 0 and time <= last:
                continue
            raise ValueError(
                f"{name} = {checks.shortened(schedule)} jumps at t = {time:g}, outside the run "
                f"from t = 0 to {last:g}; leave that jump out, or give times that reach it."
            )


def _check_traceable(name: str, schedule: Schedule) -> None:
    """Raise ValueError if the jumps of a class of one's own cannot be taken from traced numbers."""
    try:
        jax.eval_shape(lambda one: [*one.jump_times(), *one.kink_times()], schedule)
    except Exception as error:  # of whatever the user's method calls
        raise ValueError(
            f"{name}: {type(schedule).__name__}.jump_times() fails when it is traced by JAX "
            f"({type(error).__name__}); declare what says how many jumps there are as "
            "equinox.field(static=True)."
        ) from error


def _check_values(
    part: Any, where: str, field: str, schedule: Schedule, times: Float[np.ndarray, " times"]
) -> None:
    """Raise ValueError, with the time, if the class of a part does not allow a value."""
    name = f"{where}.{field}"
    if any(map(checks.is_traced, jax.tree.leaves(schedule))):
        return
    units: tuple[int, ...] = ()
    if field == "readout" and where == "task":
        units = (part.width,)
    values = _values(name, schedule, times, units)
    if units:
        values = values.reshape(len(times), -1)
        _check_finite(name, schedule, times, values)
        return
    _check_finite(name, schedule, times, values)
    try:
        _check_as_given(part, field, values.ravel())
    except ValueError:
        _name_first(part, field, schedule, times, values)
        raise


def _check_finite(name: str, schedule: Schedule, times, values) -> None:
    rows = values.reshape(len(times), -1)
    finite = np.isfinite(rows).all(axis=1)
    if finite.all():
        return
    index = int(np.argmin(finite))
    first = rows[index][~np.isfinite(rows[index])][0]
    raise ValueError(
        f"{name} = {checks.shortened(schedule)} is {first:g} at t = {times[index]:.6g}; give a "
        "schedule that is finite at every time of the run."
    )


def _name_first(part: Any, field: str, schedule: Schedule, times, values) -> None:
    """Raise the error of the first value that is not allowed, with its time."""
    for time, row in zip(times, values, strict=True):
        for value in np.ravel(row):
            try:
                _check_as_given(part, field, float(value))
            except ValueError as error:
                sentence = str(error).rstrip(".")
                raise ValueError(
                    f"{sentence}, at every time of the run: that is "
                    f"{checks.shortened(schedule)} at t = {time:.6g}."
                ) from None


def _check_as_given(part: Any, field: str, value) -> None:
    """The checks that the class of a task or a rule makes, with this value of a field."""
    changed = with_fields(part, {field: value})
    for kind in reversed(type(part).__mro__):
        check = vars(kind).get("__check_init__")
        if check is not None:
            check(changed)


def _values(
    name: str, schedule: Schedule, times: Float[np.ndarray, " times"], units: tuple[int, ...] = ()
) -> Float[np.ndarray, "times sweep *units"]:
    """The values of a schedule at some times, for each combination of its swept parameters.

    A teacher's readout may have a value for each of its units; then nothing is swept.
    """
    leaves, structure = jax.tree.leaves(schedule), jax.tree.structure(schedule)
    combinations = [tuple(leaves)]
    if not units:
        combinations = list(itertools.product(*map(np.atleast_1d, leaves)))
    columns = []
    with jax.enable_x64(True):
        for combination in combinations:
            numbers = [jnp.asarray(leaf, jnp.float64) for leaf in combination]
            one = jax.tree.unflatten(structure, numbers)
            columns.append(_along(name, one, times, units))
    return np.stack(columns, axis=1)


def _along(name: str, schedule: Schedule, times, units: tuple[int, ...]) -> np.ndarray:
    """The values of one schedule at some times.

    Raises ValueError if its function fails, or answers something else than a number.
    """
    try:
        values = jax.vmap(lambda t: jnp.asarray(schedule(t)))(jnp.asarray(times, jnp.float64))
    except Exception as error:  # of whatever the user's function calls
        raise ValueError(
            f"{name} = {checks.shortened(schedule)} fails when it is traced by JAX "
            f"({type(error).__name__}: {checks.first_line(error).rstrip('.')}); write it with "
            "jax.numpy, with jnp.where for its cases."
        ) from error
    if values.shape[1:] not in ((), units):
        raise ValueError(
            f"{name} = {checks.shortened(schedule)} answers an array of shape "
            f"{values.shape[1:]} at one time; it is to answer one number."
        )
    if not (
        jnp.issubdtype(values.dtype, jnp.floating) or jnp.issubdtype(values.dtype, jnp.integer)
    ):
        raise ValueError(
            f"{name} = {checks.shortened(schedule)} answers values of the type {values.dtype}; it "
            "is to answer a real number."
        )
    return np.asarray(values, np.float64)
