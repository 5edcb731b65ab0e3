"""The loop around the compiled steps: recording, progress, checkpoints, divergence."""

import math
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from sims import checkpoints
from sims.bank import Banks
from sims.tasks import SetUp, as_arrays
from sims.weights import NEVER, HeldOut, Run, advance, begun, held_out, on_samples, record, with_error
from teacherstudent.errors import DivergenceError
from teacherstudent.problem import Problem
from teacherstudent.rules import Network

TRAINING, TESTING = 0, 1  # the streams of a seed's key; its starting weights come from NumPy with the same seed
BLOCK_BYTES = {"cpu": 2**18, "gpu": 2**26}  # of inputs drawn at once; on a CPU, what stays in a core's cache
CALL_SECONDS = 0.25  # between two looks at the progress bar, at Ctrl-C and at the checkpoint
TEST_BLOCK = 1000


class Training:
    """One simulation: its arrays on the device, and the records so far (`rows`, one dictionary for each recorded time)."""

    def __init__(
        self,
        problem: Problem,
        set_up: SetUp,
        seeds: list[int],
        steps: list[int],
        dtype: str,
        test_samples: int,
        banks: Banks | None = None,
    ):
        begin, source = set_up.begin, set_up.source if banks is None else banks.training
        bare = problem.without_inputs
        self.problem, self.exact_problem = as_arrays(bare, dtype), as_arrays(bare, jnp.float64)
        self.seeds, self.steps, self.N = seeds, steps, begin.w.shape[-1]
        self.w_star = jnp.asarray(begin.w_star, dtype)
        self.source, self.shared = as_arrays(source, dtype), set_up.shared or banks is not None
        self.covariances, self.shared_covariances = as_arrays(set_up.covariances, jnp.float64), set_up.shared
        self.bank = None if banks is None else as_arrays(banks.testing, dtype)
        student, memory = begun(self.problem, Network(*as_arrays((begin.w, begin.v, begin.b), dtype)))
        self.run = Run(student, memory, jnp.full(len(seeds), NEVER, jnp.uint32))
        self.T = jnp.asarray(np.einsum("smn,sln->sml", begin.w_star, begin.w_star) / begin.w_star.shape[-1])
        roots = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
        self.training = jax.vmap(lambda root: jax.random.fold_in(root, TRAINING))(roots)
        self.testing = jax.vmap(lambda root: jax.random.fold_in(root, TESTING))(roots)
        platform = "cpu" if next(iter(self.w_star.devices())).platform == "cpu" else "gpu"
        of_seed = problem.rule.gradients * problem.samples(self.N)
        samples = len(seeds) * of_seed
        bytes_per_step = samples * self.N * np.dtype(dtype).itemsize
        # seeds with sources of their own have matrix products of their own, of a quarter of the rows to bound the memory
        least = math.ceil(source.least_rows / (samples if self.shared else 4 * of_seed))
        self.block = max(least, min(64, BLOCK_BYTES[platform] // bytes_per_step))
        self.test_blocks = math.ceil(test_samples / TEST_BLOCK)
        arrays = [*begin, *jax.tree.leaves((source, set_up.covariances, banks))]
        self.mark = checkpoints.fingerprint(problem, arrays, [steps, seeds, dtype, test_samples])
        self.done = 0
        self.rows: list[dict[str, np.ndarray]] = []

    def finish(self, checkpoint: str | os.PathLike | None, progress: bool | None) -> None:
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
                    self.advance(count)
                    pace = max(1, min(2 * pace, int(count * CALL_SECONDS / (time.perf_counter() - began))))
                    bar.update(count)
                    keeper.keep_if_due(self.run.student, self.run.memory, self.done, self.rows)
                self.rows.append(self._record())
        keeper.drop()

    def _resume(self, checkpoint: str | os.PathLike | None) -> None:
        saved = checkpoints.read(checkpoint, self.mark, self.run.memory) if checkpoint else None
        if saved is not None:
            self.run = Run(Network(*map(jnp.asarray, (saved.w, saved.v, saved.b))), saved.memory, self.run.diverged)
            self.done, self.rows = saved.done, saved.rows

    def advance(self, count: int) -> None:
        """`count` more steps.  Raises DivergenceError if a network stops being finite."""
        first, number = jnp.asarray(self.done, jnp.uint32), jnp.asarray(count, jnp.uint32)
        arrays = (self.problem, self.source, self.w_star, self.training, self.run, first, number)
        self.run = advance(*arrays, block=self.block, shared=self.shared)
        self.done += count
        diverged = np.asarray(self.run.diverged)  # waits for the device
        if diverged.min() != NEVER:
            seed, step = self.seeds[int(diverged.argmin())], int(diverged.min())
            reached = step / self.problem.updates_per_time(self.N)
            raise DivergenceError(
                f"the network of seed {seed} diverges at t = {reached:.6g} (step {step}); "
                "lower the learning rate, or stop before.",
                reached,
            )

    def _record(self) -> dict[str, np.ndarray]:
        student, measured = self.run.student, self._held_out()
        if self.covariances is not None:
            arrays = (self.exact_problem, self.covariances, self.T, self.w_star, student)
            rows = record(*arrays, shared=self.shared_covariances)
        else:
            assert measured is not None, "simulate takes held-out samples where covariances are not known"
            v, b = (part.astype(jnp.float64) for part in (student.v, student.b))
            rows = with_error(self.exact_problem, measured.Q, measured.R, self.T, v, b)
        values = rows._asdict()
        if measured is not None:
            values |= {name: value for name, value in measured._asdict().items() if name.startswith("test_")}
        return {name: np.asarray(value) for name, value in values.items()}

    def _held_out(self) -> HeldOut | None:
        """What the held-out samples say of the networks; None if there are none."""
        if not self.test_blocks:
            return None
        if self.bank is not None:
            return on_samples(self.problem, self.bank.all(), self.w_star, self.run.student)
        arrays = (self.problem, self.source, self.w_star, self.testing, self.run.student)
        return held_out(*arrays, blocks=self.test_blocks, block=TEST_BLOCK, shared=self.shared)
