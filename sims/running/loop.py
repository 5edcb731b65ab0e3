"""The loop around compiled steps, whatever they keep of the networks: recording, progress,
checkpoints, divergence.
"""

import abc
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sims.running import checkpoints
from sims.running.callback import Callback
from sims.running.devices import Place
from sims.running.divergence import check_record
from sims.running.triton import known_to_be_deprecated
from teacherstudent.checking.warn import warn_user
from teacherstudent.errors import DivergenceError
from teacherstudent.interruptions import deferred
from teacherstudent.models.learnable import Learnable
from teacherstudent.observables.observable import (
    NetworkWeights,
    Observable,
    at_overlaps,
    at_weights,
)
from teacherstudent.observables.thresholds import quantity_of_networks
from teacherstudent.progress import Bar, progress_bar
from teacherstudent.protocol import Until
from teacherstudent.results import checkpoint_files
from teacherstudent.schedules import values_along
from teacherstudent.starts import Start
from teacherstudent.states.kept import KeptNetworks

GENERATOR = "threefry2x32"  # of all random numbers, whatever JAX's default is set to
NEVER = 2**32 - 1  # the step at which a network that has not diverged has diverged
# The streams of a seed's key; its starting weights come from NumPy with the same seed.
TRAINING = 0
TESTING = 1
MOMENTS = 100  # at which schedules are looked at for the fingerprint of a checkpoint
CALL_SECONDS = 0.25  # between two looks at the progress bar, at Ctrl-C and at the checkpoint


