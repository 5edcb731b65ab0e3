"""What a solver moves of a state, and what its errors are measured by."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from odes.inputs.one_update import Fixed, State
from teacherstudent.averages.pairs import pair_number, unordered_pairs
from teacherstudent.problem import Problem
from teacherstudent.states.physical_region import DIVERGED


def pack(state: State, problem: Problem) -> tuple[Any, ...]:
    """q as its upper triangle, so that it stays symmetric; r; v and b only if they are trained; the
    rule's memory, if any.
    """
    student = problem.student
    upper = state.q[unordered_pairs(state.v.shape[0])]
    trained = (
        *((state.v,) if student.train_readout else ()),
        *((state.b,) if student.train_bias else ()),
    )
    return upper, state.r, *trained, *((state.memory,) if jax.tree.leaves(state.memory) else ())


def unpack(packed: tuple[Any, ...], problem: Problem, begin: State) -> State:
    """The state; what does not move is as at the beginning."""
    upper, r, *rest = packed
    memory = rest.pop() if jax.tree.leaves(begin.memory) else begin.memory
    b = rest.pop() if problem.student.train_bias else begin.b
    v = rest.pop() if problem.student.train_readout else begin.v
    return State(upper[pair_number(begin.v.shape[0])], r, v, b, memory)


class ErrorNorm(eqx.Module):
    """The root mean square of a step's errors over their tolerances, in which a mode counts by its
    share of Q and of R.

    Of hundreds of modes a few may carry most of Q; a plain mean over all numbers would let their
    errors grow.
    """

    rho: Float[Array, " modes"]
    weights: Float[Array, " modes"]

    def __call__(self, errors: tuple[Any, ...]) -> Float[Array, ""]:
        """Errors of q (pairs, modes), r (students, teachers, modes) and what else moves, over their
        tolerances.
        """
        q, r, *others = errors
        rest = jax.tree.leaves(others)
        share = self.weights * self.rho / jnp.sum(self.weights * self.rho)
        count = q.shape[0] + r.shape[0] * r.shape[1] + sum(map(jnp.size, rest))
        square = (
            jnp.sum(q**2 @ share)
            + jnp.sum(r**2 @ self.weights)
            + sum(jnp.sum(part**2) for part in rest)
        )
        return jnp.sqrt(square / count)


def has_diverged(
    packed: tuple[Any, ...], begin: tuple[Any, ...], fixed: Fixed, problem: Problem
) -> Bool[Array, ""]:
    """Whether some entry of Q, or of a readout or bias that is trained, is beyond the bound of
    divergence of its beginning.
    """
    trained = slice(2, 2 + problem.student.train_readout + problem.student.train_bias)
    largest = lambda state: [
        _size(state[0] @ (fixed.weights * fixed.rho)),
        *map(_size, state[trained]),
    ]
    pairs = zip(largest(packed), largest(begin), strict=True)
    return jnp.any(jnp.stack([now > DIVERGED * jnp.maximum(1.0, first) for now, first in pairs]))


def _size(part: Array) -> Float[Array, ""]:
    return jnp.max(jnp.abs(part))
