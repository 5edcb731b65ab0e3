"""The theory of many problems at once that share their shapes: those of a sweep.

`integrate` answers for one problem, or for a grid of its numbers.  Here each point may have numbers
of its own, in its task, its rule and its start, as long as all that is not a number (widths,
activations, the class of the rule) is the same.  A few points step together in one program, which
is compiled once and serves all.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from odes.rules.theory import require_theory, theory_of
from odes.solving import vector_field  # noqa: F401 (it registers what rules and tasks need)
from odes.solving.quadrature_error import averages_used, quadrature_error, warn_of_error
from odes.solving.reach import Overlaps, failure, reach, tolerance
from odes.solving.resolution import Refinement, first_refinement
from odes.solving.solve import solve_one
from odes.solving.trajectory import Trajectory, by_mode, chosen, tolerances
from teacherstudent.averages.resolution import Quadrature
from teacherstudent.errors import SolverError
from teacherstudent.extensions.contract_checks import check_task
from teacherstudent.extensions.own_classes import changed_law
from teacherstudent.observables.observable import Observable, at_overlaps
from teacherstudent.problem import Problem
from teacherstudent.programs.compilation import default_platform, options
from teacherstudent.results.datasets import rename_for_task
from teacherstudent.results.floor import error_floor
from teacherstudent.starts import Start, spectral_start
from teacherstudent.tasks.base import Task, with_fields

# Points that step together, as often as the slowest of them needs: more do not come faster.
POINTS_AT_ONCE = 32
LEVEL = 0.0  # of a threshold, which there is none of here
ALONG_TIME = ("Q", "R", "v", "b", "eps_g", "accuracy")


class PointOptions(NamedTuple):
    """Options of `integrate` that points have in common."""

    rtol: float = 1e-8
    atol: float = 1e-10
    solver: str = "auto"
    max_steps: int = 100_000
    quadrature: Quadrature | None = None
    observables: tuple[Observable, ...] = ()


class PointTheories(NamedTuple):
    """The theories of several points.

    - `values`: the order parameters and observables along time, the points first, with nan after
      the time that a point reached.
    - `failures`: of each point why it ended before the last time; None of one that did not.
    - `steps`: how many steps the solver tried for each.
    - `report`: how they were solved, as the report of `integrate` says it; the estimated errors are
      the largest of all points.
    """

    values: dict[str, np.ndarray]
    failures: list[SolverError | None]
    steps: np.ndarray
    report: dict[str, Any]


def integrate_points(
    problems: Sequence[Problem], starts: Sequence[Start], times: np.ndarray, given: PointOptions
) -> PointTheories:
    """The theories of problems from their starts, all of the same shapes, at the same times.

    Raises ValueError where there is no theory.
    """
    first = problems[0]
    for problem in problems:
        require_theory(problem)
    check_task(first.at(starts[0].time))
    if first.task.HAS_MODES:
        starts = [spectral_start(*pair) for pair in zip(problems, starts, strict=True)]
    theory = theory_of(first.rule)
    nodes = theory.nodes(first.rule, first)
    rtol, atol = tolerances(nodes, given.rtol, given.atol)
    extras = []
    if first.task.HAS_CLASSES and changed_law(first.task) is None:
        extras.append("accuracy")
    if nodes is not None:
        extras.append("rule error")
    run = partial(
        _solved,
        starts=starts,
        times=times,
        rtol=rtol,
        atol=atol,
        solver=chosen(given.solver, rtol),
        max_steps=given.max_steps,
        extras=tuple(extras),
    )
    problems, answer, error = _refined(run, list(problems), starts, given.quadrature, rtol)
    averages = averages_used(problems[0])
    if nodes is not None:
        averages = nodes.description
    values, failures = _answered(problems, starts, times, answer, error, given, (rtol, atol))
    report = {"solver": chosen(given.solver, rtol), "rtol": rtol, "atol": atol}
    report |= {"max_steps": given.max_steps, "averages": averages}
    if error is not None:
        report["quadrature_error"] = error
    if hasattr(type(first.task), "v_star"):  # eps_g is a small difference of student and teacher
        overlaps = (answer.Q, values["T"], answer.v, answer.eps_g)
        report["eps_g_floor"] = error_floor(first, times, *overlaps, rtol, atol)
    return PointTheories(values, failures, np.asarray(answer.steps), report)


def _refined(
    run, problems: list[Problem], starts: Sequence[Start], quadrature: Quadrature | None, rtol
) -> tuple[list[Problem], Trajectory, float | None]:
    """The answer with averages that are good enough for all points, and their error."""
    refinement = _common_refinement(problems, starts, quadrature, rtol)
    while True:
        if refinement is not None:
            problems = [refinement.of(problem) for problem in problems]
        answer = run(problems)
        error = _error_of_averages(problems, starts, answer)
        finer = None
        if refinement is not None and answer.rule_error is None:
            T = np.stack([np.asarray(start.T) for start in starts])
            finer = refinement.after(problems[0], T, answer.Q, answer.R, answer.b, error)
        if finer is None:
            break
        refinement = finer
    if error is not None and answer.rule_error is None:
        warn_of_error(problems[0], error, refinement and refinement.quadrature.accuracy)
    return problems, answer, error


def _common_refinement(
    problems: Sequence[Problem], starts: Sequence[Start], quadrature: Quadrature | None, rtol: float
) -> Refinement | None:
    """The resolution that is fine enough for the start of every point."""
    found = None
    for problem, start in zip(problems, starts, strict=True):
        one = first_refinement(problem, start, quadrature, rtol)
        if one is None:
            return None
        if found is None or one.variance > found.variance:
            found = one
    return found


def _error_of_averages(
    problems: Sequence[Problem], starts: Sequence[Start], answer: Trajectory
) -> float | None:
    """The largest of all points; None where averages are closed forms."""
    if answer.rule_error is not None:
        finite = answer.rule_error[np.isfinite(answer.rule_error)]
        return float(finite.max()) if finite.size else None
    if averages_used(problems[0]).startswith("closed forms"):
        return None
    errors = []
    with jax.enable_x64(True):
        for index, (problem, start) in enumerate(zip(problems, starts, strict=True)):
            states = [part[index] for part in answer[:4]]
            errors.append(quadrature_error(problem, start.T, *states))
    return max((error for error in errors if error is not None), default=None)


def _solved(
    problems: Sequence[Problem],
    starts: Sequence[Start],
    times: np.ndarray,
    rtol: float,
    atol: float,
    solver: str,
    max_steps: int,
    extras: tuple[str, ...],
) -> Trajectory:
    """The trajectories of all points, a few at once."""
    tasks: dict[int, Task] = {}  # many points share one
    arguments = []
    for problem, start in zip(problems, starts, strict=True):
        if id(problem.task) not in tasks:
            tasks[id(problem.task)] = problem.task.for_programs()
        task = tasks[id(problem.task)]
        arguments.append((with_fields(problem, {"task": task}), by_mode(problem, start)))
    lanes = min(POINTS_AT_ONCE, _power_of_two(len(arguments)))
    numbers = [np.asarray(number, np.float64) for number in (times, rtol, atol, LEVEL, max_steps)]
    program = _program(default_platform(), solver, max_steps, extras)
    answers = []
    with jax.enable_x64(True):
        for begin in range(0, len(arguments), lanes):
            some = arguments[begin : begin + lanes]
            filled = some + some[-1:] * (lanes - len(some))  # so that all calls have one shape
            stacked = jax.tree.map(_stack, *filled)
            answer = program(*stacked, *numbers)
            answers.append(jax.tree.map(partial(_first, len(some)), answer))
    return Trajectory(**jax.tree.map(_join, *answers))


def _power_of_two(count: int) -> int:
    """The smallest power of two that is not below a count."""
    return 1 << (count - 1).bit_length()


def _stack(*leaves) -> np.ndarray:
    return np.stack([np.asarray(leaf, np.float64) for leaf in leaves])


def _first(count: int, part) -> np.ndarray:
    return np.asarray(part)[:count]


def _join(*parts) -> np.ndarray:
    return np.concatenate(parts)


@cache
def _program(platform: str, solver: str, max_steps: int, extras: tuple[str, ...]) -> Any:
    """The compiled solves of a few points."""
    one = partial(
        solve_one,
        solver=solver,
        max_steps=max_steps,
        progress=False,
        extras=extras,
        gradients=False,
    )

    def all_points(problems, starts, times, rtol, atol, level, most_steps) -> dict:
        over_points = jax.vmap(one, in_axes=(0, 0, None, None, None, None, None))
        answer = over_points(problems, starts, times, rtol, atol, level, most_steps)
        return {name: part for name, part in answer._asdict().items() if part is not None}

    return jax.jit(all_points, compiler_options=options(platform, quick=True))


def _answered(
    problems: Sequence[Problem],
    starts: Sequence[Start],
    times: np.ndarray,
    answer: Trajectory,
    error: float | None,
    given: PointOptions,
    tolerances_used: tuple[float, float],
) -> tuple[dict[str, np.ndarray], list[SolverError | None]]:
    """The values of all points up to where each is answered, and why some end before."""
    together = jax.tree.map(_stack_starts, *[_overlaps(start) for start in starts])
    allowed = tolerance(problems[0], *tolerances_used, error)
    reached = reach(answer, together, times, allowed)
    quantities = {name: getattr(answer, name) for name in ALONG_TIME}
    T = together.T[:, None]
    quantities |= at_overlaps(given.observables, answer.Q, answer.R, T, answer.v, answer.b)
    values = {}
    for name, found in quantities.items():
        if found is not None:
            values[name] = _cut(found, reached.answered)
    values["T"] = together.T
    failures: list[SolverError | None] = [None] * len(problems)
    for index in np.flatnonzero(reached.failed):
        one = type(reached)(*(part[index] for part in reached))
        trajectory = Trajectory(
            *(None if part is None else part[index] for part in answer)  # type: ignore[arg-type]
        )
        failures[index] = failure(one, trajectory, given.max_steps, times[-1])
    return rename_for_task(problems[0], values), failures


def _overlaps(start: Start) -> Overlaps:
    b = getattr(start, "b", np.zeros(np.shape(start.v)))
    return Overlaps(*map(np.asarray, (start.Q, start.R, start.T, start.v, b)))


def _stack_starts(*parts) -> np.ndarray:
    return np.stack(parts)


def _cut(found: np.ndarray, answered: np.ndarray) -> np.ndarray:
    """Values with nan where they are not answered."""
    usable = answered.reshape(*answered.shape, *[1] * (found.ndim - answered.ndim))
    return np.where(usable & np.isfinite(found), found, np.nan)
