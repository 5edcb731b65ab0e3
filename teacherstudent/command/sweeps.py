"""The command `sweep`: the sweep of an experiment over values that are texts, or rows of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from teacherstudent.command import published
from teacherstudent.command.curves import Curves
from teacherstudent.command.experiment import Experiment
from teacherstudent.command.model_curves import ModelCurves
from teacherstudent.command.swept import Sweep
from teacherstudent.command.swept_values import assigned_values, rows_of
from teacherstudent.command.tables import changed
from teacherstudent.models.model import Model
from teacherstudent.problem import Problem
from teacherstudent.protocol import Protocol


class PlannedSweep(NamedTuple):
    """The arguments of `ts.sweep` that a file and the options of the command make."""

    title: str
    problem: Problem | Model
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
    curves = _curves_of(name_or_file, experiment)
    swept = rows_of(points) if points is not None else _values_by_place(over)
    tables = changed(published.read(name_or_file)[1], changes)
    sweep = Sweep.of_curves(curves, tables, swept, theory_only)
    return PlannedSweep(
        experiment.title,
        sweep.problem,
        sweep.start,
        curves.times,
        sweep.over,
        sweep.options(theory_only),
    )


def _curves_of(name_or_file: str, experiment: Experiment) -> Curves:
    """The curves that are to be swept; of a file with a sweep of its own, those of its base."""
    plan = experiment.plan
    if isinstance(plan, Sweep):
        return plan.curves
    if type(plan) in (Curves, ModelCurves):
        assert isinstance(plan, Curves)
        if not isinstance(plan.problem, Protocol):
            return plan
    raise ValueError(
        f"{name_or_file} is an experiment of {type(plan).__name__}; a sweep is of one problem "
        "with a start and times, without protocol, variants, clones or escape."
    )


def _values_by_place(over: Iterable[str]) -> dict[str, list]:
    """The values of texts such as "student.width=2:10", by their places."""
    swept: dict[str, list] = {}
    for place, values in map(assigned_values, over):
        if place in swept:
            raise ValueError(f"--over {place} is given twice; give all its values at once.")
        swept[place] = values
    return swept
