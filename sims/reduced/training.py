"""Training in the frame of the overlaps: what `sims.running.loop` needs of the reduced chain."""

import math
from collections.abc import Sequence
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sims.inputs.normals import STREAM
from sims.inputs.source import as_arrays
from sims.inputs.spike_laws import spike_law
from sims.reduced.chain import Chain, overlaps, run_chain, setting
from sims.reduced.draws import Law, rank
from sims.reduced.lengths import table
from sims.reduced.rules import frame, frame_rows, rows_of_memory, trained_layers
from sims.running.continuing import all_numbers, from_numbers
from sims.running.devices import FIRST, LAST, SHARED, Place
from sims.running.groups import Bytes
from sims.running.loop import NEVER, TRAINING, Training, stream_keys
from sims.running.records import with_error
from teacherstudent.observables.observable import Observable
from teacherstudent.problem import Problem
from teacherstudent.programs.compilation import options
from teacherstudent.results import checkpoint_files
from teacherstudent.starts import Start, root
from teacherstudent.states.kept import KeptNetworks
from teacherstudent.states.order_parameters import OrderParameters

# Of the rows: an update, of order 1 / N, must not be lost to rounding.  Random numbers are as asked
# for.
STATE = jnp.float64
WIDTH = 128  # seeds at once on a CPU: their numbers stay in the first cache
BLOCK_BYTES = {"cpu": 2**19}  # of random numbers drawn at once
GPU_BLOCK_BYTES = 2**28


