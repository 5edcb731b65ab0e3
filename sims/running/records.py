"""What is recorded of networks at one time: overlaps, and the error that the theory has at them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.extensions.own_classes import unknown_error
from teacherstudent.observables.generalisation import averages_of, error_of
from teacherstudent.problem import Problem


class Record(NamedTuple):
    """The order parameters of every seed at one time."""

    Q: Float[Array, "seeds students students"]
    R: Float[Array, "seeds students teachers"]
    v: Float[Array, "seeds students"]
    b: Float[Array, "seeds students"]
    eps_g: Float[Array, " seeds"]


@jax.jit
def with_error(problem: Problem, Q, R, T, v, b) -> Record:
    """The record of every seed, with eps_g or the expected loss as the theory has it at these
    overlaps.

    It is nan for a task of one's own of which no theory knows it.
    """
    if unknown_error(problem.task, problem.student.activation) is not None:
        # Held-out samples measure it.
        return Record(Q, R, v, b, jnp.full(v.shape[0], jnp.nan))

    def error(order_parameters):
        return error_of(problem, *order_parameters)

    # A quadrature has thousands of points for every seed: few seeds at once bound the memory.
    seeds_at_once = 32
    if _has_closed_error(problem):
        seeds_at_once = 4096
    eps_g = jax.lax.map(error, (Q, R, T, v, b), batch_size=seeds_at_once)
    return Record(Q, R, v, b, eps_g)


def _has_closed_error(problem: Problem) -> bool:
    """Whether the error at given overlaps takes no quadrature."""
    if problem.task.BINARY_LABELS:
        return False
    return not isinstance(averages_of(problem), QuadratureAverages)
