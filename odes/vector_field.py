"""The one right-hand side of the order-parameter equations, for every task and every rule.

The task says what one update does on average (`one_update.py`), the rule what follows from it (`flow`).  For SGD, with time
t = updates / N and Q = sum_tau p rho q, R = sum_tau p r,

    dr/dt = -eta r_mean,   dq/dt = -eta (q_mean + transpose) + eta^2 square,   dv/dt = -eta_v v_mean,   db/dt = -eta_b b_mean

Isotropic inputs are the case of one mode, rho = 1, p = 1, q = Q, r = R: the equations of Saad & Solla (1995), Goldt et al. (2019)
with a teacher, and with r = m those of Refinetti et al. (2021) for mixtures.
"""

from functools import singledispatch

import jax.numpy as jnp

from odes import mixture, spectral  # noqa: F401 (they register the averages of their tasks)
from odes.one_update import Fixed, Gradient, State, gradient
from teacherstudent.problem import Problem
from teacherstudent.rules import RULES, SGD, Rule, SphericalSGD


def vector_field(problem: Problem, fixed: Fixed, state: State) -> State:
    """d(q, r, v, b)/dt of a problem; what the student does not train stays."""
    velocity = flow(problem.rule, gradient(problem.task, problem, fixed, state), fixed, state)
    student = problem.student
    return velocity._replace(
        v=velocity.v if student.train_readout else jnp.zeros_like(state.v),
        b=velocity.b if student.train_bias else jnp.zeros_like(state.b),
    )


@singledispatch
def flow(rule: Rule, mean: Gradient, fixed: Fixed, state: State) -> State:
    """d(q, r, v, b)/dt under an update rule, from the averages of one update."""
    known = ", ".join(kind.__name__ for kind in RULES.values() if flow.dispatch(kind) is not flow.dispatch(object))
    raise ValueError(f"there is no theory for the rule {type(rule).__name__}; rules with a theory: {known}.")


@flow.register
def _(rule: SGD, mean: Gradient, fixed: Fixed, state: State) -> State:
    eta, decay = rule.learning_rate, rule.weight_decay
    shrinking = -eta * mean.q - decay * state.q
    return State(
        q=shrinking + shrinking.swapaxes(0, 1) + eta**2 * mean.square,
        r=-eta * mean.r - decay * state.r,
        v=-rule.eta_v * mean.v - decay * state.v,
        b=-rule.eta_b * mean.b,
    )


@flow.register
def _(rule: SphericalSGD, mean: Gradient, fixed: Fixed, state: State) -> State:
    # The projection divides w_k by 1 + (dW_kk/dt) dt / 2 + ..., W = sum_tau p q = w w^T / N, which holds W_kk = 1.
    free = flow(rule.sgd, mean, fixed, state)
    growth = jnp.einsum("kkt,t->k", free.q, fixed.weights) / 2
    return State(
        q=free.q - state.q * (growth[:, None, None] + growth[None, :, None]),
        r=free.r - state.r * growth[:, None, None],
        v=free.v,
        b=free.b,
    )