class ReducedTraining(Training):
    """The chain of the overlaps of every seed."""

    axis = -1
    cost_of_loop = "which took 6 to 13 times as long on the one card where it was measured"

    def __init__(
        self,
        problem: Problem,
        starts: list[OrderParameters],
        N: int,
        seeds: list[int],
        steps: list[int],
        dtype: str,
        place: Place,
        observables: Sequence[Observable] = (),
        first_step: int = 0,
        kept: KeptNetworks | None = None,
    ):
        """`starts` has one start for all seeds, or one for each; `kept` are chains that go on."""
        super().__init__(problem, N, seeds, steps, place, observables, first_step)
        filled = place.filled(seeds)
        if len(starts) > 1:
            starts = [*starts, *[starts[-1]] * (len(filled) - len(seeds))]
        samples, spikes = problem.samples(N), None
        if problem.task.HAS_CLASSES:
            spikes = spike_law(problem.task)
        q, P = rank(problem.student.width, samples), frame(problem)
        basis = root(np.asarray(starts[0].T))
        law = Law(
            table([N - P - i for i in range(q)], dtype),
            spikes,
            samples,
            problem.task.directions,
            frame_rows(problem),
        )
        self.dtype = dtype
        self.law = place.put(as_arrays(law, dtype), SHARED)
        self.setting = place.put(setting(problem, basis, N, STATE), SHARED)
        self.basis = basis
        bare = problem.for_programs()
        self.exact_problem = place.put(as_arrays(bare, jnp.float64), SHARED)
        self.keys = place.put(stream_keys(filled, TRAINING), FIRST)
        self.run = self._chains(starts, kept)
        self.T = place.put(np.broadcast_to(starts[0].T, (len(filled), *starts[0].T.shape)), FIRST)
        entries = samples * (P + 2) + q * (q + 1) // 2
        at_once = WIDTH if place.platform == "cpu" else len(filled) // len(place.devices)
        bytes_per_step = entries * np.dtype(dtype).itemsize * at_once
        block = max(1, min(256, BLOCK_BYTES.get(place.platform, GPU_BLOCK_BYTES) // bytes_per_step))
        self.blocks = {"loop": block, "kernel": block}
        arrays = [getattr(one, name) for one in starts for name in ("Q", "R", "T", "v", "b")]
        if kept is not None:
            arrays.append(kept.chain)
        settings = [
            "reduced",
            STREAM,
            N,
            steps,
            seeds,
            dtype,
            first_step,
            *self.marks_of_observables,
        ]
        arrays += self.values_of_schedules()
        self.mark = checkpoint_files.fingerprint(problem, arrays, settings)
        kernel = place.kernel("sims.reduced.kernel")
        if kernel is not None and kernel.fits(self.setting, self.law):
            self.use_kernel()

    def _chains(self, starts: list[OrderParameters], kept: KeptNetworks | None) -> Chain:
        """The chains of all seeds: from the starts, or as they were kept.

        Under another rule than before, or if it has to remember other layers, they go on with
        nothing remembered.
        """
        rows, filled = frame_rows(self.problem), len(self.place.filled(self.seeds))
        now = self.problem.at(self.now)
        begin = _begin(now, _rows_of_starts(starts, self.basis, rows), self.N)
        if kept is None:
            of_all = jax.tree.map(
                lambda part: jnp.broadcast_to(part, (*part.shape[:-1], filled)), begin
            )
            return self.place.put(of_all, LAST)
        assert kept.chain is not None, "simulate takes the method of the networks"
        goes_on = kept.rule == type(self.problem.rule).__name__
        goes_on = goes_on and kept.chain.shape[1] == _numbers_of_one(begin)
        if goes_on:
            chains = from_numbers(begin, kept.chain, self.axis)
        else:
            K, A = self.problem.student.width, len(self.basis)
            chains = _begin(now, _rows_of_chain(kept, K, A, rows), self.N)
        return self.place.put(_repeated(chains, filled), LAST)

    def kept(self, start: Start) -> KeptNetworks:
        return KeptNetworks(
            rule=type(self.problem.rule).__name__,
            start=start,
            method="reduced",
            N=self.N,
            dtype=self.dtype,
            seeds=list(self.seeds),
            step=self.done,
            chain=self.end()["chain_last"],
            chain_rows=len(self.run.triangle),
        )

    def advanced(self, first, count) -> Chain:
        steps = program(self.place, self.block, self.fused)
        return steps(self.setting, self.law, self.keys, self.run, first, count)

    def end(self) -> dict[str, np.ndarray]:
        return {"chain_last": all_numbers(self.run, len(self.seeds), self.axis, np.float64)}

    def record(self) -> dict[str, np.ndarray]:
        Q, R, v, b = overlaps(self.basis, self.run)
        rows = with_error(
            self.exact_problem.at(self.now),
            *self.place.put((Q, R), FIRST),
            self.T,
            *self.place.put((v, b), FIRST),
        )
        return {
            name: np.asarray(value)[: len(self.seeds)] for name, value in rows._asdict().items()
        }


class Rows(NamedTuple):
    """The rows of students in the frame, for each start, and their other layers.

    Below them is room for the rows of what the rule remembers.
    """

    fixed: Float[np.ndarray, "starts rows fixed"]
    triangle: Float[np.ndarray, "starts rows rows"]
    v: Float[np.ndarray, "starts students"]
    b: Float[np.ndarray, "starts students"]


def _rows_of_starts(starts: list[OrderParameters], basis: np.ndarray, rows: int) -> Rows:
    """The rows that have the overlaps of the starts.

    fixed basis^T = R, and what is left of Q is in the triangle.
    """
    K, A = starts[0].students, len(basis)
    fixed = np.zeros((len(starts), rows, A))
    triangle = np.zeros((len(starts), rows, rows))
    for index, start in enumerate(starts):
        fixed[index, :K] = np.asarray(start.R) @ np.linalg.pinv(basis)
        left = root(np.asarray(start.Q) - fixed[index, :K] @ fixed[index, :K].T)
        triangle[index, :K, :K] = np.transpose(np.linalg.qr(left.T, mode="r"))
    v = np.stack([np.asarray(start.v) for start in starts])
    b = np.stack([np.asarray(start.b) for start in starts])
    return Rows(fixed, triangle, v, b)


def _rows_of_chain(kept: KeptNetworks, K: int, A: int, rows: int) -> Rows:
    """The rows of the students of another chain, without what its rule remembers.

    Its numbers stand as in `Chain`: the columns of all its rows, then readout and biases.
    """
    assert kept.chain is not None
    before, seeds = kept.chain_rows, len(kept.chain)
    numbers = iter(np.moveaxis(kept.chain, 1, 0))

    def taken(count: int) -> np.ndarray:
        return np.stack([next(numbers) for _ in range(count)], axis=-1)

    fixed = np.zeros((seeds, rows, A))
    triangle = np.zeros((seeds, rows, rows))
    for a in range(A):
        fixed[:, :K, a] = taken(before)[:, :K]
    for j in range(before):
        column = taken(before - j)
        if j < K:
            triangle[:, j:K, j] = column[:, : K - j]
    return Rows(fixed, triangle, taken(K), taken(K))


def _begin(problem: Problem, begun: Rows, N: int) -> Chain:
    """The chains of all starts, with what the rule makes of its first weights and remembers."""
    K = problem.student.width
    fixed, triangle = begun.fixed.copy(), begun.triangle.copy()
    A, rows = fixed.shape[-1], triangle.shape[-1]
    layers = {
        "w": np.sqrt(N) * np.concatenate([fixed, triangle], axis=-1)[:, :K],
        "v": begun.v,
        "b": begun.b,
    }
    others = _begin_rule(problem, layers, fixed, triangle, N)
    return Chain(
        [_column(fixed[:, :, a]) for a in range(A)],
        [_column(triangle[:, j:, j]) for j in range(rows)],
        _column(layers["v"]),
        _column(layers["b"]),
        [_column(part) for part in others],
        jnp.full((1, len(fixed)), NEVER, jnp.uint32),
    )


def _begin_rule(problem: Problem, layers: dict, fixed, triangle, N: int) -> list[np.ndarray]:
    """Enter what the rule makes of the layers and remembers in the space of the weights.

    Layers and rows are changed in place; the answer is the rest of the memory.
    """
    student = problem.student
    K, A = student.width, fixed.shape[-1]
    names = trained_layers(student.train_readout, student.train_bias)
    rule = jax.tree.map(lambda value: jnp.asarray(value, STATE), problem.rule)
    trained = {name: jnp.asarray(layers[name], STATE) for name in names}
    begun = jax.vmap(rule.begin)(trained)
    memory = jax.tree.leaves(jax.vmap(rule.memory)(begun))
    for name in names:
        layers[name] = np.asarray(begun[name])
    rows, others = [np.asarray(begun["w"])], []
    for leaf, count in zip(memory, rows_of_memory(rule, names, K), strict=True):
        if count == 0:
            others.append(np.asarray(leaf))
        else:
            rows.append(np.asarray(leaf).reshape(len(leaf), count, -1))
    together = np.concatenate(rows, axis=1) / np.sqrt(N)
    unchanged = np.array_equal(begun["w"], trained["w"]) and not together[:, K:].any()
    if unchanged:  # The rows are triangular already, and stay as they are to the last bit.
        return others
    fixed[:] = together[..., :A]
    for index in range(len(triangle)):
        triangle[index] = np.transpose(np.linalg.qr(together[index, :, A:].T, mode="r"))
    return others


def _numbers_of_one(chain: Chain) -> int:
    """How many numbers the chain of one seed has."""
    return sum(math.prod(part.shape[:-1]) for part in jax.tree.leaves(chain))


def _repeated(chains: Chain, count: int) -> Chain:
    """The chains, the last one repeated until there are so many."""
    members = np.minimum(np.arange(count), chains.diverged.shape[-1] - 1)
    return jax.tree.map(lambda part: np.asarray(part)[..., members], chains)


def _column(part: np.ndarray) -> Float[Array, "*shape seeds"]:
    """An array with the starts as its last axis, not as its first."""
    return jnp.asarray(np.ascontiguousarray(np.moveaxis(part, 0, -1)), STATE)


@cache
def program(place: Place, block: int, fused: bool):
    """The compiled chain, on every device with its own seeds."""
    if fused:
        from sims.reduced import kernel as reduced_kernel

        f = partial(reduced_kernel.run_chain_in_kernel, block=block)
    else:
        f = partial(run_chain, block=block, width=WIDTH if place.platform == "cpu" else None)
    specs = (SHARED, SHARED, FIRST, LAST, SHARED, SHARED)
    return jax.jit(
        place.sharded(f, specs, LAST), donate_argnums=3, compiler_options=options(place.platform)
    )


def bytes_needed(problem: Problem, N: int, dtype: str, platform: str) -> Bytes:
    """Of each seed its rows a few times over, and the random numbers of one step; on a CPU at least
    `WIDTH` seeds run.
    """
    rows, P, B = frame_rows(problem), frame(problem), problem.samples(N)
    of_seed = 8 * 7 * rows * P + np.dtype(dtype).itemsize * 3 * B * (P + 2)
    return Bytes(WIDTH * of_seed if platform == "cpu" else 0, of_seed)
