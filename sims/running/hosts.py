"""Several processes, connected by `jax.distributed`: each simulates its share of the seeds, and all
of them get all records.
"""

import os
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils


def share(seeds: list[int]) -> list[int]:
    """The seeds of this process, every n-th of n processes.  Raises ValueError if they are not as
    many for each.
    """
    processes = jax.process_count()
    if len(seeds) % processes:
        raise ValueError(
            f"seeds: {len(seeds)} seeds cannot be shared out evenly over {processes} processes; "
            f"give a multiple of {processes}."
        )
    return seeds[jax.process_index() :: processes]


def processes_here() -> int:
    """How many of the processes run on this host, and share its memory."""
    if jax.process_count() == 1:
        return 1
    name = np.asarray(zlib.crc32(socket.gethostname().encode()), np.uint32)
    return int((multihost_utils.process_allgather(name) == name).sum())


def path_of_process(path: str | os.PathLike) -> str:
    """The path of a file that this process alone writes."""
    if jax.process_count() == 1:
        return os.fspath(path)
    return f"{os.fspath(path)}.{jax.process_index()}"


def gathered(rows: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """The records of all processes, in the order of the seeds."""
    if jax.process_count() == 1:
        return rows
    together = {}
    for name in rows[0]:
        along_time = np.stack([row[name] for row in rows])
        together[name] = multihost_utils.process_allgather(along_time)
    return [
        {name: _in_order(part[:, index]) for name, part in together.items()}
        for index in range(len(rows))
    ]


@contextmanager
def all_or_none() -> Iterator[None]:
    """Work after which the processes meet.  Raises RuntimeError where it was done, if in another
    process it was not.
    """
    if jax.process_count() == 1:
        yield
        return
    try:
        yield
    except Exception:
        multihost_utils.process_allgather(np.asarray(False))
        raise
    done = multihost_utils.process_allgather(np.asarray(True))
    if not done.all():
        which = ", ".join(map(str, np.flatnonzero(~done)))
        raise RuntimeError(
            f"the simulation failed in process {which}, whose own error says why; no process has "
            "an answer."
        )


def _in_order(part: np.ndarray) -> np.ndarray:
    """(processes, seeds of each, ...) as (seeds, ...)."""
    return np.swapaxes(part, 0, 1).reshape(-1, *part.shape[2:])
