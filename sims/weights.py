"""Training real networks: weights of length N, one fresh mini-batch per step, many seeds side by side.

Inputs are drawn in blocks of steps, which costs one call to the random generator and one product with the teacher's
weights per block; the block length changes nothing in the numbers, since every sample has its own key.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

from sims.tasks import Samples, sample
from teacherstudent.generalisation import averages_of, error_at, output_weights
from teacherstudent.losses import LOSSES
from teacherstudent.order_parameters import covariance
from teacherstudent.problem import Problem
from teacherstudent.rules import Network

NEVER = 2**32 - 1


class Run(NamedTuple):
    """The networks of all seeds, and the step at which each stopped being finite (`NEVER` if it has not)."""

    student: Network
    diverged: UInt32[Array, " seeds"]


@partial(jax.jit, static_argnames="block", donate_argnames="run")
def advance(
    problem: Problem,
    w_star: Float[Array, "seeds teachers inputs"],
    keys: Key[Array, " seeds"],
    run: Run,
    first: UInt32[Array, ""],
    count: UInt32[Array, ""],
    block: int,
) -> Run:
    """The runs after `count` more steps, of which the first has the number `first`."""
    steps = jax.vmap(partial(_steps, problem), in_axes=(0, 0, 0, None))
    blocks = count // block

    def whole(index, run):
        return steps(w_star, keys, run, first + index * block + jnp.arange(block, dtype=jnp.uint32))

    def single(index, run):
        return steps(w_star, keys, run, (first + blocks * block + index)[None])

    zero = jnp.zeros((), jnp.uint32)
    run = jax.lax.fori_loop(zero, blocks, whole, run)
    return jax.lax.fori_loop(zero, count % block, single, run)


def _steps(problem: Problem, w_star, key, run: Run, numbers: UInt32[Array, " steps"]) -> Run:
    """One seed's steps with the given numbers, their samples drawn at once."""
    B = problem.batch_size
    of_step = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
    of_sample = jax.vmap(lambda one: jax.random.split(one, B))(of_step).reshape(-1) if B > 1 else of_step
    drawn = sample(problem.task, of_sample, w_star)
    batches = jax.tree.map(lambda part: part.reshape(-1, B, *part.shape[1:]), drawn)

    def step(run: Run, inputs) -> tuple[Run, None]:
        number, batch = inputs
        gradient, output = _gradient(problem, run.student, batch)
        moved = problem.rule.update(run.student, gradient)
        if not problem.student.train_readout:
            moved = moved._replace(v=run.student.v)
        healthy = jnp.isfinite(output).all()
        return Run(moved, jnp.minimum(run.diverged, jnp.where(healthy, jnp.uint32(NEVER), number))), None

    return jax.lax.scan(step, run, (numbers, batches))[0]


def outputs(problem: Problem, student: Network, x: Float[Array, "samples inputs"]):
    """The fields lambda = w x / sqrt N and the outputs phi = sum_k v_k g(lambda_k)."""
    fields = x @ student.w.T / jnp.sqrt(jnp.asarray(x.shape[-1], x.dtype))
    return fields, problem.student.activation(fields) @ student.v


def _gradient(problem: Problem, student: Network, batch: Samples) -> tuple[Network, Float[Array, " samples"]]:
    """The gradient of the batch-averaged loss, and the outputs."""
    activation = problem.student.activation
    B, N = batch.x.shape
    fields, output = outputs(problem, student, batch.x)
    slope = LOSSES[problem.loss].slope(output, batch.y) / B
    delta = student.v[None, :] * activation.derivative(fields) * slope[:, None]
    gradient = Network(
        w=jnp.einsum("bk,bn->kn", delta, batch.x) / jnp.sqrt(jnp.asarray(N, batch.x.dtype)),
        v=activation(fields).T @ slope,
    )
    return gradient, output


class Record(NamedTuple):
    """The order parameters of every seed at one time, in float64."""

    Q: Float[Array, "seeds students students"]
    R: Float[Array, "seeds students teachers"]
    v: Float[Array, "seeds students"]
    eps_g: Float[Array, " seeds"]


@jax.jit
def record(problem: Problem, T: Float[Array, "seeds teachers teachers"], w_star, run: Run) -> Record:
    """Q = w w^T / N, R = w w*^T / N and eps_g in closed form; `problem` and `T` in float64, sums in float64."""
    w, v, w_star = (part.astype(jnp.float64) for part in (*run.student, w_star))
    N = w.shape[-1]
    Q = jnp.einsum("skn,sln->skl", w, w) / N
    R = jnp.einsum("skn,smn->skm", w, w_star) / N

    def error(Q, R, T, v):
        return error_at(averages_of(problem), covariance(Q, R, T), output_weights(problem, v))

    return Record(Q, R, v, jax.vmap(error)(Q, R, T, v))


@partial(jax.jit, static_argnames=("blocks", "block"))
def test_error(problem: Problem, w_star, keys: Key[Array, " seeds"], run: Run, blocks: int, block: int):
    """Half the mean squared error against the noise-free labels of blocks x block samples, the same ones each time."""

    def one_seed(inputs):
        w_star, key, student = inputs

        def one_block(index):
            samples = sample(problem.task, jax.random.split(jax.random.fold_in(key, index), block), w_star)
            return 0.5 * jnp.mean((outputs(problem, student, samples.x)[1] - samples.clean) ** 2)

        return jnp.mean(jax.lax.map(one_block, jnp.arange(blocks)).astype(jnp.float64))

    return jax.lax.map(one_seed, (w_star, keys, run.student))
