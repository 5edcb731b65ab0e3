"""The verb: integrate the order-parameter equations of a problem.

`solve` is the pure JAX function (grad and vmap go through it), `integrate` labels its answer as a dataset.  The solvers,
the step-size control and the gradients are diffrax's.
"""

import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Int

from odes import agd_map
from odes.flow import Nodes, check, first_memory, quadrature
from odes.one_update import Fixed, State, overlaps
from odes.precision import exact, in_float64
from odes.quadrature_error import averages_used, quadrature_error
from odes.sign_modes import sign_modes
from odes.vector_field import vector_field
from teacherstudent import checks
from teacherstudent.averages.pairs import pair_number, unordered_pairs
from teacherstudent.class_accuracy import accuracy_at
from teacherstudent.compilation import default_platform, options
from teacherstudent.errors import DivergenceError, SolverError
from teacherstudent.generalisation import error_of
from teacherstudent.order_parameters import OrderParameters
from teacherstudent.problem import Problem
from teacherstudent.results import dataset, in_the_words_of
from teacherstudent.rules import SignSGD
from teacherstudent.spectral_overlaps import SpectralOverlaps
from teacherstudent.starts import Start, spectral_start
from teacherstudent.tasks import MixtureTask, StructuredTask

SOLVERS = {"tsit5": diffrax.Tsit5, "dopri8": diffrax.Dopri8, "kvaerno5": diffrax.Kvaerno5}
LEAST_RTOL, LEAST_ATOL = 1e-5, 1e-6  # with averages over frozen points: below, a solver only follows their jumps
CURVES_AT_ONCE = 32  # of a sweep; they step together, as often as the slowest of them needs
DIVERGED = 1e6  # overlaps beyond this are on their way to infinity: fields of order 1000


