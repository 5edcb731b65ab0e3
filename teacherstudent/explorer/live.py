"""The theory of the state of the page: made by the public `integrate`, or a sentence why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import jax
import numpy as np
import xarray as xr

import teacherstudent as ts
from teacherstudent.explorer.sentences import sentence_of, warnings_heard
from teacherstudent.protocol import problems_of

NAME = "explored"


@dataclass(frozen=True)
class Answer:
    """What the tables of an experiment answered.

    - `tables`: those that were asked for.
    - `experiment`, `theory`: what was made of them; None where something is wrong with them.
    - `sentence`: what is wrong, "" if nothing is.
    - `notes`: what was warned of.
    - `seconds`: that it took; `has_compiled`: whether with a program that was not used before.
    """

    tables: Mapping[str, Any]
    experiment: ts.Experiment | None = None
    theory: xr.Dataset | None = None
    sentence: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    has_compiled: bool = False

    @property
    def problem(self) -> Any:
        """The problem, or the protocol."""
        return self.plan.problem

    @property
    def plan(self) -> Any:
        """The problem, its start, its times, and the options of the verbs."""
        assert self.experiment is not None, "ask only an answer without a sentence"
        return self.experiment.plan


@dataclass
class Theory:
    """Computes theories, and knows which programs it has used before.

    - `known`: what decides of a problem which program it takes.
    """

    known: set[str] = field(default_factory=set)

    def answer(
        self, tables: Mapping[str, Any], tell_compiling: Callable[[], object] = bool
    ) -> Answer:
        """The theory of the tables, in the words of `integrate`.

        `tell_compiling()` is called before the work where it takes a program that was not used
        before.
        """
        began = time.perf_counter()
        with warnings_heard() as notes:
            try:
                experiment = experiment_of(tables)
                shape = shape_of(experiment.plan)
                is_new = shape not in self.known
                if is_new:
                    tell_compiling()
                theory = cast(Any, experiment.plan).integrated(False)
            except Exception as error:  # the page tells it, and goes on
                return Answer(tables, sentence=sentence_of(error), notes=tuple(notes))
        self.known.add(shape)
        seconds = time.perf_counter() - began
        each_once = tuple(dict.fromkeys(notes))
        return Answer(tables, experiment, theory, "", each_once, seconds, is_new)


def experiment_of(tables: Mapping[str, Any]) -> ts.Experiment:
    """The experiment of the tables; ValueError for one that has no curves in time."""
    for name in ("escape", "variants", "model"):
        if name in tables:
            raise ValueError(
                f"the file has a table {name!r}, which is not one curve in time that the controls "
                "know; run it with `teacherstudent run` instead."
            )
    return ts.Experiment.from_tables(NAME, tables)


def shape_of(plan: Any) -> str:
    """What decides which compiled program a plan takes: everything but its numbers."""
    content = (problems_of(plan.problem), plan.start)
    leaves, structure = jax.tree.flatten(content)
    shapes = [np.shape(leaf) for leaf in leaves]
    return f"{structure} {shapes} {len(plan.times)} {plan.theory}"
