"""The solve itself, a pure JAX function: the solvers, the step-size control and the gradients are
diffrax's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules import agd_map
from odes.rules.theory import check_answers, require_theory, theory_of
from odes.solving.adaptive_steps import FIRST_STEP, Solved, adaptive_steps
from odes.solving.breaks import BreakController
from odes.solving.crossing import Crossing
from odes.solving.drift import DRIFTS, drifts_along
from odes.solving.moments import CHEAP_ERROR, along
from odes.solving.packing import (
    ErrorNorm,
    all_numbers,
    has_diverged,
    pack,
    remembered,
    unpack,
)
from odes.solving.precision import in_float64
from odes.solving.trajectory import (
    ONE_START,
    SOLVERS,
    ByMode,
    Trajectory,
    by_mode,
    chosen,
    tolerances,
)
from odes.solving.vector_field import vector_field
from teacherstudent.averages.quasi_random import CAUTION, REPLICAS
from teacherstudent.averages.triangle import ROUNDING
from teacherstudent.checking import arguments, checks
from teacherstudent.observables.class_accuracy import accuracy_at
from teacherstudent.observables.generalisation import error_of
from teacherstudent.problem import Problem
from teacherstudent.schedules import break_times
from teacherstudent.starts import Start
from teacherstudent.tasks.base import with_fields
from teacherstudent.tasks.sweeping import fields_of, numbers_of, with_number

# The curves of a sweep that step together, as often as the slowest of them needs.
CURVES_AT_ONCE = 32
IMPLICIT = ("kvaerno5",)


@arguments.checked
def solve(
    problem: Problem,
    start: Start,
    times,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    solver: str = "auto",
    max_steps: int = 100_000,
) -> Trajectory:
    """Order parameters of one problem at increasing times t = updates / N, as float64 JAX arrays.

        d(Q, R, v)/dt = vector_field(Q, R, v)

    The function behind `integrate`, for JAX's transformations: it can be differentiated with
    respect to learning rates, noise, weight decay, the teacher's readout and the start, by
    `jax.grad`, `jax.jvp`, `jax.jacfwd`, `jax.jacrev` and `jax.hessian`, and be mapped and compiled
    (`jax.vmap`, `jax.jit`), whether or not float64 is switched on.  The answer is in float64; where
    float64 is switched off, JAX rounds gradients with respect to float32 numbers to float32, and
    what is computed from the answer as well.  The gradient with respect to the symmetric Q sits in
    its upper triangle.  `OrderParameters` on structured inputs cannot be differentiated; make them
    `SpectralOverlaps` first, with `spectral_start`.

    First derivatives by `jax.grad` cost some five solves, whatever the number of parameters n;
    those by `jax.jacfwd` cost n.  Second derivatives (`jax.hessian`) are taken in forward mode
    only, n^2 solves side by side: they are for some tens of parameters.

    Averages without closed forms are at one resolution, good to 1e-8 for fields of variances about
    1, and their error is not estimated: `integrate` chooses the resolution, and reports the error.

    - `times`: increasing, not negative; the start is at t = 0.
    - `rtol`, `atol`, `solver`, `max_steps`: as for `integrate`.

    Returns a named tuple with Q (time, students, students), R (time, students, teachers), v and b
    (time, students), eps_g (time), and how the solver fared.  A solve that fails leaves entries
    that are not finite after the time `reached`; nothing is raised, since nothing can be inside a
    transformation.

    Raises ValueError for input that does not fit, for sweeps and batches, and for problems without
    a theory.

    Saad & Solla, Phys. Rev. E 52, 4225 (1995): the equations of motion of R and Q.

    >>> import teacherstudent as ts
    >>> task, student = ts.TeacherStudent(1, "linear"), ts.Student(1, "linear")
    >>> start = ts.OrderParameters([[0.0]], [[0.0]], [[1.0]])
    >>> problem = ts.Problem(task, student, ts.SGD(1.0))
    >>> print(ts.solve(problem, start, [0.0, 1.0, 2.0]).eps_g.round(4))  # exp(-t) / 2
    [0.5    0.1839 0.0677]
    """
    problem.check_start(start)
    checks.one_of("solver", solver, ("auto", *SOLVERS))
    if problem.sweeps or start.batch:
        raise ValueError(
            "solve takes one problem and one start; use jax.vmap over solve, or integrate, for "
            "several."
        )
    if not checks.is_traced(times):
        times = checks.times(times)
    max_steps = checks.integer("max_steps", max_steps)
    if not checks.is_traced(rtol):
        checks.positive("rtol", rtol)
    if not checks.is_traced(atol):
        checks.positive("atol", atol)
    require_theory(problem)
    if problem.batch_ratio is not None:
        raise ValueError(
            "solve integrates in time, but with batch_ratio time counts updates; use integrate."
        )
    rtol, atol = tolerances(theory_of(problem.rule).nodes(problem.rule, problem), rtol, atol)
    run = partial(
        solve_one,
        solver=chosen(solver, rtol),
        max_steps=max_steps,
        progress=False,
        extras=(),
    )
    # The plain loop gives values and, in forward mode, derivatives of any order; diffrax's with
    # checkpoints gives gradients.
    return in_float64(
        partial(run, gradients=False, most_steps=np.int64(max_steps)),
        problem.for_programs(),
        by_mode(problem, start),
        times,
        rtol,
        atol,
        reverse=partial(run, gradients=True),
    )


def solve_all(
    problem,
    start,
    times,
    rtol,
    atol,
    level,
    most_steps,
    loop,
    recorded,
    sweeps,
    solver,
    max_steps,
    progress,
    extras,
    crossing,
) -> dict[str, Array]:
    """The parts of the trajectory of every combination of the swept parameters and, innermost, of
    every start of a batch.

    Where there is a `crossing`, the solve ends where its quantity crosses the level.  `most_steps`
    is no part of the program, but for the plain loop alone; diffrax's has `max_steps`.  So is
    `loop`, from which a single curve goes on (`odes.solving.calls`).  `recorded` says at which of
    the times also what is costly is answered; None is all of them (`odes.solving.curve`).
    """
    run = partial(
        solve_one,
        solver=solver,
        max_steps=max_steps,
        progress=progress,
        extras=extras,
        gradients=False,
        crossing=crossing,
    )
    if start.v.ndim == 2:
        run = jax.vmap(run, in_axes=(None, ONE_START, *[None] * 7))
    for name, of_task in reversed(sweeps):
        run = _over_parameter(run, name, of_task)
    answer = run(problem, start, times, rtol, atol, level, most_steps, loop, recorded)
    return {name: part for name, part in answer._asdict().items() if part is not None}


def _over_parameter(run, name: str, of_task: bool):
    """`run` for every entry of one swept parameter, of the task or of the rule.

    Of the task all arrays have an axis for it (`stacked_for_programs`).
    """

    def rule_swept(problem, *rest):
        fields = fields_of(problem.rule)

        def with_value(value):
            rule = with_number(problem.rule, fields, name, value)
            return run(with_fields(problem, {"rule": rule}), *rest)

        values = numbers_of(problem.rule, fields)[name].value
        return jax.lax.map(with_value, values, batch_size=CURVES_AT_ONCE)

    def task_swept(problem, *rest):
        def with_task(task):
            return run(with_fields(problem, {"task": task}), *rest)

        return jax.lax.map(with_task, problem.task, batch_size=CURVES_AT_ONCE)

    return task_swept if of_task else rule_swept


STATIC = ("solver", "max_steps", "progress", "extras", "gradients", "crossing")


@partial(jax.jit, static_argnames=STATIC)
def solve_one(
    problem,
    start,
    times,
    rtol,
    atol,
    level=0.0,
    most_steps=None,
    loop_before=None,
    recorded=None,
    *,
    solver,
    max_steps,
    progress,
    extras,
    gradients,
    crossing=None,
) -> Trajectory:
    """The trajectory of one problem from one start."""
    if solver == "map":
        return _iterated(problem, start, times)
    fixed = Fixed(start.rho, start.weights, start.t, start.T, start.noise)
    begin = State(start.q, start.r, start.v, start.b)
    now = problem.at(start.time)
    memory = theory_of(now.rule).first_memory(now.rule, now, fixed, begin)
    begin = begin._replace(memory=remembered(memory, start.memory))
    check_answers(now, fixed, begin)
    first = pack(begin, problem)
    drifts = [name for name in DRIFTS if name in extras]
    distance = None
    if crossing is not None:
        distance = _distance(crossing, problem, fixed, begin, level)

    def observe(t, packed, args):
        state = unpack(packed, problem, begin)
        observed = [*overlaps(fixed, state), state.v, state.b]
        if "densities" in extras:
            observed += [jnp.moveaxis(state.q, -1, 0), jnp.moveaxis(state.r, -1, 0)]
        if drifts:
            observed.append(packed)
        return tuple(observed)

    loop = _loop(solver, gradients, distance, (rtol, atol))
    stepper = getattr(diffrax, SOLVERS[solver])()
    if loop is adaptive_steps:
        # Its stages in JAX's own loop, which knows forward mode; diffrax chooses for itself.
        stepper = getattr(diffrax, SOLVERS[solver])(scan_kind="lax")
        max_steps = most_steps.astype(int)
        loop = partial(loop, loop=loop_before)
    solved = loop(
        _field,
        first,
        (problem, begin, fixed, times[-1]),
        start.time,
        times,
        observe,
        lambda packed: has_diverged(packed, first, fixed, problem),
        stepper,
        _controller(rtol, atol, fixed, break_times((problem.task, problem.rule)), times[-1]),
        max_steps,
        _meter(progress, start.time, times[-1]),
    )
    packed = None
    first_distance = None
    if distance is not None:
        first_distance = distance(start.time, first, None)
    if drifts:
        *observed, packed = solved.observed
        solved = solved._replace(observed=tuple(observed))
    last = unpack(solved.last, problem, begin)
    wanted = None if CHEAP_ERROR in extras else recorded
    errors = _errors(problem, times, start.T, solved.observed[:4], wanted)
    trajectory = _trajectory(solved, errors)._replace(
        exceeded=has_diverged(solved.last, first, fixed, problem),
        q_last=last.q,
        r_last=last.r,
        memory=all_numbers(last.memory) if jax.tree.leaves(last.memory) else None,
        first_distance=first_distance,
        loop=solved.loop if "loop" in extras else None,
    )
    more: dict[str, Any] = {}
    if "rule error" in extras:
        ends = ((start.time, begin), (solved.reached, last))
        more["rule_error"] = _rule_error(problem, fixed, ends)
    if "accuracy" in extras:
        states = trajectory[:4]
        more["accuracy"] = along(lambda state: accuracy_at(problem, *state), states, recorded)
    if drifts:
        more |= drifts_along(drifts, problem, times, fixed, begin, packed, recorded)
    return trajectory._replace(**more)


def _trajectory(solved: Solved, eps_g: Float[Array, " time"]) -> Trajectory:
    """What was observed, with its errors and without extras."""
    Q, R, v, b, *densities = solved.observed
    q, r = densities or (None, None)
    return Trajectory(
        Q,
        R,
        v,
        b,
        eps_g,
        reached=solved.reached,
        diverged=solved.failed,
        exceeded=solved.failed,
        steps=solved.steps,
        rejected=solved.rejected,
        crossed=solved.crossed,
        q=q,
        r=r,
    )


def _errors(
    problem: Problem, times, T, states: tuple, wanted: Float[Array, " time"] | None = None
) -> Float[Array, " time"]:
    """eps_g, or the expected loss, at the order parameters (Q, R, v, b) of all times that are
    wanted.
    """

    def error_at(state):
        t, Q, R, v, b = state
        return error_of(problem.at(t), Q, R, T, v, b)

    return along(error_at, (times, *states), wanted)


def _loop(solver: str, gradients: bool, distance: Callable | None, tolerance: tuple) -> Callable:
    """The loop over steps: diffrax's where gradients, an implicit solver or an event need it."""
    if gradients:
        return partial(by_diffrax, diffrax.RecursiveCheckpointAdjoint())
    if distance is not None:
        forward = diffrax.ForwardMode()
        return partial(by_diffrax, forward, distance=distance, tolerance=tolerance)
    if solver in IMPLICIT:
        return partial(by_diffrax, diffrax.ForwardMode())
    return adaptive_steps


