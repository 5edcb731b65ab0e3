"""The flow of SGD with momentum.

With beta fixed as N grows a gradient is spread over 1 / (1 - beta) updates, no time at all: SGD
with all rates over 1 - beta.  With beta = 1 - gamma / N the buffer m joins the order parameters,
mode by mode (f the teacher),

    p = m m^T,  c = m w^T,  d = m f^T:      dq/dt = -eta (c + c^T),  dr/dt = -eta d,
    dp/dt = -2 gamma p + m_mean + m_mean^T + square,   dc/dt = -gamma c + q_mean - eta p,   dd/dt =
    -gamma d + r_mean,

m_mean_kl = E[delta_k x_tau] m_l^tau, and for readout and biases dm/dt = -gamma m + mean, dv/dt =
-eta_v m_v, db/dt = -eta_b m_b.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.moments import moments
from odes.inputs.one_update import Fixed, State, gradient, overlaps
from odes.inputs.spectral import along
from odes.rules.sgd import descent
from odes.rules.theory import RuleTheory
from teacherstudent.problem import Problem
from teacherstudent.rules import HeavyBall
from teacherstudent.states.order_parameters import covariance
from teacherstudent.tasks import TeacherTask


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

    def check(self, rule: HeavyBall, problem: Problem) -> None:
        if rule.gamma is not None and not isinstance(problem.task, TeacherTask):
            raise ValueError(
                "the theory of HeavyBall(gamma=) is for tasks with a teacher, not for "
                f"{type(problem.task).__name__}; give beta, or simulate."
            )

    def first_memory(self, rule: HeavyBall, problem: Problem, fixed: Fixed, state: State):
        if rule.gamma is None:
            return ()
        return Buffer(*map(jnp.zeros_like, (state.q, state.q, state.r, state.v)))

    def velocity(
        self, rule: HeavyBall, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        mean = gradient(problem, fixed, state)
        if rule.beta is not None:
            memory = 1 / (1 - rule.beta)
            return descent(
                state, mean, rule.learning_rate * memory, rule.eta_v * memory, rule.eta_b * memory
            )
        m, eta, gamma, K = state.memory, rule.learning_rate, rule.gamma, state.v.shape[0]
        assert gamma is not None
        transposed = lambda part: part.swapaxes(0, 1)
        J = moments(problem, covariance(*overlaps(fixed, state), fixed.T), state.v).J
        m_mean = along(J[:, :K], J[:, K:], fixed.rho, transposed(m.c), transposed(m.d))
        return state._replace(
            q=-eta * (m.c + transposed(m.c)),
            r=-eta * m.d,
            v=-rule.eta_v * m.v,
            memory=Buffer(
                p=-2 * gamma * m.p + m_mean + transposed(m_mean) + mean.square,
                c=-gamma * m.c + mean.q - eta * m.p,
                d=-gamma * m.d + mean.r,
                v=-gamma * m.v + mean.v,
            ),
        )