class Trajectory(NamedTuple):
    """Order parameters at the requested times, and how the solver fared.

    Of a task with two classes R is m, and eps_g the expected loss.
    """

    Q: Float[Array, "*batch time students students"]
    R: Float[Array, "*batch time students teachers"]
    v: Float[Array, "*batch time students"]
    b: Float[Array, "*batch time students"]
    eps_g: Float[Array, "*batch time"]
    reached: Float[Array, "*batch"]
    diverged: Bool[Array, "*batch"]
    steps: Int[Array, "*batch"]
    rejected: Int[Array, "*batch"]
    q: Float[Array, "*batch time modes students students"] | None = None
    r: Float[Array, "*batch time modes students teachers"] | None = None
    accuracy: Float[Array, "*batch time"] | None = None
    rule_error: Float[Array, "*batch"] | None = None


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

    The function behind `integrate`, for `jax.grad` and `jax.vmap`: it can be differentiated with respect to learning
    rates, noise, weight decay, the teacher's readout and the start.  Use it inside `jax.jit` only with float64 switched
    on (`with jax.enable_x64(True):`).  Gradients are reverse-mode and of first order; the gradient with respect to the
    symmetric Q sits in its upper triangle.  `OrderParameters` on structured inputs cannot be differentiated; make them
    `SpectralOverlaps` first, with `spectral_start`.  A solve that fails leaves entries that are not finite after the time
    `reached`; nothing is raised, since nothing can be inside a transformation.
    """
    problem.check_start(start)
    checks.one_of("solver", solver, ("auto", *SOLVERS))
    if problem.sweeps or start.batch:
        raise ValueError("solve takes one problem and one start; use jax.vmap over solve, or integrate, for several.")
    asked = times if checks.is_traced(times) else checks.times(times)
    check(problem.rule, problem)
    if problem.batch_ratio is not None:
        raise ValueError("solve integrates in time, but with batch_ratio time counts updates; use integrate.")
    rtol, atol = _tolerances(quadrature(problem.rule, problem), rtol, atol)
    run = partial(
        _solve_one, solver=_chosen(solver, rtol), max_steps=max_steps, progress=False, extras=(), gradients=True
    )
    return in_float64(run, problem.without_inputs, _by_mode(problem, start), asked, rtol, atol)


def integrate(
    problem: Problem,
    start: Start,
    times,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    solver: str = "auto",
    max_steps: int = 100_000,
    spectral: bool = False,
    progress: bool | None = None,
) -> xr.Dataset:
    """Integrate the order-parameter equations of `problem` from `start`: the theory's counterpart of `simulate`.

        d(Q, R, v)/dt = vector_field(Q, R, v),   t = updates / N,   N -> infinity          (two classes: Q, m, v, b)

    - `times`: increasing times at which to answer, t >= 0; the start is at t = 0 (`log_times` is dense near zero).
    - `rtol`, `atol`: error allowed per step of the adaptive solver.  Rules whose averages jump between frozen points (sign
      rules, Fromage) get at least 1e-5 and 1e-6; the report has what was used.
    - `solver`: "auto" is Tsit5 for rtol >= 1e-6 and Dopri8 below; "kvaerno5" is implicit, for stiff runs.
    - `spectral`: also answer with the densities q(rho, t) and r(rho, t) over the eigenvalues rho of the input covariance.
    - `progress`: a progress bar; None shows one where the error stream is a terminal.

    Parameters given as sequences (`Problem.sweeps`) and a batch of starts add their dimensions to the answer; one
    compiled program serves all values.  A curve of a batch that fails is nan after the time it reached, with a warning.

    The task's inputs enter through the spectrum that the start carries (`SpectralOverlaps`); of a start from
    `OrderParameters` that is the task's own, in the limit N, D -> infinity (`spectral_start`), and one eigenvalue for the
    teacher-student task. Cost of a step: of the order of modes x K (K + M)^2, beside averages that do not depend on the
    number of modes; memory: modes x K (K + M) numbers.

    Returns an `xarray.Dataset` with Q, R, T, v and eps_g along `time`, or, for a task with two classes, with Q, m, v, b, the
    expected `loss` and the `accuracy`; the solver's statistics are in its attributes, with the averages that were used and,
    where they are by quadrature, an estimate of their error.

    Raises ValueError for input that does not fit; `DivergenceError` or `SolverError`, with the time reached, if a single
    solve fails.  Saad & Solla, Phys. Rev. E 52, 4225 (1995); Goldt et al., NeurIPS 2019, Phys. Rev. X 10, 041044 (2020) and
    MSML 2021; Refinetti et al., ICML 2021.
    """
    times, rtol, atol = checks.times(times), checks.positive("rtol", rtol), checks.positive("atol", atol)
    checks.one_of("solver", solver, ("auto", *SOLVERS))
    max_steps = checks.integer("max_steps", max_steps)
    checks.one_of("spectral", spectral, (True, False))
    problem.check_start(start)
    check(problem.rule, problem)
    problem.task.warn_theory()
    if isinstance(problem.task, StructuredTask):
        start = spectral_start(problem, start)
    if problem.batch_ratio is not None:
        _check_counts(times)
        solver = "map"
    nodes = quadrature(problem.rule, problem)
    rtol, atol = _tolerances(nodes, rtol, atol)
    sweeps, chosen = tuple(problem.sweeps), _chosen(solver, rtol)
    extras = ("densities",) * spectral + ("accuracy",) * isinstance(problem.task, MixtureTask)
    extras += ("rule error",) * (nodes is not None)
    shows_progress = sys.stderr.isatty() if progress is None else progress
    began = time.perf_counter()
    with jax.enable_x64(True):
        answer = _compiled(default_platform())(
            *exact((problem.without_inputs, _by_mode(problem, start), times, rtol, atol)),
            sweeps, chosen, max_steps, shows_progress, extras,
        )  # fmt: skip
        answer = jax.tree.map(np.asarray, answer)
        error = _quadrature_error(problem, start, answer)
    seconds = time.perf_counter() - began
    _check_success(answer, times, max_steps)
    report = {"solver": chosen, "rtol": rtol, "atol": atol, "max_steps": max_steps, "seconds": round(seconds, 4)}
    report |= {"steps": answer.steps.tolist(), "rejected_steps": answer.rejected.tolist()}
    report |= {"averages": averages_used(problem) if nodes is None else nodes.description} | (
        {} if error is None else {"quadrature_error": error}
    )
    return _labelled(problem, start, times, answer, report)


class ByMode(NamedTuple):
    """A start with the modes last; all but the spectrum may have a leading axis, a batch of starts."""

    rho: checks.Parameter
    weights: checks.Parameter
    noise: checks.Parameter
    q: checks.Parameter
    r: checks.Parameter
    t: checks.Parameter
    T: checks.Parameter
    v: checks.Parameter
    b: checks.Parameter


ONE_START = ByMode(None, None, None, *[0] * 6)  # the axes of a batch


def _tolerances(nodes: Nodes | None, rtol: float, atol: float) -> tuple[float, float]:
    """The tolerances asked for, or the smallest that rough averages allow."""
    return (max(rtol, LEAST_RTOL), max(atol, LEAST_ATOL)) if nodes is not None and nodes.rough else (rtol, atol)


def _check_counts(times: np.ndarray) -> None:
    """Raise ValueError unless all times are whole numbers of updates."""
    if (times != np.rint(times)).any():
        wrong = times[times != np.rint(times)][0]
        raise ValueError(
            f"times has the entry {wrong:g}, but with batch_ratio time counts updates; give whole numbers."
        )


def _by_mode(problem: Problem, start: Start) -> ByMode:
    """The start's spectrum and densities; isotropic inputs have one mode, q = Q, r = R, t = T."""
    if isinstance(start, OrderParameters) and not isinstance(problem.task, StructuredTask):
        one = np.ones(1)
        return ByMode(
            one, one, one, start.Q[..., None], start.R[..., None], start.T[..., None], start.T, start.v, start.b
        )
    start = spectral_start(problem, start)
    noise = start.rho
    if isinstance(problem.rule, SignSGD):
        start, noise = sign_modes(problem, start)
    q, r, t = (jnp.moveaxis(part, -3, -1) if checks.is_traced(part) else np.moveaxis(np.asarray(part), -3, -1)
               for part in (start.q, start.r, start.t))  # fmt: skip
    return ByMode(start.rho, start.weights, noise, q, r, t, start.T, start.v, np.zeros(np.shape(start.v)))


