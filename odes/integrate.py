"""The verb: integrate the order-parameter equations of a problem.

`solve` is the pure JAX function (grad and vmap go through it), `integrate` labels its answer as a dataset.  The solvers,
the step-size control and the gradients are diffrax's.
"""

import sys
import time
import warnings
from functools import partial
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Int

from odes.precision import exact, in_float64
from odes.quadrature_error import quadrature_error
from odes.vector_field import State, vector_field
from teacherstudent import checks
from teacherstudent.averages.pairs import pair_number, unordered_pairs
from teacherstudent.errors import DivergenceError, SolverError
from teacherstudent.generalisation import averages_of, error_at, output_weights
from teacherstudent.order_parameters import OrderParameters, covariance
from teacherstudent.problem import Problem
from teacherstudent.results import dataset

SOLVERS = {"tsit5": diffrax.Tsit5, "dopri8": diffrax.Dopri8, "kvaerno5": diffrax.Kvaerno5}
DIVERGED = 1e6  # overlaps beyond this are on their way to infinity: fields of order 1000


class Trajectory(NamedTuple):
    """Order parameters at the requested times, and how the solver fared."""

    Q: Float[Array, "*batch time students students"]
    R: Float[Array, "*batch time students teachers"]
    v: Float[Array, "*batch time students"]
    eps_g: Float[Array, "*batch time"]
    reached: Float[Array, "*batch"]
    diverged: Bool[Array, "*batch"]
    steps: Int[Array, "*batch"]
    rejected: Int[Array, "*batch"]


