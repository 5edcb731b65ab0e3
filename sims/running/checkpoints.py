"""Checkpoints of a simulation: its state, step and records so far."""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from teacherstudent.interruptions import UNTIL_WRITTEN, waited_for
from teacherstudent.results import checkpoint_files

DECISIVE = (
    "another problem, start, times, N, seeds, method, dtype, test samples or observables, or one "
    "whose seeds ran in other groups"
)


class Saved(NamedTuple):
    """What a checkpoint holds."""

    run: Any
    done: int
    rows: list[dict[str, np.ndarray]]


def read(path: str | os.PathLike, mark: str, run: Any) -> Saved | None:
    """The state in a checkpoint, or None if there is no such file.

    It has the structure of `run`; without one it is a list of arrays.

    Raises ValueError if the file is no checkpoint, is damaged or belongs to another simulation.
    """
    content = checkpoint_files.read(path, mark, "simulation", DECISIVE)
    if not content:
        return None
    states = [name for name in content if name.startswith("state_")]
    saved = [content[f"state_{number}"] for number in range(len(states))]
    if run is not None:
        leaves, structure = jax.tree.flatten(run)
        if len(states) != len(leaves):
            raise ValueError(
                f"checkpoint = {os.fspath(path)!r} was written by another version; delete it to "
                "begin anew."
            )
        saved = jax.tree.unflatten(structure, saved)
    return Saved(saved, int(content["done"]), _rows(content))


def _rows(content: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The records, one dictionary for each recorded time."""
    columns = {}
    for name, values in content.items():
        if name.startswith("row_"):
            columns[name.removeprefix("row_")] = values
    if not columns:
        return []
    count = len(next(iter(columns.values())))
    return [{name: values[index] for name, values in columns.items()} for index in range(count)]


State = Callable[[], Any]
Rows = list[dict[str, np.ndarray]]


class Keeper:
    """Writes the checkpoint about every minute, and at the end.  With no path it does nothing."""

    def __init__(self, path: str | os.PathLike | None, mark: str):
        self.writer = checkpoint_files.Writer(path, mark)

    def keep_if_due(self, run: State, done: int, rows: Rows) -> None:
        """Write the state, which `run` returns, unless the last one is younger than
        `EVERY_SECONDS`.
        """
        if self.writer.is_due:
            self.keep(run, done, rows)

    def keep_the_end(self, run: State, done: int, rows: Rows) -> None:
        """Write the state of a run that is complete."""
        if self.writer.is_wanted_at_the_end:
            self.keep(run, done, rows)

    def keep(self, run: State, done: int, rows: Rows) -> bool:
        """Write the state, if there is a path and the disk takes it; whether it did."""
        if self.writer.path is None:
            return False
        content: dict[str, np.ndarray] = {}
        with waited_for(UNTIL_WRITTEN):
            if rows:
                for name in rows[0]:
                    content[f"row_{name}"] = np.stack([row[name] for row in rows])
            for number, part in enumerate(jax.tree.leaves(run())):
                content[f"state_{number}"] = np.asarray(part)
            content["done"] = np.asarray(done)
            return self.writer.write(content)
