"""The one vector that a solver moves, and what its errors are measured by."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from odes.one_update import Fixed, State
from teacherstudent.averages.pairs import pair_number, unordered_pairs
from teacherstudent.problem import Problem

DIVERGED = 1e6  # overlaps beyond this are on their way to infinity: fields of order 1000


def _parts(state: State, problem: Problem) -> tuple[Any, ...]:
    """q as its upper triangle, so that it stays symmetric; r; v and b only if they are trained; and the rule's memory."""
    student = problem.student
    trained = (*((state.v,) if student.train_readout else ()), *((state.b,) if student.train_bias else ()))
    return state.q[unordered_pairs(state.v.shape[0])], state.r, trained, state.memory


def pack(state: State, problem: Problem) -> Float[Array, " packed"]:
    """What moves of a state, one after the other."""
    return ravel_pytree(_parts(state, problem))[0]


def unpack(packed: Float[Array, " packed"], problem: Problem, begin: State) -> State:
    """The state of a vector; what does not move is as at the beginning."""
    upper, r, trained, memory = ravel_pytree(_parts(begin, problem))[1](packed)
    remaining = list(trained)
    v = remaining.pop(0) if problem.student.train_readout else begin.v
    b = remaining.pop(0) if problem.student.train_bias else begin.b
    return State(upper[pair_number(begin.v.shape[0])], r, v, b, memory)


class ErrorNorm(eqx.Module):
    """The root mean square of a step's errors over their tolerances, in which a mode counts by its share of Q and of R.

    Of hundreds of modes a few may carry most of Q; a plain mean over all numbers would let their errors grow.
    """

    weights: Float[Array, " packed"]

    def __init__(self, problem: Problem, fixed: Fixed, begin: State):
        q, r, *others = _parts(begin, problem)
        shares = fixed.weights * fixed.rho / jnp.sum(fixed.weights * fixed.rho)
        by_mode = jnp.broadcast_to(shares, q.shape), jnp.broadcast_to(fixed.weights, r.shape)
        rest = jax.tree.map(jnp.ones_like, others)
        count = q.shape[0] + r.shape[0] * r.shape[1] + sum(map(jnp.size, jax.tree.leaves(rest)))
        self.weights = ravel_pytree((*by_mode, rest))[0] / count

    def __call__(self, errors: Float[Array, " packed"]) -> Float[Array, ""]:
        return jnp.sqrt(jnp.sum(self.weights * errors**2))


def has_diverged(packed: Float[Array, " packed"], problem: Problem, fixed: Fixed, begin: State) -> Bool[Array, ""]:
    """Whether some entry of Q is beyond all bounds."""
    upper = ravel_pytree(_parts(begin, problem))[1](packed)[0]
    return jnp.max(jnp.abs(upper @ (fixed.weights * fixed.rho))) > DIVERGED
