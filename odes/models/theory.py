"""What follows for a model in the limit N -> infinity: the contract of its theory."""

import abc
import itertools
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Array

from odes.models.crossing import crossing_time
from odes.models.solution import Solution
from odes.solving.phases import Solves, along_phases
from odes.solving.trajectory import EXPLICIT, chosen
from teacherstudent.checking.contracts import changes, check_registration, is_ours, nearest
from teacherstudent.checking.warn import warn_user
from teacherstudent.errors import DivergenceError, SolverError
from teacherstudent.extensions.over_time import check_over_time
from teacherstudent.models.model import Model
from teacherstudent.models.state import State
from teacherstudent.models.thresholds import check_quantity, values_along
from teacherstudent.protocol import Protocol, Until, problems_of
from teacherstudent.results.dense_curves import with_curve
from teacherstudent.results.model_datasets import model_dataset
from teacherstudent.schedules import break_times
from teacherstudent.tasks.sweeping import with_number

CURVE_POINTS = 256  # of a curve for drawing, in between the recorded times


class ModelTheory(abc.ABC):
    """The equations of one model: the base of every model's theory.

        d(state)/dt = velocity(model, t, state)

    To give a model a theory, subclass `ModelTheory` and name the model,
    `class TheoryOfMine(ts.ModelTheory, model=Mine)`, and write `velocity`, in JAX: a dictionary
    with the derivative of each part of the state, in float64.  A closed form is `trajectory` in its
    place.  Where there is none, say so in `check`.  The example is in `help(ts.Model)`.
    """

    registered: ClassVar[dict[type, Any]] = {}  # the theory of each class of models

    def __init_subclass__(cls, model: type | None = None, **kwargs: Any):
        check_registration(cls, ModelTheory, "model", "velocity", model, kwargs)
        super().__init_subclass__()
        if model is not None:
            ModelTheory.registered[model] = cls()
            if not is_ours(cls):  # programs may have been compiled with another one of this name
                jax.clear_caches()

    def check(self, model: Any) -> None:
        """Raise ValueError, with the reason, where the equations do not hold."""

    @abc.abstractmethod
    def velocity(self, model: Any, t, state: dict[str, Array]) -> dict[str, Array]:
        """d(state)/dt at the time t."""

    def steps_together(self, model: Any, start: State, solver: str) -> bool:
        """Whether points of a sweep step together: those of models one after the other."""
        return False

    def averages(self, model: Any) -> str:
        """How the averages of the equations are computed, in words."""
        return "closed forms"

    def breaks(self, model: Any) -> list:
        """The times at which the velocity jumps or has a kink."""
        return break_times(model.schedules)

    def trajectory(
        self, model: Any, begin: Mapping[str, np.ndarray], start: float, times: np.ndarray, options
    ) -> Solution:
        """The state at increasing times, from a state at the time `start`."""
        from odes.models.solve import solved

        return solved(self, model, begin, start, times, options)

    def integrate(self, options: Any, model: Any, start: State, times: np.ndarray) -> xr.Dataset:
        """What the verb `integrate` answers, with its options: of a model, or of a protocol."""
        for one in problems_of(model):
            _refuse(options, one)
            self.check(one)
            check_over_time(one, start.time, times[-1], times)
            one.check_run(start.time, float(times[-1]))
        _check_no_networks(start)
        if not isinstance(model, Protocol):
            return self._of_model(options, model, start, times)
        for phase in model.phases:
            if phase.threshold is not None:
                self.check_threshold(phase.threshold, phase.problem)
        run, crossing = partial(self._of_model, options), partial(crossing_time, self, options)
        return along_phases(Solves(run, crossing, values_along), model, start, times)

    def check_threshold(self, until: Until, model: Any) -> None:
        """Raise ValueError unless a phase of this model can end at this threshold."""
        check_quantity(until, model)

    def _of_model(self, options: Any, model: Any, start: State, times: np.ndarray) -> xr.Dataset:
        """The theory of one model."""
        began = time.perf_counter()
        dense = _with_between(times, start.time, bool(options.curve and not model.sweeps))
        solutions = self._of_all_values(model, start, dense, options)
        report = _report(solutions, options, began) | {"averages": self.averages(model)}
        if start.time:
            report["continued_at"] = start.time
        answer = _Answer(model, start, dense, _joined(solutions, model), report)
        if model.sweeps:
            _warn_of_failures(solutions, times[-1])
        else:
            _raise_failure(solutions[0], times, options, answer.labelled)
        theory = answer.labelled(times)
        if len(dense) == len(times):
            return theory
        along = {name: one for name, one in answer.values.items() if "time" in theory[name].dims}
        return with_curve(theory, dense, along)

    def _of_all_values(
        self, model: Any, start: State, times: np.ndarray, options: Any
    ) -> list[Solution]:
        """The solutions at all values of the sequences, the last of them fastest."""
        sweeps, begin = model.sweeps, model.begun(start)
        solutions = []
        for values in itertools.product(*sweeps.values()):
            one = model
            for name, value in zip(sweeps, values, strict=True):
                one = with_number(one, model.NUMBERS, name, float(value))
            with jax.enable_x64(True):
                solutions.append(self.trajectory(one, begin, start.time, times, options))
        return solutions


