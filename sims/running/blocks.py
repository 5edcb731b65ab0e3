"""Steps in blocks that begin at fixed numbers: 0, block, 2 block, ...

The random numbers of a block are drawn at once, whichever of its steps are taken.  So a step finds
its numbers in the same place of the same array, rounded in the same way, wherever a call begins and
ends: straight, resumed, slow or fast.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from teacherstudent.problem import Problem

State = TypeVar("State")


class Span(NamedTuple):
    """The steps `begin + first`, ..., `begin + stop - 1` of the block whose first step has the
    number `begin`.
    """

    begin: UInt32[Array, ""]
    first: UInt32[Array, ""]
    stop: UInt32[Array, ""]

    def numbers(self, block: int) -> UInt32[Array, " block"]:
        """The numbers of all steps of the block."""
        return self.begin + jnp.arange(block, dtype=jnp.uint32)


def time_of(problem: Problem, step: UInt32[Array, ""], N) -> Float[Array, ""]:
    """The time t of a step, in float64, in which every step has a time of its own."""
    return step.astype(jnp.float64) / problem.updates_per_time(N)


def over_blocks(
    steps: Callable[[Span, State], State],
    state: State,
    first: UInt32[Array, ""],
    count: UInt32[Array, ""],
    block: int,
) -> State:
    """The state after `count` steps, of which the first has the number `first`; `steps` takes those
    of one block.
    """
    stop = first + count

    def one_block(index: UInt32[Array, ""], state: State) -> State:
        begin = index * block
        span = Span(begin, jnp.maximum(first, begin) - begin, jnp.minimum(stop - begin, block))
        return steps(span, state)

    # 32 bits cannot hold stop + block - 1 of the longest runs.
    last = jnp.where(count > 0, (stop - 1) // block + 1, first // block)
    return jax.lax.fori_loop(first // block, last, one_block, state)
