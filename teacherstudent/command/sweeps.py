"""The command `sweep`: what its texts mean.

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
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from teacherstudent.checking import checks
from teacherstudent.command import published
from teacherstudent.command.curves import Curves, read_random
from teacherstudent.command.experiment import Experiment
from teacherstudent.command.tables import outer_tables
from teacherstudent.problem import Problem
from teacherstudent.protocol import Protocol
from teacherstudent.results.description import problem_from
from teacherstudent.starts import Start, random_start

SPACINGS: dict[str, Callable] = {
    "linspace": np.linspace,
    "logspace": np.logspace,
    "geomspace": np.geomspace,
}
CALL = re.compile(r"(\w+)\(([^()]*)\)")
RANGE = re.compile(r"(-?\d+):(-?\d+)(?::(\d+))?")
SYNTAX = "0.1,0.2 or 2:10 or linspace(0,1,11) or logspace(-2,0,25)"


class PlannedSweep(NamedTuple):
    """The arguments of `ts.sweep` that a file and the options of the command make."""

    title: str
    problem: Problem
    start: Any
    times: np.ndarray
    over: Any
    options: dict[str, Any]


def planned(
    name_or_file: str,
    over: Iterable[str],
    points: Path | None,
    changes: Mapping[str, Any],
    theory_only: bool,
) -> PlannedSweep:
    """The sweep of an experiment over the values of texts such as "student.width=2:10", or over the
    rows of a file.

    Raises ValueError for what is no such text, and for an experiment that is no single curve.
    """
    experiment = Experiment.read(name_or_file, changes)
    plan = experiment.plan
    if type(plan) is not Curves or isinstance(plan.problem, Protocol):
        raise ValueError(
            f"{name_or_file} is an experiment of {type(plan).__name__}; a sweep is of one problem "
            "with a start and times, without protocol, variants, clones or escape."
        )
    if points is not None:
        swept: Any = rows_of(points)
    else:
        swept = {}
        for place, values in map(assigned_values, over):
            if place in swept:
                raise ValueError(f"--over {place} is given twice; give all its values at once.")
            swept[place] = values
    swept = _with_objects(swept, name_or_file, changes, plan.problem)
    simulation = plan.simulation.options()
    theory = plan.theory.options()
    options: dict[str, Any] = {"theory": theory, "simulation": False}
    options["observables"] = theory.pop("observables", [])
    theory.pop("spectral", None)
    if not theory_only:
        options["seeds"] = simulation.pop("seeds", 8)
        simulation.pop("observables", None)
        options["simulation"] = simulation
        options["N"] = _one_size(plan.simulation.sizes)
    start = _start(name_or_file, changes, plan)
    return PlannedSweep(experiment.title, plan.problem, start, plan.times, swept, options)


def _one_size(sizes: list[int]) -> int:
    if len(sizes) > 1:
        raise ValueError(
            f"simulation.N = {sizes} are several sizes; give one (--set simulation.N=1000), and "
            "sweep the others: --over N=250,500,1000."
        )
    return sizes[0]


def _start(name_or_file: str, changes: Mapping[str, Any], plan: Curves) -> Any:
    """The start of the file; a random one is drawn for the problem of each point."""
    tables = published.read(name_or_file)[1]
    from teacherstudent.command.tables import changed

    outer = outer_tables(changed(tables, changes), ())
    random = read_random(outer.start or {})
    if random is None:
        return plan.start
    return partial(_random, options=random.options())


def _random(problem: Problem, N: int | None = None, *, options: dict[str, Any]) -> Start:
    """A random start; on inputs with modes it has the size of the networks."""
    given = dict(options)
    if N is not None and problem.task.HAS_MODES:
        given["N"] = N
    return random_start(problem, **given)


def assigned_values(text: str) -> tuple[str, list]:
    """The place and the values of a text such as "rule.learning_rate=logspace(-2,0,25)"."""
    place, equals, values = text.partition("=")
    place, values = place.strip().removeprefix("simulation."), values.strip()
    if not equals or not place or not values:
        raise ValueError(
            f"--over {text!r} is not of the form PLACE=VALUES, such as "
            f"rule.learning_rate=logspace(-2,0,25); values are {SYNTAX}."
        )
    return place, _parsed(text, values)


def _parsed(text: str, values: str) -> list:
    call = CALL.fullmatch(values)
    if call is not None:
        return _spaced(text, call[1], call[2])
    ends = RANGE.fullmatch(values)
    if ends is not None:
        first, last, step = int(ends[1]), int(ends[2]), int(ends[3] or 1)
        if last < first:
            raise ValueError(f"--over {text!r}: {values} has no numbers; give the smaller first.")
        return list(range(first, last + 1, max(step, 1)))
    if values.startswith("["):
        return _toml(text, values)
    try:
        return _toml(text, f"[{values}]")
    except ValueError:  # names without quotation marks
        return [one.strip() for one in values.split(",")]


def _toml(text: str, values: str) -> list:
    try:
        return tomllib.loads(f"values = {values}")["values"]
    except ValueError:
        raise ValueError(f"--over {text!r}: {values!r} is no list; give {SYNTAX}.") from None


def _spaced(text: str, name: str, arguments: str) -> list:
    """linspace(0,1,11) and its like."""
    if name not in SPACINGS:
        raise ValueError(
            f"--over {text!r}: {name} is not known; known are {', '.join(SPACINGS)}"
            f"{checks.hint(name, SPACINGS)}"
        )
    try:
        first, last, count = arguments.split(",")
        number = checks.integer("count", int(count), maximum=10**6)
        found = SPACINGS[name](float(first), float(last), number)
    except ValueError:
        raise ValueError(
            f"--over {text!r}: {name}({arguments}) is not {name}(FIRST,LAST,COUNT) of numbers that "
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


def _with_objects(
    over: Any, name_or_file: str, changes: Mapping[str, Any], problem: Problem
) -> Any:
    """The values with tasks and rules made of tables, or of the names of their classes."""
    from teacherstudent.command.tables import changed

    tables = changed(published.read(name_or_file)[1], changes)

    def value_of(place: str, value: Any) -> Any:
        if place not in ("task", "rule"):
            return value
        table = value
        if isinstance(value, str):  # another class with the same entries
            table = {**tables[place], "type": value}
        described = {key: tables[key] for key in ("task", "student", "rule")} | {place: table}
        if "loss" in tables:
            described["loss"] = tables["loss"]
        return getattr(problem_from(described), place)

    if isinstance(over, list):
        return [{place: value_of(place, one) for place, one in row.items()} for row in over]
    return {place: [value_of(place, one) for one in values] for place, values in over.items()}
