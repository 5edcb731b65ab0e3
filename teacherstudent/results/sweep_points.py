"""One point of a sweep, as an ordinary result."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from teacherstudent.checking import checks
from teacherstudent.results.datasets import DESCRIPTION, UNITS, as_tree, description
from teacherstudent.results.swept import number_of, swept_dimensions

Result = TypeVar("Result", xr.DataTree, xr.Dataset)
OF_THE_SWEEP = ("seconds", "error", "steps", "has_student", "has_teacher", "recorded_time")
SAME = 1e-7  # two numbers, one of which may have been a float32
START = ("Q", "R", "m", "T", "v", "b")


def point_of(sweep: Result, **values: Any) -> Result:
    """One point of a sweep, as `integrate` and `simulate` would have answered it.

    - `sweep`: what `ts.sweep` answered, or one of its groups.
    - `values`: the value along every swept dimension, learning_rate=0.1.  A number means the
      nearest one of the sweep, if that is the same to seven digits; anything else is its label.

    The answer has only the units of the point, the times at which its networks were recorded, and
    its own problem and start in its description: `compare`, `plot`, `save` and `problem_of` take it
    as any other result.  Raises ValueError if a dimension is left out or unknown, or the sweep has
    no such point.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> over = {"rule.learning_rate": [0.1, 0.2]}
    >>> tree = ts.sweep(problem, start, [0.0, 1.0], over, N=100, seeds=3)
    >>> point = ts.point_of(tree, learning_rate=0.2)
    >>> ts.problem_of(point["theory"].to_dataset()).rule.learning_rate
    0.2
    >>> list(ts.compare(point["theory"].to_dataset(), point["simulation"].to_dataset()).dims)
    ['time']
    """
    if isinstance(sweep, xr.Dataset):
        return _point_of(sweep, values)
    groups = {}
    for kind in ("theory", "simulation"):
        if kind in sweep.children:
            groups[kind] = sweep[kind].to_dataset()
    if not any(map(swept_dimensions, groups.values())):
        raise ValueError("sweep has no swept dimensions; give what ts.sweep answered.")
    _check_names(values, [dim for one in groups.values() for dim in swept_dimensions(one)])
    points = {}
    for kind, data in groups.items():
        dims = swept_dimensions(data)
        points[kind] = _point_of(data, {dim: values[dim] for dim in dims})
    if len(points) == 2:
        # Networks have the start of the theory up to the rounding of their weights.
        start = description(points["theory"])["start"]
        facts = description(points["simulation"]) | {"start": start}
        points["simulation"] = points["simulation"].assign_attrs({DESCRIPTION: json.dumps(facts)})
    return as_tree(**points)


def _check_names(values: Mapping[str, Any], dims: list[str]) -> None:
    """Raise ValueError unless every swept dimension has a value, and nothing else has one."""
    known = list(dict.fromkeys(dims))
    for name in values:
        if name not in known:
            raise ValueError(
                f"{name} is no swept dimension of this sweep; it has {', '.join(known)}."
            )
    for name in known:
        if name not in values:
            raise ValueError(f"{name} is missing; give its value, one of those in the sweep.")


def _point_of(data: xr.Dataset, values: Mapping[str, Any]) -> xr.Dataset:
    dims = swept_dimensions(data)
    _check_names(values, dims)
    point = data.isel({dim: _place(data, dim, values[dim]) for dim in dims})
    facts = description(data)
    for path, value in _entries(point, facts["report"].pop("sweep")):
        _enter(facts, path, value)
    if "N" in point.data_vars:  # which the starts have fixed
        facts["report"]["N"] = int(point["N"])
    point = _with_its_units(point)
    if "recorded_time" in point:
        point = _at_recorded_times(point)
    why = str(point["error"].values)
    if why:
        facts["report"]["error"] = why
    facts["start"] = _start(point, facts["start"], _names_of_start(facts))
    swept = [name for name in point.coords if point[name].ndim == 0]
    starts = [f"{name}_start" for name in _names_of_start(facts)]
    point = point.drop_vars([*OF_THE_SWEEP, *starts, *swept], errors="ignore")
    return point.assign_attrs({DESCRIPTION: json.dumps(facts)})


def _entries(point: xr.Dataset, swept: Mapping[str, Mapping[str, list]]) -> list[tuple[str, Any]]:
    """What the point has in each swept place of its problem, whole objects first.

    Every swept dimension has numbers that tell its values, also in a sweep that was sorted, or of
    which a part was selected.
    """
    entries = []
    for dim, paths in swept.items():
        number = number_of(dim)
        if number not in point.coords:
            raise ValueError(
                f"the data do not say of which {dim} they are; select it without drop=True."
            )
        place = int(point[number])
        entries += [(path, along[place]) for path, along in paths.items()]
    return sorted(entries, key=lambda entry: entry[0].count("."))


def _place(data: xr.Dataset, dim: str, value: Any) -> int:
    """Where a value is along a dimension."""
    if dim not in data.coords:
        return checks.integer(dim, value, minimum=0, maximum=data.sizes[dim] - 1)
    along = data[dim].values
    if along.dtype.kind in "iuf" and checks.real_numbers(value) is not None:
        place = int(np.abs(along - value).argmin())
        if np.isclose(float(along[place]), float(value), rtol=SAME, atol=0.0):
            return place
    elif str(value) in along.tolist():
        return along.tolist().index(str(value))
    shown = ", ".join(str(one) for one in along[:8].tolist())
    raise ValueError(
        f"{dim} = {checks.shortened(value)} is not in the sweep; it has {shown}"
        f"{', ...' if len(along) > 8 else ''}."
    )


def _with_its_units(point: xr.Dataset) -> xr.Dataset:
    """The point without the units that only others have."""
    for mask, dims in UNITS.items():
        if mask in point:
            count = int(point[mask].sum())
            point = point.isel({dim: slice(count) for dim in dims if dim in point.dims})
    return point


def _at_recorded_times(point: xr.Dataset) -> xr.Dataset:
    """The simulation at the times of its records, each once."""
    recorded = point["recorded_time"].values
    _, first = np.unique(recorded[np.isfinite(recorded)], return_index=True)
    attributes = point["time"].attrs
    point = point.isel(time=first)
    return point.assign_coords(time=("time", recorded[first], attributes))


def _enter(facts: dict, path: str, value: Any) -> None:
    """Put a swept value into the description."""
    if path == "N":
        facts["report"]["N"] = value
        return
    if path == "start":
        return
    *tables, name = path.split(".")
    table = facts["problem"]
    for one in tables:
        table = table[one]
    table[name] = value
    if value is None:
        del table[name]


def _names_of_start(facts: Mapping[str, Any]) -> Sequence[str]:
    """What a start has: order parameters, or the state of a model."""
    return facts["report"].get("quantities", {}).get("state", START)


def _start(point: xr.Dataset, described: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The start of the point: its order parameters at the first time, if that is the start's."""
    begins = float(point["time"].values[0]) == described.get("time", 0.0)
    first = point.isel(time=0)
    if not begins:
        kept = {name: point[f"{name}_start"] for name in names if f"{name}_start" in point}
        first = xr.Dataset(kept)
    if "seed" in first.dims:
        first = first.isel(seed=0)
    start = {name: first[name].values.tolist() for name in names if name in first}
    return {**{name: described[name] for name in described if name not in names}, **start}
