"""The one right-hand side of the order-parameter equations.

By Stein's lemma E[delta_k y] = sum_b J_kb Cov(h_b, y) for every y jointly Gaussian with the fields h, so with C = Cov(h)

    dR/dt = -eta J C[:, nu]
    dQ/dt = -eta (J C[:, lambda] + transpose) + eta^2 D                         (time t = updates / N)
    dv/dt = -eta_v b

which is Saad & Solla (1995) and Goldt et al. (2019) with their sums over I3 done by linear algebra.  Here the input
covariance is the unit matrix; a task with a spectrum has one such pair of equations per eigenvalue.
"""

from functools import singledispatch
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.moments import Moments, moments
from teacherstudent.order_parameters import covariance
from teacherstudent.problem import Problem
from teacherstudent.rules import RULES, SGD, Rule, SphericalSGD


class State(NamedTuple):
    """What moves: the student's overlaps and readout."""

    Q: Float[Array, "students students"]
    R: Float[Array, "students teachers"]
    v: Float[Array, " students"]


def vector_field(problem: Problem, T: Float[Array, "teachers teachers"], state: State) -> State:
    """d(Q, R, v)/dt of a problem with teacher overlaps T."""
    C = covariance(state.Q, state.R, T)
    velocity = flow(problem.rule, moments(problem, C, state.v), C, state)
    return velocity if problem.student.train_readout else velocity._replace(v=jnp.zeros_like(state.v))


@singledispatch
def flow(rule: Rule, averages: Moments, C: Float[Array, "fields fields"], state: State) -> State:
    """d(Q, R, v)/dt under an update rule, from the averages of one update."""
    known = ", ".join(kind.__name__ for kind in RULES.values() if flow.dispatch(kind) is not flow.dispatch(object))
    raise ValueError(f"there is no theory for the rule {type(rule).__name__}; rules with a theory: {known}.")


@flow.register
def _(rule: SGD, averages: Moments, C: Float[Array, "fields fields"], state: State) -> State:
    K, eta, decay = state.v.shape[0], rule.learning_rate, rule.weight_decay
    drift = averages.J @ C  # E[delta_k h_b], for all fields b
    shrinking = -eta * drift[:, :K] - decay * state.Q
    return State(
        Q=shrinking + shrinking.T + eta**2 * averages.D,
        R=-eta * drift[:, K:] - decay * state.R,
        v=-rule.eta_v * averages.b - decay * state.v,
    )


@flow.register
def _(rule: SphericalSGD, averages: Moments, C: Float[Array, "fields fields"], state: State) -> State:
    # The projection divides w_k by 1 + (dQ_kk/dt) dt / 2 + ..., which holds Q_kk = 1.
    free = flow(rule.sgd, averages, C, state)
    growth = jnp.diagonal(free.Q) / 2
    return State(
        Q=free.Q - state.Q * (growth[:, None] + growth[None, :]),
        R=free.R - state.R * growth[:, None],
        v=free.v,
    )