def _controller(
    rtol, atol, fixed: Fixed, breaks: list, end
) -> diffrax.AbstractAdaptiveStepSizeController:
    """The control of step sizes; no step goes over a time at which the field breaks off."""
    controller = diffrax.PIDController(
        rtol=rtol,
        atol=atol,
        dtmin=1e-12,
        force_dtmin=False,
        norm=ErrorNorm(fixed.rho, fixed.weights),
    )
    if not breaks:
        return controller
    times = jnp.stack([jnp.asarray(one, end.dtype) for one in breaks])
    # The last step ends at the last time itself, not just before it.
    inside = jnp.sort(jnp.where(times < end, times, jnp.inf))
    return BreakController(controller, inside)


def _meter(progress: bool, begin, end) -> diffrax.AbstractProgressMeter:
    if not progress:
        return diffrax.NoProgressMeter()
    from odes.solving.progress import TimeBar  # which imports tqdm

    return TimeBar(jnp.asarray(begin), jnp.asarray(end))


# Compiled by itself, it is traced once, not in each place that diffrax calls it from.
@jax.jit
def _field(t, packed, args) -> tuple:
    problem, begin, fixed, end = args
    # A number that jumps at the last time itself would be part of the last step, and reject it.
    just_before = t * (1 - 2 * jnp.finfo(t.dtype).eps)
    now = problem.at(jnp.where(t < end, t, just_before))
    return pack(vector_field(now, fixed, unpack(packed, now, begin)), now)


