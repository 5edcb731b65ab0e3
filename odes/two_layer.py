"""The theory of a two-layer regression or classification (`Problem`): the solve of its
order-parameter equations, labelled as a dataset.

The solve itself is in `solve.py`, which imports diffrax, and is imported only where its program is
not kept.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr

from odes.models.theory import ModelTheory
from odes.options import Options
from odes.rules.theory import Nodes, require_theory, theory_of
from odes.solving import cost, vector_field  # noqa: F401 (it registers what rules and tasks need)
from odes.solving.calls import Stages, mark_of, solved_in_calls
from odes.solving.crossing import Crossing
from odes.solving.curve import DRAWN, FEWEST, POINTS, DenseTimes, has_curve
from odes.solving.drift import DRIFTS
from odes.solving.moments import CHEAP_ERROR
from odes.solving.phases import Solves, along_phases
from odes.solving.quadrature_error import averages_used, quadrature_error, warn_of_error
from odes.solving.reach import Reach, failure, reach, tolerance
from odes.solving.resolution import Refinement, first_refinement
from odes.solving.trajectory import EXPLICIT, Trajectory, by_mode, chosen, tolerances
from teacherstudent.activations.activation import ACTIVATIONS, Activation, polynomial_of
from teacherstudent.checking import checks, contracts
from teacherstudent.checking.warn import warn_user
from teacherstudent.errors import DivergenceError
from teacherstudent.extensions.contract_checks import check_task
from teacherstudent.extensions.over_time import check_over_time
from teacherstudent.extensions.own_classes import changed_law
from teacherstudent.observables.built_in import requested_of_theory
from teacherstudent.observables.observable import (
    Observable,
    TheoryObservable,
    at_overlaps,
    warn_of_infinities,
)
from teacherstudent.observables.thresholds import quantity_of
from teacherstudent.problem import Problem
from teacherstudent.programs import kept_programs
from teacherstudent.programs.compilation import default_platform, options
from teacherstudent.progress import is_shown
from teacherstudent.protocol import Protocol, Until, problems_of
from teacherstudent.results import checkpoint_files
from teacherstudent.results.atomic_files import check_writable
from teacherstudent.results.datasets import (
    check_observables,
    check_sweeps,
    dataset,
    rename_for_task,
)
from teacherstudent.results.dense_curves import with_curve
from teacherstudent.results.description import describe_start
from teacherstudent.results.floor import error_floor
from teacherstudent.results.phases import values_of
from teacherstudent.schedules import at_time, is_named_kind, schedules_in
from teacherstudent.starts import Start, spectral_start
from teacherstudent.states.kept import KeptTheory
from teacherstudent.states.spectral_overlaps import SpectralOverlaps
from teacherstudent.tasks.base import with_fields
from teacherstudent.tasks.sweeping import first_problem, swept_numbers


class TwoLayerTheory:
    """The order-parameter equations of a `Problem`, as the verb `integrate` asks for them."""

    def integrate(
        self, options: Options, problem: Problem | Protocol, start: Start, times: np.ndarray
    ) -> xr.Dataset:
        """The theory; with a checkpoint, a solve that goes on from it."""
        if options.checkpoint is None:
            return _answer(options, problem, start, times)
        stages = _stages(options, problem, start, times)
        with checkpoint_files.kept_when_interrupted(stages.writer, stages.keep):
            theory = _answer(options._replace(stages=stages), problem, start, times)
        stages.finish()
        return theory

    def check(self, problem: Problem) -> None:
        """Raise ValueError, with the reason, where a problem has no theory."""
        require_theory(problem)

    def check_threshold(self, until: Until, problem: Problem) -> None:
        """Raise ValueError unless a phase of this problem can end at this threshold."""
        quantity_of(until, problem)

    def steps_together(self, problem: Problem, start: Start, solver: str) -> bool:
        """Whether points of a sweep with the shapes of this one can step together.

        A map over updates cannot, nor an implicit solver, nor a state that goes on.
        """
        return problem.batch_ratio is None and start.kept is None and solver in ("auto", *EXPLICIT)


ModelTheory.registered[Problem] = TwoLayerTheory()


def _answer(
    options: Options, problem: Problem | Protocol, start: Start, times: np.ndarray
) -> xr.Dataset:
    """The theory of one problem, or of a protocol of several."""
    if isinstance(problem, Protocol):
        points = max(FEWEST, POINTS // len(problem.phases))
        if start.batch:  # each start of which has switches of its own
            points = 0
        run, crossing = partial(_run, options, points=points), partial(_crossing, options)
        return along_phases(Solves(run, crossing, values_of), problem, start, times)
    check_over_time(problem, start.time, times[-1], times)
    return _run(options, problem, start, times)


def _stages(
    options: Options, problem: Problem | Protocol, start: Start, times: np.ndarray
) -> Stages:
    """The solves that a checkpoint keeps; ValueError where there can be none."""
    reason = why_not_kept(problem, start, options.solver)
    if reason:
        raise ValueError(f"checkpoint keeps no {reason}; leave it out.")
    path = checks.path("checkpoint", options.checkpoint)
    check_writable(path, force=True)
    observables = []
    for one in problems_of(problem):
        requested, densities = requested_of_theory(options.observables, one)
        observables.append([densities, *[[seen.name, list(seen.dims)] for seen in requested]])
    settings = [options.rtol, options.atol, options.solver, options.max_steps, options.spectral]
    settings += [repr(options.quadrature), observables, options.curve]
    return Stages(path, mark_of(problem, start, times, settings))


def why_not_kept(problem: Problem | Protocol, start: Start, solver: str) -> str:
    """What it is about a theory that no checkpoint keeps; "" if one does."""
    for one in problems_of(problem):
        if one.sweeps or start.batch:
            return "several curves at once (a sweep, or a batch of starts)"
        if one.batch_ratio is not None:
            return "iterated map (batch_ratio), which is fast"
    if solver not in ("auto", *EXPLICIT):
        return f"solve by an implicit solver (solver = {solver!r})"
    return ""


class Plan(NamedTuple):
    """How one problem is solved from one start."""

    problem: Problem
    start: Start
    refinement: Refinement | None
    nodes: Nodes | None
    averages: str  # which they are, in words
    rtol: float
    atol: float
    method: str
    progress: bool


def _plan(options: Options, problem: Problem, start: Start) -> Plan:
    """The solver and its tolerances; ValueError where a problem has no theory."""
    check_sweeps(problem)
    require_theory(problem)
    check_task(first_problem(problem).at(start.time))
    problem.task.warn_theory()
    if problem.task.HAS_MODES and not isinstance(start.kept, KeptTheory):
        _check_modes_known(start)
        start = spectral_start(problem, start)
    nodes = theory_of(problem.rule).nodes(problem.rule, problem)
    rtol, atol = tolerances(nodes, options.rtol, options.atol)
    method = chosen(options.solver, rtol)
    if problem.batch_ratio is not None:
        method = "map"
    progress = is_shown(options.progress)
    refinement = first_refinement(problem, start, options.quadrature, rtol)
    if refinement is not None:
        problem = refinement.of(problem)
    averages = averages_used(problem)
    if nodes is not None:
        averages = nodes.description
    return Plan(problem, start, refinement, nodes, averages, rtol, atol, method, progress)


def _run(
    options: Options, problem: Problem, start: Start, times: np.ndarray, points: int = POINTS
) -> xr.Dataset:
    """The theory of one problem from one start, with so many points of its curve."""
    observables, densities = requested_of_theory(options.observables, problem)
    check_observables(observables, problem)
    if problem.batch_ratio is not None:
        _check_counts(times)
        _refuse_drifts(observables)
    plan = _plan(options, problem, start)
    extras = _extras(problem, plan.nodes, options.spectral or densities)
    extras += tuple(one.part for one in observables if isinstance(one, TheoryObservable))
    began = time.perf_counter()
    if not (options.curve and has_curve(plan.problem, plan.start, extras)):
        points = 0
    dense = DenseTimes.of(times, points)
    plan, answer, curve, error = _refined(plan, dense, options, extras)
    problem = plan.problem
    seconds = time.perf_counter() - began
    if options.stages is not None:
        seconds += options.stages.take_earlier_seconds()
    allowed = (plan.rtol, plan.atol)
    reached = reach(answer, plan.start, times, tolerance(problem, *allowed, error))
    report = {"solver": plan.method, "rtol": plan.rtol, "atol": plan.atol}
    report["max_steps"] = options.max_steps
    report["seconds"] = round(seconds, 4)
    report |= _quality_of_solve(problem, plan.start, times, answer, plan.averages, error, allowed)
    if isinstance(start.kept, KeptTheory):
        report["continued_at"] = start.time
        report["state"] = describe_start(start, problem)
    label = partial(_labelled, problem, plan.start, report=report, observables=observables)
    if reached.failed.any():
        _tell_failure(reached, answer, times, options.max_steps, label)
    theory = label(times, answer, reached.answered)
    if curve is None:
        return theory
    return with_curve(theory, dense.between, _quantities(problem, plan.start, curve, observables))


def _quantities(
    problem: Problem, start: Start, curve: Trajectory, observables: Sequence[Observable]
) -> dict[str, np.ndarray]:
    """The order parameters, the error and the observables along a curve, by their names."""
    values = {name: getattr(curve, name) for name in DRAWN}
    values |= at_overlaps(observables, curve.Q, curve.R, start.T, curve.v, curve.b)
    for one in observables:
        if isinstance(one, TheoryObservable):
            values[one.name] = getattr(curve, one.part)
    known = {name: found for name, found in values.items() if found is not None}
    return rename_for_task(problem, known)


def _refined(
    plan: Plan, dense: DenseTimes, options: Options, extras: tuple[str, ...]
) -> tuple[Plan, Trajectory, Trajectory | None, float | None]:
    """The answer with averages that are good enough, its curve, and the estimate of their error.

    The plan that comes back is that of the last attempt.
    """
    while True:
        with jax.enable_x64(True):
            answer = _solved(plan, plan.problem, dense, options.max_steps, extras, options.stages)
            answer, curve = dense.split(answer)
            times = dense.at_records
            error = None
            if not cost.are_closed(plan.averages):
                error = _quadrature_error(plan.problem, plan.start, times, answer)
        finer = None
        if plan.refinement is not None and answer.rule_error is None:
            states = (plan.start.T, answer.Q, answer.R, answer.b)
            finer = plan.refinement.after(plan.problem, *states, error)
        if finer is None:
            break
        problem = finer.of(plan.problem)
        averages = averages_used(problem)
        plan = plan._replace(problem=problem, refinement=finer, averages=averages)
    if error is not None and answer.rule_error is None:
        wanted = plan.refinement and plan.refinement.quadrature.accuracy
        warn_of_error(plan.problem, error, wanted)
    return plan, answer, curve, error


def _crossing(
    options: Options, problem: Problem, start: Start, last: float, until: Until
) -> float | None:
    """The time at which the quantity of a threshold crosses it; None if it does not before `last`.

    Where the threshold is met at the begin, it is that time.

    Raises ValueError if the quantity is none of one number.
    """
    plan = _plan(options, problem, start)
    if plan.method == "map":
        raise ValueError(
            "until: with batch_ratio time counts updates, and nothing is crossed between two of "
            "them; give a duration."
        )
    crossing = Crossing(quantity_of(until, problem))
    times = np.array([start.time, last])
    with jax.enable_x64(True):
        try:
            answer = _solved(
                plan,
                plan.problem,
                DenseTimes.of(times, 0),
                options.max_steps,
                (),
                crossing=crossing,
                level=until.level,
            )
        except ValueError as error:
            if "ustom_vmap" not in str(error) and "ifferentiat" not in str(error):
                raise
            raise ValueError(
                f"until.quantity = {until.name!r} has no derivative, by which the theory would "
                f"locate its crossing; give {problem.task.name_of('eps_g')!r}, or an observable "
                "that is smooth."
            ) from error
    assert answer.first_distance is not None and answer.crossed is not None
    if until.is_met(until.level + answer.first_distance):
        return start.time
    if not answer.crossed:
        return None
    return float(answer.reached)


def _extras(problem: Problem, nodes: Nodes | None, spectral: bool) -> tuple[str, ...]:
    """What the solve is to answer beside the order parameters and the error."""
    extras = []
    if spectral:
        extras.append("densities")
    if problem.task.HAS_CLASSES and changed_law(problem.task) is None:  # labels are the classes
        extras.append("accuracy")
    if nodes is not None:
        extras.append("rule error")
    return tuple(extras)


def _quality_of_solve(
    problem: Problem,
    start: Start,
    times: np.ndarray,
    answer: Trajectory,
    averages: str,
    error: float | None,
    allowed: tuple[float, float],
) -> dict:
    """What the report says of the solver's steps and of how exact its numbers are."""
    facts: dict = {"steps": answer.steps.tolist(), "rejected_steps": answer.rejected.tolist()}
    facts["averages"] = averages
    if error is not None:
        facts["quadrature_error"] = error
    if hasattr(type(problem.task), "v_star"):  # eps_g is a small difference of student and teacher
        facts["eps_g_floor"] = error_floor(
            problem, times, answer.Q, start.T, answer.v, answer.eps_g, *allowed
        )
    return facts


