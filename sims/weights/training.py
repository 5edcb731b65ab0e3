"""Training whole weight vectors: what `sims.running.loop` needs of them."""

import math
from collections.abc import Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from sims.inputs.bank import Banks
from sims.inputs.source import LEAST_ROWS, SetUp, as_arrays
from sims.inputs.teacher_student import StandardNormal
from sims.running import checkpoints
from sims.running.devices import FIRST, SHARED, Place
from sims.running.groups import Bytes
from sims.running.loop import NEVER, TESTING, TRAINING, Training, stream_keys
from sims.weights.steps import (
    HeldOut,
    Run,
    begun,
    held_out,
    on_samples,
    record,
    train_weights,
    with_error,
)
from teacherstudent.checking.own_classes import unknown_error
from teacherstudent.observables.observable import NetworkWeights, Observable
from teacherstudent.problem import Problem
from teacherstudent.rules import Network
from teacherstudent.starts import Start

BLOCK_BYTES = {"cpu": 2**18}  # of inputs drawn at once: on a CPU, what stays in a core's cache
GPU_BLOCK_BYTES = 2**26
KERNEL_BLOCK_BYTES, LEAST_STEPS = (
    2**28,
    4,
)  # enough steps to be worth reading and writing the weights
TEST_BLOCK = 1000


class WeightsTraining(Training):
    """Networks with all their weights, of any task under any rule."""

    axis = 0

    def __init__(
        self,
        problem: Problem,
        set_up: SetUp,
        seeds: list[int],
        steps: list[int],
        dtype: str,
        test_samples: int,
        banks: Banks | None = None,
        place: Place | None = None,
        observables: Sequence[Observable] = (),
    ):
        place = Place((jax.local_devices()[0],)) if place is None else place
        begin, source = set_up.begin, set_up.source if banks is None else banks.training
        super().__init__(problem, begin.w.shape[-1], seeds, steps, place, observables)
        self.shared = set_up.shared or banks is not None
        filled = place.filled(seeds)
        fill = lambda tree: jax.tree.map(
            lambda leaf: np.concatenate([leaf, *[leaf[-1:]] * (len(filled) - len(seeds))]), tree
        )
        of_seeds = lambda tree, shared, dtype: place.put(
            jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree if shared else fill(tree)),
            SHARED if shared else FIRST,
        )
        bare = problem.for_programs()
        self.error_is_known = unknown_error(problem.task, problem.student.activation) is None
        self.bare, self.exact_problem = (
            place.put(as_arrays(bare, kind), SHARED) for kind in (dtype, jnp.float64)
        )
        self.w_star, self.source = (
            of_seeds(begin.w_star, False, dtype),
            of_seeds(source, self.shared, dtype),
        )
        self.covariances, self.shared_covariances = (
            of_seeds(set_up.covariances, set_up.shared, jnp.float64),
            set_up.shared,
        )
        self.bank = None if banks is None else place.put(as_arrays(banks.testing, dtype), SHARED)
        self.keys, self.test_keys = (
            place.put(stream_keys(filled, which), FIRST) for which in (TRAINING, TESTING)
        )
        student, memory = begun(
            self.bare,
            Network(*(of_seeds(part, False, dtype) for part in (begin.w, begin.v, begin.b))),
        )
        self.run = Run(student, memory, place.put(jnp.full(len(filled), NEVER, jnp.uint32), FIRST))
        self.T = of_seeds(
            np.einsum("smn,sln->sml", begin.w_star, begin.w_star) / begin.w_star.shape[-1],
            False,
            jnp.float64,
        )
        of_device = len(filled) // len(place.devices)
        of_loop = BLOCK_BYTES.get(place.platform, GPU_BLOCK_BYTES)
        block = lambda at_once: _block(
            problem, source, of_device, self.N, self.shared, dtype, at_once
        )
        self.blocks = {
            "loop": block(of_loop),
            "kernel": max(LEAST_STEPS, block(KERNEL_BLOCK_BYTES)),
        }
        self.test_blocks = math.ceil(test_samples / TEST_BLOCK)
        arrays = [*begin, *jax.tree.leaves((source, set_up.covariances, banks))]
        self.mark = checkpoints.fingerprint(
            problem,
            arrays,
            ["weights", steps, seeds, dtype, test_samples, *self.marks_of_observables],
        )
        kernel, plain = (
            place.kernel("sims.weights.kernel"),
            dtype == "float32" and type(source) is StandardNormal,
        )
        if plain and kernel is not None and kernel.fits(problem, self.N, of_device):
            self.use_kernel()

    def advanced(self, first, count) -> Run:
        program = _program(self.place, self.block, self.shared, self.fused)
        return program(self.bare, self.source, self.w_star, self.keys, self.run, first, count)

    def record(self) -> dict[str, np.ndarray]:
        student, measured = self.run.student, self._held_out()
        if self.covariances is not None:
            arrays = (self.exact_problem, self.covariances, self.T, self.w_star, student)
            rows = record(*arrays, shared=self.shared_covariances)
        else:
            assert measured is not None, (
                "simulate takes held-out samples where covariances are not known"
            )
            v, b = (part.astype(jnp.float64) for part in (student.v, student.b))
            rows = with_error(self.exact_problem, measured.Q, measured.R, self.T, v, b)
        values = rows._asdict()
        if not self.error_is_known:
            assert measured is not None, (
                "simulate takes held-out samples where the error is not known"
            )
            values["eps_g"] = measured.test_error
        if measured is not None:
            values |= {
                name: value
                for name, value in measured._asdict().items()
                if name.startswith("test_")
            }
        return {name: np.asarray(value)[: len(self.seeds)] for name, value in values.items()}

    def networks(self) -> NetworkWeights:
        student = self.run.student
        return NetworkWeights(student.w, student.v, student.b, self.w_star)

    def _held_out(self) -> HeldOut | None:
        """What the held-out samples say of the networks; None if there are none."""
        if not self.test_blocks:
            return None
        if self.bank is not None:
            return on_samples(self.bare, self.bank.all(), self.w_star, self.run.student)
        arrays = (self.bare, self.source, self.w_star, self.test_keys, self.run.student)
        return held_out(*arrays, blocks=self.test_blocks, block=TEST_BLOCK, shared=self.shared)


