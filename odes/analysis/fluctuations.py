"""The verb: how finite networks scatter around the solution of the order-parameter equations.

The equations are in `linear_noise.py`, one update beyond its mean in `one_step_covariance.py`.
"""

import json
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from odes.analysis.entries import Frame, by_name, entry_names, in_entries
from odes.analysis.linear_noise import (
    Along,
    Points,
    error_derivatives,
    noise_along,
)
from odes.analysis.linearised_flow import steps_along
from odes.analysis.observable_gradients import observable_gradients
from odes.analysis.one_step_covariance import one_step
from odes.analysis.programs import in_batches
from odes.analysis.sample_points import described, two_sets
from odes.inputs.one_update import Fixed, State, averages_of
from odes.integrate import integrate
from odes.rules.theory import require_theory
from odes.solving.precision import exact
from odes.solving.resolution import first_refinement
from odes.solving.trajectory import by_mode
from teacherstudent.averages.resolution import Quadrature
from teacherstudent.checking import arguments, checks
from teacherstudent.observables.built_in import requested_of_theory
from teacherstudent.observables.observable import Observable
from teacherstudent.problem import Problem
from teacherstudent.results.bands import Band, with_band
from teacherstudent.results.datasets import DESCRIPTION, description
from teacherstudent.starts import Start, check_begins

RTOL, ATOL = 1e-6, 1e-8  # of the solution between recorded times
FEW = 16  # how many times fewer points are taken at every node than at some of them
ACCURACY = 1e-6  # of averages by quadrature in the derivatives of the equations


@arguments.checked
def fluctuations(
    problem: Problem,
    start: Start,
    times,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    points: int = 2**16,
    bias: bool = True,
    observables=(),
    quadrature=None,
    progress: bool | None = None,
    curve: bool = True,
) -> xr.Dataset:
    """The band around the curve of `integrate`: how networks of N inputs scatter and deviate to
    leading order in 1 / N.

        y(t) = ybar(t) + z(t) / sqrt N + O(1/N),   t = updates / N
        dS/dt = A S + S A^T + D,   S = Cov z,   A = df/dy,   D = Cov F,   S = 0 at the start
        db/dt = A b + 1/2 f'' : S + c - 1/2 d^2 ybar/dt^2,   b = N (E y - ybar)

    y are the order parameters that move, (Q_kl with k <= l, R_km, and v, b if trained), f their
    vector field, and F the random change of N y by one update, of mean f + c / N.  All networks
    begin with exactly the overlaps of the start, as `simulate` makes them begin from it.

    - `problem`, `start`, `times`, `rtol`, `atol`, `quadrature`, `progress`, `curve`: as for
      `integrate`.
    - `points`: of how many samples D is an average, at most.
    - `bias`: whether b is computed, which takes second derivatives of f.  It is left out for rules
      of which c is not known: SphericalSGD and HeavyBall.
    - `observables`: what else to record, as for `integrate`.  Those of order parameters get a
      standard deviation of their own by their gradient.

    Returns the dataset of `integrate` with `Q_std`, `R_std` (or `m_std`), `v_std`, `b_std` and
    `eps_g_std` (or `loss_std`), standard deviations of sqrt(N) (value - limit); `Q_bias` and so on,
    N times (mean - limit), for the error with 1/2 hess : S in it; the whole `covariance` S (time,
    entry, entry_), whose `entry` names "Q[0,1]", "R[0,2]", "v[1]", ...; the `propagator` to each
    time from the one before; and the gradient and curvature of the error.  `ts.band_covariance`
    makes the covariance between all times of them, `ts.valid_until` says until when the linear
    theory holds at a given N.  The report in its attributes has an estimate of the largest relative
    error of a standard deviation, from two sets of points.

    Raises ValueError where there is no such theory, with the reason: inputs with several
    eigenvalues, rules without `RuleTheory.one_update`; for sweeps and batches of starts; and as
    `integrate`.

    N. G. van Kampen, Stochastic Processes in Physics and Chemistry, ch. X: the expansion in the
    size of a system.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> band = ts.fluctuations(problem, start, times=[0.0, 1.0])
    >>> band.entry.values.tolist()
    ['Q[0,0]', 'R[0,0]']
    >>> print(band.eps_g_std.values.round(3))  # over sqrt N, of one network
    [0.    0.282]
    """
    checks.one_of("bias", bias, (True, False))
    points = checks.integer("points", points)
    _check_single(problem, start)
    requested, _ = requested_of_theory(observables, problem)
    _check_names(requested)
    problem.check_start(start)
    times = checks.times(times)
    check_begins(start, times)
    require_theory(problem)
    with jax.enable_x64(True):
        setting = _setting(problem, start, points, quadrature)
        setting.try_one_update(start.time)
    options = {"rtol": rtol, "atol": atol, "quadrature": quadrature, "progress": progress}
    theory = integrate(problem, start, times, observables=observables, curve=curve, **options)
    began = time.perf_counter()
    with jax.enable_x64(True):
        band, error = _band(setting, problem, start, theory, bias, requested)
    facts = {
        "points": setting.description,
        "relative_error": float(f"{error:.2g}"),
        "seconds": round(time.perf_counter() - began, 4),
    }
    return _with_facts(with_band(theory, band), facts)


class Setting(NamedTuple):
    """The problem as the equations take it, and the points for D."""

    frame: Frame
    points: Points
    description: str

    def try_one_update(self, t: float) -> None:
        """Raise ValueError, with the reason, where one update is not known; nothing is computed."""
        frame = self.frame
        jax.eval_shape(one_step, frame.problem.at(t), frame.fixed, frame.begin, self.points.few)


