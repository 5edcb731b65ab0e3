"""The loop around the compiled steps: recording, progress, checkpoints, divergence."""

import math
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from sims import checkpoints
from sims.weights import NEVER, Run, advance, record, test_error
from teacherstudent.errors import DivergenceError
from teacherstudent.problem import Problem
from teacherstudent.rules import Network

TRAINING, TESTING = 0, 1  # the streams of a seed's key; its starting weights come from NumPy with the same seed
BLOCK_BYTES = {"cpu": 2**18, "gpu": 2**26}  # of inputs drawn at once; on a CPU, what stays in a core's cache
CALL_SECONDS = 0.25  # between two looks at the progress bar, at Ctrl-C and at the checkpoint
TEST_BLOCK = 1000


class Begin(NamedTuple):
    """The networks of all seeds at the start, in float64."""

    w: np.ndarray
    v: np.ndarray
    w_star: np.ndarray


class Training:
    """One simulation: its arrays on the device, and the records so far (`rows`, one dictionary for each recorded time)."""

    def __init__(
        self, problem: Problem, begin: Begin, seeds: list[int], steps: list[int], dtype: str, test_samples: int
    ):
        cast = partial(jax.tree.map, lambda leaf: jnp.asarray(leaf, dtype))
        exact = partial(jax.tree.map, lambda leaf: jnp.asarray(leaf, jnp.float64))
        self.problem, self.exact_problem = cast(problem), exact(problem)
        self.seeds, self.steps, self.N = seeds, steps, begin.w.shape[-1]
        self.w_star = cast(begin.w_star)
        self.run = Run(Network(cast(begin.w), cast(begin.v)), jnp.full(len(seeds), NEVER, jnp.uint32))
        self.T = exact(np.einsum("smn,sln->sml", begin.w_star, begin.w_star) / self.N)
        roots = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
        self.training = jax.vmap(lambda root: jax.random.fold_in(root, TRAINING))(roots)
        self.testing = jax.vmap(lambda root: jax.random.fold_in(root, TESTING))(roots)
        platform = "cpu" if next(iter(self.w_star.devices())).platform == "cpu" else "gpu"
        bytes_per_step = len(seeds) * problem.batch_size * self.N * np.dtype(dtype).itemsize
        self.block = max(1, min(64, BLOCK_BYTES[platform] // bytes_per_step))
        self.test_blocks = math.ceil(test_samples / TEST_BLOCK)
        self.mark = checkpoints.fingerprint(problem, begin, [steps, seeds, dtype, test_samples])
        self.done = 0
        self.rows: list[dict[str, np.ndarray]] = []

    def finish(self, checkpoint: str | None, progress: bool | None) -> None:
        """Train to the last step, going on from the checkpoint if there is one."""
        self._resume(checkpoint)
        keeper = checkpoints.Keeper(checkpoint, self.mark)
        hidden = None if progress is None else not progress  # None: tqdm hides it unless on a terminal
        with tqdm(total=self.steps[-1], initial=self.done, unit="step", unit_scale=True, disable=hidden) as bar:
            pace = 256
            for target in self.steps[len(self.rows) :]:
                while self.done < target:
                    began = time.perf_counter()
                    count = min(target - self.done, pace)
                    self._advance(count)
                    pace = max(1, min(2 * pace, int(count * CALL_SECONDS / (time.perf_counter() - began))))
                    bar.update(count)
                    keeper.keep_if_due(self.run.student.w, self.run.student.v, self.done, self.rows)
                self.rows.append(self._record())
        keeper.drop()

    def _resume(self, checkpoint: str | None) -> None:
        saved = checkpoints.read(checkpoint, self.mark) if checkpoint else None
        if saved is not None:
            self.run = self.run._replace(student=Network(jnp.asarray(saved.w), jnp.asarray(saved.v)))
            self.done, self.rows = saved.done, saved.rows

    def _advance(self, count: int) -> None:
        first, number = jnp.asarray(self.done, jnp.uint32), jnp.asarray(count, jnp.uint32)
        self.run = advance(self.problem, self.w_star, self.training, self.run, first, number, block=self.block)
        self.done += count
        diverged = np.asarray(self.run.diverged)  # waits for the device
        if diverged.min() != NEVER:
            seed, step = self.seeds[int(diverged.argmin())], int(diverged.min())
            raise DivergenceError(
                f"the network of seed {seed} diverges at t = {step / self.N:.6g} (step {step}); "
                "lower the learning rate, or stop before.",
                step / self.N,
            )

    def _record(self) -> dict[str, np.ndarray]:
        measured = record(self.exact_problem, self.T, self.w_star, self.run.student)
        values = {name: np.asarray(value) for name, value in measured._asdict().items()}
        if self.test_blocks:
            values["test_error"] = np.asarray(
                test_error(
                    self.problem, self.w_star, self.testing, self.run.student, blocks=self.test_blocks, block=TEST_BLOCK
                )
            )
        return values
