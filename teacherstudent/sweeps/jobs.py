"""Jobs: what is computed at once, here or on a worker.

A job of a theory has points of the same shapes, which step together in one program.  A job of a
simulation has one point, whose seeds run together; points of the same shapes run one after the
other through the same program.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

# These four register the theories and simulations, here and on workers.
import odes.models
import odes.two_layer  # noqa: F401
import sims.models
import sims.two_layer  # noqa: F401
import teacherstudent as ts
from odes.models.theory import theory_of_model
from odes.points import PointOptions, integrate_points
from teacherstudent.errors import DivergenceError
from teacherstudent.observables.built_in import requested_of_theory
from teacherstudent.observables.observable import Observable, TheoryObservable
from teacherstudent.results.datasets import OF_THE_END, VARIABLES, description
from teacherstudent.sweeps.points import Point
from teacherstudent.sweeps.values import Answers, Values

# Failures of the machine, after which a point may well have an answer.  Any other one is of the
# point itself, a mistake in the user's own code included.
OF_THE_MACHINE = (OSError, MemoryError)
WITHOUT_TIME = ("T", "phase")  # what a dataset keeps beside what it has along time
LONGEST = 2000  # letters of a sentence
RECORDED = "recorded_time"
OF_ONE_POINT = ("seconds", "steps", "rejected_steps", "first_time", "last_time", "last_step")


class Computed(NamedTuple):
    """The quantities of points, why a point has none, and how they were made."""

    values: dict[str, Values]
    errors: list[str]
    report: dict[str, Any]


@dataclass(frozen=True)
class Job(abc.ABC):
    """Some points of the same shapes, by their names, and how to compute them.

    - `options`: those of `integrate` or `simulate`, the same for all.
    - `checkpoint`: a file for the state of a long run, where this process can write it.
    """

    keys: list[str]
    points: list[Point]
    times: np.ndarray
    options: Mapping[str, Any]
    checkpoint: str | None = None

    def run(self) -> Answers:
        """The numbers of all points, with a sentence for each that has none."""
        began = time.perf_counter()
        computed = self.computed()
        seconds = (time.perf_counter() - began) / len(self.keys)
        return Answers(
            self.keys,
            computed.values,
            computed.errors,
            np.full(len(self.keys), seconds),
            computed.report,
        )

    def computed(self) -> Computed:
        """The quantities of all points, and why a point has none; one after the other."""
        results, errors = [], []
        report: dict[str, Any] = {}
        for point in self.points:
            found, error = _tried(self.alone, point)
            results.append(None if found is None else self.quantities(found, point))
            errors.append(error)
            if found is not None and not report:
                report = _kept_of_report(description(found)["report"])
        return Computed(_stacked(results), errors, report)

    @abc.abstractmethod
    def alone(self, point: Point) -> xr.Dataset:
        """The dataset of one point."""

    def quantities(self, found: xr.Dataset, point: Point) -> dict[str, Values]:
        """What is kept of the dataset of one point, along the times of the sweep."""
        wanted, places = self._places(found, point)
        without_time = {*WITHOUT_TIME, *point.problem.quantities()}
        kept = {}
        for name, variable in found.data_vars.items():
            if name in OF_THE_END or not ("time" in variable.dims or name in without_time):
                continue
            array = variable.values
            if "time" in variable.dims:
                array = _along(array, variable.dims.index("time"), places, len(wanted))
            about = {key: str(value) for key, value in variable.attrs.items()}
            kept[str(name)] = Values(tuple(map(str, variable.dims)), array, about)
        return kept

    def _places(self, found: xr.Dataset, point: Point) -> tuple[np.ndarray, np.ndarray]:
        """The times of the sweep, and which of them the dataset answers at which place."""
        return self.times, np.arange(found.sizes["time"])


class TheoryJob(Job):
    """The theory of points of the same shapes, which step together where they can."""

    def computed(self) -> Computed:
        first = self.points[0]
        requested = self.options.get("observables", ())
        solver = self.options.get("solver", "auto")
        try:
            theory = theory_of_model(first.problem)
            if not theory.steps_together(first.problem, first.start, solver):
                return super().computed()
            observables = requested_of_theory(requested, first.problem)
        except ValueError as error:
            return Computed({}, [sentence(error)] * len(self.points), {})
        if any(isinstance(one, TheoryObservable) for one in observables.observables):
            return super().computed()
        given = PointOptions(**{**self.options, "observables": observables.observables})
        try:
            found = integrate_points(
                [point.problem for point in self.points],
                [point.start for point in self.points],
                self.times,
                given,
            )
        except OF_THE_MACHINE:
            raise
        except Exception as error:
            if len(self.points) == 1:
                return Computed({}, [sentence(error)], {})
            return super().computed()  # which tells whose fault it is
        observed = {one.name: one for one in given.observables}
        values = {}
        for name, array in found.values.items():
            values[name] = _values_of_theory(name, array, observed)
        about = {"long_name": "steps of the solver", "symbol": "steps", "units": "1"}
        values["steps"] = Values((), np.asarray(found.steps, float), about)
        errors = [sentence(error) if error else "" for error in found.failures]
        return Computed(values, errors, found.report)

    def alone(self, point: Point) -> xr.Dataset:
        options = {**self.options, "progress": False, "curve": False}
        return ts.integrate(point.problem, point.start, self.times, **options)


class SimulationJob(Job):
    """The networks of one point, or of several one after the other."""

    def alone(self, point: Point) -> xr.Dataset:
        return ts.simulate(
            point.problem,
            point.start,
            self.times,
            N=point.N,
            progress=False,
            checkpoint=self.checkpoint,
            **self.options,
        )

    def quantities(self, found: xr.Dataset, point: Point) -> dict[str, Values]:
        kept = super().quantities(found, point)
        _, places = self._places(found, point)
        recorded = _along(found["time"].values[places], 0, np.arange(len(places)), len(self.times))
        about = {"long_name": "time of the record", "symbol": "t", "units": "1"}
        kept[RECORDED] = Values(("time",), recorded, about)
        return kept

    def _places(self, found: xr.Dataset, point: Point) -> tuple[np.ndarray, np.ndarray]:
        """Of each time of the sweep the record at the nearest number of updates.

        The times of the records themselves differ with N, and several times may have one record.
        """
        N = description(found)["report"]["N"]
        wanted = np.rint(self.times * point.problem.updates_per_time(N)).astype(np.int64)
        places = np.searchsorted(np.unique(wanted), wanted)
        return self.times, places[places < found.sizes["time"]]


def _kept_of_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """What of the report of one point is true of all points of the same shapes."""
    return {name: value for name, value in report.items() if name not in OF_ONE_POINT}


def sentence(error: BaseException) -> str:
    """An error in the words of a dataset."""
    return f"{type(error).__name__}: {error}"[:LONGEST]


def _tried(alone: Callable[[Point], xr.Dataset], point: Point) -> tuple[xr.Dataset | None, str]:
    """The dataset of a point and "", or what there is of it and why that is not all."""
    try:
        return alone(point), ""
    except DivergenceError as error:
        return error.partial, sentence(error)
    except OF_THE_MACHINE:
        raise
    except Exception as error:
        return None, sentence(error)


def _along(array: np.ndarray, axis: int, places: np.ndarray, count: int) -> np.ndarray:
    """The entries of an array at some places along an axis, filled with nan to `count` of them."""
    found = np.take(np.asarray(array, np.float64), places, axis=axis)
    missing = [(0, 0)] * found.ndim
    missing[axis] = (0, count - len(places))
    return np.pad(found, missing, constant_values=np.nan)


def _stacked(results: Sequence[Mapping[str, Values] | None]) -> dict[str, Values]:
    """The quantities of all points, with nan for one that has none."""
    known: dict[str, Values] = {}
    for one in results:
        known |= one or {}
    values = {}
    for name, example in known.items():
        arrays = []
        for one in results:
            nothing = np.full(example.array.shape, np.nan)
            arrays.append(nothing if one is None or name not in one else one[name].array)
        values[name] = example._replace(array=np.stack(arrays))
    return values


def _values_of_theory(name: str, array: np.ndarray, observed: Mapping[str, Observable]) -> Values:
    """A quantity of a theory with its dimensions, of one of ours or of an observable."""
    if name in observed:
        one = observed[name]
        about = {"long_name": one.long_name, "symbol": one.symbol, "units": one.units}
        return Values(("time", *one.dims), array, about)
    dims, long_name, symbol = VARIABLES[name]
    return Values(dims, array, {"long_name": long_name, "symbol": symbol, "units": "1"})