class Pace:
    """How many steps a call takes, by the time that the last one took: of no influence on numbers
    (`sims.running.blocks`).
    """

    def __init__(self) -> None:
        self.steps = 256

    def count(self, done: int, target: int, block: int) -> int:
        """Steps from `done` on, at most to `target`: to the end of a block, since a part of one
        draws all of it.
        """
        stop = max(done // block + 1, (done + self.steps) // block) * block
        return min(stop, target) - done

    def measure(self, count: int, seconds: float) -> None:
        """Aim at `CALL_SECONDS` after so many steps in so many seconds, by whatever clock; grow to
        twice at most.
        """
        fitting = count * CALL_SECONDS / max(seconds, 1e-9)
        self.steps = int(max(1, min(2 * self.steps, fitting)))


class Training(abc.ABC):
    """One simulation: its arrays on the devices, and its records so far.

    - `run`: a pytree of arrays, all that changes from step to step; `run.diverged` says of each
      seed at which step it stopped being finite.
    - `T`: the teachers' overlaps, one matrix for each seed.
    - `blocks`: for how many steps each program ("loop", "kernel") draws random numbers at once.
    - `cost_of_loop`: how much longer a loop takes than the kernel, in words.
    - `axis`: the axis of the arrays of `run` along which they have their seeds.
    - `mark`: says of a checkpoint whether it belongs to this simulation.
    - `done`, `rows`: the number of steps taken, and one dictionary for each recorded time.

    To add a method: a subclass that sets these in `__init__` and defines `advanced` and `record`.
    """

    run: Any
    T: Any
    blocks: dict[str, int]
    axis: ClassVar[int]
    cost_of_loop: ClassVar[str] = "more slowly"
    mark: str
    fused = False  # whether the steps are one kernel
    counted: np.ndarray | None = None  # which seeds may diverge; all unless some are elsewhere
    warned = False  # whether weights beyond the bound of divergence were warned of

    def __init__(
        self,
        problem: Learnable,
        N: int,
        seeds: list[int],
        steps: list[int],
        place: Place,
        observables: Sequence[Observable] = (),
        first_step: int = 0,
    ):
        self.problem: Any = problem
        self.N = N
        self.seeds = seeds
        self.steps = steps
        self.place = place
        self.observables = tuple(observables)
        self.done = first_step
        self.rows: list[dict[str, np.ndarray]] = []

    @abc.abstractmethod
    def advanced(self, first, count) -> Any:
        """`run` after `count` more steps, of which the first has the number `first`."""

    def use_kernel(self) -> None:
        """Take the steps of the kernel from now on, if one step of a copy shows that it runs; else
        say so in a warning, with what it costs.
        """
        begin = self.run
        self.fused = True
        self.run = jax.tree.map(jnp.copy, begin)
        try:
            with known_to_be_deprecated():
                jax.block_until_ready(self.advanced(jnp.uint32(0), jnp.uint32(1)))
        except Exception as error:  # each layer of JAX has errors of its own
            self.fused = False
            why = str(error).strip().split("\n")[0] or type(error).__name__
            warn_user(
                f"the kernel does not run on {self.place} ({why}); the same steps run as a loop, "
                f"{self.cost_of_loop}.",
            )
        self.run = begin

    @property
    def now(self) -> float:
        """The time t of the networks: the number of steps taken over N, or the number itself."""
        return self.done / self.problem.updates_per_time(self.N)

    @property
    def program(self) -> str:
        """What a report says of the steps."""
        if self.fused:
            return "kernel"
        return "loop"

    @property
    def block(self) -> int:
        """For how many steps random numbers are drawn at once."""
        return self.blocks[self.program]

    @abc.abstractmethod
    def record(self) -> dict[str, np.ndarray]:
        """The order parameters of every seed now."""

    @abc.abstractmethod
    def kept(self, start: Start) -> KeptNetworks:
        """The networks now, from which another training goes on; `start` is that of the run."""

    @abc.abstractmethod
    def end(self) -> dict[str, np.ndarray]:
        """What another simulation needs to go on from now, the seeds first."""

    def networks(self) -> NetworkWeights:
        """The weights of every seed now, where they are kept."""
        raise NotImplementedError(f"{type(self).__name__} keeps no weights.")

    def observed(self, row: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The observables of every seed now; `row` has its order parameters."""
        T = np.asarray(self.T)[: len(self.seeds)]
        values = at_overlaps(self.observables, row["Q"], row["R"], T, row["v"], row["b"])
        if any(one.needs_weights for one in self.observables):
            of_weights = at_weights(self.observables, *self.networks())
            values |= {name: found[: len(self.seeds)] for name, found in of_weights.items()}
        return values

    def values_of_schedules(self) -> list[np.ndarray]:
        """What a checkpoint's fingerprint holds of numbers that change with time.

        A function keeps its text where a number that it takes from outside changes.
        """
        chosen = np.linspace(0, self.steps[-1], MOMENTS).astype(np.int64)
        times = chosen / self.problem.updates_per_time(self.N)
        return values_along(self.problem.schedules, times)

    @property
    def marks_of_observables(self) -> list[list]:
        """What a checkpoint's fingerprint holds of the observables: not what they compute."""
        return [[one.name, list(one.dims), *one.coordinates] for one in self.observables]

    def finish(
        self,
        checkpoint: str | os.PathLike | None,
        progress: bool | None,
        label: str = "",
        callback: Callback | None = None,
    ) -> None:
        """Train to the last step, going on from the checkpoint if there is one, which then holds
        the end of the run.

        A callback may end it before.  It also sees the records that the checkpoint has, so that a
        run ends at the same time whether or not it was interrupted.  An interruption (Ctrl-C) is
        answered between two calls, and leaves a checkpoint.
        """
        if checkpoint:
            self._resume(checkpoint)
        if callback is not None and self._stops_before(callback):
            return
        keeper = checkpoints.Keeper(checkpoint, self.mark)
        begin, end = self._time(self.done), self._time(self.steps[-1])
        bar = progress_bar(end, progress, label=label, initial=begin)

        def keep() -> bool:
            return keeper.keep(self._without_fill, self.done, self.rows)

        with checkpoint_files.kept_when_interrupted(keeper.writer, keep), bar:
            self._train(bar, keeper, callback)
        keeper.keep_the_end(self._without_fill, self.done, self.rows)

    def _train(self, bar: Bar, keeper: checkpoints.Keeper, callback: Callback | None) -> None:
        """Take the steps and make the records up to the last one.

        State, `done` and records belong together wherever this may be interrupted: what changes
        them is deferred, for an exception in the middle would lose the state, whose arrays are
        given away to the program that makes the next one.
        """
        pace = Pace()
        while len(self.rows) < len(self.steps):
            target = self.next_stop()
            while self.done < target:
                count = pace.count(self.done, target, self.block)
                began = time.perf_counter()
                with deferred():
                    self.take_steps(count)
                pace.measure(count, time.perf_counter() - began)
                bar.reach(self._time(self.done))
                keeper.keep_if_due(self._without_fill, self.done, self.rows)
            if self.done < self.steps[len(self.rows)]:
                with deferred():
                    self.turn({})
                continue
            row = self.record()
            self.check(row)
            row = row | self.observed(row)
            with deferred():
                self.rows.append(row)
                self.turn(row)
            if callback is not None and self._stops(callback, keeper):
                return

    def next_stop(self) -> int:
        """The step at which to look at the networks next: not after the next record."""
        return self.steps[len(self.rows)]

    def turn(self, row: dict[str, np.ndarray]) -> None:
        """What happens at a stop, after what was recorded there, if anything: nothing."""

    def warn_of_thresholds(self) -> None:
        """Warn of what a protocol has not reached at the end; there is none here."""

    def _stops_before(self, callback: Callback) -> bool:
        """Whether a callback stops at a record of the checkpoint; the later ones are left out."""
        for index, row in enumerate(self.rows[: len(self.steps)]):
            if callback.stops(self._time(self.steps[index]), row):
                self.rows = self.rows[: index + 1]
                return True
        return False

    def _stops(self, callback: Callback, keeper: checkpoints.Keeper) -> bool:
        """Whether a callback stops at the last record; one that fails leaves the checkpoint of
        all that was done.
        """
        try:
            return callback.stops(self._time(self.done), self.rows[-1])
        except BaseException:
            keeper.keep(self._without_fill, self.done, self.rows)
            raise

    def _time(self, step: int) -> float:
        return step / self.problem.updates_per_time(self.N)

    def _resume(self, checkpoint: str | os.PathLike) -> None:
        """Go on from a checkpoint, if there is one."""
        saved = checkpoints.read(checkpoint, self.mark, self.run)
        if saved is not None:
            self.run = self._filled(saved.run)
            self.done = saved.done
            self.rows = saved.rows

    def state(self) -> Any:
        """All that changes from step to step, to go on from now."""
        return self._without_fill()

    def go_on_from(self, parts: list, done: int) -> None:
        """Take over the parts of a `state`, of so many steps."""
        self.run = self._filled(jax.tree.unflatten(jax.tree.structure(self.run), parts))
        self.done = done

    def check(self, row: dict[str, np.ndarray]) -> None:
        """Raise DivergenceError, or warn once, where the overlaps recorded now are none that
        training leads to.
        """
        begin: dict[str, np.ndarray] = {}
        if self.steps[0] == 0:
            begin = (self.rows or [row])[0]
        self.check_seeds(row, begin, np.ones(len(self.seeds), bool))

    def check_seeds(self, row: dict[str, np.ndarray], begin: dict, inside: np.ndarray) -> None:
        """The same of some seeds; `begin` is the record at t = 0, empty if there is none."""
        seeds = [seed for seed, one in zip(self.seeds, inside, strict=True) if one]
        row = {name: values[inside] for name, values in row.items()}
        begin = {name: values[inside] for name, values in begin.items()}
        T = np.asarray(self.T)[: len(self.seeds)][inside]
        doubt = check_record(self.problem, seeds, T, row, begin, self.now)
        if doubt is not None and not self.warned:
            self.warned = True
            warn_user(doubt)

    def quantity(self, until: Until, row: dict[str, np.ndarray]) -> np.ndarray:
        """The quantity of a threshold for each seed; `row` has its order parameters."""
        quantity = quantity_of_networks(until, self.problem)
        if not isinstance(quantity, Observable):
            return row["eps_g"]
        T = np.asarray(self.T)[: len(self.seeds)]
        values = at_overlaps([quantity], row["Q"], row["R"], T, row["v"], row["b"])
        return values[quantity.name]

    def _without_fill(self) -> Any:
        """The state without the seeds that only fill up the devices: it goes on on any number of
        them.
        """
        members = np.arange(len(self.seeds))
        return jax.tree.map(
            lambda part: np.take(np.asarray(part), members, axis=self.axis), self.run
        )

    def _filled(self, saved: Any) -> Any:
        """A saved state with the last seed repeated until all devices have as many."""
        count = len(self.place.filled(self.seeds))
        members = np.minimum(np.arange(count), len(self.seeds) - 1)
        filled = jax.tree.map(lambda part: np.take(part, members, axis=self.axis), saved)
        return self.place.like(filled, self.run)

    def take_steps(self, count: int) -> None:
        """`count` more steps.  Raises DivergenceError if a network stops being finite."""
        self.run = self.advanced(jnp.asarray(self.done, jnp.uint32), jnp.asarray(count, jnp.uint32))
        self.done += count
        diverged = np.asarray(self.run.diverged).ravel()  # waits for the device
        if self.counted is not None:
            diverged = np.where(self.counted, diverged[: len(self.counted)], NEVER)
        if diverged.min() != NEVER:
            seed = self.seeds[int(diverged.argmin())]
            step = int(diverged.min())
            reached = self._time(step)
            raise DivergenceError(
                f"the network of seed {seed} diverges at t = {reached:.6g} (step {step}); "
                "lower the learning rate, or stop before.",
                reached,
            )


def stream_keys(seeds: list[int], which: int):
    """The key of one stream of every seed."""
    roots = jax.vmap(partial(jax.random.key, impl=GENERATOR))(jnp.asarray(seeds, jnp.uint32))
    return jax.vmap(lambda root: jax.random.fold_in(root, which))(roots)
