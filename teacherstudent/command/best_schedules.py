"""Experiments that look for the learning rate, as a function of time, by which most is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr

import teacherstudent as ts
from teacherstudent.command.curves import Curves, waiting
from teacherstudent.command.tables import ScheduleTable
from teacherstudent.command.unfinished import Parts
from teacherstudent.problem import Problem
from teacherstudent.results.datasets import as_tree
from teacherstudent.results.description import parsed

NOT_WITH_SCHEDULES = ("protocol", "clones", "theory")


@dataclass(frozen=True)
class BestSchedule:
    """The theory of the best schedule, and networks that follow it."""

    NETWORKS: ClassVar = "simulation"  # the table that says which networks are trained
    theory_only: ClassVar = False  # unless the command line says so

    curves: Curves
    schedule: ScheduleTable

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> BestSchedule:
        """What the tables of a file say; ValueError with everything that is wrong."""
        extra = [name for name in NOT_WITH_SCHEDULES if tables.get(name)]
        if extra:
            raise ValueError(
                f"schedule is of one problem and its own theory, and has no {', '.join(extra)}."
            )
        table = tables["schedule"]
        if table is True:  # schedule = true: all options are the verb's own
            table = {}
        schedule = parsed(ScheduleTable, table, "schedule.")
        others = {name: one for name, one in tables.items() if name != "schedule"}
        return cls(Curves.from_tables(others), schedule)

    @property
    def problem(self) -> Problem:
        """The problem whose learning rate is looked for."""
        assert isinstance(self.curves.problem, Problem)
        return self.curves.problem

    def run(
        self, progress: bool | None, device: str | None, theory_only: bool, parts: Parts
    ) -> xr.DataTree:
        """The best schedule and, unless only that is wanted, networks that follow it."""
        with waiting("looking for the best schedule", progress):
            theory = parts.part("theory", self.found)
        if theory_only:
            return as_tree(theory=theory)
        followed = replace(self.curves, problem=ts.problem_of(theory))
        networks = followed.simulated(progress, device, parts)
        return as_tree(theory=theory, simulation=networks, comparison=ts.compare(theory, networks))

    def found(self, checkpoint: Path | None = None) -> xr.Dataset:
        """What `optimal_schedule` answers."""
        curves = self.curves
        stop = float(curves.times[-1])
        return ts.optimal_schedule(self.problem, curves.start, stop, **self.schedule.options())

    def arrays(self) -> list:
        """The numbers of the problem and of the start."""
        return self.curves.arrays()
