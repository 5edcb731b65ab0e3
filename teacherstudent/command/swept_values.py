"""The values of a sweep as texts, on the command line and in a file.

A parameter is named by its place in the experiment's file, and its values are one of

    0.1,0.2,0.4            these values (numbers, or names such as erf,relu)
    2:10  or  2:10:2       whole numbers from 2 to 10, both included, in steps
    linspace(0,1,11)       equally spaced numbers, both ends included
    logspace(-2,0,25)      powers of ten, 10^-2 to 10^0
    geomspace(0.01,1,25)   the same by their ends
    [0.1, 0.2]             a list as in TOML, also of tables: [{type="SGD", learning_rate=0.1}]
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from teacherstudent.checking import checks

SPACINGS: dict[str, Callable] = {
    "linspace": np.linspace,
    "logspace": np.logspace,
    "geomspace": np.geomspace,
}
CALL = re.compile(r"(\w+)\(([^()]*)\)")
RANGE = re.compile(r"(-?\d+):(-?\d+)(?::(\d+))?")
SYNTAX = "0.1,0.2 or 2:10 or linspace(0,1,11) or logspace(-2,0,25)"


def assigned_values(text: str) -> tuple[str, list]:
    """The place and the values of a text such as "rule.learning_rate=logspace(-2,0,25)"."""
    place, equals, values = text.partition("=")
    place, values = place_of(place), values.strip()
    if not equals or not place or not values:
        raise ValueError(
            f"--over {text!r} is not of the form PLACE=VALUES, such as "
            f"rule.learning_rate=logspace(-2,0,25); values are {SYNTAX}."
        )
    return place, values_of(values, f"--over {text!r}")


def place_of(text: str) -> str:
    """The place of a parameter as `ts.sweep` has it: N is an entry of simulation in a file."""
    return text.strip().removeprefix("simulation.")


def values_of(values: str, said: str) -> list:
    """The values that a text means; `said` is where it was, for the sentence of an error."""
    call = CALL.fullmatch(values)
    if call is not None:
        return _spaced(said, call[1], call[2])
    ends = RANGE.fullmatch(values)
    if ends is not None:
        first, last, step = int(ends[1]), int(ends[2]), int(ends[3] or 1)
        if last < first:
            raise ValueError(f"{said}: {values} has no numbers; give the smaller first.")
        return list(range(first, last + 1, max(step, 1)))
    if values.startswith("["):
        return _toml(said, values)
    try:
        return _toml(said, f"[{values}]")
    except ValueError:  # names without quotation marks
        return [one.strip() for one in values.split(",")]


def _toml(said: str, values: str) -> list:
    try:
        return tomllib.loads(f"values = {values}")["values"]
    except ValueError:
        raise ValueError(f"{said}: {values!r} is no list; give {SYNTAX}.") from None


def _spaced(said: str, name: str, arguments: str) -> list:
    """linspace(0,1,11) and its like."""
    if name not in SPACINGS:
        raise ValueError(
            f"{said}: {name} is not known; known are {', '.join(SPACINGS)}"
            f"{checks.hint(name, SPACINGS)}"
        )
    try:
        first, last, count = arguments.split(",")
        number = checks.integer("count", int(count), maximum=10**6)
        found = SPACINGS[name](float(first), float(last), number)
    except ValueError:
        raise ValueError(
            f"{said}: {name}({arguments}) is not {name}(FIRST,LAST,COUNT) of numbers that "
            "are allowed there."
        ) from None
    return [float(one) for one in found]


def rows_of(file: Path) -> list[dict[str, Any]]:
    """The points in a CSV file, whose first line has the places."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"--points {file} cannot be read ({checks.first_line(error)}).") from None
    points = []
    for number, row in enumerate(rows):
        if None in row or None in row.values():
            raise ValueError(f"--points {file}: line {number + 2} has not as many cells as line 1.")
        points.append({place.strip(): _cell(cell) for place, cell in row.items()})
    if not points:
        raise ValueError(f"--points {file} has no points; give a line of places, and one for each.")
    return points


def _cell(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except ValueError:
        return text.strip()


def numbers_of(where: str, given: Any) -> Any:
    """The numbers of an entry that is a list, or a text such as "linspace(0,1,11)"."""
    if isinstance(given, str):
        given = values_of(given.strip(), f"{where} = {given!r}")
    return checks.finite_array(where, given)
