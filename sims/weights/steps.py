"""Training real networks: weights of length N, one fresh mini-batch per step, many seeds side by
side.

Inputs are drawn in blocks of steps, with one call to the random generator, and one matrix product
where the task needs one, for each block.  Each sample has its own key, and all that follows is done
step by step.  How a product rounds depends on the row: blocks begin at fixed steps
(`sims.running.blocks`), so that no number depends on where a call begins or ends.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

from sims.inputs.source import Covariances, Inputs, Isotropic, Source, label
from sims.running.blocks import Span, over_blocks
from sims.running.loop import NEVER
from sims.weights.network import fields, gradient, output
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.checking.own_classes import unknown_error
from teacherstudent.losses import as_loss
from teacherstudent.observables.generalisation import averages_of, error_of
from teacherstudent.problem import Problem
from teacherstudent.rules import Network


class Run(NamedTuple):
    """The networks of all seeds, what the rule remembers, and when each stopped being finite
    (`NEVER` if it has not).
    """

    student: Network
    memory: Any
    diverged: UInt32[Array, " seeds"]


@jax.jit
def begun(problem: Problem, students: Network) -> tuple[Network, Any]:
    """The networks of all seeds as the rule begins from them, and its memory."""

    def one_seed(student: Network):
        layers = student.layers(problem.student.train_readout, problem.student.train_bias)
        begin = problem.rule.begin(layers)
        return student._replace(**begin), problem.rule.memory(begin)

    return jax.vmap(one_seed)(students)


@partial(jax.jit, static_argnames=("block", "shared"), donate_argnames="run")
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
) -> Run:
    """The runs after `count` more steps, of which the first has the number `first`; the source may
    be `shared` by all seeds.
    """
    of_block = jax.vmap(
        partial(_steps, problem, block), in_axes=(None if shared else 0, 0, 0, 0, None)
    )

    return over_blocks(
        lambda span, run: of_block(source, w_star, keys, run, span), run, first, count, block
    )


def _steps(
    problem: Problem, block: int, source: Source, w_star, key: Key[Array, ""], run: Run, span: Span
) -> Run:
    """One seed's steps of one block, whose inputs are all drawn at once."""
    N = run.student.w.shape[-1]
    workers, samples = problem.rule.gradients, problem.samples(N)
    batches = drawn(problem, source, N, span.numbers(block), key)
    readout, bias = problem.student.train_readout, problem.student.train_bias

    def slopes(student: Network, batch: Inputs):
        """The gradient of the batch, or one of each worker's, with a leading axis."""
        of = lambda x, y: gradient(problem, student, x, y)
        y = label(problem.task, batch, w_star).noisy
        if workers == 1:
            return of(batch.x, y)
        return jax.vmap(of)(batch.x.reshape(workers, samples, -1), y.reshape(workers, samples))

    def step(index, run: Run) -> Run:
        batch = jax.tree.map(lambda part: part[index], batches)
        slope, phi = slopes(run.student, batch)
        layers, memory = problem.rule.update(
            run.student.layers(readout, bias), slope.layers(readout, bias), run.memory, N
        )
        now = jnp.where(jnp.isfinite(phi).all(), jnp.uint32(NEVER), span.begin + index)
        return Run(run.student._replace(**layers), memory, jnp.minimum(run.diverged, now))

    return jax.lax.fori_loop(span.first, span.stop, step, run)


def drawn(
    problem: Problem, source: Source, N: int, steps: UInt32[Array, " steps"], key: Key[Array, ""]
) -> Inputs:
    """One seed's inputs of these steps: arrays (steps, samples of a step, ...)."""
    samples = problem.rule.gradients * problem.samples(N)
    inputs = source.draw(_sample_keys(key, steps, samples))
    of_steps = lambda part: part.reshape(len(steps), samples, *part.shape[1:])
    x, zeta = of_steps(inputs.x), of_steps(inputs.zeta)
    latent = (
        x if inputs.latent is inputs.x else of_steps(inputs.latent)
    )  # kept and read once where they are the same
    return Inputs(x, latent, zeta)


def _sample_keys(
    key: Key[Array, ""], numbers: UInt32[Array, " steps"], batch_size: int
) -> Key[Array, " samples"]:
    """A key for every sample of every step."""
    of_step = jax.vmap(partial(jax.random.fold_in, key))(numbers)
    return (
        of_step
        if batch_size == 1
        else jax.vmap(lambda one: jax.random.split(one, batch_size))(of_step).reshape(-1)
    )


