"""The flow of SGD, on the sphere or not: linear in the averages of one update, for every task.

    dr/dt = -eta r_mean
    dq/dt = -eta (q_mean + q_mean^T) + eta^2 square
    dv/dt = -eta_v v_mean
    db/dt = -eta_b b_mean

mode by mode, t = updates / N, with the averages of one update (`odes/inputs/one_update.py`).
"""

import jax.numpy as jnp

from odes.inputs.one_update import Fixed, Gradient, State, gradient
from odes.rules.theory import RuleTheory
from teacherstudent.problem import Problem
from teacherstudent.rules import SGD, SphericalSGD


class TheoryOfSGD(RuleTheory, rule=SGD):
    """The flow of SGD, with weight decay."""

    def velocity(
        self, rule: SGD, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        mean = gradient(problem, fixed, state)
        return descent(state, mean, rule.learning_rate, rule.eta_v, rule.eta_b, rule.weight_decay)

    def diffusion(self, rule: SGD, problem: Problem, fixed: Fixed, state: State):
        return rule.learning_rate**2 * gradient(problem, fixed, state).square


THEORY_OF_SGD = TheoryOfSGD()


class TheoryOfSphericalSGD(RuleTheory, rule=SphericalSGD):
    """SGD's flow, held on the sphere."""

    def velocity(
        self, rule: SphericalSGD, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        free = THEORY_OF_SGD.velocity(rule.sgd, problem, fixed, state, replica)
        return on_sphere(free, fixed, state)

    def diffusion(self, rule: SphericalSGD, problem: Problem, fixed: Fixed, state: State):
        noise = THEORY_OF_SGD.diffusion(rule.sgd, problem, fixed, state)
        return on_sphere(state._replace(q=noise), fixed, state).q


def descent(state: State, mean: Gradient, eta, eta_v, eta_b, decay=0.0) -> State:
    """d(q, r, v, b)/dt of steps -eta times the mean of one update, with weight decay."""
    shrinking = -eta * mean.q - decay * state.q
    return state._replace(
        q=shrinking + shrinking.swapaxes(0, 1) + eta**2 * mean.square,
        r=-eta * mean.r - decay * state.r,
        v=-eta_v * mean.v - decay * state.v,
        b=-eta_b * mean.b,
    )


def on_sphere(free: State, fixed: Fixed, state: State) -> State:
    """The velocity with w_k w_k^T / N held.

    The projection divides w_k by 1 + (dW_kk/dt) dt / 2 + ..., W = sum_tau p q.
    """
    growth = jnp.einsum("kkt,t->k", free.q, fixed.weights) / 2
    return free._replace(
        q=free.q - state.q * (growth[:, None, None] + growth[None, :, None]),
        r=free.r - state.r * growth[:, None, None],
    )
