"""The verb: integrate the order-parameter equations of a problem, and label the answer as a
dataset.

The solve itself is in `solve.py`, which imports diffrax, and is imported only where its program is
not kept.
"""

import sys
import time
import warnings
from collections.abc import Callable
from functools import cache, partial

import jax
import numpy as np
import xarray as xr

from odes import vector_field  # noqa: F401 (it registers what rules and tasks need)
from odes.rules.theory import require_theory, theory_of
from odes.solving.precision import exact
from odes.solving.quadrature_error import averages_used, quadrature_error
from odes.solving.reach import Reach, failure, reach, tolerance
from odes.solving.trajectory import SOLVERS, Trajectory, by_mode, chosen, tolerances
from teacherstudent.activations.activation import ACTIVATIONS, polynomial_of
from teacherstudent.checking import arguments, checks, contracts
from teacherstudent.checking.own_classes import changed_law
from teacherstudent.errors import DivergenceError
from teacherstudent.problem import Problem
from teacherstudent.programs import kept_programs
from teacherstudent.programs.compilation import default_platform, options
from teacherstudent.results.datasets import dataset, in_the_words_of
from teacherstudent.results.floor import error_floor
from teacherstudent.starts import Start, spectral_start
from teacherstudent.states.spectral_overlaps import SpectralOverlaps
from teacherstudent.tasks import MixtureTask, StructuredTask, TeacherTask


@arguments.checked
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
    """Integrate the order-parameter equations of `problem` from `start`: the theory's counterpart
    of `simulate`.

        d(Q, R, v)/dt = vector_field(Q, R, v),   t = updates / N,   N -> infinity          (two classes: Q, m, v, b)

    - `times`: increasing times at which to answer, t >= 0; the start is at t = 0 (`log_times` is
      dense near zero).
    - `rtol`, `atol`: error allowed per step of the adaptive solver.  Rules whose averages jump
      between frozen points (sign rules, Fromage) get at least 1e-5 and 1e-6; the report has what
      was used.
    - `solver`: "auto" is Tsit5 for rtol >= 1e-6 and Dopri8 below; "kvaerno5" is implicit, for stiff
      runs.
    - `spectral`: also answer with the densities q(rho, t) and r(rho, t) over the eigenvalues rho of
      the input covariance.
    - `progress`: a progress bar; None shows one where the error stream is a terminal.

    Parameters given as sequences (`Problem.sweeps`) and a batch of starts add their dimensions to
    the answer; one compiled program serves all values.  A curve of a batch that fails is nan after
    the time it reached, with a warning.

    The task's inputs enter through the spectrum that the start carries (`SpectralOverlaps`); of a
    start from `OrderParameters` that is the task's own, in the limit N, D -> infinity
    (`spectral_start`), and one eigenvalue for the teacher-student task. Cost of a step: of the
    order of modes x K (K + M)^2, beside averages that do not depend on the number of modes; memory:
    modes x K (K + M) numbers.

    Returns an `xarray.Dataset` with Q, R, T, v and eps_g along `time`, or, for a task with two
    classes, with Q, m, v, b, the expected `loss` and the `accuracy`; the solver's statistics are in
    its attributes, with the averages that were used and, where they are by quadrature, an estimate
    of their error.

    Raises ValueError for input that does not fit; `DivergenceError` or `SolverError`, with the time
    reached, if a single solve fails; the former where an overlap, readout or bias exceeds 1e6
    (times max(1, its start)), or no weights have the overlaps any more, with the answer before in
    `partial`.

    Saad & Solla, Phys. Rev. E 52, 4225 (1995); Goldt et al., NeurIPS 2019, Phys. Rev. X 10, 041044
    (2020) and MSML 2021; Refinetti et al., ICML 2021.
    """
    times, rtol, atol = (
        checks.times(times),
        checks.positive("rtol", rtol),
        checks.positive("atol", atol),
    )
    checks.one_of("solver", solver, ("auto", *SOLVERS))
    max_steps = checks.integer("max_steps", max_steps)
    checks.one_of("spectral", spectral, (True, False))
    problem.check_start(start)
    require_theory(problem)
    problem.task.warn_theory()
    if isinstance(problem.task, StructuredTask):
        start = spectral_start(problem, start)
    if problem.batch_ratio is not None:
        _check_counts(times)
        solver = "map"
    nodes = theory_of(problem.rule).nodes(problem.rule, problem)
    rtol, atol = tolerances(nodes, rtol, atol)
    sweeps, method = tuple(problem.sweeps), chosen(solver, rtol)
    extras = ("densities",) * spectral + ("accuracy",) * _has_accuracy(problem)
    extras += ("rule error",) * (nodes is not None)
    shows_progress = sys.stderr.isatty() if progress is None else progress
    began = time.perf_counter()
    with jax.enable_x64(True):
        arguments = exact((problem.for_programs(), by_mode(problem, start), times, rtol, atol))
        answer = _solved(arguments, (sweeps, method, max_steps, shows_progress, extras))
        error = _quadrature_error(problem, start, answer)
    seconds = time.perf_counter() - began
    reached = reach(answer, start, times, tolerance(problem, rtol, atol, error))
    report = {
        "solver": method,
        "rtol": rtol,
        "atol": atol,
        "max_steps": max_steps,
        "seconds": round(seconds, 4),
    }
    report |= {"steps": answer.steps.tolist(), "rejected_steps": answer.rejected.tolist()}
    report |= {"averages": averages_used(problem) if nodes is None else nodes.description} | (
        {} if error is None else {"quadrature_error": error}
    )
    if isinstance(problem.task, TeacherTask):
        report["eps_g_floor"] = error_floor(
            problem, answer.Q, start.T, answer.v, answer.eps_g, rtol, atol
        )
    label = partial(_labelled, problem, start, report=report)
    if reached.failed.any():
        _tell_failure(reached, answer, times, max_steps, label)
    return label(times, answer, reached.answered)