class Record(NamedTuple):
    """The order parameters of every seed at one time."""

    Q: Float[Array, "seeds students students"]
    R: Float[Array, "seeds students teachers"]
    v: Float[Array, "seeds students"]
    b: Float[Array, "seeds students"]
    eps_g: Float[Array, " seeds"]


@partial(jax.jit, static_argnames="shared")
def record(
    problem: Problem,
    covariances: Isotropic | Covariances,
    T: Float[Array, "seeds teachers teachers"],
    w_star: Float[Array, "seeds teachers latents"],
    student: Network,
    shared: bool,
) -> Record:
    """Q and R with the exact covariances of the inputs, and eps_g in closed form, all in float64
    (as the arguments must be).
    """
    w, v, b, w_star = (part.astype(jnp.float64) for part in (*student, w_star))
    overlaps = jax.vmap(
        lambda exact, w, w_star: exact.overlaps(w, w_star), in_axes=(None if shared else 0, 0, 0)
    )
    Q, R = overlaps(covariances, w, w_star)
    return with_error(problem, Q, R, T, v, b)


@jax.jit
def with_error(problem: Problem, Q, R, T, v, b) -> Record:
    """The record of every seed, with eps_g or the expected loss as the theory has it at these
    overlaps.

    It is nan for a task of one's own of which no theory knows it.
    """
    if unknown_error(problem.task, problem.student.activation) is not None:
        return Record(Q, R, v, b, jnp.full(v.shape[0], jnp.nan))  # held-out samples say it
    error = lambda own: error_of(problem, *own)
    closed = not problem.task.HAS_CLASSES and not isinstance(
        averages_of(problem), QuadratureAverages
    )
    at_once = 4096 if closed else 32  # a quadrature has thousands of points for every seed
    return Record(Q, R, v, b, jax.lax.map(error, (Q, R, T, v, b), batch_size=at_once))


class HeldOut(NamedTuple):
    """Means over held-out samples: overlaps of the fields, loss, fraction with the right sign, and
    their standard errors.
    """

    Q: Float[Array, "seeds students students"]
    R: Float[Array, "seeds students teachers"]
    test_error: Float[Array, " seeds"]
    test_error_se: Float[Array, " seeds"]
    test_accuracy: Float[Array, " seeds"]
    test_accuracy_se: Float[Array, " seeds"]


@partial(jax.jit, static_argnames=("blocks", "block", "shared"))
def held_out(
    problem: Problem,
    source: Source,
    w_star,
    keys: Key[Array, " seeds"],
    student: Network,
    blocks: int,
    block: int,
    shared: bool,
) -> HeldOut:
    """Means over blocks x block samples against noise-free labels, the same samples at each call."""

    def one_seed(own):
        source_, w_star, key, student = (source, *own) if shared else own

        def one_block(index):
            inputs = source_.draw(jax.random.split(jax.random.fold_in(key, index), block))
            return _sums(problem, student, w_star, inputs)

        total = jax.tree.map(partial(jnp.sum, axis=0), jax.lax.map(one_block, jnp.arange(blocks)))
        return _means(total, blocks * block)

    return jax.lax.map(
        one_seed, (w_star, keys, student) if shared else (source, w_star, keys, student)
    )


@jax.jit
def on_samples(problem: Problem, inputs: Inputs, w_star, student: Network) -> HeldOut:
    """The same for given samples, one set for all seeds."""

    def one_seed(own):
        w_star, student = own
        return _means(_sums(problem, student, w_star, inputs), len(inputs.x))

    return jax.lax.map(one_seed, (w_star, student))


def _sums(problem: Problem, student: Network, w_star, inputs: Inputs):
    """Sums over samples, in float64: of lambda lambda^T, lambda nu^T, the loss, the sign of y phi,
    and the squares of both.
    """
    lam, nu = (
        fields(*pair).astype(jnp.float64)
        for pair in ((student.w, inputs.x), (w_star, inputs.latent))
    )
    phi, clean = output(problem, student, inputs.x), label(problem.task, inputs, w_star).clean
    error = as_loss(problem.loss).value(phi, clean).astype(jnp.float64)
    sign = jnp.sign(phi * clean).astype(jnp.float64)
    return lam.T @ lam, lam.T @ nu, error.sum(), (error**2).sum(), sign.sum(), (sign**2).sum()


def _means(total, samples: int) -> HeldOut:
    Q, R, error, square, sign, square_of_sign = (part / samples for part in total)
    deviation = lambda mean, square: jnp.sqrt(jnp.maximum(square - mean**2, 0.0) / samples)
    return HeldOut(
        Q, R, error, deviation(error, square), (1 + sign) / 2, deviation(sign, square_of_sign) / 2
    )
