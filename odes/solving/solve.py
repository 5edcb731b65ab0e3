"""The solve itself, a pure JAX function: the solvers, the step-size control and the gradients are
diffrax's.
"""

from functools import partial

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules import agd_map
from odes.rules.theory import require_theory, theory_of
from odes.solving.adaptive_steps import FIRST_STEP, Solved, adaptive_steps
from odes.solving.packing import ErrorNorm, has_diverged, pack, unpack
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
from odes.vector_field import vector_field
from teacherstudent.averages.nested_rule import ROUNDING
from teacherstudent.averages.quasi_random import CAUTION, REPLICAS
from teacherstudent.checking import arguments, checks
from teacherstudent.observables.class_accuracy import accuracy_at
from teacherstudent.observables.generalisation import error_of
from teacherstudent.problem import Problem
from teacherstudent.starts import Start

CURVES_AT_ONCE = 32  # of a sweep; they step together, as often as the slowest of them needs
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

    The function behind `integrate`, for `jax.grad` and `jax.vmap`: it can be differentiated with
    respect to learning rates, noise, weight decay, the teacher's readout and the start.  Use it
    inside `jax.jit` only with float64 switched on (`with jax.enable_x64(True):`).  Gradients are
    reverse-mode and of first order; the gradient with respect to the symmetric Q sits in its upper
    triangle.  `OrderParameters` on structured inputs cannot be differentiated; make them
    `SpectralOverlaps` first, with `spectral_start`.  A solve that fails leaves entries that are not
    finite after the time `reached`; nothing is raised, since nothing can be inside a
    transformation.
    """
    problem.check_start(start)
    checks.one_of("solver", solver, ("auto", *SOLVERS))
    if problem.sweeps or start.batch:
        raise ValueError(
            "solve takes one problem and one start; use jax.vmap over solve, or integrate, for "
            "several."
        )
    asked = times if checks.is_traced(times) else checks.times(times)
    max_steps = checks.integer("max_steps", max_steps)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not checks.is_traced(value):
            checks.positive(name, value)
    require_theory(problem)
    if problem.batch_ratio is not None:
        raise ValueError(
            "solve integrates in time, but with batch_ratio time counts updates; use integrate."
        )
    rtol, atol = tolerances(theory_of(problem.rule).nodes(problem.rule, problem), rtol, atol)
    run = partial(
        _solve_one,
        solver=chosen(solver, rtol),
        max_steps=max_steps,
        progress=False,
        extras=(),
        gradients=True,
    )
    return in_float64(run, problem.for_programs(), by_mode(problem, start), asked, rtol, atol)


def solve_all(
    problem, start, times, rtol, atol, sweeps, solver, max_steps, progress, extras
) -> dict[str, Array]:
    """The parts of the trajectory of every combination of the swept parameters and, innermost, of
    every start of a batch.
    """
    run = partial(
        _solve_one,
        solver=solver,
        max_steps=max_steps,
        progress=progress,
        extras=extras,
        gradients=False,
    )
    if start.v.ndim == 2:
        run = jax.vmap(run, in_axes=(None, ONE_START, None, None, None))
    for name in reversed(sweeps):
        run = _over_parameter(run, name)
    answer = run(problem, start, times, rtol, atol)
    return {name: part for name, part in answer._asdict().items() if part is not None}


def _over_parameter(run, name: str):
    """`run` for every entry of one swept parameter."""
    place = (
        (lambda problem: problem.task.noise)
        if name == "noise"
        else (lambda problem: getattr(problem.rule, name))
    )

    def swept(problem, *rest):
        at = lambda value: run(eqx.tree_at(place, problem, value), *rest)
        return jax.lax.map(at, place(problem), batch_size=CURVES_AT_ONCE)

    return swept


@partial(jax.jit, static_argnames=("solver", "max_steps", "progress", "extras", "gradients"))
def _solve_one(
    problem, start, times, rtol, atol, *, solver, max_steps, progress, extras, gradients
) -> Trajectory:
    if solver == "map":
        return _iterated(problem, start, times)
    fixed = Fixed(start.rho, start.weights, start.t, start.T, start.noise)
    begin = State(start.q, start.r, start.v, start.b)
    begin = begin._replace(
        memory=theory_of(problem.rule).first_memory(problem.rule, problem, fixed, begin)
    )
    first = pack(begin, problem)

    def asked(t, packed, args):
        state = unpack(packed, problem, begin)
        last_to_front = lambda part: jnp.moveaxis(part, -1, 0)
        by_mode = map(last_to_front, state[:2]) if "densities" in extras else ()
        return *overlaps(fixed, state), state.v, state.b, *by_mode

    steps = adaptive_steps
    if gradients or solver in IMPLICIT:
        steps = partial(
            by_diffrax, diffrax.RecursiveCheckpointAdjoint() if gradients else diffrax.ForwardMode()
        )
    solved = steps(
        _field,
        first,
        (problem, begin, fixed),
        times,
        asked,
        lambda packed: has_diverged(packed, first, fixed, problem),
        getattr(diffrax, SOLVERS[solver])(),
        diffrax.PIDController(
            rtol=rtol,
            atol=atol,
            dtmin=1e-12,
            force_dtmin=False,
            norm=ErrorNorm(fixed.rho, fixed.weights),
        ),
        max_steps,
        diffrax.TqdmProgressMeter() if progress else diffrax.NoProgressMeter(),
    )
    Q, R, v, b, *by_mode = solved.at
    states, last = (Q, R, v, b), unpack(solved.last, problem, begin)
    return Trajectory(
        *states,
        eps_g=jax.lax.map(
            lambda at: error_of(problem, at[0], at[1], start.T, at[2], at[3]), states
        ),
        reached=solved.reached,
        rule_error=_rule_error(problem, fixed, begin, last) if "rule error" in extras else None,
        diverged=solved.failed,
        exceeded=has_diverged(solved.last, first, fixed, problem),
        steps=solved.steps,
        rejected=solved.rejected,
        **dict(zip(("q", "r"), by_mode, strict=False)),
        accuracy=jax.lax.map(lambda at: accuracy_at(problem, *at), states)
        if "accuracy" in extras
        else None,
    )


@jax.jit  # traced once, not in each place that diffrax calls it from
def _field(t, packed, args) -> tuple:
    problem, begin, fixed = args
    return pack(vector_field(problem, fixed, unpack(packed, problem, begin)), problem)


def by_diffrax(
    adjoint, field, y, args, times, asked, has_diverged, solver, controller, max_steps, meter
) -> Solved:
    """The same as `adaptive_steps`, but it can be differentiated, and takes implicit solvers."""
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        solver,
        t0=0.0,
        t1=times[-1],
        dt0=FIRST_STEP,
        y0=y,
        args=args,
        saveat=diffrax.SaveAt(
            subs=[diffrax.SubSaveAt(ts=times, fn=asked), diffrax.SubSaveAt(t1=True)]
        ),
        stepsize_controller=controller,
        event=diffrax.Event(lambda t, packed, args, **kwargs: has_diverged(packed)),
        max_steps=max_steps,
        throw=False,
        adjoint=adjoint,
        progress_meter=meter,
    )
    at, last = solution.ys
    failures = diffrax.RESULTS.event_occurred, diffrax.RESULTS.dt_min_reached
    failed = (solution.result == failures[0]) | (solution.result == failures[1])
    steps = (solution.stats[name] for name in ("num_steps", "num_rejected_steps"))
    return Solved(at, jax.tree.map(lambda part: part[0], last), solution.ts[1][0], failed, *steps)


def _rule_error(problem: Problem, fixed: Fixed, begin: State, end: State) -> Float[Array, ""]:
    """A cautious estimate of the velocity's error, at the start and at the end, from its
    differences at other nodes.
    """

    def error(state: State) -> Float[Array, ""]:
        used = vector_field(problem, fixed, state)[:3]
        differences = [
            jnp.max(jnp.abs(mine - other))
            for replica in range(1, REPLICAS + 1)
            for mine, other in zip(
                used, vector_field(problem, fixed, state, replica)[:3], strict=True
            )
        ]
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(part)) for part in used]))
        return CAUTION * jnp.max(jnp.stack(differences)) + ROUNDING * largest

    both = jax.tree.map(lambda *parts: jnp.stack(parts), begin, end)
    return jnp.max(jax.lax.map(error, both))


def _iterated(problem: Problem, start: ByMode, times: Float[Array, " times"]) -> Trajectory:
    """The states of a map after whole numbers of updates."""
    q, r, T, v = map(jnp.asarray, (start.q, start.r, start.T, start.v))
    Q, R, v = agd_map.iterate(
        problem, T, agd_map.Point(q[..., 0], r[..., 0], v), times.astype(jnp.int64)
    )
    b, count = jnp.zeros_like(v), times[-1].astype(jnp.int64)
    eps_g = jax.lax.map(lambda at: error_of(problem, at[0], at[1], T, at[2], at[3]), (Q, R, v, b))
    finite = jnp.isfinite(eps_g)
    return Trajectory(
        Q, R, v, b, eps_g, reached=jnp.max(jnp.where(finite, times, 0.0)), diverged=~finite.all(),
        exceeded=~finite.all(), steps=count, rejected=jnp.zeros_like(count),
    )  # fmt: skip