def _distance(
    crossing: Crossing, problem: Problem, fixed: Fixed, begin: State, level
) -> Callable[..., Float[Array, ""]]:
    """How far the quantity of a crossing is from the level, as a function of time and state."""

    def distance(t, y, args, **kwargs):
        now = problem.at(t)
        state = unpack(y, now, begin)
        return crossing.value(now, fixed, state) - level

    return distance


def by_diffrax(
    adjoint,
    field,
    y,
    args,
    begin,
    times,
    observe,
    has_diverged,
    solver,
    controller,
    max_steps,
    meter,
    distance: Callable | None = None,
    tolerance: tuple = (),
) -> Solved:
    """The same as `adaptive_steps`, but it can be differentiated, and takes implicit solvers.

    Where a `distance` is given, the solve ends at its first zero, located to the tolerance.
    """
    conditions = {"diverged": lambda t, y, args, **kwargs: has_diverged(y)}
    locate: optimistix.AbstractRootFinder | None = None
    if distance is not None:
        conditions["crossed"] = distance
        locate = optimistix.Newton(*tolerance)
    saved = [diffrax.SubSaveAt(ts=times, fn=observe), diffrax.SubSaveAt(t1=True)]
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        solver,
        t0=begin,
        t1=times[-1],
        dt0=FIRST_STEP,
        y0=y,
        args=args,
        saveat=diffrax.SaveAt(subs=saved),
        stepsize_controller=controller,
        event=diffrax.Event(conditions, locate),
        max_steps=max_steps,
        throw=False,
        adjoint=adjoint,
        progress_meter=meter,
    )
    observed, last = solution.ys
    diverged = solution.event_mask["diverged"]
    crossed = solution.event_mask.get("crossed")
    too_small_steps = solution.result == diffrax.RESULTS.dt_min_reached
    return Solved(
        observed,
        last=jax.tree.map(lambda part: part[0], last),
        reached=solution.ts[1][0],
        failed=diverged | too_small_steps,
        steps=solution.stats["num_steps"],
        rejected=solution.stats["num_rejected_steps"],
        crossed=crossed,
    )


