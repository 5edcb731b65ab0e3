"""The flow of SGD with momentum.

With beta fixed as N grows a gradient is spread over 1 / (1 - beta) updates, no time at all: SGD
with all rates over 1 - beta.

With beta = 1 - gamma / N the momentum m joins the order parameters, mode by mode (f the teacher),

    p = m m^T,   c = m w^T,   d = m f^T

    dq/dt = -eta (c + c^T)
    dr/dt = -eta d
    dp/dt = -2 gamma p + m_mean + m_mean^T + square
    dc/dt = -gamma c + q_mean - eta p
    dd/dt = -gamma d + r_mean

with m_mean_kl = E[delta_k x_tau] m_l^tau.  The readout and its momentum m_v move by

    dm_v/dt = -gamma m_v + v_mean
    dv/dt   = -eta_v m_v
"""

from typing import NamedTuple, cast

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, Gradient, State, averages_of, gradient
from odes.inputs.spectral import AveragesWithTeacher, along
from odes.rules.sgd import descent
from odes.rules.theory import RuleTheory
from teacherstudent.problem import Problem
from teacherstudent.rules import HeavyBall


class Buffer(NamedTuple):
    """The overlaps of the momentum, by mode, and the momentum of the readout."""

    p: Float[Array, "students students modes"]
    c: Float[Array, "students students modes"]
    d: Float[Array, "students teachers modes"]
    v: Float[Array, " students"]


class TheoryOfHeavyBall(RuleTheory, rule=HeavyBall):
    """SGD with larger rates (beta), or with the overlaps of the momentum as more order parameters
    (gamma).
    """

    def takes_only_gradient(self, rule: HeavyBall) -> bool:
        return rule.gamma is None

    def holds_signs(self, rule: HeavyBall) -> bool:
        return True

    def holds_frozen_units(self, rule: HeavyBall) -> bool:
        return True

    def check(self, rule: HeavyBall, problem: Problem) -> None:
        if rule.gamma is not None and problem.task.HAS_CLASSES:
            raise ValueError(
                "the theory of HeavyBall(gamma=) is for tasks with a teacher, not for "
                f"{type(problem.task).__name__}; give beta, or simulate."
            )

    def first_memory(self, rule: HeavyBall, problem: Problem, fixed: Fixed, state: State):
        if rule.gamma is None:
            return ()
        return Buffer(
            p=jnp.zeros_like(state.q),
            c=jnp.zeros_like(state.q),
            d=jnp.zeros_like(state.r),
            v=jnp.zeros_like(state.v),
        )

    def velocity(
        self, rule: HeavyBall, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        if rule.beta is not None:
            return self._velocity_with_beta(rule, problem, fixed, state)
        return self._velocity_with_gamma(rule, problem, fixed, state)

    def diffusion(self, rule: HeavyBall, problem: Problem, fixed: Fixed, state: State):
        if rule.beta is None:  # the noise enters the momentum, and moves q through it
            return super().diffusion(rule, problem, fixed, state)
        eta = rule.learning_rate / (1 - rule.beta)
        return eta**2 * gradient(problem, fixed, state).square

    def _velocity_with_beta(
        self, rule: HeavyBall, problem: Problem, fixed: Fixed, state: State
    ) -> State:
        """That of SGD with larger rates."""
        return self.one_update(rule, problem, fixed, state, gradient(problem, fixed, state))

    def one_update(
        self, rule: HeavyBall, problem: Problem, fixed: Fixed, state: State, sampled: Gradient
    ) -> State:
        """All that a batch adds in the updates over which its gradient is spread."""
        if rule.beta is None:
            raise ValueError(
                "there is no band of fluctuations for HeavyBall(gamma=): there is none because its "
                "momentum fluctuates, too, and the covariance of that is not known; give beta, or "
                "simulate several seeds."
            )
        spread = 1 / (1 - rule.beta)
        eta = rule.learning_rate * spread
        return descent(state, sampled, eta, rule.eta_v * spread, rule.eta_b * spread)

    def _velocity_with_gamma(
        self, rule: HeavyBall, problem: Problem, fixed: Fixed, state: State
    ) -> State:
        """That of the order parameters and the momentum."""
        eta = rule.learning_rate
        gamma = rule.gamma
        assert gamma is not None, "either beta or gamma is given"
        mean = gradient(problem, fixed, state)
        m = state.memory
        m_mean = _along_momentum(problem, fixed, state)
        memory = Buffer(
            p=-2 * gamma * m.p + m_mean + _transposed(m_mean) + mean.square,
            c=-gamma * m.c
            + mean.q
            - eta * m.p * jnp.asarray(problem.student.moving)[None, :, None],
            d=-gamma * m.d + mean.r,
            v=-gamma * m.v + mean.v,
        )
        moving = jnp.asarray(problem.student.moving)[:, None, None]
        pull = moving * m.c
        return state._replace(
            q=-eta * (pull + _transposed(pull)),
            r=-eta * moving * m.d,
            v=-rule.eta_v * m.v,
            memory=memory,
        )


def _along_momentum(problem: Problem, fixed: Fixed, state: State):
    """m_mean_kl = E[delta_k x_tau] m_l^tau."""
    K = state.v.shape[0]
    averages = cast(AveragesWithTeacher, averages_of(type(problem.task)))
    J = averages.moments(problem.teacher, problem, fixed, state).J
    m = state.memory
    mean = along(J[:, :K], J[:, K:], fixed.rho, _transposed(m.c), _transposed(m.d))
    return jnp.asarray(problem.student.moving)[:, None, None] * mean


def _transposed(overlap: Float[Array, "rows columns modes"]):
    """The transpose of each mode's matrix."""
    return overlap.swapaxes(0, 1)
