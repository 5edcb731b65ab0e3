"""The loop around compiled steps, whatever they keep of the networks: recording, progress,
checkpoints, divergence.
"""

import abc
import os
import time
import warnings
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from sims.running import checkpoints
from sims.running.devices import Place
from sims.running.divergence import check_record
from teacherstudent.errors import DivergenceError
from teacherstudent.problem import Problem

NEVER = 2**32 - 1  # the step at which a network that has not diverged has diverged
TRAINING, TESTING = (
    0,
    1,
)  # the streams of a seed's key; its starting weights come from NumPy with the same seed
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
    """One simulation: its arrays on the devices, and the records so far (`rows`, one dictionary for
    each recorded time).

    `run` is a pytree of arrays, all that changes from step to step; `run.diverged` says of each
    seed when it stopped being finite.
    """

    run: Any
    T: Any  # the teachers' overlaps, one matrix for each seed
    blocks: dict[str, int]  # of each program: for how many steps random numbers are drawn at once
    axis: ClassVar[int]  # of the arrays of `run`, along which they have their seeds
    mark: str  # of a checkpoint that belongs to this simulation
    fused = False  # whether the steps are one kernel
    warned = False  # of weights beyond the bound of divergence

    def __init__(self, problem: Problem, N: int, seeds: list[int], steps: list[int], place: Place):
        self.problem, self.N, self.seeds, self.steps, self.place = problem, N, seeds, steps, place
        self.done = 0
        self.rows: list[dict[str, np.ndarray]] = []

    @abc.abstractmethod
    def advanced(self, first, count) -> Any:
        """`run` after `count` more steps, of which the first has the number `first`."""

    def use_kernel(self) -> None:
        """Take the steps of the kernel from now on, if one step of a copy shows that it runs; else
        say so in a warning.
        """
        begin, self.fused = self.run, True
        self.run = jax.tree.map(jnp.copy, begin)
        try:
            jax.block_until_ready(self.advanced(jnp.uint32(0), jnp.uint32(1)))
        except Exception as error:  # of whichever layer of JAX
            self.fused = False
            why = str(error).strip().split("\n")[0] or type(error).__name__
            warnings.warn(
                f"the kernel does not run on {self.place} ({why}); the same steps run as a loop, "
                "more slowly.",
                stacklevel=2,
            )
        self.run = begin

    @property
    def program(self) -> str:
        """What a report says of the steps."""
        return "kernel" if self.fused else "loop"

    @property
    def block(self) -> int:
        """For how many steps random numbers are drawn at once."""
        return self.blocks[self.program]

    @abc.abstractmethod
    def record(self) -> dict[str, np.ndarray]:
        """The order parameters of every seed now."""

    def finish(
        self, checkpoint: str | os.PathLike | None, progress: bool | None, label: str = ""
    ) -> None:
        """Train to the last step, going on from the checkpoint if there is one, which then holds
        the end of the run.
        """
        saved = checkpoints.read(checkpoint, self.mark, self.run) if checkpoint else None
        if saved is not None:
            self.run, self.done, self.rows = self._filled(saved.run), saved.done, saved.rows
        keeper = checkpoints.Keeper(checkpoint, self.mark)
        hidden = (
            None if progress is None else not progress
        )  # None: tqdm hides it unless on a terminal
        total = self.steps[-1]
        with tqdm(
            total=total, initial=self.done, unit="step", unit_scale=True, disable=hidden, desc=label
        ) as bar:
            pace = Pace()
            for target in self.steps[len(self.rows) :]:
                while self.done < target:
                    count = pace.count(self.done, target, self.block)
                    began = time.perf_counter()
                    self.advance(count)
                    pace.measure(count, time.perf_counter() - began)
                    bar.update(count)
                    keeper.keep_if_due(self._of_seeds, self.done, self.rows)
                row = self.record()
                self.check(row)
                self.rows.append(row)
        keeper.keep(self._of_seeds, self.done, self.rows)

    def check(self, row: dict[str, np.ndarray]) -> None:
        """Raise DivergenceError, or warn once, where the overlaps recorded now are none that
        training leads to.
        """
        begin = (self.rows[0] if self.rows else row) if self.steps[0] == 0 else {}
        now = self.done / self.problem.updates_per_time(self.N)
        doubt = check_record(
            self.problem, self.seeds, np.asarray(self.T)[: len(self.seeds)], row, begin, now
        )
        if doubt is not None and not self.warned:
            self.warned = True
            warnings.warn(doubt, stacklevel=2)

    def _of_seeds(self) -> Any:
        """The state without the seeds that only fill up the devices: it goes on on any number of
        them.
        """
        own = np.arange(len(self.seeds))
        return jax.tree.map(lambda part: np.take(np.asarray(part), own, axis=self.axis), self.run)

    def _filled(self, saved: Any) -> Any:
        own = np.minimum(np.arange(len(self.place.filled(self.seeds))), len(self.seeds) - 1)
        return self.place.like(
            jax.tree.map(lambda part: np.take(part, own, axis=self.axis), saved), self.run
        )

    def advance(self, count: int) -> None:
        """`count` more steps.  Raises DivergenceError if a network stops being finite."""
        self.run = self.advanced(jnp.asarray(self.done, jnp.uint32), jnp.asarray(count, jnp.uint32))
        self.done += count
        diverged = np.asarray(self.run.diverged).ravel()  # waits for the device
        if diverged.min() != NEVER:
            seed, step = self.seeds[int(diverged.argmin())], int(diverged.min())
            reached = step / self.problem.updates_per_time(self.N)
            raise DivergenceError(
                f"the network of seed {seed} diverges at t = {reached:.6g} (step {step}); "
                "lower the learning rate, or stop before.",
                reached,
            )


def stream_keys(seeds: list[int], which: int):
    """The key of one stream of every seed."""
    roots = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    return jax.vmap(lambda root: jax.random.fold_in(root, which))(roots)
