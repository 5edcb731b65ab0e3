"""All seeds of a simulation, in groups that fit the memory together."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sims.running.callback import Callback
from sims.running.devices import Place
from sims.running.loop import Training
from teacherstudent.errors import DivergenceError

FREE_PART = 0.6  # the share of the free memory for the seeds that run at once


class Bytes(NamedTuple):
    """About what a simulation holds while it trains: once on each device, and for each seed."""

    shared: int
    of_seed: int


class Records(NamedTuple):
    """What a simulation answers, the seeds first in every array.

    - `rows`: one dictionary for each recorded time.
    - `end`: what another simulation needs to go on from the last of them.
    """

    rows: list[dict[str, np.ndarray]]
    end: dict[str, np.ndarray]


def groups_that_fit(
    seeds: list[int], needed: Bytes, devices: Place, N: int, sharing: int = 1
) -> list[list[int]]:
    """The seeds in groups that fit the memory together; `sharing` processes divide that of a host.

    Raises ValueError if one seed alone does not fit.
    """
    free = devices.free_bytes()
    if free is None:
        return [seeds]
    memories = len(devices.devices)
    if devices.platform == "cpu":
        memories = 1  # all CPU devices and all processes of a host share its memory
        free //= sharing
    left = FREE_PART * free - needed.shared
    fit = int(left * memories / needed.of_seed)
    if fit < 1:
        one_part = ""
        if devices.platform == "cpu" and sharing > 1:
            one_part = f" (for this process, one of {sharing})"
        raise ValueError(
            f"N = {N}: one seed needs about {sum(needed) / 2**30:.2g} GiB, but {devices} has "
            f"{free / 2**30:.2g} GiB free{one_part}, of which a simulation takes "
            f"{100 * FREE_PART:.0f} percent; use a smaller N or batch_size, or another device."
        )
    return [seeds[first : first + fit] for first in range(0, len(seeds), fit)]


def run_groups(
    groups: list[list[int]],
    begin: Callable[[list[int]], Training],
    checkpoint: str | None,
    progress: bool | None,
    callback: Callback | None = None,
) -> Records:
    """The records of all seeds, one group after the other; their checkpoints stay.

    Where a callback has stopped a group, the later ones train no longer than that, and the records
    are those that all have.

    Raises DivergenceError, whose `partial` has the records before if there is one group.
    """
    several = len(groups) > 1
    _check_same_groups(several, checkpoint)
    records: list[list[dict[str, np.ndarray]]] = []
    ends = []
    for number, path in enumerate(paths_of(groups, checkpoint)):
        training = None  # the memory of the last group is for the next one
        training = begin(groups[number])
        if records:
            training.steps = training.steps[: len(records[-1])]
        label = _label(training, number, len(groups))
        try:
            training.finish(path, progress, label, callback)
        except DivergenceError as error:
            error.partial = None
            if training.rows and not several:
                error.partial = training.rows
            raise
        training.warn_of_thresholds()
        rows = training.rows[: len(training.steps)]
        records.append(rows)
        last_step = training.steps[len(rows) - 1]
        ends.append(training.end() if training.done == last_step else {})
    rows = [_of_all_groups(rows) for rows in zip(*records, strict=False)]
    end = {}
    if all(ends) and len({len(rows) for rows in records}) == 1:
        end = _of_all_groups(ends)
    return Records(rows, end)


def _label(training: Training, number: int, groups: int) -> str:
    """What a bar says of the networks that are trained."""
    count = len(training.seeds)
    label = f"N = {training.N}, {count} {'network' if count == 1 else 'networks'}"
    if groups > 1:
        label += f", group {number + 1} of {groups}"
    return label


def _of_all_groups(rows: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The record of all seeds at one time, from those of the groups."""
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def paths_of(groups: list[list[int]], checkpoint: str | None) -> list[str | None]:
    """A checkpoint for each group."""
    if checkpoint is None or len(groups) == 1:
        return [checkpoint] * len(groups)
    return [f"{checkpoint}.{number}" for number in range(len(groups))]


def _check_same_groups(several: bool, checkpoint: str | None) -> None:
    """Raise ValueError if a checkpoint is there of seeds in other groups: it would be neither used
    nor deleted.
    """
    if checkpoint is None:
        return
    if several:
        other, memory = Path(checkpoint), "more"
    else:
        other, memory = Path(f"{checkpoint}.0"), "less"
    if other.exists():
        raise ValueError(
            f"checkpoint: {str(other)!r} is of a run whose seeds were in other groups, because "
            f"there was {memory} free memory; provide as much again, or delete it to begin anew."
        )
