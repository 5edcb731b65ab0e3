"""The progress bar of a solve: the time reached, the number of steps, and the time that is left.

The compiled steps call back at steps that this side chooses, so that a look costs little beside
what is looked at.  Without a bar nothing is compiled in.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import diffrax
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback
from jaxtyping import Array, Float, Int

from teacherstudent.progress import progress_bar

PAUSE = 0.1  # seconds between two looks
DELAY = 0.5  # seconds without a bar: short solves show none


class _Count(NamedTuple):
    """What the compiled steps know of their bar."""

    bar: Int[Array, ""]
    steps: Int[Array, ""]
    following: Int[Array, ""]  # the number of steps at the next look


class TimeBar(diffrax.AbstractProgressMeter):
    """A bar from the first time of a solve to its last; of a batch it shows the slowest curve."""

    begin: Float[Array, ""]
    end: Float[Array, ""]

    def init(self) -> _Count:
        like = jax.ShapeDtypeStruct((), jnp.int32)
        bar = io_callback(_SHOWN.open, like, self.begin, self.end)
        return _Count(eqxi.nonbatchable(bar), jnp.int32(0), jnp.int32(1))

    def step(self, state: _Count, progress) -> _Count:
        steps = state.steps + 1
        slowest = -eqxi.unvmap_max(-progress)
        t = self.begin + slowest * (self.end - self.begin)
        bar, count, following = map(eqxi.unvmap_max, (state.bar, steps, state.following))

        # An impure callback could not stand in the loop of a batch; its answer orders this one.
        def look(_):
            like = jax.ShapeDtypeStruct((), jnp.int32)
            return jax.pure_callback(_SHOWN.show, like, bar, t, count)

        following = jax.lax.cond(
            eqxi.nonbatchable(count >= following), look, lambda same: same, following
        )
        return _Count(state.bar, steps, following)

    def close(self, state: _Count) -> None:
        # What the looks answered is known after the last of them; unread, they would be left out.
        io_callback(_SHOWN.close, None, *map(eqxi.unvmap_max, (state.bar, state.following)))


class Bar:
    """A bar on the error stream, and how often it is looked at."""

    def __init__(self, begin: float, end: float, clock: Callable[[], float] = time.perf_counter):
        self.bar = progress_bar(end, True, label="theory", initial=begin, delay=DELAY)
        self.clock = clock
        self.steps = 0
        self.looked = clock()

    def show(self, t: float, steps: int) -> int:
        """Show the time reached, and answer with the number of steps at the next look."""
        now = self.clock()
        following = steps + steps_between(steps - self.steps, now - self.looked)
        self.steps, self.looked = steps, now
        self.bar.set_postfix_str(f"{steps} steps, ", refresh=False)
        self.bar.update(t - self.bar.n)
        return following


@contextmanager
def shown(begin: float, end: float) -> Iterator[Callable[[float, int], object]]:
    """A bar for a solve in calls, which says how far it is after each."""
    bar = Bar(begin, end)
    try:
        yield bar.show
    finally:
        bar.bar.close()


def steps_between(steps: int, seconds: float) -> int:
    """After so many steps in so many seconds: how many to the next look, at most twice as many."""
    fitting = steps * PAUSE / max(seconds, 1e-9)
    return int(max(1, min(2 * steps, fitting)))


class _Shown:
    """The bars that are open, by their number; compiled code calls back from threads of its own."""

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.bars: dict[int, Bar] = {}
        self.lock = threading.Lock()

    def open(self, begin: Any, end: Any) -> np.ndarray:
        with self.lock:
            number = next(self.numbers)
            self.bars[number] = Bar(float(begin), float(end))
            return np.asarray(number, np.int32)

    def show(self, number: Any, t: Any, steps: Any) -> np.ndarray:
        with self.lock:
            following = self.bars[int(number)].show(float(t), int(steps))
            return np.asarray(following, np.int32)

    def close(self, number: Any, following: Any) -> None:
        with self.lock:
            self.bars.pop(int(number)).bar.close()


_SHOWN = _Shown()