def _chosen(solver: str, rtol: float) -> str:
    if solver != "auto":
        return solver
    return "tsit5" if rtol >= 1e-6 else "dopri8"


@cache
def _compiled(platform: str) -> Callable:
    """`_solve_all` for a kind of device."""
    static = ("sweeps", "solver", "max_steps", "progress", "extras")
    return jax.jit(_solve_all, static_argnames=static, compiler_options=options(platform))


def _solve_all(problem, start, times, rtol, atol, sweeps, solver, max_steps, progress, extras) -> Trajectory:
    """Every combination of the swept parameters and, innermost, every start of a batch."""
    run = partial(_solve_one, solver=solver, max_steps=max_steps, progress=progress, extras=extras, gradients=False)
    if start.v.ndim == 2:
        run = jax.vmap(run, in_axes=(None, ONE_START, None, None, None))
    for name in reversed(sweeps):
        run = _over_parameter(run, name)
    return run(problem, start, times, rtol, atol)


def _over_parameter(run, name: str):
    """`run` for every entry of one swept parameter."""
    place = (lambda problem: problem.task.noise) if name == "noise" else (lambda problem: getattr(problem.rule, name))

    def swept(problem, *rest):
        at = lambda value: run(eqx.tree_at(place, problem, value), *rest)
        return jax.lax.map(at, place(problem), batch_size=CURVES_AT_ONCE)

    return swept


