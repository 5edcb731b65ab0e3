"""Training whole weight vectors: what `sims.running.loop` needs of them."""

import math
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from sims.inputs.bank import Banks
from sims.inputs.normals import STREAM
from sims.inputs.source import LEAST_ROWS, Begin, SetUp, Source, as_arrays
from sims.inputs.teacher_student import StandardNormal
from sims.inputs.training_set import FixedSet, labels_of_teachers, mark, with_noise
from sims.running.continuing import all_numbers, from_numbers
from sims.running.devices import FIRST, SHARED, Place
from sims.running.groups import Bytes
from sims.running.loop import NEVER, TESTING, TRAINING, Training, stream_keys
from sims.running.records import Record, with_error
from sims.weights.steps import (
    HeldOut,
    Run,
    begin_networks,
    measure_held_out,
    measure_samples,
    measure_training,
    record,
    train_weights,
)
from teacherstudent.extensions.own_classes import unknown_error
from teacherstudent.observables.observable import NetworkWeights, Observable
from teacherstudent.problem import Problem
from teacherstudent.programs.compilation import options
from teacherstudent.results import checkpoint_files
from teacherstudent.rules import Network
from teacherstudent.starts import Start
from teacherstudent.states.kept import KeptNetworks
from teacherstudent.training_set import Dataset

# Bytes of inputs drawn at once: on a CPU, what stays in a core's cache.
BLOCK_BYTES = {"cpu": 2**18}
GPU_BLOCK_BYTES = 2**26
# Bytes of weights of seeds that run at once on a CPU: they stay in a core's cache, too.
GROUP_BYTES = 3 * 2**16
LEAST_SEEDS = 4
# A kernel takes enough steps at once to be worth reading and writing the weights.
KERNEL_BLOCK_BYTES = 2**28
LEAST_STEPS = 4
# Held-out samples measured at once.
TEST_BLOCK = 1000


