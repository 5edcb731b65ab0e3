"""What a sweep goes over: the values of parameters, named by their places in a problem or another
model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import FunctionType
from typing import Any

import numpy as np

from teacherstudent.activations.activation import Activation
from teacherstudent.checking import checks
from teacherstudent.display import Described
from teacherstudent.extensions.own_sources import content_of
from teacherstudent.losses import Loss
from teacherstudent.models.learnable import Learnable, Places
from teacherstudent.problem import Problem
from teacherstudent.results.datasets import COORDINATES, VARIABLES

BESIDE = ("start", "N")  # what a sweep may change beside the problem
POINT = "point"  # the dimension of a list of points
MOST_POINTS = 10**7
# What a dataset of a sweep has beside quantities.
OF_SWEEPS = ("seed", "time", "rho", POINT, "error", "seconds", "steps", "recorded_time")


@dataclass(frozen=True)
class Axis:
    """One dimension of a sweep.

    - `name`: of the dimension.
    - `entries`: at each place along it, the value of every parameter that changes there.
    - `coordinates`: numbers or labels along it, by name.
    """

    name: str
    entries: list[dict[str, Any]]
    coordinates: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def paths(self) -> list[str]:
        """The parameters that change along it."""
        return list(self.entries[0])


def axes_of(over: Any, kind: type[Learnable] = Problem) -> list[Axis]:
    """The axes of a grid, {"rule.learning_rate": [...], ...}, or the one of a list of points.

    `kind` is the class of what is swept.  Raises ValueError for what is none of both.
    """
    if isinstance(over, Mapping):
        axes = _axes_of_grid(over, kind)
    elif isinstance(over, Sequence) and not isinstance(over, str):
        axes = [_axis_of_list(over, kind)]
    else:
        raise ValueError(
            f"over = {checks.shortened(over)} is neither a dictionary of parameters nor a list of "
            f"points; give one such as {kind.PLACES.example}."
        )
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MOST_POINTS:
        raise ValueError(
            f"over makes {count} points, of at most {MOST_POINTS}; give fewer values, or a list of "
            "points."
        )
    return axes


def assignments(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """The values of all parameters at each point, the last axis fastest."""
    for entries in product(*(axis.entries for axis in axes)):
        together: dict[str, Any] = {}
        for one in entries:
            together |= one
        yield together


def _axes_of_grid(over: Mapping, kind: type[Learnable]) -> list[Axis]:
    if not over:
        example = kind.PLACES.example
        raise ValueError(f"over is empty; give at least one parameter, as in {example}.")
    values = {path: _values(_checked(path, kind.PLACES), given) for path, given in over.items()}
    names = _names(list(values), kind)
    axes = []
    for path, along in values.items():
        coordinate = _coordinate(path, along)
        entries = [{path: value} for value in along]
        axes.append(Axis(names[path], entries, {names[path]: coordinate}))
    return axes


def _axis_of_list(points: Sequence, kind: type[Learnable]) -> Axis:
    """The axis `point`, along which every parameter has a coordinate."""
    if not points or not all(isinstance(point, Mapping) and point for point in points):
        raise ValueError(
            "over is a list, and each of its points is to be a dictionary of parameters; give one "
            'such as over=[{"rule.learning_rate": 0.1, "student.width": 2}].'
        )
    paths = [_checked(path, kind.PLACES) for path in points[0]]
    for number, point in enumerate(points):
        if set(point) != set(paths):
            raise ValueError(
                f"over[{number}] has the parameters {', '.join(map(str, point))}, and over[0] "
                f"{', '.join(paths)}; give the same ones for all points."
            )
    entries = [{path: _plain(path, point[path]) for path in paths} for point in points]
    names = _names(paths, kind)
    coordinates: dict[str, np.ndarray] = {}
    for path in paths:
        coordinates[names[path]] = _coordinate(path, [one[path] for one in entries])
    return Axis(POINT, entries, coordinates)


def _checked(path: Any, places: Places) -> str:
    """A place in a problem; ValueError for any other name."""
    whole = (*places.whole, *BESIDE)
    part, dot, entry = str(path).partition(".")
    right = part in places.divided and entry if dot else part in whole
    if not isinstance(path, str) or not right:
        hint = ""
        if right is False and not dot:
            *others, last = [f"{part}.{path}" for part in places.divided]
            near = f"{', '.join(others)} or {last}" if others else last
            hint = f" (did you mean {near}?)"
        known = (*whole, *(f"{part}.NAME" for part in places.divided))
        raise ValueError(
            f"over has {checks.shortened(path)}, which is no place in a {places.kind}{hint}; known "
            f"are {', '.join(known)}."
        )
    return path


def _values(path: str, given: Any) -> list:
    """The values along an axis, each once."""
    numbers = checks.real_numbers(given)
    if isinstance(given, np.ndarray) and given.dtype.kind == "U":
        given = given.tolist()
    if numbers is not None and numbers.ndim == 1:
        values = [_plain(path, number) for number in numbers]
    elif isinstance(given, list | tuple | range):
        values, numbers = list(given), None
    else:
        raise ValueError(
            f"over[{path!r}] = {checks.shortened(given)} is not a list of values; give one, such "
            "as [0.1, 0.2]."
        )
    if not values:
        raise ValueError(f"over[{path!r}] is empty; give at least one value.")
    twice = _given_twice(values, numbers)
    if twice:
        raise ValueError(f"over[{path!r}] has {checks.shortened(twice[0])} twice; give it once.")
    return values


def _given_twice(values: list, numbers: np.ndarray | None) -> list:
    """The values that another one before is equal to."""
    if numbers is not None:
        found, counts = np.unique(numbers, return_counts=True)
        return found[counts > 1].tolist()
    return [
        value
        for number, value in enumerate(values)
        if any(_same(value, other) for other in values[:number])
    ]


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one, whatever they are made of."""
    return one is other or content_of(one) == content_of(other)


