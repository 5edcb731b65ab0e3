"""What a call of `simulate` asks for, before anything of it is checked by the kind of problem."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from sims.running import hosts
from sims.running.loop import NEVER
from teacherstudent.checking import checks
from teacherstudent.results.atomic_files import check_writable


class Request(NamedTuple):
    """The arguments of `simulate`."""

    problem: Any
    start: Any
    times: np.ndarray
    N: int | None
    seeds: int | Iterable[int] | None
    method: str | None
    dtype: str | None
    test_samples: int | None
    bank: Any
    data: Any
    device: str | None
    observables: Any
    keep: str | None
    callback: Any
    checkpoint: str | os.PathLike | None
    progress: bool | None


def own_checkpoint(checkpoint: str | os.PathLike | None) -> str | None:
    """The file that this process writes, checked to be one that can be written."""
    if checkpoint is None:
        return None
    path = checks.path("checkpoint", checkpoint)
    check_writable(path, force=True)
    return hosts.path_of_process(path)


def recorded_steps(times: np.ndarray, per_time: int) -> list[int]:
    """The nearest whole numbers of updates, each once."""
    if times[-1] * per_time >= NEVER:
        raise ValueError(
            f"times[-1] = {times[-1]:g} is {times[-1] * per_time:.2g} updates at N = {per_time}; "
            f"at most {NEVER} are possible."
        )
    return np.unique(np.rint(times * per_time).astype(np.int64)).tolist()
