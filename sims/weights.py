"""Training real networks: weights of length N, one fresh mini-batch per step, many seeds side by side.

Inputs are drawn in blocks of steps, with one call to the random generator for each block.  The length of the block
changes no number: every sample has its own key, and all that follows is done step by step.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

from sims.network import gradient, output
from sims.tasks import draw, label
from teacherstudent.generalisation import averages_of, error_at, output_weights
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
    of_block = jax.vmap(partial(_steps, problem, block), in_axes=(0, 0, 0, None, None))

    def one_block(index, run):
        done = index * block
        return of_block(w_star, keys, run, first + done, jnp.minimum(count - done, block))

    blocks = (count + block - 1) // block
    return jax.lax.fori_loop(jnp.zeros((), jnp.uint32), blocks, one_block, run)


def _steps(problem: Problem, block: int, w_star, key: Key[Array, ""], run: Run, first, count) -> Run:
    """One seed's next `count` <= `block` steps, the inputs for `block` steps drawn at once."""
    numbers = first + jnp.arange(block, dtype=jnp.uint32)
    inputs = draw(problem.task, _sample_keys(key, numbers, problem.batch_size), w_star)
    batches = jax.tree.map(lambda part: part.reshape(block, problem.batch_size, *part.shape[1:]), inputs)

    def step(index, run: Run) -> Run:
        batch = jax.tree.map(lambda part: part[index], batches)
        slope, phi = gradient(problem, run.student, batch.x, label(problem.task, batch, w_star).noisy)
        moved = problem.rule.update(run.student, slope)
        if not problem.student.train_readout:
            moved = moved._replace(v=run.student.v)
        now = jnp.where(jnp.isfinite(phi).all(), jnp.uint32(NEVER), first + index)
        return Run(moved, jnp.minimum(run.diverged, now))

    return jax.lax.fori_loop(jnp.zeros((), jnp.uint32), count, step, run)


def _sample_keys(key: Key[Array, ""], numbers: UInt32[Array, " steps"], batch_size: int) -> Key[Array, " samples"]:
    """A key for every sample of every step."""
    of_step = jax.vmap(partial(jax.random.fold_in, key))(numbers)
    return of_step if batch_size == 1 else jax.vmap(lambda one: jax.random.split(one, batch_size))(of_step).reshape(-1)


class Record(NamedTuple):
    """The order parameters of every seed at one time."""

    Q: Float[Array, "seeds students students"]
    R: Float[Array, "seeds students teachers"]
    v: Float[Array, "seeds students"]
    eps_g: Float[Array, " seeds"]


@jax.jit
def record(problem: Problem, T: Float[Array, "seeds teachers teachers"], w_star, student: Network) -> Record:
    """Q = w w^T / N, R = w w*^T / N and eps_g in closed form, all in float64 (as `problem` and `T` must be)."""
    w, v, w_star = (part.astype(jnp.float64) for part in (*student, w_star))
    N = w.shape[-1]
    Q = jnp.einsum("skn,sln->skl", w, w) / N
    R = jnp.einsum("skn,smn->skm", w, w_star) / N

    def error(Q, R, T, v):
        return error_at(averages_of(problem), covariance(Q, R, T), output_weights(problem, v))

    return Record(Q, R, v, jax.vmap(error)(Q, R, T, v))


@partial(jax.jit, static_argnames=("blocks", "block"))
def test_error(
    problem: Problem, w_star, keys: Key[Array, " seeds"], student: Network, blocks: int, block: int
) -> Float[Array, " seeds"]:
    """Half the mean squared error against noise-free labels of blocks x block samples, the same ones at each call."""

    def one_seed(inputs):
        w_star, key, student = inputs

        def one_block(index):
            inputs = draw(problem.task, jax.random.split(jax.random.fold_in(key, index), block), w_star)
            error = output(problem, student, inputs.x) - label(problem.task, inputs, w_star).clean
            return 0.5 * jnp.mean(error**2)

        return jnp.mean(jax.lax.map(one_block, jnp.arange(blocks)).astype(jnp.float64))

    return jax.lax.map(one_seed, (w_star, keys, student))