def _plain(path: str, value: Any) -> Any:
    """A NumPy number as Python's own; a whole one where only these have a meaning."""
    if isinstance(value, np.generic):
        value = value.item()
    counts = path in ("N", "batch_size") or path.endswith(".width")
    if counts and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _names(paths: Sequence[str], kind: type[Learnable]) -> dict[str, str]:
    """A short name for each place, that nothing else in a dataset has: its last word, or all."""
    last = {path: path.rsplit(".", 1)[-1] for path in paths}
    dimensions = {dim for dims, *_ in VARIABLES.values() for dim in dims}
    own = kind.quantities()
    dimensions |= {dim for quantity in own.values() for dim in quantity.dims}
    taken = {*VARIABLES, *own, *dimensions, *OF_SWEEPS}
    names = {}
    for path, short in last.items():
        unique = list(last.values()).count(short) == 1
        if unique and short not in taken and (short != "start" or path == "start"):
            names[path] = short
        elif path.replace(".", "_") in taken:
            names[path] = f"swept_{path}"
        else:
            names[path] = path.replace(".", "_")
    return names


def _coordinate(path: str, values: list) -> np.ndarray:
    """Numbers as they are; anything else by labels."""
    if path == "start":
        return np.arange(len(values))
    numbers = checks.real_numbers(values)
    if numbers is not None and numbers.ndim == 1:
        return numbers
    short = [_label(value) for value in values]
    if len(set(short)) < len(short):
        short = [" ".join(repr(value).split()) for value in values]
    if len(set(short)) < len(short) or any(" at 0x" in one for one in short):
        short = [f"{_label(value)} {number}" for number, value in enumerate(values)]
    return np.asarray(short, dtype=str)


def _label(value: Any) -> str:
    """A short name of a value that is no number."""
    if isinstance(value, str):
        return value
    if isinstance(value, Activation | Loss | FunctionType):
        return str(getattr(value, "name", getattr(value, "__name__", "")))
    if isinstance(value, Described):
        return type(value).__name__
    return str(value)


def attributes_of(name: str, path: str) -> dict[str, str]:
    """What a coordinate says of itself."""
    of_model = path.startswith("model.")
    words = path.removeprefix("model.").replace(".", " ").replace("_", " ")
    long_name, symbol, units = COORDINATES.get(name, (words, name, "1"))
    if of_model:  # whose numbers may be of something else than layers
        long_name = words
    return {"long_name": long_name, "symbol": symbol, "units": units}