def _check_modes_known(start: Start) -> None:
    """Raise ValueError for a state without the overlaps of every mode.

    Weights of a start know no mode but by the teacher (`spectral_start`), those of a later time do.
    """
    if start.time and not isinstance(start, SpectralOverlaps):
        raise ValueError(
            f"start is a state at t = {start.time:g} without overlaps by mode, which a theory on "
            "inputs with several eigenvalues needs; go on from a theory: last_state, or state_at "
            "of integrate(..., spectral=True)."
        )


def _check_counts(times: np.ndarray) -> None:
    """Raise ValueError unless all times are whole numbers of updates."""
    if (times != np.rint(times)).any():
        wrong = times[times != np.rint(times)][0]
        raise ValueError(
            f"times has the entry {wrong:g}, but with batch_ratio time counts updates; give whole "
            "numbers."
        )


def _refuse_drifts(observables: Sequence[Observable]) -> None:
    """Raise ValueError for a derivative in time, where time counts updates."""
    for one in observables:
        if one.IN_SOLVE:
            raise ValueError(
                f"{one.title} is a derivative in time, but with batch_ratio time counts updates; "
                "leave it out, or give batch_size."
            )


def _solved(
    plan: Plan,
    problem: Problem,
    dense: DenseTimes,
    max_steps: int,
    extras: tuple[str, ...],
    stages: Stages | None = None,
    crossing: Crossing | None = None,
    level: float = 0.0,
) -> Trajectory:
    """The trajectory of `solve_all`, as NumPy arrays; to be called where float64 is enabled."""
    begin = by_mode(problem, plan.start)
    times, recorded = dense.times, dense.wanted
    if cost.are_closed(averages_used(problem)):  # not those of the rule, which the error has not
        extras = (*extras, CHEAP_ERROR)
    arguments = (problem.for_programs(), begin, times, plan.rtol, plan.atol, level, max_steps)
    arguments = jax.tree.map(_number, arguments)
    of_task = swept_numbers(problem.task)
    swept = problem.sweeps
    sweeps = tuple((name, name in of_task) for name in swept)
    progress = plan.progress and stages is None
    if stages is not None:
        extras = (*extras, "loop")
    static = (sweeps, plan.method, max_steps, progress, extras, crossing)

    def compiler_options() -> dict | None:
        return options("cpu", quick=True)

    platform = default_platform()
    keeps = kept_programs.wanted() and _is_ours(arguments[0]) and crossing is None

    def answer(most_steps, loop=None) -> dict:
        given = (*arguments[:-1], _number(most_steps), loop, recorded)
        if platform == "cpu" and keeps:
            found = kept_programs.run(_solve_all, given, static, compiler_options)
        else:
            found = _compiled(platform)(*given, *static)
        return jax.tree.map(np.asarray, found)

    def seconds_of_a_step() -> float:
        curves = math.prod([*map(len, swept.values()), *plan.start.batch])
        return _tell_cost(plan, problem, curves, times, max_steps, answer)

    if stages is not None:
        with _bar(plan.progress, times) as show:
            solved = solved_in_calls(answer, stages, times[-1], max_steps, seconds_of_a_step, show)
        return Trajectory(**solved)
    if crossing is None and plan.method in EXPLICIT:
        seconds_of_a_step()
    return Trajectory(**answer(max_steps))


