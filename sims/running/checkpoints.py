"""Checkpoints of a simulation: its state, step and records so far, in one file that is replaced
atomically.

It is a file of arrays (`teacherstudent.results.array_files`), read without executing anything.
"""

import hashlib
import inspect
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from teacherstudent.checking import contracts
from teacherstudent.results import array_files
from teacherstudent.results.description import describe_problem
from teacherstudent.schedules import all_schedules

EVERY_SECONDS = 60.0


class Saved(NamedTuple):
    """What a checkpoint holds."""

    run: Any
    done: int
    rows: list[dict[str, np.ndarray]]


def fingerprint(problem, arrays, settings) -> str:
    """A hash of everything that decides a simulation's numbers."""
    described = [describe_problem(problem), settings, own_sources(problem)]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def own_sources(problem) -> list[str]:
    """The source text of the user's own classes and functions in a problem, where there is one.

    A class that was edited keeps its name, and trains on in another way.
    """
    sources = []
    student = problem.student
    teacher = getattr(problem.task, "activation", None)
    schedules = all_schedules((problem.task, problem.rule))
    parts = (problem.task, problem.rule, problem.loss, student.activation, teacher, *schedules)
    for part in parts:
        own: list[Any] = []
        for base in type(part).__mro__:
            if contracts.is_ours(base):
                break
            own.append(base)
        function = getattr(part, "function", None)
        if inspect.isfunction(function) and not contracts.is_ours(function):
            own.append(function)
        for one in own:
            with suppress(OSError, TypeError):  # written at the prompt, or built in
                sources.append(inspect.getsource(one))
    return sources


def read(path: str | os.PathLike, mark: str, run: Any) -> Saved | None:
    """The state in a checkpoint, or None if there is no such file.

    It has the structure of `run`; without one it is a list of arrays.

    Raises ValueError if the file is no checkpoint, is damaged or belongs to another simulation.
    """
    path = Path(path)
    if not path.exists():
        return None
    where = f"checkpoint = {str(path)!r}"
    if not path.is_file():
        raise ValueError(
            f"{where} is not an ordinary file (a folder, a device or a pipe); name another one."
        )
    try:
        content = array_files.read(path)
        mark_of_file = str(content["fingerprint"])
    except array_files.DamagedFile:
        raise ValueError(
            f"{where} is damaged: it is not what was written; delete it to begin anew."
        ) from None
    except Exception as error:
        raise ValueError(
            f"{where} is not a checkpoint of a simulation of this version, or a damaged one; name "
            "another file, or delete it to begin anew."
        ) from error
    if mark_of_file != mark:
        raise ValueError(
            f"{where} belongs to a simulation with another problem, start, times, N, seeds, "
            "method, dtype, test samples or observables, or one whose seeds ran in other groups; "
            "name another file, or delete it to begin anew."
        )
    states = [name for name in content if name.startswith("state_")]
    saved = [content[f"state_{number}"] for number in range(len(states))]
    if run is not None:
        leaves, structure = jax.tree.flatten(run)
        if len(states) != len(leaves):
            raise ValueError(f"{where} was written by another version; delete it to begin anew.")
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


class Keeper:
    """Writes the checkpoint about every minute, and at the end.  With no path it does nothing."""

    def __init__(self, path: str | os.PathLike | None, mark: str):
        self.path = None
        if path:
            self.path = Path(path)
        self.mark = mark
        self.last = time.monotonic()

    def keep_if_due(
        self, run: Callable[[], Any], done: int, rows: list[dict[str, np.ndarray]]
    ) -> None:
        """Write the state, which `run` returns, unless the last one is younger than
        `EVERY_SECONDS`.
        """
        if self.path is not None and time.monotonic() - self.last >= EVERY_SECONDS:
            self.keep(run, done, rows)

    def keep(self, run: Callable[[], Any], done: int, rows: list[dict[str, np.ndarray]]) -> None:
        """Write the state."""
        if self.path is None:
            return
        content: dict[str, np.ndarray] = {}
        if rows:
            for name in rows[0]:
                content[f"row_{name}"] = np.stack([row[name] for row in rows])
        for number, part in enumerate(jax.tree.leaves(run())):
            content[f"state_{number}"] = np.asarray(part)
        content["fingerprint"] = np.asarray(self.mark)
        content["done"] = np.asarray(done)
        array_files.write(self.path, content)
        self.last = time.monotonic()


def drop(path: str | os.PathLike | None) -> None:
    """Delete the checkpoint of a simulation that is complete."""
    if path is not None:
        Path(path).unlink(missing_ok=True)
