"""The datasets of a sweep: every quantity along all swept dimensions.

Points may have different sizes, as where widths are swept.  A quantity is then as large as the
largest of them, with nan beyond the units that a point has; `has_student` and `has_teacher` say
which it has.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from teacherstudent.checking import checks
from teacherstudent.models.learnable import Learnable
from teacherstudent.results.datasets import UNITS, VARIABLES, described
from teacherstudent.results.description import describe_problem
from teacherstudent.results.swept import number_of
from teacherstudent.sweeps.axes import Axis, attributes_of
from teacherstudent.sweeps.points import Point
from teacherstudent.sweeps.values import Answers, Values

NOT_YET = "not computed yet"
ESTIMATES = ("quadrature_error", "eps_g_floor")


class Gathering:
    """Collects the answers of points into arrays over the swept dimensions.

    - `axes`: the swept dimensions.
    - `keys`: the name of the point at each place, in the order of `assignments`.
    - `points`: these points.
    """

    def __init__(self, axes: Sequence[Axis], keys: Sequence[str], points: Sequence[Point]):
        self.axes = list(axes)
        self.units = units_of(points, axes)
        self.sizes = _most_units(points)
        self.places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            self.places.setdefault(key, []).append(place)
        self.count = len(keys)
        self.arrays: dict[str, np.ndarray] = {}
        self.about: dict[str, Values] = {}
        self.errors = np.full(self.count, NOT_YET, dtype=object)
        self.seconds = np.full(self.count, np.nan)
        self.report: dict[str, Any] = {}
        self.N = np.zeros(self.count, dtype=int)

    def add(self, answers: Answers) -> None:
        """Put the answers of a job in their places."""
        self._report(answers.report)
        for index, key in enumerate(answers.keys):
            for place in self.places.get(key, []):
                self.errors[place] = answers.errors[index]
                self.seconds[place] = answers.seconds[index]
                self.N[place] = answers.report.get("N", 0)
                for name, one in answers.values.items():
                    self._put(name, one, place, np.asarray(one.array[index]))

    def _report(self, report: Mapping[str, Any]) -> None:
        """What jobs say of their numbers; of estimated errors the largest."""
        for name, value in report.items():
            if name in ESTIMATES:
                value = max(value, self.report.get(name, value))
            self.report[name] = value

    def fail(self, keys: Iterable[str], why: str) -> None:
        """Say why points have no answers."""
        for key in keys:
            for place in self.places.get(key, []):
                self.errors[place] = why

    def _put(self, name: str, about: Values, place: int, value: np.ndarray) -> None:
        array = self._with_room(name, about, value.shape)
        room = tuple(slice(size) for size in value.shape)
        array[place, ...][room] = value

    def _with_room(self, name: str, about: Values, shape: tuple[int, ...]) -> np.ndarray:
        """The array of a quantity, at least as large as the value of a point."""
        old = self.arrays.get(name)
        if old is not None and all(a <= b for a, b in zip(shape, old.shape[1:], strict=True)):
            return old
        most = [self.sizes.get(dim, 0) for dim in about.dims]
        larger = tuple(map(max, shape, most))
        if old is not None:
            larger = tuple(map(max, larger, old.shape[1:]))
        cause = f"{self.count} points with {name} of shape {larger}"
        checks.memory(cause, self.count * int(np.prod(larger, dtype=np.int64)))
        new = np.full((self.count, *larger), np.nan)
        if old is not None:
            new[tuple(slice(size) for size in old.shape)] = old
        self.arrays[name] = new
        self.about[name] = about
        return new

    def dataset(self) -> xr.Dataset:
        """All quantities over the swept dimensions, and why points have none."""
        swept = tuple(axis.name for axis in self.axes)
        shape = tuple(len(axis) for axis in self.axes)
        data: dict[str, Any] = {}
        for name, array in self.arrays.items():
            about = self.about[name]
            dims = (*swept, *about.dims)
            data[name] = (dims, array.reshape((*shape, *array.shape[1:])), about.attributes)
        seconds = {"long_name": "time that the point took", "symbol": "seconds", "units": "s"}
        data["seconds"] = (swept, self.seconds.reshape(shape), seconds)
        error = {
            "long_name": "why there are no numbers to the end",
            "symbol": "error",
            "units": "1",
        }
        texts = np.asarray(self.errors.tolist(), dtype=str)
        data["error"] = (swept, texts.reshape(shape), error)
        data |= self.units
        if len(set(self.N.tolist())) > 1 and "N" not in _coordinates(self.axes):
            about_N = {"long_name": "input dimension", "symbol": "N", "units": "1"}
            data["N"] = (swept, self.N.reshape(shape), about_N)
        return xr.Dataset(data, coords=_coordinates(self.axes))


def _coordinates(axes: Sequence[Axis]) -> dict[str, tuple]:
    """Numbers and labels along the swept dimensions."""
    coordinates: dict[str, tuple] = {}
    for axis in axes:
        for (name, values), path in zip(axis.coordinates.items(), axis.paths, strict=True):
            coordinates[name] = ((axis.name,), values, attributes_of(name, path))
        about = {"long_name": f"number of {axis.name} in the sweep", "symbol": "n", "units": "1"}
        coordinates[number_of(axis.name)] = ((axis.name,), np.arange(len(axis)), about)
    return coordinates


def starts_of(points: Sequence[Point], axes: Sequence[Axis]) -> dict[str, tuple]:
    """The states from which the points begin, nan beyond the units that a point has."""
    swept = tuple(axis.name for axis in axes)
    shape = tuple(len(axis) for axis in axes)
    sizes = _most_units(points)
    states = [point.problem.begun(point.start) for point in points]
    starts = {}
    for name, first in states[0].items():
        known = points[0].problem.family.name_of(name)
        dims = _dims_at_one_time(points[0].problem, known)
        most = [sizes.get(dim, size) for dim, size in zip(dims, first.shape, strict=True)]
        array = np.full((len(points), *most), np.nan)
        for place, state in enumerate(states):
            value = state[name]
            array[place, ...][tuple(slice(size) for size in value.shape)] = value
        about = {"long_name": f"{known} at the start", "symbol": known, "units": "1"}
        array = array.reshape((*shape, *array.shape[1:]))
        starts[f"{known}_start"] = ((*swept, *dims), array, about)
    return starts


def _dims_at_one_time(problem: Learnable, name: str) -> tuple[str, ...]:
    """The dimensions of a part of the state."""
    own = problem.quantities()
    if name in own:
        return own[name].dims
    return tuple(dim for dim in VARIABLES[name][0] if dim != "time")


def _counts(points: Sequence[Point]) -> dict[str, list[int]]:
    """How many units each point has, by the names of the masks; of models nothing."""
    units = [point.problem.units for point in points]
    return {f"has_{unit}": [one[unit] for one in units] for unit in units[0]}


def _most_units(points: Sequence[Point]) -> dict[str, int]:
    """The most units that a point has, by dimension."""
    counts = _counts(points)
    return {dim: max(widths) for mask, widths in counts.items() for dim in UNITS[mask]}


def units_of(points: Sequence[Point], axes: Sequence[Axis]) -> dict[str, tuple]:
    """Which units every point has, where not all have the same."""
    swept = tuple(axis.name for axis in axes)
    shape = tuple(len(axis) for axis in axes)
    masks = {}
    for name, widths in _counts(points).items():
        if len(set(widths)) == 1:
            continue
        has = np.arange(max(widths)) < np.reshape(widths, (*shape, 1))
        dims, has = _where_it_varies(swept, has)
        about = {"long_name": f"whether the {UNITS[name][0]} unit is there", "symbol": name}
        masks[name] = ((*dims, UNITS[name][0]), has, about | {"units": "1"})
    return masks


def _where_it_varies(dims: Sequence[str], array: np.ndarray) -> tuple[list[str], np.ndarray]:
    """An array without the leading dimensions along which it is constant."""
    left: list[str] = []
    for dim in dims:
        first = np.take(array, [0], axis=len(left))
        if (array == first).all():
            array = first.squeeze(axis=len(left))
        else:
            left.append(dim)
    return left, array


def swept_values(axes: Sequence[Axis], points: Sequence[Point]) -> dict[str, dict[str, list]]:
    """The values along each swept dimension, by parameter, as a description of a problem has
    them.
    """
    numbers = np.arange(len(points)).reshape([len(axis) for axis in axes])
    described: dict[str, dict[str, list]] = {}
    for place, axis in enumerate(axes):
        along = np.moveaxis(numbers, place, 0).reshape(len(axis), -1)[:, 0]
        described[axis.name] = {}
        for path in axis.paths:
            values = []
            for entries, number in zip(axis.entries, along, strict=True):
                values.append(_described(path, entries[path], points[number].problem))
            described[axis.name][path] = values
    return described


def _described(path: str, value: Any, problem: Learnable) -> Any:
    """One value as the description of a problem with it has it; a start has none."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if path == "start":
        return None
    described: Any = describe_problem(problem)
    for name in path.split("."):
        described = described[name]
    return described


def with_description(
    data: xr.Dataset, kind: str, points: Sequence[Point], report: Mapping[str, Any]
) -> xr.Dataset:
    """The dataset with the description of its first point, and of what is swept."""
    first = points[0]
    return data.assign_attrs(described(kind, first.problem, report, first.start))