def _bar(wanted: bool, times: np.ndarray) -> AbstractContextManager[Callable[[float, int], object]]:
    """What is told how far a solve in calls is, and shows it if that is wanted."""
    if not wanted:
        return nullcontext(lambda t, steps: None)
    from odes.solving.progress import shown  # which imports tqdm

    return shown(float(times[0]), float(times[-1]))


def _tell_cost(
    plan: Plan,
    problem: Problem,
    curves: int,
    times: np.ndarray,
    max_steps: int,
    run: Callable[[int], object],
) -> float:
    """Warn of a solve that will be long; `run` takes at most so many steps of it.

    Returns the seconds of one step, by a rough count of operations where it is not long.
    """
    by_quadrature = not cost.are_closed(plan.averages)
    modes = np.size(getattr(plan.start, "rho", 1.0))
    duration = float(times[-1] - plan.start.time)
    size = (duration, max_steps)
    if not cost.may_be_long(by_quadrature, problem, modes, curves, *size):
        return cost.EVALUATIONS * curves * cost.seconds_of_closed_forms(problem, modes)
    step = cost.seconds_of_a_step(run, cost.LONG / cost.steps_expected(*size))
    cost.warn_if_long(cost.seconds_expected(step, *size), plan.rtol, curves)
    return step


def _number(leaf) -> np.ndarray:
    """One leaf of a program's arguments in float64; the call itself takes it to the device."""
    return np.asarray(leaf, np.float64)