def _block(
    problem: Problem, source, seeds: int, N: int, shared: bool, dtype: str, at_once: int
) -> int:
    """For how many steps to draw inputs, if `at_once` bytes are drawn at once."""
    of_seed = problem.rule.gradients * problem.samples(N)
    samples = seeds * of_seed
    bytes_per_step = samples * N * np.dtype(dtype).itemsize
    # seeds with sources of their own have matrix products of their own, of a quarter of the rows to
    # bound the memory
    least = math.ceil(source.least_rows / (samples if shared else 4 * of_seed))
    return max(least, min(64, at_once // bytes_per_step))


@cache
def _program(place: Place, block: int, shared: bool, fused: bool):
    """The compiled steps, on every device with its own seeds."""
    if fused:
        from sims.weights import kernel as weights_kernel

        f = partial(weights_kernel.train_weights_in_kernel, block=block)
    else:
        f = partial(train_weights, block=block, shared=shared)
    if len(place.devices) == 1:
        return f
    specs = (SHARED, SHARED if shared else FIRST, FIRST, FIRST, FIRST, SHARED, SHARED)
    return jax.jit(place.sharded(f, specs, FIRST), donate_argnums=4)


def bytes_needed(problem: Problem, start: Start, N: int, dtype: str) -> Bytes:
    """Of each seed weights, memory and gradient of the rule, the teacher, one block of inputs;
    manifolds, held-out samples.
    """
    K, M, D = problem.student.width, problem.task.directions, problem.task.latent_dimension(N)
    size, inputs = np.dtype(dtype).itemsize, problem.rule.gradients * problem.samples(N)
    layers = size * (6 * K * N + 2 * M * D) + 16 * (K * N + M * D)
    drawn = lambda samples: 3 * size * samples * (N + D)
    held_out = drawn(TEST_BLOCK)
    if not problem.task.HAS_MODES:
        return Bytes(held_out, layers + drawn(inputs))
    manifold = 20 * N * D + 16 * N * N  # F and Phi, Omega, as NumPy made them and on the device
    if start.network is None:  # a manifold of each seed's own
        return Bytes(held_out, layers + drawn(max(inputs, LEAST_ROWS // 4)) + manifold)
    return Bytes(held_out + manifold + drawn(LEAST_ROWS), layers + drawn(inputs))
