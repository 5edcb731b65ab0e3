"""The quantity whose crossing of a threshold ends a solve."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.solving.vector_field import vector_field
from teacherstudent.observables.generalisation import error_of
from teacherstudent.observables.observable import Observable
from teacherstudent.observables.thresholds import VELOCITY
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import OrderParameters


@dataclass(frozen=True)
class Crossing:
    """One number as a function of the state.

    It is the error ("eps_g" or "loss"), the velocity, or an observable of the order parameters.
    """

    quantity: str | Observable

    def value(self, problem: Problem, fixed: Fixed, state: State) -> Float[Array, ""]:
        """The quantity at one state."""
        if self.quantity == VELOCITY:
            return largest_velocity(problem, fixed, state)
        Q, R = overlaps(fixed, state)
        if isinstance(self.quantity, Observable):
            return self.quantity.value(OrderParameters(Q, R, fixed.T, state.v, b=state.b))
        return error_of(problem, Q, R, fixed.T, state.v, state.b)


def largest_velocity(problem: Problem, fixed: Fixed, state: State) -> Float[Array, ""]:
    """max |d(Q, R, v, b)/dt|."""
    velocity = vector_field(problem, fixed, state)
    parts = (*overlaps(fixed, velocity), velocity.v, velocity.b)
    return jnp.max(jnp.stack([jnp.max(jnp.abs(part)) for part in jax.tree.leaves(parts)]))