def solve(
    problem: Problem,
    start: OrderParameters,
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
    symmetric Q sits in its upper triangle.  A solve that fails leaves entries that are not finite after the time `reached`;
    nothing is raised, since nothing can be inside a transformation.
    """
    problem.check_start(start)
    checks.one_of("solver", solver, ("auto", *SOLVERS))
    if problem.sweeps or start.batch:
        raise ValueError("solve takes one problem and one start; use jax.vmap over solve, or integrate, for several.")
    asked = times if checks.is_traced(times) else checks.times(times)
    run = partial(_solve_one, solver=_chosen(solver, rtol), max_steps=max_steps, progress=False)
    return in_float64(run, problem, _overlaps(start), asked, rtol, atol)


def integrate(
    problem: Problem,
    start: OrderParameters,
    times,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    solver: str = "auto",
    max_steps: int = 100_000,
    progress: bool | None = None,
) -> xr.Dataset:
    """Integrate the order-parameter equations of `problem` from `start`: the theory's counterpart of `simulate`.

        d(Q, R, v)/dt = vector_field(Q, R, v),   t = updates / N,   N -> infinity

    - `times`: increasing times at which to answer, t >= 0; the start is at t = 0 (`log_times` is dense near zero).
    - `rtol`, `atol`: error allowed per step of the adaptive solver.
    - `solver`: "auto" is Tsit5 for rtol >= 1e-6 and Dopri8 below; "kvaerno5" is implicit, for stiff runs.
    - `progress`: a progress bar; None shows one where the error stream is a terminal.

    Parameters given as sequences (`Problem.sweeps`) and a batch of starts add their dimensions to the answer; one
    compiled program serves all values.  A curve of a batch that fails is nan after the time it reached, with a warning.

    Returns an `xarray.Dataset` with Q, R, T, v and eps_g along `time`, and the solver's statistics in its attributes.

    Raises ValueError for input that does not fit; `DivergenceError` or `SolverError`, with the time reached, if a single
    solve fails.  Saad & Solla, Phys. Rev. E 52, 4225 (1995); Goldt et al., NeurIPS 2019.
    """
    times, rtol, atol = checks.times(times), _tolerance("rtol", rtol), _tolerance("atol", atol)
    checks.one_of("solver", solver, ("auto", *SOLVERS))
    max_steps = checks.integer("max_steps", max_steps)
    problem.check_start(start)
    sweeps, chosen = tuple(problem.sweeps), _chosen(solver, rtol)
    shows_progress = sys.stderr.isatty() if progress is None else progress
    began = time.perf_counter()
    with jax.enable_x64(True):
        answer = _solve_all(
            *exact((problem, _overlaps(start), times, rtol, atol)), sweeps, chosen, max_steps, shows_progress
        )
        answer = jax.tree.map(np.asarray, answer)
        quadrature = _quadrature_error(problem, start, answer)
    seconds = time.perf_counter() - began
    _check_success(answer, times, max_steps)
    report = {"solver": chosen, "rtol": rtol, "atol": atol, "max_steps": max_steps, "seconds": round(seconds, 4)}
    report |= {"steps": answer.steps.tolist(), "rejected_steps": answer.rejected.tolist()}
    report |= {} if quadrature is None else {"quadrature_error": quadrature}
    return _labelled(problem, start, times, answer, report)


def _tolerance(name: str, value) -> float:
    checks.number(name, value, strict=True)
    if np.ndim(value):
        raise ValueError(f"{name} = {checks.shortened(value)} is a sequence; give one number.")
    return float(value)


def _overlaps(start: OrderParameters) -> tuple:
    return start.Q, start.R, start.T, start.v


def _chosen(solver: str, rtol: float) -> str:
    if solver != "auto":
        return solver
    return "tsit5" if rtol >= 1e-6 else "dopri8"


@partial(jax.jit, static_argnames=("sweeps", "solver", "max_steps", "progress"))
def _solve_all(problem, overlaps, times, rtol, atol, sweeps, solver, max_steps, progress) -> Trajectory:
    """Every combination of the swept parameters and, innermost, every start of a batch."""
    run = partial(_solve_one, solver=solver, max_steps=max_steps, progress=progress)
    if overlaps[0].ndim == 3:
        run = jax.vmap(run, in_axes=(None, 0, None, None, None))
    for name in reversed(sweeps):
        run = _over_parameter(run, name)
    return run(problem, overlaps, times, rtol, atol)


def _over_parameter(run, name: str):
    """`run` for every entry of one swept parameter."""
    place = (lambda problem: problem.task.noise) if name == "noise" else (lambda problem: getattr(problem.rule, name))

    def swept(problem, *rest):
        at = lambda value: run(eqx.tree_at(place, problem, value), *rest)
        return jax.vmap(at)(place(problem))

    return swept


@partial(jax.jit, static_argnames=("solver", "max_steps", "progress"))
def _solve_one(problem, overlaps, times, rtol, atol, *, solver, max_steps, progress) -> Trajectory:
    Q, R, T, v = overlaps
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(partial(_packed_field, T=T)),
        SOLVERS[solver](),
        t0=0.0,
        t1=times[-1],
        dt0=None,
        y0=_pack(State(Q, R, v), problem),
        args=(problem, v),
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=times), diffrax.SubSaveAt(t1=True)]),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol, dtmin=1e-12, force_dtmin=False),
        event=diffrax.Event(_has_diverged),
        max_steps=max_steps,
        throw=False,
        progress_meter=diffrax.TqdmProgressMeter() if progress else diffrax.NoProgressMeter(),
    )
    states = jax.vmap(partial(_unpack, problem=problem, v=v))(solution.ys[0])
    return Trajectory(
        *states,
        eps_g=jax.vmap(partial(_error, problem, T))(states),
        reached=solution.ts[1][0],
        diverged=(solution.result == diffrax.RESULTS.event_occurred)
        | (solution.result == diffrax.RESULTS.dt_min_reached),
        steps=solution.stats["num_steps"],
        rejected=solution.stats["num_rejected_steps"],
    )


def _pack(state: State, problem: Problem) -> tuple:
    """What the solver moves: Q as its upper triangle, so that it stays symmetric, and v only if it is trained."""
    upper = state.Q[unordered_pairs(state.v.shape[0])]
    return (upper, state.R, state.v) if problem.student.train_readout else (upper, state.R)


def _unpack(packed: tuple, problem: Problem, v) -> State:
    symmetric = packed[0][pair_number(v.shape[0])]
    return State(symmetric, packed[1], packed[2] if problem.student.train_readout else v)


def _packed_field(t, packed, args, T) -> tuple:
    problem, v = args
    return _pack(vector_field(problem, T, _unpack(packed, problem, v)), problem)


def _has_diverged(t, packed, args, **kwargs):
    return jnp.max(jnp.abs(packed[0])) > DIVERGED


def _error(problem: Problem, T, state: State) -> Float[Array, ""]:
    return error_at(averages_of(problem), covariance(state.Q, state.R, T), output_weights(problem, state.v))


def _quadrature_error(problem: Problem, start: OrderParameters, answer: Trajectory) -> float | None:
    """Estimated along the first curve of a batch."""
    first = (0,) * answer.reached.ndim
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), problem)
    return quadrature_error(single, start.T[0] if start.batch else start.T, *(part[first] for part in answer[:3]))


def _check_success(answer: Trajectory, times: np.ndarray, max_steps: int) -> None:
    failed = answer.reached < times[-1]
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


def _labelled(problem: Problem, start: OrderParameters, times, answer: Trajectory, report: dict) -> xr.Dataset:
    batch = {**problem.sweeps} | ({"start": np.arange(start.batch[0])} if start.batch else {})
    finite = lambda values: np.where(np.isfinite(values), values, np.nan)
    T = start.T
    return dataset(
        "theory",
        problem,
        start,
        coordinates={**batch, "time": times},
        variables={name: finite(getattr(answer, name)) for name in ("Q", "R", "v", "eps_g")} | {"T": T},
        leading=tuple(batch),
        report=report,
    )