class WeightsTraining(Training):
    """Networks with all their weights, of any task under any rule."""

    axis = 0
    cost_of_loop = "more slowly (by how much has not been measured on a card)"

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
        first_step: int = 0,
        kept: KeptNetworks | None = None,
        keep: bool = False,
        data: Dataset | None = None,
    ):
        """`kept` are networks to go on from, `keep` says whether those at the end are answered."""
        if place is None:
            place = Place((jax.local_devices()[0],))
        begin = set_up.begin
        source = set_up.source
        if banks is not None:
            source = banks.training
        super().__init__(problem, begin.w.shape[-1], seeds, steps, place, observables, first_step)
        self.keep = keep
        self.shared = set_up.shared or banks is not None
        self.shared_covariances = set_up.shared
        self.error_is_known = unknown_error(problem.task, problem.student.activation) is None
        self.test_blocks = math.ceil(test_samples / TEST_BLOCK)
        self._put_problem(dtype)
        self._put_inputs(set_up, source, banks, dtype)
        if kept is not None:
            begin = _continued(begin, kept)
        self._put_networks(begin, dtype, kept)
        arrays = [*begin, *jax.tree.leaves((source, set_up.covariances, banks))]
        if kept is not None:
            arrays.append(kept.memory)
        settings = ["weights", STREAM, steps, seeds, dtype, test_samples, first_step]
        settings += self.marks_of_observables
        self.training_set: FixedSet | None = None
        if data is not None:
            self._put_training_set(data, dtype)
            settings.append(mark(data))
        self._choose_blocks(self.source, dtype)
        arrays += self.values_of_schedules()
        self.mark = checkpoint_files.fingerprint(problem, arrays, settings)
        if dtype == "float32" and self._fits_kernel(self.source):
            self.use_kernel()

    def _put_problem(self, dtype: str) -> None:
        """The problem on the devices, in the float type of the steps and in float64."""
        bare = self.problem.for_programs()
        self.bare = self.place.put(as_arrays(bare, dtype), SHARED)
        self.exact_problem = self.place.put(as_arrays(bare, jnp.float64), SHARED)

    def _put_inputs(self, set_up: SetUp, source: Source, banks: Banks | None, dtype: str) -> None:
        """Source, covariances and held-out samples on the devices, and the keys of the seeds."""
        filled = self.place.filled(self.seeds)
        self.source = self._put(source, dtype, shared=self.shared)
        self.test_source = self.source
        self.covariances = self._put(set_up.covariances, jnp.float64, shared=set_up.shared)
        self.bank = None
        if banks is not None:
            self.bank = self.place.put(as_arrays(banks.testing, dtype), SHARED)
        self.keys = self.place.put(stream_keys(filled, TRAINING), FIRST)
        self.test_keys = self.place.put(stream_keys(filled, TESTING), FIRST)

    def _put_networks(self, begin: Begin, dtype: str, kept: KeptNetworks | None) -> None:
        """Students as the rule begins from them, and teachers, on the devices.

        Networks that go on under the same rule stay as they are, with what the rule remembers.
        """
        seeds = len(self.place.filled(self.seeds))
        overlaps = np.einsum("smn,sln->sml", begin.w_star, begin.w_star) / begin.w_star.shape[-1]
        self.T = self._put(overlaps, jnp.float64)
        self.w_star = self._put(begin.w_star, dtype)
        given = Network(*(self._put(part, dtype) for part in (begin.w, begin.v, begin.b)))
        student, memory = begin_networks(self.bare.at(self.now, dtype), given)
        if kept is not None and kept.rule == type(self.problem.rule).__name__:
            student = given
            memory = self._remembered(memory, kept)
        never = self.place.put(jnp.full(seeds, NEVER, jnp.uint32), FIRST)
        self.run = Run(student, memory, never)

    def _remembered(self, first: Any, kept: KeptNetworks) -> Any:
        """What the rule remembers of networks that go on.

        It begins anew if it has to remember other layers than before.
        """
        numbers = sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(first))
        if kept.memory is None or kept.memory.shape[1] != numbers or not numbers:
            return first
        missing = len(self.place.filled(self.seeds)) - len(self.seeds)
        filled = np.concatenate([kept.memory, *[kept.memory[-1:]] * missing])
        return self.place.like(from_numbers(first, filled, self.axis), first)

    def _put_training_set(self, data: Dataset, dtype: str) -> None:
        """The fixed samples and their labels on the devices; held-out ones stay fresh."""
        x = self._put(data.x, dtype, shared=True)
        if data.y is not None:
            y = self._put(np.tile(data.y, (len(self.seeds), 1)), dtype)
        else:
            latents = x
            if data.c is not None:
                latents = self._put(data.c, dtype, shared=True)
            zeta = self._put(data.zeta(), dtype, shared=True)
            task = as_arrays(with_noise(self.bare.task, data), dtype)
            y = self.place.put(labels_of_teachers(task, latents, zeta, self.w_star), FIRST)
        self.training_set = FixedSet(x, y, data.order)
        self.source = self.training_set

    def _put(self, tree, dtype, shared: bool = False):
        """Arrays on the devices: those that all seeds share, or with an entry for each seed.

        The last seed is repeated until every device has as many.
        """
        missing = len(self.place.filled(self.seeds)) - len(self.seeds)

        def fill(leaf):
            return np.concatenate([leaf, *[leaf[-1:]] * missing])

        spec = SHARED
        if not shared:
            tree = jax.tree.map(fill, tree)
            spec = FIRST
        return self.place.put(jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree), spec)

    def _choose_blocks(self, source: Source, dtype: str) -> None:
        """For how many steps each program draws inputs."""
        self.width = self._group(source, dtype)
        at_once = self.width or self._seeds_per_device
        block = partial(_block, self.problem, source, at_once, self.N, self.shared, dtype)
        loop_bytes = BLOCK_BYTES.get(self.place.platform, GPU_BLOCK_BYTES)
        self.blocks = {
            "loop": block(loop_bytes),
            "kernel": max(LEAST_STEPS, block(KERNEL_BLOCK_BYTES)),
        }

    def _group(self, source: Source, dtype: str) -> int | None:
        """How many seeds run at once on a CPU, in groups of nearly one size; None for all.

        Seeds whose inputs come from one matrix product stay together.
        """
        if self.place.platform != "cpu" or source.least_rows > 1:
            return None
        if not _is_shared(source.axes(self.shared)):
            return None
        units = self.problem.student.width + self.problem.task.directions
        weights = units * self.N * np.dtype(dtype).itemsize
        most = max(LEAST_SEEDS, GROUP_BYTES // weights)
        seeds = self._seeds_per_device
        return math.ceil(seeds / math.ceil(seeds / most))

    @property
    def _seeds_per_device(self) -> int:
        return len(self.place.filled(self.seeds)) // len(self.place.devices)

    def _fits_kernel(self, source: Source) -> bool:
        """Whether these devices have a kernel that can take the steps."""
        kernel = self.place.kernel("sims.weights.kernel")
        if kernel is None or type(source) is not StandardNormal:
            return False
        return kernel.fits(self.problem, self.N, self._seeds_per_device)

    def advanced(self, first, count) -> Run:
        axes = self.source.axes(self.shared)
        steps = program(self.place, self.block, self.width, self.shared, self.fused, axes)
        return steps(self.bare, self.source, self.w_star, self.keys, self.run, first, count)

    def kept(self, start: Start) -> KeptNetworks:
        seeds = len(self.seeds)
        student = self.run.student
        return KeptNetworks(
            rule=type(self.problem.rule).__name__,
            start=start,
            method="weights",
            N=self.N,
            dtype=str(student.w.dtype),
            seeds=list(self.seeds),
            step=self.done,
            w=np.asarray(student.w)[:seeds],
            v=np.asarray(student.v)[:seeds],
            b=np.asarray(student.b)[:seeds],
            w_star=np.asarray(self.w_star)[:seeds],
            memory=self._all_memory(),
        )

    def _all_memory(self) -> np.ndarray:
        """All numbers that the rule remembers of each network."""
        memory = jax.tree.leaves(self.run.memory)
        dtype = self.run.student.w.dtype
        if any(leaf.dtype != dtype for leaf in memory):
            dtype = np.dtype(np.float64)  # in which a count, say, is exact, too
        return all_numbers(memory, len(self.seeds), self.axis, dtype)

    def end(self) -> dict[str, np.ndarray]:
        if not self.keep:
            return {}
        seeds = len(self.seeds)
        kept = {"w_last": self.run.student.w, "w_star_last": self.w_star}
        arrays = {name: np.asarray(part)[:seeds] for name, part in kept.items()}
        memory = self._all_memory()
        if memory.shape[1]:
            arrays["memory_last"] = memory
        return arrays

    def record(self) -> dict[str, np.ndarray]:
        measured = self._held_out()
        values = self._order_parameters(measured)._asdict()
        if not self.error_is_known:
            assert measured is not None, "simulate draws held-out samples for an unknown error"
            values["eps_g"] = measured.test_error
        if measured is not None:
            for name, value in measured._asdict().items():
                if name.startswith("test_"):
                    values[name] = value
        if self.training_set is not None:
            arrays = (self.bare, self.training_set.x, self.training_set.y, self.run.student)
            values["train_error"] = measure_training(*arrays, chunk=TEST_BLOCK)
        return {name: np.asarray(value)[: len(self.seeds)] for name, value in values.items()}

    def _order_parameters(self, measured: HeldOut | None) -> Record:
        """From the exact covariances of the inputs where they are known, else as measured."""
        student = self.run.student
        if self.covariances is not None:
            arrays = (
                self.exact_problem.at(self.now),
                self.covariances,
                self.T,
                self.w_star,
                student,
            )
            return record(*arrays, shared=self.shared_covariances)
        assert measured is not None, "simulate draws held-out samples for unknown covariances"
        v = student.v.astype(jnp.float64)
        b = student.b.astype(jnp.float64)
        return with_error(self.exact_problem.at(self.now), measured.Q, measured.R, self.T, v, b)

    def networks(self) -> NetworkWeights:
        student = self.run.student
        return NetworkWeights(student.w, student.v, student.b, self.w_star)

    def _held_out(self) -> HeldOut | None:
        """What the held-out samples say of the networks; None if there are none."""
        if not self.test_blocks:
            return None
        now = self.bare.at(self.now, self.run.student.w.dtype)
        if self.bank is not None:
            return measure_samples(now, self.bank.all(), self.w_star, self.run.student)
        arrays = (now, self.test_source, self.w_star, self.test_keys, self.run.student)
        return measure_held_out(
            *arrays, blocks=self.test_blocks, block=TEST_BLOCK, shared=self.shared
        )


def _continued(begin: Begin, kept: KeptNetworks) -> Begin:
    """Networks that go on, with their teachers.

    Teachers are made anew, since the float32 of a file has lost digits of theirs.  Another machine
    may make others (linear algebra rounds differently): then those of the file are right.
    """
    assert kept.w is not None and kept.v is not None and kept.b is not None
    assert kept.w_star is not None, "simulate takes the method of the networks"
    w_star = begin.w_star
    if w_star.shape != kept.w_star.shape:
        raise ValueError(
            "the start is a state of another problem: its teachers (or fixed directions) are of "
            f"shape {kept.w_star.shape[1:]}, but those on these inputs of {w_star.shape[1:]}; go "
            "on with a problem on the same inputs."
        )
    if not np.allclose(w_star, kept.w_star, rtol=1e-5, atol=1e-5):
        w_star = kept.w_star
    return Begin(kept.w, kept.v, w_star, kept.b)


def _block(
    problem: Problem,
    source: Source,
    seeds: int,
    N: int,
    shared: bool,
    dtype: str,
    bytes_at_once: int,
) -> int:
    """For how many steps to draw inputs, if so many bytes are drawn at once."""
    samples_per_seed = problem.rule.gradients * problem.samples(N)
    samples = seeds * samples_per_seed
    bytes_per_step = samples * N * np.dtype(dtype).itemsize
    # Seeds with sources of their own have matrix products of their own; a quarter of the rows
    # bounds the memory.
    rows_per_step = samples if shared else 4 * samples_per_seed
    least = math.ceil(source.least_rows / rows_per_step)
    return max(least, min(64, bytes_at_once // bytes_per_step))


@cache
def program(place: Place, block: int, width: int | None, shared: bool, fused: bool, axes: Any):
    """The compiled steps, on every device with its own seeds; `axes` are those of the source."""
    if fused:
        # Imported here, since only a GPU needs Pallas.
        from sims.weights import kernel as weights_kernel

        steps = partial(weights_kernel.train_weights_in_kernel, block=block)
    else:
        steps = partial(train_weights, block=block, shared=shared, width=width)
    source = jax.tree.map(_spec, axes, is_leaf=_is_shared)
    specs = (SHARED, source, FIRST, FIRST, FIRST, SHARED, SHARED)
    return jax.jit(
        place.sharded(steps, specs, FIRST),
        donate_argnums=4,
        compiler_options=options(place.platform),
    )


def _is_shared(axis: Any) -> bool:
    """Whether all seeds have an array in common."""
    return axis is None


def _spec(axis: int | None) -> PartitionSpec:
    """Where an array with its seeds along this axis is."""
    return SHARED if _is_shared(axis) else FIRST


def training_set_bytes(data: Dataset, dtype: str) -> Bytes:
    """Memory of a training set: its inputs and what the teacher sees once, its labels for each
    seed.
    """
    number = np.dtype(dtype).itemsize
    inputs = data.x.size
    if data.c is not None:
        inputs += data.c.size
    return Bytes(number * inputs, number * len(data))


def bytes_needed(problem: Problem, start: Start, N: int, dtype: str) -> Bytes:
    """Memory that all seeds share, and that of each seed.

    A seed has its weights, memory and gradient of the rule, its teacher, and one block of inputs.
    Manifolds and held-out samples are shared, unless every seed has a manifold of its own.
    """
    K, M, D = problem.student.width, problem.task.directions, problem.task.latent_dimension(N)
    number = np.dtype(dtype).itemsize
    inputs = problem.rule.gradients * problem.samples(N)
    layers = number * (6 * K * N + 2 * M * D) + 16 * (K * N + M * D)

    def sample_bytes(samples: int) -> int:
        return 3 * number * samples * (N + D)

    test_bytes = sample_bytes(TEST_BLOCK)
    if not problem.task.HAS_MODES:
        return Bytes(test_bytes, layers + sample_bytes(inputs))
    # F and Phi, and Omega, as NumPy made them and on the device.
    manifold = 20 * N * D + 16 * N * N
    if start.network is None:
        rows = max(inputs, LEAST_ROWS // 4)
        return Bytes(test_bytes, layers + sample_bytes(rows) + manifold)
    shared = test_bytes + manifold + sample_bytes(LEAST_ROWS)
    return Bytes(shared, layers + sample_bytes(inputs))
