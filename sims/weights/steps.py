"""Training real networks: weights of length N, one fresh mini-batch per step.

Many seeds run side by side.  Inputs are drawn in blocks of steps, with one call to the random
generator, and one matrix product where the task needs one, for each block.  Each sample has its own
key, and all that follows is done step by step.  How a product rounds depends on the row: blocks
begin at fixed steps (`sims.running.blocks`), so that no number depends on where a call begins or
ends.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

from sims.inputs.normals import folded
from sims.inputs.source import (
    Covariances,
    Inputs,
    Isotropic,
    Samples,
    Source,
    label,
    seed_axis,
)
from sims.running.blocks import Span, over_blocks, time_of
from sims.running.loop import NEVER
from sims.running.network import EXACT, fields, gradient, output, with_frozen, without_frozen
from sims.running.records import Record, with_error
from teacherstudent.losses import as_loss
from teacherstudent.problem import Problem
from teacherstudent.rules import Network
from teacherstudent.tasks import Task


class Run(NamedTuple):
    """The networks of all seeds, what the rule remembers, and when each stopped being finite.

    `diverged` is the number of that step, and `NEVER` of a network that is finite.
    """

    student: Network
    memory: Any
    diverged: UInt32[Array, " seeds"]


@jax.jit
def begin_networks(problem: Problem, students: Network) -> tuple[Network, Any]:
    """The networks of all seeds as the rule begins from them, and its memory."""

    def one_seed(student: Network):
        layers = student.layers(problem.student.train_readout, problem.student.train_bias)
        begin = problem.rule.begin(layers)
        return student._replace(**begin), problem.rule.memory(begin)

    return jax.vmap(one_seed)(students)


@partial(jax.jit, static_argnames=("block", "shared", "width"), donate_argnames="run")
def train_weights(
    problem: Problem,
    source: Source,
    w_star: Float[Array, "seeds teachers latents"],
    keys: Key[Array, " seeds"],
    run: Run,
    first: UInt32[Array, ""],
    count: UInt32[Array, ""],
    block: int,
    shared: bool,
    width: int | None = None,
) -> Run:
    """The runs after `count` more steps, of which the first has the number `first`.

    The source is one for all seeds if it is `shared`; otherwise its arrays have an entry for each,
    as its own `axes` say.  `width` seeds run at once, or all of them: what stays in a core's cache.
    """
    one_seed = partial(_steps, problem, block)
    all_seeds = jax.vmap(one_seed, in_axes=(source.axes(shared), 0, 0, 0, None))

    def run_group(group: tuple[Any, Any, Run]) -> Run:
        w_star, keys, run = group

        def steps_of_block(span: Span, run: Run) -> Run:
            return all_seeds(source, w_star, keys, run, span)

        return over_blocks(steps_of_block, run, first, count, block)

    group = (w_star, keys, run)
    with jax.default_matmul_precision(EXACT):
        if width is None or width >= len(keys):
            return run_group(group)
        return in_groups(run_group, group, len(keys), width)


def in_groups(run_group: Callable[[Any], Any], arrays: Any, seeds: int, width: int) -> Any:
    """What `run_group` makes of arrays with the seeds first, `width` of them at a time.

    The last seed is repeated until the last group is as large as the others.
    """
    groups = -(-seeds // width)
    members = jnp.minimum(jnp.arange(groups * width), seeds - 1)

    def split(part):
        if groups * width != seeds:
            part = part[members]
        return part.reshape(groups, width, *part.shape[1:])

    def join(part):
        return part.reshape(groups * width, *part.shape[2:])[:seeds]

    return jax.tree.map(join, jax.lax.map(run_group, jax.tree.map(split, arrays)))


def _steps(
    problem: Problem, block: int, source: Source, w_star, key: Key[Array, ""], run: Run, span: Span
) -> Run:
    """One seed's steps of one block, whose inputs are all drawn at once."""
    N = run.student.w.shape[-1]
    workers, samples = problem.rule.gradients, problem.samples(N)
    batches = draw_inputs(problem, source, N, span.numbers(block), key)
    readout, bias = problem.student.train_readout, problem.student.train_bias
    dtype = run.student.w.dtype

    def slopes(task: Task, student: Network, batch: Samples):
        """The gradient of the batch, or one of each worker's, with a leading axis."""
        y = label(task, batch, w_star).noisy
        if workers == 1:
            return gradient(problem, student, batch.x, y)
        of_worker = partial(gradient, problem, student)
        x = batch.x.reshape(workers, samples, -1)
        return jax.vmap(of_worker)(x, y.reshape(workers, samples))

    def step(index, run: Run) -> Run:
        batch = batches.mapped(partial(_rows_of_step, index, workers * samples))
        now = problem.at(time_of(problem, span.begin + index, N), dtype)
        slope, phi = slopes(now.task, run.student, batch)
        slope = without_frozen(problem.student, slope)
        layers, memory = now.rule.update(
            run.student.layers(readout, bias), slope.layers(readout, bias), run.memory, N
        )
        step = jnp.where(jnp.isfinite(phi).all(), jnp.uint32(NEVER), span.begin + index)
        student = with_frozen(problem.student, run.student._replace(**layers), run.student)
        return Run(student, memory, jnp.minimum(run.diverged, step))

    return jax.lax.fori_loop(span.first, span.stop, step, run)


