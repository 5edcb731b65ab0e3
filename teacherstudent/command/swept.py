"""Experiments that go over the values of parameters: the table `[sweep]` of a file.

    [sweep]
    theory_only = true

    [sweep.over]
    "rule.learning_rate" = "logspace(-2,0,25)"
    "student.width" = [2, 3, 4]

Values are a list, or a text in the words of the command `sweep`.  Of a file with a table `[model]`
they are those of the model, "model.learning_rate" or "model.reward.penalty".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import xarray as xr

import teacherstudent as ts
from teacherstudent.checking import checks
from teacherstudent.command.curves import Curves, read_random
from teacherstudent.command.model_curves import curves_of
from teacherstudent.command.swept_values import place_of, values_of
from teacherstudent.command.tables import SweepTable, outer_tables
from teacherstudent.command.unfinished import Parts
from teacherstudent.models.model import Model
from teacherstudent.problem import Problem
from teacherstudent.protocol import Protocol, first_of
from teacherstudent.results.description import model_from, parsed, problem_from
from teacherstudent.starts import Start, random_start

NOT_WITH_SWEEP = ("protocol", "clones", "escape")
STORE = "sweep.ckpt"  # of the points that are finished, in the folder of an interrupted run


@dataclass(frozen=True)
class Sweep:
    """One problem at many values of its parameters."""

    NETWORKS: ClassVar = "simulation"  # the table that says which networks are trained

    curves: Curves
    start: Any
    over: Any
    theory_only: bool
    tables: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Sweep:
        """What the tables of a file say; ValueError with what is wrong."""
        outer = outer_tables(tables, ())
        extra = [name for name in NOT_WITH_SWEEP if getattr(outer, name)]
        if extra:
            raise ValueError(
                f"sweep is of one problem with a start and times, and has no {', '.join(extra)}; "
                "leave one of them out."
            )
        table = parsed(SweepTable, outer.sweep or {}, "sweep.")
        over = {place_of(place): _listed(place, given) for place, given in table.over.items()}
        base = {key: value for key, value in tables.items() if key != "sweep"}
        return cls.of_curves(curves_of(base), base, over, bool(table.theory_only))

    @classmethod
    def of_curves(
        cls, curves: Curves, tables: Mapping[str, Any], over: Any, theory_only: bool
    ) -> Sweep:
        """The sweep of an experiment that follows curves, the tables of which are given.

        Raises ValueError for a protocol, for several sizes, and for values that are not allowed.
        """
        if isinstance(curves.problem, Protocol):
            raise ValueError("a sweep is of one problem; leave protocol out.")
        if not theory_only:
            one_size(curves.simulation.sizes)
        over = with_objects(over, tables, curves.problem)
        return cls(curves, start_of_points(tables, curves), over, theory_only, tables)

    @property
    def problem(self) -> Problem | Model:
        """The problem that all points share but for what is swept."""
        return first_of(self.curves.problem)

    def options(self, theory_only: bool) -> dict[str, Any]:
        """The options of `ts.sweep`."""
        simulation = self.curves.simulation.options()
        theory = self.curves.theory.options()
        options: dict[str, Any] = {"theory": theory, "simulation": False}
        options["observables"] = theory.pop("observables", [])
        theory.pop("spectral", None)
        if not theory_only:
            options["seeds"] = simulation.pop("seeds", 8)
            simulation.pop("observables", None)
            options["simulation"] = simulation
            options["N"] = one_size(self.curves.simulation.sizes)
        return options

    def run(
        self, progress: bool | None, device: str | None, theory_only: bool, parts: Parts
    ) -> xr.DataTree:
        """Theory and networks of all points; what is finished is kept in the folder of `parts`."""
        options = self.options(theory_only or self.theory_only)
        if device is not None and options["simulation"] is not False:
            options["simulation"]["device"] = device
        if parts.folder is not None:
            options["out"] = parts.folder.path / f"{parts.stem}{STORE}"
        return ts.sweep(
            self.problem,
            self.start,
            self.curves.times,
            self.over,
            force=True,
            progress=progress,
            **options,
        )

    def arrays(self) -> list:
        """The numbers of the problem and of the start."""
        return self.curves.arrays()


def _listed(place: str, given: Any) -> list:
    """The values of one parameter in a file."""
    if isinstance(given, str):
        return values_of(given.strip(), f'sweep.over."{place}" = {given!r}')
    if not isinstance(given, list):
        raise ValueError(
            f'sweep.over."{place}" = {checks.shortened(given)} is neither a list nor a text such '
            'as "logspace(-2,0,25)"; give one.'
        )
    return given


def one_size(sizes: list[int]) -> int:
    """The size of the networks of a sweep."""
    if len(sizes) > 1:
        raise ValueError(
            f"simulation.N = {sizes} are several sizes, and the networks of a sweep have one; give "
            f"a single one (--size {sizes[-1]}, or simulation.N in the file), or sweep N itself."
        )
    return sizes[0]


def start_of_points(tables: Mapping[str, Any], curves: Curves) -> Any:
    """The start of the file; a random one is drawn for the problem of each point."""
    outer = outer_tables(tables, ())
    random = read_random(outer.start or {})
    if random is None:
        return curves.start
    return partial(_random, options=random.options())


def _random(problem: Problem, N: int | None = None, *, options: dict[str, Any]) -> Start:
    """A random start; on inputs with modes it has the size of the networks."""
    given = dict(options)
    if N is not None and problem.task.HAS_MODES:
        given["N"] = N
    return random_start(problem, **given)


def with_objects(over: Any, tables: Mapping[str, Any], problem: Problem | Model) -> Any:
    """The values with tasks, rules and parts of models made of tables, or of the names of their
    classes.
    """
    made = _part_of_problem
    if isinstance(problem, Model):
        made = _part_of_model
    value_of = partial(made, tables)

    def row_of(row: Mapping[str, Any]) -> dict[str, Any]:
        return {place: value_of(place, one) for place, one in row.items()}

    if isinstance(over, list):
        return [row_of(row) for row in over]
    return {place: values_at(place, values, value_of) for place, values in over.items()}


def _part_of_problem(tables: Mapping[str, Any], place: str, value: Any) -> Any:
    """A task or a rule of its table, or of another class with the same entries."""
    if place not in ("task", "rule"):
        return value
    table = value
    if isinstance(value, str):
        table = {**tables[place], "type": value}
    described = {key: tables[key] for key in ("task", "student", "rule")} | {place: table}
    if "loss" in tables:
        described["loss"] = tables["loss"]
    return getattr(problem_from(described), place)


def _part_of_model(tables: Mapping[str, Any], place: str, value: Any) -> Any:
    """A model, or an argument of it such as a reward, of its table."""
    if not isinstance(value, Mapping):
        return value
    part, dot, name = place.partition(".")
    if part != "model" or "." in name:
        return value
    if not dot:
        return model_from(value)
    return getattr(model_from({**tables["model"], name: value}), name, value)


def values_at(place: str, values: Iterable[Any], value_of: Any) -> list:
    """The values of one parameter, made into what the problem has there."""
    return [value_of(place, one) for one in values]