class _Answer(NamedTuple):
    """All values along the dense times, those of a sweep first."""

    model: Any
    start: State
    dense: np.ndarray
    values: dict[str, np.ndarray]
    report: dict

    def labelled(self, times: np.ndarray) -> xr.Dataset:
        """The dataset at some of the times."""
        sweeps = self.model.sweeps
        index = np.searchsorted(self.dense, times)
        values = {
            name: np.take(found, index, axis=len(sweeps)) for name, found in self.values.items()
        }
        coordinates = {**sweeps, "time": times}
        return model_dataset(
            "theory", self.model, self.start, coordinates, values, tuple(sweeps), self.report
        )


def _joined(solutions: Sequence[Solution], model: Any) -> dict[str, np.ndarray]:
    """The values of all solutions, with the dimensions of the sweep in front."""
    lengths = [len(values) for values in model.sweeps.values()]
    together = {}
    for name in _all(solutions[0]):
        found = np.stack([_all(one)[name] for one in solutions])
        together[name] = found.reshape(*lengths, *found.shape[1:])
    return together


def _warn_of_failures(solutions: Sequence[Solution], last: float) -> None:
    """Warn of the curves of a sweep that end before the last time, and are nan after that."""
    ended = [one.reached for one in solutions if one.reached < last or not one.is_finite]
    if ended:
        warn_user(
            f"{len(ended)} of {len(solutions)} curves did not reach t = {last:g}, and are nan "
            f"beyond the time they reached (the earliest: t = {min(ended):.6g})."
        )


def _all(solution: Solution) -> dict[str, np.ndarray]:
    return {**solution.state, **solution.observed}


def _with_between(times: np.ndarray, begin: float, wanted: bool) -> np.ndarray:
    """The recorded times, with those of a curve between them."""
    if not wanted or times[-1] <= begin or len(times) >= CURVE_POINTS:
        return times
    first = times[0]
    even = np.linspace(first, times[-1], CURVE_POINTS // 2)
    smallest = min(x for x in [*np.diff(times), times[-1]] if x > 0)
    early = first + np.geomspace(smallest / 4, max(times[-1] - first, smallest), CURVE_POINTS // 2)
    early = early[early < times[-1]]
    return np.unique(np.concatenate([times, even, early]))


def _report(solutions: Sequence[Solution], options: Any, began: float) -> dict:
    """How the numbers were made."""
    return {
        "solver": chosen(options.solver, options.rtol),
        "rtol": options.rtol,
        "atol": options.atol,
        "max_steps": options.max_steps,
        "steps": [one.steps for one in solutions],
        "rejected_steps": [one.rejected for one in solutions],
        "seconds": round(time.perf_counter() - began, 4),
    }


def _refuse(options: Any, model: Model) -> None:
    """Raise ValueError for an option that means nothing for a model."""
    kind = type(model).__name__
    if options.observables not in ((), [], None):
        recorded = ", ".join(model.RECORDED)
        raise ValueError(
            f"observables are of order parameters Q, R, v; a {kind} records {recorded}: leave "
            "them out."
        )
    for name in ("spectral", "quadrature", "checkpoint"):
        if getattr(options, name):
            raise ValueError(f"{name} has no meaning for the theory of a {kind}; leave it out.")
    if chosen(options.solver, options.rtol) not in EXPLICIT:
        raise ValueError(
            f"solver = {options.solver!r} is not known for a {kind}; give 'auto', "
            f"{' or '.join(map(repr, EXPLICIT))}."
        )


def _check_no_networks(start: State) -> None:
    """Raise ValueError for the end of a simulation, which is one state for each network."""
    if start.kept is not None:
        raise ValueError(
            "start is the end of a simulation, which has a state for each network; give that of "
            "one, ts.start_of(simulation.isel(seed=0, time=-1))."
        )


def _raise_failure(solution: Solution, times: np.ndarray, options: Any, labelled) -> None:
    """Raise the error of a solve that ended before the last time, with what came before."""
    last = times[-1]
    finite = solution.is_finite
    if solution.reached >= last and finite:
        return
    t = solution.reached
    if not solution.exceeded and not finite and solution.steps >= options.max_steps:
        raise SolverError(
            f"the solver used max_steps = {options.max_steps} steps and reached t = {t:.6g} of "
            f"{last:g}; give a larger max_steps or rtol.",
            t,
        )
    error = DivergenceError(
        f"the state diverges at t = {t:.6g}, or the equations are singular there; lower the "
        "rates, or stop before.",
        t,
    )
    before = times[times < t]
    if len(before):
        error.partial = labelled(before)
    raise error


def theory_of_model(model: Any) -> Any:
    """The theory of a model.

    Raises ValueError for a model without one; a subclass of a model has none until it brings its
    own, since it may follow other equations.
    """
    base = nearest(type(model), ModelTheory.registered)
    if base is not None and not changes(type(model), base):
        return ModelTheory.registered[base]
    kind = type(model).__name__
    raise ValueError(
        f"a {kind} has no theory: write class TheoryOf{kind}(ts.ModelTheory, model={kind}), or "
        "simulate it."
    )
