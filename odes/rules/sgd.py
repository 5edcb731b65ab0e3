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
from teacherstudent.rules import SGD, GradientFlow, SphericalSGD


class TheoryOfSGD(RuleTheory, rule=SGD):
    """The flow of SGD, with weight decay."""

    def velocity(
        self, rule: SGD, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        return self.one_update(rule, problem, fixed, state, gradient(problem, fixed, state))

    def one_update(
        self, rule: SGD, problem: Problem, fixed: Fixed, state: State, sampled: Gradient
    ) -> State:
        decay = decays(problem, rule.weight_decay)
        return descent(state, sampled, rule.learning_rate, rule.eta_v, rule.eta_b, decay)

    def second_order(self, rule: SGD, problem: Problem, state: State, mean: Gradient, square):
        """kappa_k kappa_l q + eta (kappa_k E[delta_l lambda_k] + k <-> l) + eta^2 square, of q."""
        decay = jnp.broadcast_to(decays(problem, rule.weight_decay), state.v.shape)
        pulled = rule.learning_rate * decay[None, :, None] * mean.q
        product = decay[:, None, None] * decay[None, :, None] * state.q
        q = product + pulled + pulled.swapaxes(0, 1) + rule.learning_rate**2 * square
        nothing = jnp.zeros_like
        return state._replace(q=q, r=nothing(state.r), v=nothing(state.v), b=nothing(state.b))

    def diffusion(self, rule: SGD, problem: Problem, fixed: Fixed, state: State):
        return rule.learning_rate**2 * gradient(problem, fixed, state).square

    def holds_frozen_units(self, rule: SGD) -> bool:
        return True


THEORY_OF_SGD = TheoryOfSGD()


class TheoryOfGradientFlow(RuleTheory, rule=GradientFlow):
    """SGD's flow without its terms of second order, in units of the learning rate."""

    def velocity(
        self, rule: GradientFlow, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        mean = gradient(problem, fixed, state)
        mean = mean._replace(square=jnp.zeros_like(mean.square))
        decay = decays(problem, rule.weight_decay)
        return descent(state, mean, 1.0, rule.readout_rate, rule.bias_rate, decay)

    def one_update(
        self, rule: GradientFlow, problem: Problem, fixed: Fixed, state: State, sampled: Gradient
    ) -> State:
        raise ValueError(
            "there is no band of fluctuations for GradientFlow: it descends the expected loss, so "
            "that no samples make networks differ, and the order parameters of all of them follow "
            "the same curve; give SGD."
        )

    def diffusion(self, rule: GradientFlow, problem: Problem, fixed: Fixed, state: State):
        return jnp.zeros_like(state.q)

    def holds_frozen_units(self, rule: GradientFlow) -> bool:
        return True


class TheoryOfSphericalSGD(RuleTheory, rule=SphericalSGD):
    """SGD's flow, held on the sphere."""

    def velocity(
        self, rule: SphericalSGD, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        return self.one_update(rule, problem, fixed, state, gradient(problem, fixed, state))

    def one_update(
        self, rule: SphericalSGD, problem: Problem, fixed: Fixed, state: State, sampled: Gradient
    ) -> State:
        free = THEORY_OF_SGD.one_update(rule.sgd, problem, fixed, state, sampled)
        return on_sphere(free, fixed, state)

    def diffusion(self, rule: SphericalSGD, problem: Problem, fixed: Fixed, state: State):
        noise = THEORY_OF_SGD.diffusion(rule.sgd, problem, fixed, state)
        return on_sphere(state._replace(q=noise), fixed, state).q

    def holds_frozen_units(self, rule: SphericalSGD) -> bool:
        return True

    def holds_lengths(self, rule: SphericalSGD) -> bool:
        return True


def decays(problem: Problem, decay):
    """The weight decay of each unit: none of those that are frozen."""
    if not problem.student.frozen:
        return decay
    return decay * jnp.asarray(problem.student.moving)


def descent(state: State, mean: Gradient, eta, eta_v, eta_b, decay=0.0) -> State:
    """d(q, r, v, b)/dt of steps -eta times the mean of one update, with weight decay.

    The decay may be one number, or one for each unit.
    """
    by_mode = jnp.reshape(decay, (-1, 1, 1))
    shrinking = -eta * mean.q - by_mode * state.q
    return state._replace(
        q=shrinking + shrinking.swapaxes(0, 1) + eta**2 * mean.square,
        r=-eta * mean.r - by_mode * state.r,
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
