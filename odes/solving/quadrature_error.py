"""Which averages a theory uses, and how far those by quadrature may be off along a solution."""

from collections.abc import Callable, Iterator
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.inputs.one_update import averages_of as averages_of_one_update
from odes.solving.precision import exact
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.fields import ClosedForms, FieldByField, field_averages_for
from teacherstudent.averages.mixture_fields import component_fields
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.resolution import DEFAULT
from teacherstudent.checking.contracts import is_ours
from teacherstudent.checking.warn import warn_user
from teacherstudent.losses import Loss
from teacherstudent.observables.generalisation import averages_of, output_weights
from teacherstudent.problem import Problem
from teacherstudent.programs.compilation import default_platform, options
from teacherstudent.states.order_parameters import covariance
from teacherstudent.tasks import Task
from teacherstudent.tasks.base import with_fields
from teacherstudent.tasks.sweeping import each_task, first_task, swept_numbers

NOTABLE = 1e-5  # an estimated error above this is worth a warning


def averages_used(problem: Problem) -> str:
    """One line that names the averages: closed forms, or which quadrature."""
    averages_of_task = averages_of_one_update(type(problem.task))
    if not is_ours(type(averages_of_task)):
        return f"those of {type(averages_of_task).__name__}"
    described = averages_of_task.description(problem)
    if described is not None:
        return described
    if problem.task.HAS_CLASSES:
        return _field_averages(problem).description
    averages = averages_of(problem)
    if isinstance(averages, QuadratureAverages):
        return f"quadrature, field by field: {averages.resolution.description}"
    return f"closed forms of {problem.student.activation.name}"


def needs_quadrature(problem: Problem) -> bool:
    """Whether the averages of one update have no closed forms, and a resolution to be chosen."""
    if averages_of_one_update(type(problem.task)).description(problem) is not None:
        return False
    if problem.task.HAS_CLASSES:
        return not isinstance(_field_averages(problem), ClosedForms)
    return isinstance(averages_of(problem), QuadratureAverages)


def has_finer_nodes(problem: Problem) -> bool:
    """Whether a finer resolution makes the averages much better: not those over all fields at
    once.
    """
    if problem.task.HAS_CLASSES:
        return isinstance(_field_averages(problem), FieldByField)
    return isinstance(averages_of(problem), QuadratureAverages)


def quadrature_error(problem: Problem, T, Q, R, v, b) -> float | None:
    """The largest estimated error of the averages at the states most at risk, of one trajectory or
    of a batch of them; of several tasks at those of each.

    These are the state with the longest student vectors, since the error grows with the variance of
    the fields; the one in which two fields are closest to each other, since kinks then meet; and
    the last one.  None if the averages are closed forms.

    Shapes: T (teachers, teachers) or (*batch, 1, teachers, teachers), the others (*batch, time,
    ...).
    """
    estimate_at = _estimate_of(problem)
    if estimate_at is None:
        return None
    errors = []
    for task, parts in _curves_of_each_task(problem, (Q, R, v, b)):
        one = with_fields(problem, {"task": task})
        estimate = _compiled(estimate_at, default_platform())
        for state in _states_at_risk(T, *parts):
            errors.append(float(estimate(_for_estimate(one), *state)))
    return max(errors, default=None)


def warn_of_error(problem: Problem, error: float, wanted: float | None) -> None:
    """Say that averages are not as good as wanted, or worse than is usual."""
    if error <= (wanted or NOTABLE):
        return
    asked = f", not the {wanted:.1g} asked for" if wanted else ""
    warn_user(
        f"the averages of this theory are by quadrature and may be off by {error:.1g}{asked}; "
        f"{_remedy(problem)}",
    )


def _remedy(problem: Problem) -> str:
    """What makes averages by quadrature better."""
    of_task = averages_of_one_update(type(problem.task)).remedy(problem)
    if of_task is not None:
        return of_task
    if isinstance(problem.loss, Loss):
        return (
            f"where the slope of the loss {problem.loss} jumps, quadrature loses digits: a loss "
            "that bends over a short range instead costs fewer, closed forms (Loss.averages) none."
        )
    return (
        "where an activation changes on a very short interval, naming its ends helps: "
        "Activation(..., kinks=(0.5, 0.5001))."
    )