def _has_accuracy(problem: Problem) -> bool:
    """Whether the labels are the classes, which the accuracy supposes."""
    return isinstance(problem.task, MixtureTask) and changed_law(problem.task) is None


def _check_counts(times: np.ndarray) -> None:
    """Raise ValueError unless all times are whole numbers of updates."""
    if (times != np.rint(times)).any():
        wrong = times[times != np.rint(times)][0]
        raise ValueError(
            f"times has the entry {wrong:g}, but with batch_ratio time counts updates; give whole "
            "numbers."
        )


def _solved(arguments: tuple, static: tuple) -> Trajectory:
    """The trajectory of `solve_all`, as NumPy arrays."""
    platform = default_platform()
    if platform == "cpu" and kept_programs.wanted() and _is_ours(arguments[0]):
        answer = Trajectory(
            **kept_programs.run(_solve_all, arguments, static, lambda: options("cpu", quick=True))
        )
    else:
        answer = Trajectory(**_compiled(platform)(*arguments, *static))
    return jax.tree.map(np.asarray, answer)


def _is_ours(problem: Problem) -> bool:
    """Whether a problem's text tells its program: a class of one's own may change between two runs
    and keep its name.
    """
    named = lambda one: ACTIVATIONS.get(one.name) == one or polynomial_of(one) is not None
    activations = (
        problem.student.activation,
        getattr(problem.task, "activation", problem.student.activation),
    )
    return all(map(named, activations)) and all(
        contracts.is_ours(type(one)) for one in (problem.task, problem.rule)
    )


def _solve_all() -> Callable:
    from odes.solving.solve import solve_all

    return solve_all


@cache
def _compiled(platform: str) -> Callable:
    """`solve_all` for a kind of device."""
    return jax.jit(
        _solve_all(), static_argnums=range(5, 10), compiler_options=options(platform, quick=True)
    )


def _quadrature_error(problem: Problem, start: Start, answer: Trajectory) -> float | None:
    """The largest along all curves of a batch."""
    if answer.rule_error is not None:
        finite = answer.rule_error[np.isfinite(answer.rule_error)]
        return float(np.max(finite)) if finite.size else None
    T = start.T[:, None] if start.batch else start.T
    return quadrature_error(exact(problem.for_programs()), T, *answer[:4])


def _tell_failure(
    reached: Reach, answer: Trajectory, times: np.ndarray, max_steps: int, label: Callable
) -> None:
    """Warn of the curves of a batch that ended too early, or raise the error of a single one, with
    what came before.
    """
    failed = reached.failed
    if failed.ndim:
        unphysical = (
            f", {reached.unphysical.sum()} of them with overlaps of no weights"
            if reached.unphysical.any()
            else ""
        )
        warnings.warn(
            f"{failed.sum()} of {failed.size} curves did not reach t = {times[-1]:g}{unphysical}, "
            "and are nan beyond the time they reached (the earliest: t = "
            f"{reached.time[failed].min():.6g}).",
            stacklevel=3,
        )
        return
    error = failure(reached, answer, max_steps, times[-1])
    count = int(reached.answered.sum())
    if isinstance(error, DivergenceError) and count:
        before = answer._replace(
            **{
                name: part[:count]
                for name, part in answer._asdict().items()
                if name in ALONG_TIME and part is not None
            }
        )
        error.partial = label(times[:count], before, reached.answered[:count])
    raise error


ALONG_TIME = ("Q", "R", "v", "b", "eps_g", "q", "r", "accuracy")


def _labelled(
    problem: Problem,
    start: Start,
    times: np.ndarray,
    answer: Trajectory,
    answered: np.ndarray,
    report: dict,
) -> xr.Dataset:
    batch = {**problem.sweeps} | ({"start": np.arange(start.batch[0])} if start.batch else {})

    def numbers(values: np.ndarray) -> np.ndarray:
        usable = answered.reshape(*answered.shape, *[1] * (values.ndim - answered.ndim))
        return np.where(usable & np.isfinite(values), values, np.nan)

    names = [name for name in ALONG_TIME if getattr(answer, name) is not None]
    spectral = answer.q is not None
    rho = (
        {"rho": np.asarray(start.rho if isinstance(start, SpectralOverlaps) else [1.0])}
        if spectral
        else {}
    )
    values = {name: numbers(getattr(answer, name)) for name in names} | {"T": start.T}
    return dataset(
        "theory",
        problem,
        start,
        coordinates={**batch, "time": times, **rho},
        variables=in_the_words_of(problem.task, values),
        leading=tuple(batch),
        report=report,
    )