def _setting(problem: Problem, start: Start, points: int, quadrature) -> Setting:
    wanted = averages_of(type(problem.task)).random_numbers(problem.task, problem)
    sets = two_sets(wanted, points)
    few, _ = two_sets(wanted, max(2 * wanted.components, 2 * points // FEW))
    refinement = first_refinement(problem, start, quadrature or Quadrature(ACCURACY), ACCURACY)
    if refinement is not None:
        problem = refinement.of(problem)
    modes = exact(by_mode(problem, start))
    fixed = Fixed(modes.rho, modes.weights, modes.t, modes.T, modes.noise)
    begin = State(modes.q, modes.r, modes.v, modes.b)
    frame = Frame(exact(problem.for_programs()), fixed, begin)
    return Setting(frame, exact(Points(few, sets)), described(wanted, sets))


def _check_single(problem: Problem, start: Start) -> None:
    """Raise ValueError for a sweep or a batch of starts."""
    for name in problem.sweeps:
        raise ValueError(
            f"{name} is a sequence, but a band is that of one problem; call fluctuations for each "
            "of the values."
        )
    if start.batch:
        raise ValueError(
            f"start is a batch of {start.batch[0]} starts, but a band is that of one; call "
            "fluctuations for each of them."
        )


def _check_names(observables: Sequence[Observable]) -> None:
    """Raise ValueError for an observable whose name a band needs for something else."""
    names = {one.name for one in observables}
    taken = {"covariance", "propagator", "propagated_from", "entry", "entry_"}
    for name in names | set("QRmvb") | {"eps_g", "loss"}:
        taken |= {f"{name}{ending}" for ending in ("_std", "_bias", "_gradient", "_curvature")}
    for name in sorted(names & taken):
        raise ValueError(f"observable {name!r}: a band has a {name} of its own; rename it.")


def _band(
    setting: Setting,
    problem: Problem,
    start: Start,
    theory: xr.Dataset,
    bias: bool,
    observables: Sequence[Observable],
) -> tuple[Band, float]:
    """The band around a theory, and an estimate of its largest relative error."""
    frame = setting.frame
    times = theory["time"].values
    states = in_entries(problem, *_order_parameters(theory, problem))
    steps = steps_along(frame, start.time, times, states, RTOL, ATOL)
    along = noise_along(frame, steps, len(times), setting.points, bias)
    eps_g = problem.task.name_of("eps_g")
    derivatives = in_batches(partial(error_derivatives, frame), times, states, along.S)
    gradients = {eps_g: derivatives[0]}
    gradients |= observable_gradients(observables, frame, states)
    std = _named(problem, np.sqrt(np.maximum(np.diagonal(along.S, axis1=1, axis2=2), 0.0)))
    for name, gradient in gradients.items():
        std[name] = _std(gradient, along.S)
    biases = {}
    if along.bias is not None:
        biases = _named(problem, along.bias)
        biases[eps_g] = np.einsum("te,te->t", derivatives[0], along.bias) + derivatives[1]
    band = Band(
        entries=entry_names(problem),
        covariance=along.S,
        propagator=along.propagator,
        propagated_from=np.concatenate([[start.time], times[:-1]]),
        std=std,
        bias=biases,
        gradients=gradients,
        curvatures={eps_g: derivatives[1]},
    )
    return band, _relative_error(along, derivatives[0])


def _order_parameters(theory: xr.Dataset, problem: Problem) -> list[np.ndarray]:
    """Q, R, v and b at all times; b is not there where no problem has any."""
    arrays = [theory["Q"].values, theory[problem.task.name_of("R")].values, theory["v"].values]
    b = theory["b"].values if "b" in theory else np.zeros_like(arrays[2])
    return [*arrays, b]


def _named(problem: Problem, values: Float[np.ndarray, "time entries"]) -> dict[str, np.ndarray]:
    """Values of all entries under the names of the dataset."""
    named = by_name(problem, values)
    return {problem.task.name_of(name): array for name, array in named.items()}


def _std(gradient: Float[np.ndarray, "time *dims entries"], S: np.ndarray) -> np.ndarray:
    """The standard deviation of a quantity by its gradient."""
    variance = np.einsum("t...i,tij,t...j->t...", gradient, S, gradient)
    return np.sqrt(np.maximum(variance, 0.0))


def _relative_error(along: Along, gradient: Float[np.ndarray, "time entries"]) -> float:
    """The largest error of a standard deviation over its own size, of all entries and the error.

    Those are left out that are small beside what they are at other times.
    """
    variances = [np.diagonal(along.S, axis1=1, axis2=2)]
    errors = [np.diagonal(along.error, axis1=1, axis2=2)]
    variances.append(np.einsum("ti,tij,tj->t", gradient, along.S, gradient)[:, None])
    errors.append(np.einsum("ti,tij,tj->t", gradient, along.error, gradient)[:, None])
    variance, error = np.concatenate(variances, axis=1), np.concatenate(errors, axis=1)
    large = variance > 1e-2 * variance.max(axis=0, keepdims=True)
    large &= variance > 0
    return float(np.max(np.abs(error[large]) / variance[large] / 2, initial=0.0))


def _with_facts(band: xr.Dataset, facts: dict) -> xr.Dataset:
    """The band with what its report says of it."""
    record = description(band)
    record["report"]["fluctuations"] = facts
    return band.assign_attrs({DESCRIPTION: json.dumps(record)})
