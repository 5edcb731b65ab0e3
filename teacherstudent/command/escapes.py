"""Experiments that wait until networks see a direction of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import xarray as xr

import teacherstudent as ts
from teacherstudent.command.tables import EscapeTable, Tables, outer_tables, read_escape
from teacherstudent.command.unfinished import Parts
from teacherstudent.problem import Problem
from teacherstudent.results.datasets import as_tree
from teacherstudent.results.description import Sentences, problem_from

NOT_WITH_ESCAPE = ("protocol", "start", "times", "theory", "simulation", "clones")


@dataclass(frozen=True)
class Escape:
    """Networks of several sizes that leave random starts of their own."""

    NEEDED: ClassVar = ("task", "student", "rule")
    NETWORKS: ClassVar = "escape"  # the table that says which networks are trained
    theory_only: ClassVar = False

    problem: Problem
    escape: EscapeTable

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Escape:
        """What the tables of a file say; ValueError with everything that is wrong."""
        outer = outer_tables(tables, cls.NEEDED)
        sentences = Sentences()
        with sentences.collected():
            problem = problem_from(outer.problem)
        with sentences.collected():
            _check_alone(outer)
            escape = read_escape(outer.escape or {})
        sentences.raise_together()
        if not problem.task.HAS_CLASSES:
            raise ValueError(
                f"task.type = {type(problem.task).__name__} has no classes y = +-1, and escape "
                "waits for directions that tell classes apart; give a task such as SpikedCumulant."
            )
        return cls(problem, escape)

    def run(
        self, progress: bool | None, device: str | None, theory_only: bool, parts: Parts
    ) -> xr.DataTree:
        """The steps at which the networks escape."""
        if theory_only:
            raise ValueError(
                "--theory-only (theory_only=True): an escape has no theory to integrate; leave it "
                "out."
            )
        options = self.escape.options()

        def work(checkpoint: Path | None) -> xr.Dataset:
            return ts.escape(
                self.problem, device=device, progress=progress, checkpoint=checkpoint, **options
            )

        return as_tree(escape=parts.part("escape", work))

    def arrays(self) -> list:
        """The numbers of the problem."""
        return jax.tree.leaves(self.problem)


def _check_alone(outer: Tables) -> None:
    extra = [name for name in NOT_WITH_ESCAPE if getattr(outer, name)]
    if extra:
        raise ValueError(
            f"escape draws its own random starts and has no {', '.join(extra)}; leave these "
            "tables out."
        )