def _is_ours(problem: Problem) -> bool:
    """Whether a problem's text tells its program: a class of one's own may change between two runs
    and keep its name.
    """
    activations = [problem.student.activation]
    if hasattr(problem.task, "activation"):
        activations.append(problem.task.activation)
    if not all(_is_named(one) for one in activations):
        return False
    if not all(map(is_named_kind, schedules_in((problem.task, problem.rule)))):
        return False
    parts = (problem.task, problem.rule, theory_of(problem.rule))
    return all(contracts.is_ours(type(part)) for part in parts)


def _is_named(activation: Activation) -> bool:
    """Whether the name of an activation says which function it is."""
    if ACTIVATIONS.get(activation.name) == activation:
        return True
    return polynomial_of(activation) is not None


def _solve_all() -> Callable:
    from odes.solving.solve import solve_all

    return solve_all


@cache
def _compiled(platform: str) -> Callable:
    """`solve_all` for a kind of device."""
    return jax.jit(
        _solve_all(), static_argnums=range(9, 15), compiler_options=options(platform, quick=True)
    )


def _quadrature_error(
    problem: Problem, start: Start, times: np.ndarray, answer: Trajectory
) -> float | None:
    """The largest along all curves of a batch; of a teacher that changes, with those of the first
    and of the last time.
    """
    if answer.rule_error is not None:
        finite = answer.rule_error[np.isfinite(answer.rule_error)]
        if not finite.size:
            return None
        return float(np.max(finite))
    T = start.T
    if start.batch:
        T = T[:, None]
    teachers = {0: problem}
    if schedules_in(problem.task):
        teachers = {
            time: with_fields(problem, {"task": at_time(problem.task, time)})
            for time in (times[0], times[-1])
        }
    errors = [quadrature_error(one, T, *answer[:4]) for one in teachers.values()]
    known = [error for error in errors if error is not None]
    return max(known, default=None)


