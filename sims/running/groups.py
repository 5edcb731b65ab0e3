"""All seeds of a simulation, in groups that fit the memory together."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sims.running.devices import Place
from sims.running.loop import Training
from teacherstudent.errors import DivergenceError

FREE_PART = 0.6  # of the free memory, for the seeds that run at once


class Bytes(NamedTuple):
    """About what a simulation holds while it trains: once on each device, and for each seed."""

    shared: int
    of_seed: int


def groups_that_fit(
    seeds: list[int], needed: Bytes, devices: Place, N: int, sharing: int = 1
) -> list[list[int]]:
    """The seeds in groups that fit the memory together; `sharing` processes divide that of a host.

    Raises ValueError if one seed alone does not fit.
    """
    free = devices.free_bytes()
    if free is None:
        return [seeds]
    sharing = sharing if devices.platform == "cpu" else 1
    free //= sharing
    left = FREE_PART * free - needed.shared
    fit = int(left * (1 if devices.platform == "cpu" else len(devices.devices)) / needed.of_seed)
    if fit < 1:
        one_part = f" (for this process, one of {sharing})" if sharing > 1 else ""
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
) -> list[dict[str, np.ndarray]]:
    """The records of all seeds, one group after the other; their checkpoints stay.

    Raises DivergenceError, whose `partial` has the records before if there is one group.
    """
    several, paths = len(groups) > 1, paths_of(groups, checkpoint)
    _check_same_groups(several, checkpoint)
    found: list[list[dict[str, np.ndarray]]] = []
    for number, group in enumerate(groups):
        training = None  # its memory is for the next
        training = begin(group)
        try:
            training.finish(
                paths[number], progress, f"seeds {number + 1}/{len(groups)}" if several else ""
            )
        except DivergenceError as error:
            error.partial = training.rows if not several and training.rows else None
            raise
        found.append(training.rows)
    return [
        {name: np.concatenate([row[name] for row in at]) for name in at[0]}
        for at in zip(*found, strict=True)
    ]


def paths_of(groups: list[list[int]], checkpoint: str | None) -> list[str | None]:
    """A checkpoint for each group."""
    if checkpoint is None or len(groups) == 1:
        return [checkpoint] * len(groups)
    return [f"{checkpoint}.{number}" for number in range(len(groups))]


def _check_same_groups(several: bool, checkpoint: str | None) -> None:
    """Raise ValueError if a checkpoint is there of seeds in other groups: it would be neither used
    nor deleted.
    """
    other = None if checkpoint is None else Path(checkpoint if several else f"{checkpoint}.0")
    if other is not None and other.exists():
        raise ValueError(
            f"checkpoint: {str(other)!r} is of a run whose seeds were in other groups, because "
            f"there was {'more' if several else 'less'} free memory; provide as much again, or "
            "delete it to begin anew."
        )
