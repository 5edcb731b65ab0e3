"""Experiments that look for a fixed point of the equations: beside a trajectory that passes it, or
while a number of the problem changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr

import teacherstudent as ts
from teacherstudent.command.curves import Curves, make_start, read_random
from teacherstudent.command.tables import (
    FixedPointTable,
    Tables,
    outer_tables,
    read_fixed_point,
    read_simulation,
)
from teacherstudent.command.unfinished import Parts
from teacherstudent.problem import Problem
from teacherstudent.results.datasets import as_tree
from teacherstudent.results.description import Sentences, problem_from
from teacherstudent.starts import Start

NOT_WITH_FIXED_POINTS = ("protocol", "clones", "escape", "sweep")
OF_CURVES = ("theory", "simulation")


@dataclass(frozen=True)
class FixedPoints:
    """A fixed point, or a curve of them, and the trajectory near it if there are times."""

    NEEDED: ClassVar = ("task", "student", "rule", "start")
    NETWORKS: ClassVar = "simulation"  # the table that says which networks are trained

    problem: Problem
    start: Start
    options: FixedPointTable
    curves: Curves | None

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> FixedPoints:
        """What the tables of a file say; ValueError with everything that is wrong."""
        outer = outer_tables(tables, cls.NEEDED)
        sentences = Sentences()
        with sentences.collected():
            _check_alone(outer)
        with sentences.collected():
            options = read_fixed_point(outer.fixed_point or {})
        sentences.raise_together()
        if outer.times is not None:
            others = {name: one for name, one in tables.items() if name != "fixed_point"}
            curves = Curves.from_tables(others)
            assert isinstance(curves.problem, Problem)
            return cls(curves.problem, curves.start, options, curves)
        _check_without_times(outer, options)
        problem = problem_from(outer.problem)
        table = outer.start or {}
        sizes = read_simulation(outer.simulation).sizes
        return cls(problem, make_start(problem, table, read_random(table), sizes), options, None)

    @property
    def theory_only(self) -> bool:
        """Whether no networks are trained: there are no times to train them to."""
        return self.curves is None

    def run(
        self, progress: bool | None, device: str | None, theory_only: bool, parts: Parts
    ) -> xr.DataTree:
        """The trajectory with its networks, if there is one, and the fixed point."""
        near = self.start
        groups: dict[str, Any] = {}
        if self.curves is not None:
            tree = self.curves.run(progress, device, theory_only, parts)
            groups = dict(tree.children)
            if self.options.time is not None:
                near = ts.state_at(tree["theory"].to_dataset(), self.options.time)
        answer = as_tree(fixed_point=parts.part("fixed_point", lambda _: self.found(near)))
        for name, node in groups.items():
            answer[name] = node.copy()
        return answer

    def found(self, near: Start, checkpoint: Path | None = None) -> xr.Dataset:
        """The fixed point near a state, or the curve of them."""
        options = self.options.options()
        if self.options.over is None:
            return ts.fixed_point(self.problem, near, **options)
        return ts.follow_fixed_point(self.problem, near, **options)

    def arrays(self) -> list:
        """The numbers of the problem and of the start."""
        import jax

        return jax.tree.leaves((self.problem, self.start))


def _check_alone(outer: Tables) -> None:
    extra = [name for name in NOT_WITH_FIXED_POINTS if getattr(outer, name)]
    if extra:
        raise ValueError(f"fixed_point is of one problem and has no {', '.join(extra)}.")


def _check_without_times(outer: Tables, options: FixedPointTable) -> None:
    """Raise ValueError for entries that are of a trajectory, where there is none."""
    extra = [name for name in OF_CURVES if getattr(outer, name)]
    if options.time is not None:
        extra.append("fixed_point.time")
    if extra:
        raise ValueError(
            f"times is missing, without which there is no trajectory and no use for "
            f"{', '.join(extra)}; give times, or leave these out."
        )
