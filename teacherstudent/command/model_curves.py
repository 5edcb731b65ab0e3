"""Experiments that follow the curves of a model, whose file has a table `[model]`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr

from teacherstudent.command.curves import LARGER, LONG_SOLVE, NOWHERE, Curves, waiting
from teacherstudent.command.protocols import learnt
from teacherstudent.command.tables import TheoryTable, outer_tables, read_simulation, read_times
from teacherstudent.command.unfinished import Parts
from teacherstudent.models.state import State
from teacherstudent.protocol import Protocol, first_of
from teacherstudent.results.datasets import description
from teacherstudent.results.description import Sentences, parsed, state_from
from teacherstudent.schedules import scaled
from teacherstudent.tasks.base import with_fields

# What no model has: these are of a task, a student and a rule.
NOT_WITH_MODEL = ("task", "student", "rule", "loss", "batch_size", "batch_ratio")


@dataclass(frozen=True)
class ModelCurves(Curves):
    """The theory of a model beside its systems of one or several sizes."""

    NEEDED: ClassVar = ("model", "times")

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> ModelCurves:
        """What the tables of a file say; ValueError with everything that is wrong."""
        outer = outer_tables(tables, cls.NEEDED)
        extra = [name for name in NOT_WITH_MODEL if getattr(outer, name) is not None]
        if extra:
            raise ValueError(
                f"the file has both model and {', '.join(extra)}; a model has all its numbers in "
                "its own table: leave the others out."
            )
        sentences = Sentences()
        with sentences.collected():
            model = learnt(outer)
        with sentences.collected():
            times = read_times(outer.times or {})
        with sentences.collected():
            theory = parsed(TheoryTable, outer.theory, "theory.")
        with sentences.collected():
            simulation = read_simulation(outer.simulation)
        with sentences.collected():
            start = state_from(outer.start or {})
        sentences.raise_together()
        first_of(model).check_start(start)
        return cls(model, start, times, theory, simulation)

    def integrated(self, progress: bool | None, parts: Parts = NOWHERE) -> xr.Dataset:
        """The theory."""

        def work(checkpoint: Path | None) -> xr.Dataset:
            return self.solution(self.problem)

        with waiting("integrating", progress):
            return parts.part("theory", work)

    def with_larger_rates(self, theory: xr.Dataset) -> xr.Dataset | None:
        """The theory at slightly larger learning rates; None where the model has none, and of a
        protocol.
        """
        from teacherstudent.results.comparison import RATES

        model: Any = self.problem
        rates = {name: getattr(model, name, None) for name in RATES}
        larger = {name: scaled(rate, LARGER) for name, rate in rates.items() if rate is not None}
        if isinstance(model, Protocol) or not larger:
            return None
        if description(theory)["report"]["seconds"] > LONG_SOLVE:
            return None
        try:
            return self.solution(with_fields(model, larger))
        except RuntimeError:  # it diverges, or takes too many steps
            return None


def refuse_others(tables: Mapping[str, Any], own: str, others: Iterable[str], why: str) -> None:
    """Raise ValueError for tables that have no place beside the table `own`."""
    extra = [name for name in others if tables.get(name)]
    if extra:
        raise ValueError(f"{own} {why}, and has no {', '.join(extra)}; leave one of them out.")


def with_start(tables: Mapping[str, Any], own: str, start: State) -> dict[str, Any]:
    """The tables of a file with a start that its table `own` makes, in the place of that table."""
    others = {key: value for key, value in tables.items() if key != own}
    return {**others, "start": {name: part.tolist() for name, part in start.values.items()}}


def curves_of(tables: Mapping[str, Any]) -> Curves:
    """The curves that the tables of a file ask for: those of a model, if it has one.

    Raises ValueError with everything that is wrong.
    """
    if tables.get("model") is not None:
        return ModelCurves.from_tables(tables)
    return Curves.from_tables(tables)