def _tell_failure(
    reached: Reach, answer: Trajectory, times: np.ndarray, max_steps: int, label: Callable
) -> None:
    """Warn of the curves of a batch that ended too early, or raise the error of a single one, with
    what came before.
    """
    if reached.failed.ndim:
        _warn_of_curves(reached, times[-1])
        return
    error = failure(reached, answer, max_steps, times[-1])
    count = int(reached.answered.sum())
    if isinstance(error, DivergenceError) and count:
        before = {
            name: values[:count]
            for name, values in answer._asdict().items()
            if name in (*ALONG_TIME, *DRIFTS) and values is not None
        }
        error.partial = label(times[:count], answer._replace(**before), reached.answered[:count])
    raise error


def _warn_of_curves(reached: Reach, last: float) -> None:
    """Say how many curves of a batch ended before the last time, and when the first of them did."""
    failed = reached.failed
    unphysical = ""
    if reached.unphysical.any():
        unphysical = f", {reached.unphysical.sum()} of them with overlaps of no weights"
    warn_user(
        f"{failed.sum()} of {failed.size} curves did not reach t = {last:g}{unphysical}, "
        "and are nan beyond the time they reached (the earliest: t = "
        f"{reached.time[failed].min():.6g}).",
    )


ALONG_TIME = ("Q", "R", "v", "b", "eps_g", "q", "r", "accuracy")