@partial(jax.jit, static_argnames=("solver", "max_steps", "progress", "extras", "gradients"))
def _solve_one(problem, start, times, rtol, atol, *, solver, max_steps, progress, extras, gradients) -> Trajectory:
    if solver == "map":
        return _iterated(problem, start, times)
    fixed = Fixed(start.rho, start.weights, start.t, start.T, start.noise)
    begin = State(start.q, start.r, start.v, start.b)
    begin = begin._replace(memory=first_memory(problem.rule, problem, fixed, begin))

    def kept(t, packed, args):
        state = _unpack(packed, problem, begin)
        last_to_front = lambda part: jnp.moveaxis(part, -1, 0)
        by_mode = map(last_to_front, state[:2]) if "densities" in extras else ()
        return *overlaps(fixed, state), state.v, state.b, *by_mode

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(partial(_packed_field, fixed=fixed)),
        SOLVERS[solver](),
        t0=0.0,
        t1=times[-1],
        dt0=None,
        y0=_pack(begin, problem),
        args=(problem, begin),
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=times, fn=kept), diffrax.SubSaveAt(t1=True, fn=_last)]),
        stepsize_controller=diffrax.PIDController(
            rtol=rtol, atol=atol, dtmin=1e-12, force_dtmin=False, norm=ErrorNorm(fixed.rho, fixed.weights)
        ),
        event=diffrax.Event(partial(_has_diverged, fixed=fixed)),
        max_steps=max_steps,
        throw=False,
        # without the machinery of reverse-mode gradients the program is traced and compiled in half of the time
        adjoint=diffrax.RecursiveCheckpointAdjoint() if gradients else diffrax.ForwardMode(),
        progress_meter=diffrax.TqdmProgressMeter() if progress else diffrax.NoProgressMeter(),
    )
    (Q, R, v, b, *by_mode), ends = solution.ys
    last, estimated = jax.tree.map(lambda part: part[0], ends), "rule error" in extras
    states = (Q, R, v, b)
    return Trajectory(
        *states,
        eps_g=jax.lax.map(lambda at: error_of(problem, at[0], at[1], start.T, at[2], at[3]), states),
        reached=solution.ts[1][0],
        rule_error=_rule_error(problem, fixed, begin, _unpack(last, problem, begin)) if estimated else None,
        diverged=(solution.result == diffrax.RESULTS.event_occurred)
        | (solution.result == diffrax.RESULTS.dt_min_reached),
        steps=solution.stats["num_steps"],
        rejected=solution.stats["num_rejected_steps"],
        **dict(zip(("q", "r"), by_mode, strict=False)),
        accuracy=jax.lax.map(lambda at: accuracy_at(problem, *at), states) if "accuracy" in extras else None,
    )


def _last(t, packed, args):
    return packed


def _rule_error(problem: Problem, fixed: Fixed, begin: State, end: State) -> Float[Array, ""]:
    """The largest difference of the velocity from that with half of the quadrature's nodes, at the start and at the end."""

    def gap(state: State) -> Float[Array, ""]:
        fine, rough = (vector_field(problem, fixed, state, coarse)[:3] for coarse in (False, True))
        return jnp.max(jnp.stack([jnp.max(jnp.abs(x - y)) for x, y in zip(fine, rough, strict=True)]))

    return jnp.maximum(gap(begin), gap(end))


def _iterated(problem: Problem, start: ByMode, times: Float[Array, " times"]) -> Trajectory:
    """The states of a map after whole numbers of updates."""
    q, r, T, v = map(jnp.asarray, (start.q, start.r, start.T, start.v))
    Q, R, v = agd_map.iterate(problem, T, agd_map.Point(q[..., 0], r[..., 0], v), times.astype(jnp.int64))
    b, count = jnp.zeros_like(v), times[-1].astype(jnp.int64)
    eps_g = jax.lax.map(lambda at: error_of(problem, at[0], at[1], T, at[2], at[3]), (Q, R, v, b))
    finite = jnp.isfinite(eps_g)
    return Trajectory(
        Q, R, v, b, eps_g, reached=jnp.max(jnp.where(finite, times, 0.0)), diverged=~finite.all(),
        steps=count, rejected=jnp.zeros_like(count),
    )  # fmt: skip


def _pack(state: State, problem: Problem) -> tuple:
    """What the solver moves: q as its upper triangle, so that it stays symmetric, and v and b only if they are trained."""
    student = problem.student
    upper = state.q[unordered_pairs(state.v.shape[0])]
    trained = (*((state.v,) if student.train_readout else ()), *((state.b,) if student.train_bias else ()))
    return upper, state.r, *trained, *((state.memory,) if jax.tree.leaves(state.memory) else ())