def _rule_error(problem: Problem, fixed: Fixed, ends: tuple) -> Float[Array, ""]:
    """A cautious estimate of the velocity's error, at the start and at the end, from its
    differences at other nodes.
    """

    def error(end: tuple) -> Float[Array, ""]:
        t, state = end
        now = problem.at(t)
        used = vector_field(now, fixed, state)[:3]
        differences = []
        for replica in range(1, REPLICAS + 1):
            others = vector_field(now, fixed, state, replica)[:3]
            for ours, other in zip(used, others, strict=True):
                differences.append(jnp.max(jnp.abs(ours - other)))
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(part)) for part in used]))
        return CAUTION * jnp.max(jnp.stack(differences)) + ROUNDING * largest

    both = jax.tree.map(lambda *parts: jnp.stack(parts), *ends)
    return jnp.max(jax.lax.map(error, both))


def _iterated(problem: Problem, start: ByMode, times: Float[Array, " times"]) -> Trajectory:
    """The states of a map after whole numbers of updates."""
    T, first_readout = jnp.asarray(start.T), jnp.asarray(start.v)
    q, r = jnp.asarray(start.q), jnp.asarray(start.r)
    updates = times.astype(jnp.int64)
    first = agd_map.Point(q[..., 0], r[..., 0], first_readout)
    begun = jnp.asarray(start.time).astype(updates.dtype)
    Q, R, v = agd_map.iterate(problem, T, first, begun, updates)
    b = jnp.zeros_like(v)
    eps_g = _errors(problem, times, T, (Q, R, v, b))
    finite = jnp.isfinite(eps_g)
    failed = ~finite.all()
    return Trajectory(
        Q,
        R,
        v,
        b,
        eps_g,
        reached=jnp.max(jnp.where(finite, times, 0.0)),
        diverged=failed,
        exceeded=failed,
        steps=updates[-1],
        rejected=jnp.zeros_like(updates[-1]),
        q_last=Q[-1][..., None],
        r_last=R[-1][..., None],
    )
