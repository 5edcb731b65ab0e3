"""Training in the frame of the overlaps: what `sims.running.loop` needs of the reduced chain."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from sims.inputs.source import as_arrays
from sims.inputs.spike_laws import spike_law
from sims.reduced.chain import Chain, advance, overlaps, setting
from sims.reduced.draws import Law, rank
from sims.reduced.lengths import table
from sims.reduced.rules import Layers, memory
from sims.running import checkpoints
from sims.running.devices import FIRST, LAST, SHARED, Place
from sims.running.groups import Bytes
from sims.running.loop import NEVER, TRAINING, Training, stream_keys
from sims.running.methods import frame, frame_rows
from sims.weights.steps import with_error
from teacherstudent.problem import Problem
from teacherstudent.programs.compilation import options
from teacherstudent.starts import root
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import MixtureTask

# Of the rows: an update, of order 1 / N, must not be lost to rounding.  Random numbers are as asked
# for.
STATE = jnp.float64
WIDTH = 128  # seeds at once on a CPU: their numbers stay in the first cache
BLOCK_BYTES = {"cpu": 2**19}  # of random numbers drawn at once
GPU_BLOCK_BYTES = 2**28


class ReducedTraining(Training):
    """The chain of the overlaps of every seed."""

    axis = -1

    def __init__(
        self,
        problem: Problem,
        starts: list[OrderParameters],
        N: int,
        seeds: list[int],
        steps: list[int],
        dtype: str,
        place: Place,
    ):
        """`starts` has one start for all seeds, or one for each."""
        super().__init__(problem, N, seeds, steps, place)
        filled = place.filled(seeds)
        if len(starts) > 1:
            starts = [*starts, *[starts[-1]] * (len(filled) - len(seeds))]
        samples, spikes = problem.samples(N), None
        if isinstance(problem.task, MixtureTask):
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
        self.law = place.put(as_arrays(law, dtype), SHARED)
        self.setting = place.put(setting(problem, basis, N, STATE), SHARED)
        self.basis = basis
        bare = problem.without_inputs
        self.exact_problem = place.put(as_arrays(bare, jnp.float64), SHARED)
        self.keys = place.put(stream_keys(filled, TRAINING), FIRST)
        begin = _begin(problem, starts, basis, frame_rows(problem))
        of_all = lambda part: jnp.broadcast_to(part, (len(part), len(filled)))
        self.run = place.put(jax.tree.map(of_all, begin), LAST)
        self.T = place.put(np.broadcast_to(starts[0].T, (len(filled), *starts[0].T.shape)), FIRST)
        entries = samples * (P + 2) + q * (q + 1) // 2
        at_once = WIDTH if place.platform == "cpu" else len(filled) // len(place.devices)
        bytes_per_step = entries * np.dtype(dtype).itemsize * at_once
        block = max(1, min(256, BLOCK_BYTES.get(place.platform, GPU_BLOCK_BYTES) // bytes_per_step))
        self.blocks = {"loop": block, "kernel": block}
        arrays = [getattr(one, name) for one in starts for name in ("Q", "R", "T", "v", "b")]
        self.mark = checkpoints.fingerprint(problem, arrays, ["reduced", N, steps, seeds, dtype])
        kernel = place.kernel("sims.reduced.kernel")
        if kernel is not None and kernel.fits(self.setting, self.law):
            self.use_kernel()

    def advanced(self, first, count) -> Chain:
        steps = program(self.place, self.block, self.fused)
        return steps(self.setting, self.law, self.keys, self.run, first, count)

    def record(self) -> dict[str, np.ndarray]:
        Q, R, v, b = overlaps(self.basis, self.run)
        rows = with_error(
            self.exact_problem,
            *self.place.put((Q, R), FIRST),
            self.T,
            *self.place.put((v, b), FIRST),
        )
        return {
            name: np.asarray(value)[: len(self.seeds)] for name, value in rows._asdict().items()
        }


def _begin(problem: Problem, starts: list[OrderParameters], basis, rows: int) -> Chain:
    """Rows with the overlaps of the starts: fixed basis^T = R, and what is left of Q in the
    triangle.
    """
    K, A = starts[0].students, len(basis)
    fixed, own = np.zeros((len(starts), rows, A)), np.zeros((len(starts), rows, rows))
    for fixed_, own_, start in zip(fixed, own, starts, strict=True):
        fixed_[:K] = np.asarray(start.R) @ np.linalg.pinv(basis)
        left = root(np.asarray(start.Q) - fixed_[:K] @ fixed_[:K].T)
        own_[:K, :K] = np.transpose(np.linalg.qr(left.T, mode="r"))
    column = lambda part: jnp.asarray(np.ascontiguousarray(part.T), STATE)
    v, b = (
        column(np.stack([np.asarray(getattr(one, name)) for one in starts])) for name in ("v", "b")
    )
    in_fixed, in_own = (
        [column(fixed[:, :, a]) for a in range(A)],
        [column(own[:, j:, j]) for j in range(rows)],
    )
    students = Layers(
        [c[:K] for c in in_fixed],
        v if problem.student.train_readout else None,
        b if problem.student.train_bias else None,
    )
    whole = Layers([*students.w, *(column(own[:, :K, j]) for j in range(rows))], *students[1:])
    diverged = jnp.full((1, len(starts)), NEVER, jnp.uint32)
    return Chain(
        in_fixed,
        in_own,
        v,
        b,
        memory(jax.tree.map(lambda value: jnp.asarray(value, STATE), problem.rule), whole)._replace(
            w=None
        ),
        diverged,
    )


@cache
def program(place: Place, block: int, fused: bool):
    """The compiled chain, on every device with its own seeds."""
    if fused:
        from sims.reduced import kernel as reduced_kernel

        f = partial(reduced_kernel.advance, block=block)
    else:
        f = partial(advance, block=block, width=WIDTH if place.platform == "cpu" else None)
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