def _unpack(packed: tuple, problem: Problem, begin: State) -> State:
    upper, r, *rest = packed
    memory = rest.pop() if jax.tree.leaves(begin.memory) else begin.memory
    b = rest.pop() if problem.student.train_bias else begin.b
    v = rest.pop() if problem.student.train_readout else begin.v
    return State(upper[pair_number(begin.v.shape[0])], r, v, b, memory)


def _packed_field(t, packed, args, fixed) -> tuple:
    problem, begin = args
    return _pack(vector_field(problem, fixed, _unpack(packed, problem, begin)), problem)


class ErrorNorm(eqx.Module):
    """The root mean square of a step's relative errors, in which each mode counts by its share of Q and of R.

    Of hundreds of modes a few may carry most of Q; a plain mean over all numbers would let their errors grow.
    """

    rho: Float[Array, " modes"]
    weights: Float[Array, " modes"]

    def __call__(self, errors: tuple) -> Float[Array, ""]:
        """Errors of q (pairs, modes), r (students, teachers, modes) and what else is trained, over their tolerances."""
        q, r, *others = errors
        rest = jax.tree.leaves(others)
        share = self.weights * self.rho / jnp.sum(self.weights * self.rho)
        count = q.shape[0] + r.shape[0] * r.shape[1] + sum(map(jnp.size, rest))
        square = jnp.sum(q**2 @ share) + jnp.sum(r**2 @ self.weights) + sum(jnp.sum(part**2) for part in rest)
        return jnp.sqrt(square / count)


def _has_diverged(t, packed, args, fixed, **kwargs):
    return jnp.max(jnp.abs(packed[0] @ (fixed.weights * fixed.rho))) > DIVERGED


def _quadrature_error(problem: Problem, start: Start, answer: Trajectory) -> float | None:
    """Estimated along the first curve of a batch."""
    first = (0,) * answer.reached.ndim
    if answer.rule_error is not None:
        return float(answer.rule_error[first])
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), problem.without_inputs)
    return quadrature_error(single, start.T[0] if start.batch else start.T, *(part[first] for part in answer[:4]))


def _check_success(answer: Trajectory, times: np.ndarray, max_steps: int) -> None:
    failed = ~(answer.reached >= times[-1])  # also where it is nan
    if not failed.any():
        return
    if failed.ndim:
        warnings.warn(
            f"{failed.sum()} of {failed.size} curves did not reach t = {times[-1]:g} and are nan beyond the time they "
            f"reached (the earliest: t = {answer.reached[failed].min():.6g}).",
            stacklevel=3,
        )
        return
    reached = float(answer.reached)
    if bool(answer.diverged):
        raise DivergenceError(
            f"the order parameters diverge at t = {reached:.6g}; lower the learning rate, or stop before.", reached
        )
    raise SolverError(
        f"the solver used max_steps = {max_steps} steps and reached t = {reached:.6g} of {times[-1]:g}; "
        "give a larger max_steps or rtol, or solver='kvaerno5' if the run is stiff.",
        reached,
    )


def _labelled(problem: Problem, start: Start, times, answer: Trajectory, report: dict) -> xr.Dataset:
    batch = {**problem.sweeps} | ({"start": np.arange(start.batch[0])} if start.batch else {})
    finite = lambda values: np.where(np.isfinite(values), values, np.nan)
    names = [name for name in ("Q", "R", "v", "b", "eps_g", "q", "r", "accuracy") if getattr(answer, name) is not None]
    spectral = answer.q is not None
    rho = {"rho": np.asarray(start.rho if isinstance(start, SpectralOverlaps) else [1.0])} if spectral else {}
    values = {name: finite(getattr(answer, name)) for name in names} | {"T": start.T}
    return dataset(
        "theory",
        problem,
        start,
        coordinates={**batch, "time": times, **rho},
        variables=in_the_words_of(problem.task, values),
        leading=tuple(batch),
        report=report,
    )
