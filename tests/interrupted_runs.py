"""Runs of the command line that are interrupted and resumed, in processes of their own.

`python -m tests.interrupted_runs SIGNAL PLACE COUNT ARGUMENTS...` is the command line in which a
signal arrives at a place of the work, when it comes by for the COUNT-th time: no clock decides
where.  With the signal "none" nothing arrives.  What takes a moment counts as worth keeping there,
and every occasion to write a checkpoint is taken.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

import teacherstudent as ts
from tests.processes import quick_compilation

PLACES = ("none", "steps", "solver", "fsync", "replace")
DIFFERENT_EACH_TIME = ("seconds",)  # in a report


def main() -> None:
    """The command line with a signal in it."""
    name, place, count, *arguments = sys.argv[1:]
    eager()
    if place != "none":
        after_so_many(place, int(count), lambda: os.kill(os.getpid(), getattr(signal, name)))
    run_command_line(arguments)


def run_command_line(arguments: list[str]) -> None:
    # A job in the background would ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from teacherstudent.command import cli

    sys.argv = ["teacherstudent", *arguments]
    cli.main()


def eager() -> None:
    """Keep what takes no time, in short calls."""
    from odes.solving import calls
    from sims.running import loop
    from teacherstudent.results import checkpoint_files

    checkpoint_files.EVERY_SECONDS = 0.0
    checkpoint_files.WORTH_KEEPING = 0.0
    calls.FIRST_SECONDS = 0.0  # one step, after which the same program goes on
    calls.CALL_SECONDS = 0.01
    loop.CALL_SECONDS = 0.05


def after_so_many(place: str, count: int, act: Callable[[], object]) -> None:
    """Act when a place is passed for the count-th time, before what happens there."""
    from odes.solving import calls
    from sims.running import loop

    where = {
        "steps": (loop.Training, "take_steps"),
        "solver": (calls.Stages, "reach"),
        "fsync": (os, "fsync"),
        "replace": (os, "replace"),
    }
    owner, name = where[place]
    original = getattr(owner, name)
    left = [count]

    def passed(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            act()
        return original(*arguments, **options)

    setattr(owner, name, passed)


def run(folder: Path, *arguments, at: tuple[str, str, int] = ("none", "none", 0), **environment):
    """A command in a process of its own, and what became of it."""
    command = [sys.executable, "-m", "tests.interrupted_runs", *map(str, at), *map(str, arguments)]
    root = str(Path(__file__).parents[1])
    settings = os.environ | quick_compilation() | {"COLUMNS": "100", "PYTHONPATH": root}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env=settings | environment,
        timeout=600,
    )


def same_results(one: Path | xr.DataTree, other: Path | xr.DataTree) -> bool:
    """Whether two results have the same numbers, to the last bit, and say the same of themselves
    but for the seconds that they took.
    """
    first, second = (ts.load(tree) if isinstance(tree, Path) else tree for tree in (one, other))
    if [node.path for node in first.subtree] != [node.path for node in second.subtree]:
        return False
    return all(_same_group(node, second[node.path]) for node in first.subtree)


def _same_group(one: xr.DataTree, other: xr.DataTree) -> bool:
    if set(one.variables) != set(other.variables) or _described(one) != _described(other):
        return False
    for name, variable in one.variables.items():
        twin = other.variables[name]
        if variable.dims != twin.dims or variable.dtype != twin.dtype:
            return False
        if np.asarray(variable.values).tobytes() != np.asarray(twin.values).tobytes():
            return False
    return True


def _described(group: xr.DataTree) -> dict:
    described = json.loads(group.attrs.get("teacherstudent", "{}"))
    described.pop("created", None)
    report = described.get("report", {})
    for name in DIFFERENT_EACH_TIME:
        report.pop(name, None)
    return described


if __name__ == "__main__":
    main()