def _curves_of_each_task(problem: Problem, parts: tuple) -> Iterator[tuple[Task, list]]:
    """The tasks of a sweep as programs take them, each with its part of the answers.

    With a teacher of ours whose labels are its outputs, the averages are those of the activations,
    the same for all noises.
    """
    swept = swept_numbers(problem.task)
    if not problem.task.BINARY_LABELS and is_ours(type(problem.task)):
        yield exact(first_task(problem.task).for_programs()), list(parts)
        return
    shape = [len(values) for values in swept.values()]
    for index, task in zip(np.ndindex(*shape), each_task(problem.task), strict=True):
        yield exact(task.for_programs()), [part[index] for part in parts]


def _states_at_risk(T, Q, R, v, b) -> list[list[Array]]:
    """The states (T, Q, R, v, b) of one or several trajectories at which averages are worst."""
    T = np.broadcast_to(T, (*Q.shape[:-2], *np.shape(T)[-2:]))
    states = [part.reshape(-1, *part.shape[Q.ndim - 2 :]) for part in (T, Q, R, v, b)]
    finite = np.isfinite(states[1]).all(axis=(1, 2))
    states = [part[finite] for part in states]
    if not finite.any():
        return []
    return [[jnp.asarray(part[index]) for part in states] for index in _at_risk(*states[:3])]


def _at_risk(
    T: Float[np.ndarray, "states teachers teachers"],
    Q: Float[np.ndarray, "states students students"],
    R: Float[np.ndarray, "states students teachers"],
) -> list[int]:
    """The states with the longest student vectors, with the closest two fields, and the last."""
    longest = np.trace(Q, axis1=1, axis2=2).argmax()
    C = covariance(Q, R, T)
    deviation = np.sqrt(np.maximum(np.diagonal(C, axis1=1, axis2=2), np.finfo(float).tiny))
    correlation = np.abs(C / (deviation[:, :, None] * deviation[:, None, :])) - np.eye(C.shape[1])
    # Fields that coincide are one field, whose kinks do not meet another's.
    apart = np.where(correlation < 1 - 1e-12, correlation, 0.0)
    return sorted({int(longest), int(apart.max(axis=(1, 2)).argmax()), len(Q) - 1})


def _for_estimate(problem: Problem) -> Problem:
    """What the estimate depends on, so that another rule has the same program."""
    return with_fields(problem, {"rule": None})


def _estimate_of(problem: Problem) -> Callable | None:
    """The estimate at one state; None if the averages are closed forms."""
    if averages_of_one_update(type(problem.task)).estimates_error(problem):
        return _error_of_own_nodes
    if not needs_quadrature(problem):
        return None
    if problem.task.HAS_CLASSES:
        return _error_with_classes
    return _error_with_teacher


@cache
def _compiled(estimate: Callable, platform: str) -> Callable:
    """An estimate at one state, compiled for a kind of device."""
    return jax.jit(estimate, compiler_options=options(platform, quick=True))


def _error_of_own_nodes(problem: Problem, T, Q, R, v, b) -> Float[Array, ""]:
    """The error at one state of averages that have nodes of their own."""
    return averages_of_one_update(type(problem.task)).error_at(problem, T, Q, R, v)


def _error_with_teacher(problem: Problem, T, Q, R, v, b) -> Float[Array, ""]:
    """The error of the averages at one state."""
    C = covariance(Q, R, T)
    averages = averages_of(problem, C, b)
    assert isinstance(averages, QuadratureAverages)
    return averages.error(C, output_weights(problem, v))


def _error_with_classes(problem: Problem, T, Q, m, v, b) -> Float[Array, ""]:
    """The same with two classes: the error of the mean over components is at most the mean of their
    errors.
    """
    averages = _field_averages(problem)
    assert not isinstance(averages, ClosedForms)
    law = problem.classes.law()
    components = (*component_fields(law, Q, m, b), jnp.asarray(law.y))
    errors = jax.lax.map(lambda one: averages.error(one[0], one[1], v, one[2]), components)
    return jnp.asarray(law.p) @ errors


def _field_averages(problem: Problem) -> ClosedForms | FieldByField | FieldSpace:
    resolution = problem.resolution or DEFAULT
    return field_averages_for(
        problem.student.activation, problem.loss, problem.student.width, resolution
    )
