"""In which entries of problem and start two results disagree."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from teacherstudent.results.datasets import description
from teacherstudent.tasks import TASKS

ARRAYS = sorted({name for task in TASKS.values() for name in task.ARRAYS})


def differing_entries(theory: xr.Dataset, simulation: xr.Dataset) -> list[str]:
    """Names of the entries of problem and start in which two results disagree.

    Of a curve that was selected from a sweep, or from a batch of starts, the selected value counts.
    """
    found = flat_description(simulation)
    # Networks that began at the state of a theory are compared with one that went on from it.
    expected = flat_description(theory, from_state="start.time" in found)
    names = expected.keys() | found.keys()
    different = [
        name for name in names if not equal_to_rounding(expected.get(name), found.get(name))
    ]
    for name in ARRAYS:
        both = name in theory and name in simulation
        if both and not equal_to_rounding(theory[name].values, simulation[name].values):
            different.append(f"problem.task.{name}")
    return sorted(different)


def flat_description(data: xr.Dataset, from_state: bool = False) -> dict[str, Any]:
    """Problem and start of a dataset by the places of their entries, "problem.rule.beta".

    `from_state` takes the state from which a theory went on, if it did, in place of its start.
    """
    described = description(data)
    start = described["start"]
    if from_state:
        start = described["report"].get("state", start)
    parts = {"problem": described["problem"], "start": start}
    for number, phase in enumerate(described.get("protocol", [])):
        parts[f"protocol[{number}]"] = phase
    entries = flat(parts)
    selected = {name: float(data[name]) for name in data.coords if data[name].ndim == 0}
    for place, value in entries.items():
        name = "_".join(place.split(".")[2:])  # of a schedule's parameter its field and its name
        if name in selected:
            entries[place] = selected[name]
        elif not isinstance(value, list):
            continue
        elif place.startswith("start.") and "start" in selected:
            entries[place] = value[int(selected["start"])]
        else:
            entries[place] = [
                selected.get(f"{name}_{index}", one) for index, one in enumerate(value)
            ]
    return entries


def flat(tables: Mapping, prefix: str = "") -> dict[str, Any]:
    """The entries of nested tables by their places; a list of tables is one of its indices."""
    entries = {}
    for key, value in tables.items():
        if isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            value = {str(index): one for index, one in enumerate(value)}
        if isinstance(value, Mapping):
            entries.update(flat(value, f"{prefix}{key}."))
        else:
            entries[f"{prefix}{key}"] = value
    return entries


def equal_to_rounding(one: Any, other: Any) -> bool:
    """Equality, of numbers up to rounding."""
    try:
        return np.allclose(one, other, rtol=1e-9, atol=1e-12)
    except (TypeError, ValueError):
        return one == other