def _labelled(
    problem: Problem,
    start: Start,
    times: np.ndarray,
    answer: Trajectory,
    answered: np.ndarray,
    report: dict,
    observables: Sequence[Observable],
) -> xr.Dataset:
    """The answer as a dataset; nan at the times that are not `answered`."""

    def numbers(values: np.ndarray) -> np.ndarray:
        usable = answered.reshape(*answered.shape, *[1] * (values.ndim - answered.ndim))
        return np.where(usable & np.isfinite(values), values, np.nan)

    quantities = {name: getattr(answer, name) for name in ALONG_TIME}
    T = np.asarray(start.T)[..., None, :, :]  # the same at all times
    recorded = at_overlaps(observables, answer.Q, answer.R, T, answer.v, answer.b)
    warn_of_infinities(recorded, answered, times)
    quantities |= recorded
    for one in observables:
        if isinstance(one, TheoryObservable):
            quantities[one.name] = getattr(answer, one.part)
    values = {name: numbers(found) for name, found in quantities.items() if found is not None}
    values["T"] = start.T
    values |= _end(answer)
    leading: dict = dict(problem.sweeps)
    if start.batch:
        leading["start"] = np.arange(start.batch[0])
    coordinates = {**leading, "time": times}
    begun = start
    if isinstance(start.kept, KeptTheory):
        begun = start.kept.start
    if answer.q is not None or "q_last" in values:
        coordinates["rho"] = _eigenvalues(begun)
    return dataset(
        "theory",
        problem,
        begun,
        coordinates=coordinates,
        variables=values,
        leading=tuple(leading),
        report=report,
        observables=observables,
    )


def _end(answer: Trajectory) -> dict[str, np.ndarray]:
    """What another theory needs to go on from the last time, beside the order parameters."""
    end = {}
    q, r = np.asarray(answer.q_last), np.asarray(answer.r_last)
    if answer.memory is not None:
        end["memory_last"] = np.asarray(answer.memory)
    if q.shape[-1] > 1:
        end["q_last"] = np.moveaxis(q, -1, -3)
        end["r_last"] = np.moveaxis(r, -1, -3)
    return end


def _eigenvalues(start: Start) -> np.ndarray:
    """Those of the input covariance: isotropic inputs have one, rho = 1."""
    if isinstance(start, SpectralOverlaps):
        return np.asarray(start.rho)
    return np.ones(1)
