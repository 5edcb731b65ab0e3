"""Clocks that simulations take for the real one, and their networks at the end."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import numpy as np
import pytest

from sims.running.loop import Training


def slow() -> Iterator[float]:
    """Every call takes ten seconds."""
    return itertools.count(0.0, 10.0)


def fast() -> Iterator[float]:
    """Every call takes no more than a nanosecond."""
    return itertools.count(0.0, 1e-9)


def still() -> Iterator[float]:
    """No time passes."""
    return itertools.repeat(0.0)


def backward() -> Iterator[float]:
    """The clock is set back between any two looks."""
    return itertools.count(0.0, -1.0)


def erratic(seed: int = 0) -> Iterator[float]:
    """Calls take from a microsecond to ten seconds."""
    rng = np.random.default_rng(seed)
    now = 0.0
    while True:
        now += 10.0 ** rng.uniform(-6.0, 1.0)
        yield now


CLOCKS: dict[str, Callable[[], Iterator[float]]] = {
    "slow": slow,
    "fast": fast,
    "still": still,
    "backward": backward,
    "erratic": erratic,
}


@contextmanager
def clock(times: Iterator[float]):
    """What runs inside reads these times one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: next(times))
        yield


@contextmanager
def last_networks():
    """The list of the last states of all simulations that run inside, one for each group of
    seeds.
    """
    states: list = []
    finish = Training.finish

    def finish_and_keep(self, *arguments):
        finish(self, *arguments)
        states.append(jax.tree.map(np.asarray, self.run))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "finish", finish_and_keep)
        yield states


def bytes_of(tree) -> list[bytes]:
    """The arrays of a tree, bit for bit."""
    return [leaf.tobytes() for leaf in jax.tree.leaves(tree)]