def draw_inputs(
    problem: Problem, source: Source, N: int, steps: UInt32[Array, " steps"], key: Key[Array, ""]
) -> Samples:
    """One seed's inputs of these steps, those of one step after those of another.

    They stay rows of one matrix: XLA would copy them all into an array with an axis of its own for
    the samples of a step.
    """
    samples = problem.rule.gradients * problem.samples(N)
    return source.draw_steps(steps, key, sample_keys(key, steps, samples))


def _rows_of_step(index: UInt32[Array, ""], samples: int, part: Array) -> Array:
    """The samples of one step, of those of a block."""
    return jax.lax.dynamic_slice_in_dim(part, index * samples, samples)


def sample_keys(
    key: Key[Array, ""], numbers: UInt32[Array, " steps"], batch_size: int
) -> Key[Array, " samples"]:
    """A key for every sample of every step."""
    step_keys = jax.vmap(partial(folded, key))(numbers)
    if batch_size == 1:
        return step_keys

    def split(step_key):
        return jax.random.split(step_key, batch_size)

    return jax.vmap(split)(step_keys).reshape(-1)


@partial(jax.jit, static_argnames="shared")
def record(
    problem: Problem,
    covariances: Isotropic | Covariances,
    T: Float[Array, "seeds teachers teachers"],
    w_star: Float[Array, "seeds teachers latents"],
    student: Network,
    shared: bool,
) -> Record:
    """Q and R with the exact covariances of the inputs, and eps_g in closed form.

    All of them are in float64, as the arguments must be.
    """
    student = Network(*(part.astype(jnp.float64) for part in student))
    w_star = w_star.astype(jnp.float64)

    def overlaps(exact, w, w_star):
        return exact.overlaps(w, w_star)

    all_seeds = jax.vmap(overlaps, in_axes=(seed_axis(shared), 0, 0))
    Q, R = all_seeds(covariances, student.w, w_star)
    return with_error(problem, Q, R, T, student.v, student.b)


class HeldOut(NamedTuple):
    """Means over held-out samples, with the standard errors of the last two.

    They are the overlaps of the fields, the loss, and the fraction of outputs with the right sign.
    """

    Q: Float[Array, "seeds students students"]
    R: Float[Array, "seeds students teachers"]
    test_error: Float[Array, " seeds"]
    test_error_se: Float[Array, " seeds"]
    test_accuracy: Float[Array, " seeds"]
    test_accuracy_se: Float[Array, " seeds"]


