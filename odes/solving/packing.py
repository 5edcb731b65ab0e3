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
    """The parts of a state that move: the upper triangle of q, so that it stays symmetric; r; v and
    b if they are trained; the rule's memory, if any.
    """
    upper = state.q[unordered_pairs(state.v.shape[0])]
    packed = [upper, state.r]
    if problem.student.train_readout:
        packed.append(state.v)
    if problem.student.train_bias:
        packed.append(state.b)
    if jax.tree.leaves(state.memory):
        packed.append(state.memory)
    return tuple(packed)


def unpack(packed: tuple[Any, ...], problem: Problem, begin: State) -> State:
    """The whole state; what does not move is as at the beginning."""
    upper, r, *others = packed
    state = begin._replace(q=upper[pair_number(begin.v.shape[0])], r=r)
    if problem.student.train_readout:
        state = state._replace(v=others.pop(0))
    if problem.student.train_bias:
        state = state._replace(b=others.pop(0))
    if jax.tree.leaves(begin.memory):
        state = state._replace(memory=others.pop(0))
    return state


def all_numbers(memory: Any) -> Float[Array, " entries"]:
    """What a rule remembers, a pytree of arrays, as one array."""
    leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(memory)]
    return jnp.concatenate([jnp.zeros(0), *leaves])


def remembered(first: Any, numbers: Float[Array, " entries"]) -> Any:
    """What a rule remembers, from all its numbers; `first` if there are none of this rule."""
    leaves = jax.tree.leaves(first)
    sizes = [leaf.size for leaf in leaves]
    if numbers.size != sum(sizes) or not sizes:
        return first
    parts, begin = [], 0
    for leaf, size in zip(leaves, sizes, strict=True):
        parts.append(numbers[begin : begin + size].reshape(leaf.shape))
        begin += size
    return jax.tree.unflatten(jax.tree.structure(first), parts)


class ErrorNorm(eqx.Module):
    """The size of a step's errors over their tolerances: a root mean square over all numbers that
    move, in which a mode counts by its share of Q and of R.

        norm^2 = (sum_tau s_tau q_tau^2 + sum_tau p_tau r_tau^2 + rest^2) / count
        s_tau = p_tau rho_tau / sum_tau p_tau rho_tau

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
    sizes = zip(_sizes(packed, fixed, problem), _sizes(begin, fixed, problem), strict=True)
    exceeded = [now > DIVERGED * jnp.maximum(1.0, first) for now, first in sizes]
    return jnp.any(jnp.stack(exceeded))


def _sizes(packed: tuple[Any, ...], fixed: Fixed, problem: Problem) -> list[Float[Array, ""]]:
    """The largest entries of Q and of the readout and biases that are trained."""
    Q = packed[0] @ (fixed.weights * fixed.rho)
    trained = problem.student.train_readout + problem.student.train_bias
    return [_largest(Q), *map(_largest, packed[2 : 2 + trained])]


def _largest(part: Array) -> Float[Array, ""]:
    return jnp.max(jnp.abs(part))
