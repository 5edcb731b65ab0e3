"""The flow of Nero with beta = 1 - gamma / N: a learning rate for each unit.

It follows from the running mean V_k of the unit's squared gradient, and how far that has filled,

    dV_k/dt = gamma (E[|g_k|^2] - V_k)
    dn/dt   = gamma (1 - n)
    c_k     = eta / sqrt(V_k / n)

    dq/dt = -(c_k q_mean_kl + c_l q_mean_lk) + c_k c_l square_kl
    dr/dt = -c_k r_mean_km

and these are held on the sphere as in SphericalSGD.  Time is updates / N.

E[|g_k|^2] = sum_tau p square_kk.  V / n, with the bias n = 1 - exp(-gamma t), is E[|g_k|^2] at
t = 0.  Centring the rows changes nothing in the limit unless the teacher has a mean along
(1, .., 1).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, gradient
from odes.rules.sgd import on_sphere
from odes.rules.theory import RuleTheory, check_frozen_readout
from teacherstudent.problem import Problem
from teacherstudent.rules import Nero


class RunningSquare(NamedTuple):
    """The running mean of the squared gradients, and how far it has filled."""

    V: Float[Array, " students"]
    filled: Float[Array, ""]


class TheoryOfNero(RuleTheory, rule=Nero):
    """Nero with beta = 1 - gamma / N."""

    def check(self, rule: Nero, problem: Problem) -> None:
        if rule.gamma is None:
            raise ValueError(
                "the theory of Nero needs gamma, beta = 1 - gamma / N: with beta fixed, V goes on "
                "fluctuating as N grows; give Nero(gamma=N (1 - beta)), or simulate."
            )
        if not rule.constraints:
            raise ValueError(
                "the theory of Nero is that with constraints; set rule.constraints = true, or "
                "simulate."
            )
        check_frozen_readout(
            rule, problem, "the average E[e^2 |g|^2] that scales its steps is not worked out"
        )

    def first_memory(
        self, rule: Nero, problem: Problem, fixed: Fixed, state: State
    ) -> RunningSquare:
        return RunningSquare(V=jnp.zeros_like(state.v), filled=jnp.zeros((), state.v.dtype))

    def velocity(
        self, rule: Nero, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        mean = gradient(problem, fixed, state)
        V, n = state.memory
        square = jnp.einsum("kkt,t->k", mean.square, fixed.weights)
        unbiased = jnp.where(n > 0, V / jnp.where(n > 0, n, 1.0), square)
        safe = jnp.where(unbiased > 0, unbiased, 1.0)
        c = jnp.where(unbiased > 0, rule.learning_rate / jnp.sqrt(safe), 0.0)
        pull = -c[:, None, None] * mean.q
        noise = c[:, None, None] * c[None, :, None] * mean.square
        free = state._replace(
            q=pull + pull.swapaxes(0, 1) + noise,
            r=-c[:, None, None] * mean.r,
        )
        memory = RunningSquare(V=rule.gamma * (square - V), filled=rule.gamma * (1 - n))
        return on_sphere(free, fixed, state)._replace(memory=memory)

    def holds_lengths(self, rule: Nero) -> bool:
        return True