@partial(jax.jit, static_argnames=("blocks", "block", "shared"))
def measure_held_out(
    problem: Problem,
    source: Source,
    w_star,
    keys: Key[Array, " seeds"],
    student: Network,
    blocks: int,
    block: int,
    shared: bool,
) -> HeldOut:
    """Means over blocks x block samples against noise-free labels.

    The samples are the same at each call.
    """

    def one_seed(source, w_star, key, student):
        def one_block(index):
            inputs = source.draw(jax.random.split(jax.random.fold_in(key, index), block))
            return _sums(problem, student, w_star, inputs)

        sums = jax.lax.map(one_block, jnp.arange(blocks))
        total = jax.tree.map(partial(jnp.sum, axis=0), sums)
        return _means(total, blocks * block)

    def with_shared_source(arrays):
        return one_seed(source, *arrays)

    def with_own_source(arrays):
        return one_seed(*arrays)

    with jax.default_matmul_precision(EXACT):
        if shared:
            return jax.lax.map(with_shared_source, (w_star, keys, student))
        return jax.lax.map(with_own_source, (source, w_star, keys, student))


@jax.jit
def measure_samples(problem: Problem, inputs: Inputs, w_star, student: Network) -> HeldOut:
    """The same for given samples, one set for all seeds."""

    def one_seed(arrays):
        w_star, student = arrays
        return _means(_sums(problem, student, w_star, inputs), len(inputs.x))

    with jax.default_matmul_precision(EXACT):
        return jax.lax.map(one_seed, (w_star, student))


@partial(jax.jit, static_argnames="chunk")
def measure_training(
    problem: Problem,
    x: Float[Array, "samples inputs"],
    y: Float[Array, "seeds samples"],
    student: Network,
    chunk: int,
) -> Float[Array, " seeds"]:
    """The mean error of every seed on all samples of a training set, against their noisy labels.

    A chunk of the samples at once bounds the memory.
    """
    samples = len(x)
    chunk = min(chunk, samples)

    def one_seed(arrays):
        y, student = arrays

        def add(number, total):
            # The last chunk ends with the last sample; what it repeats does not count again.
            begin = jnp.minimum(number * chunk, samples - chunk)
            x_chunk, y_chunk = (jax.lax.dynamic_slice_in_dim(a, begin, chunk) for a in (x, y))
            phi = output(problem, student, x_chunk)
            error = problem.task.sample_error(as_loss(problem.loss), phi, y_chunk)
            loss = error.astype(jnp.float64)
            is_new = begin + jnp.arange(chunk) >= number * chunk
            return total + jnp.where(is_new, loss, 0.0).sum()

        total = jax.lax.fori_loop(0, -(-samples // chunk), add, jnp.zeros((), jnp.float64))
        return total / samples

    with jax.default_matmul_precision(EXACT):
        return jax.lax.map(one_seed, (y, student))


class _Sums(NamedTuple):
    """Sums over samples, in float64; the sign is that of y phi."""

    Q: Float[Array, "students students"]
    R: Float[Array, "students teachers"]
    loss: Float[Array, ""]
    squared_loss: Float[Array, ""]
    sign: Float[Array, ""]
    squared_sign: Float[Array, ""]


def _sums(problem: Problem, student: Network, w_star, inputs: Inputs) -> _Sums:
    """Sums of lambda lambda^T, lambda nu^T, the loss, the sign of y phi, and their squares."""
    lam = fields(student.w, inputs.x).astype(jnp.float64)
    nu = fields(w_star, inputs.latent).astype(jnp.float64)
    phi = output(problem, student, inputs.x)
    clean = label(problem.task, inputs, w_star).clean
    error = problem.task.sample_error(as_loss(problem.loss), phi, clean)
    loss = error.astype(jnp.float64)
    sign = jnp.sign(phi * clean).astype(jnp.float64)
    return _Sums(
        Q=lam.T @ lam,
        R=lam.T @ nu,
        loss=loss.sum(),
        squared_loss=(loss**2).sum(),
        sign=sign.sum(),
        squared_sign=(sign**2).sum(),
    )


def _means(total: _Sums, samples: int) -> HeldOut:
    mean = _Sums(*(part / samples for part in total))

    def standard_error(mean, squared):
        return jnp.sqrt(jnp.maximum(squared - mean**2, 0.0) / samples)

    return HeldOut(
        mean.Q,
        mean.R,
        mean.loss,
        standard_error(mean.loss, mean.squared_loss),
        (1 + mean.sign) / 2,
        standard_error(mean.sign, mean.squared_sign) / 2,
    )
