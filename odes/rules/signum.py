"""The flow of Signum with beta fixed as N grows.

The momentum of unit k holds samples of age j = 0, 1, .. with weights u_k^j = beta^j delta_k^j, and
with c_2 = sqrt(2/pi)

    dR_km/dt = -eta c_2 E[ sum_j u_k^j rho_m^j / |u_k| ]
    dQ_kl/dt = -eta c_2 E[ sum_j (u_k^j lambda_l^j / |u_k| + k <-> l) ] + eta^2 D_kl
    D_kl     = A_kl(0) + sum_{s >= 1} [ A_kl(s) + A_lk(s) ]
    A_kl(s)  = (2/pi) E arcsin( sum_{j >= s} beta^(2j - s) delta_k^j delta_l^j
               / (|u_k| |u_l, s steps before|) )

since successive signs are correlated; without the sum over s the equations are wrong by O(1).  The
average is over ages up to J with beta^J / (1 - beta) < 1e-3, at frozen quasi-random points in
J (K + M + 1) dimensions: seconds at beta = 0.8, growing like K^2 J.  Time is updates / N.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules.batches import Batches, batches
from odes.rules.sgd import descent
from odes.rules.sign_sgd import C_2, sign_gradient
from odes.rules.theory import Nodes, RuleTheory, check_frozen_readout, check_isotropic
from teacherstudent.problem import Problem
from teacherstudent.rules import Signum
from teacherstudent.states.order_parameters import covariance

TAIL = 1e-3
MOST_AGES = 512
LOG2_POINTS = 13
# How many more ages the replicas have than the theory: what units without slope remember is older.
LONGER = (0, 4, 8, 16)


def ages(beta: float) -> int:
    """The number J of ages that count."""
    if beta == 0:
        return 1
    return max(2, math.ceil(math.log(TAIL * (1 - beta)) / math.log(beta)))


class TheoryOfSignum(RuleTheory, rule=Signum):
    """Signum with beta fixed as N grows."""

    def takes_only_gradient(self, rule: Signum) -> bool:
        return False

    def check(self, rule: Signum, problem: Problem) -> None:
        check_isotropic(rule, problem)
        check_frozen_readout(rule, problem, "its sign depends on all ages at once")
        if problem.batch_size > 1:
            raise ValueError(
                f"the theory of Signum is for batch_size = 1, not {problem.batch_size}; use "
                "SignSGD or MajorityVote, or simulate."
            )
        if ages(rule.beta) > MOST_AGES:
            raise ValueError(
                f"rule.beta = {rule.beta:g} remembers {ages(rule.beta)} samples, too many for the "
                f"average over their ages (at most {MOST_AGES}); give a smaller beta, or simulate."
            )

    def nodes(self, rule: Signum, problem: Problem) -> Nodes | None:
        return Nodes(f"{2**LOG2_POINTS} frozen Sobol points for {ages(rule.beta)} samples each")

    def velocity(
        self, rule: Signum, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        Q, R = overlaps(fixed, state)
        C = covariance(Q, R, fixed.T)
        count = ages(rule.beta) + LONGER[replica]
        sample = batches(problem, C, state.v, count, LOG2_POINTS, replica)
        power = rule.beta ** jnp.arange(count, dtype=C.dtype)
        drift = C_2 * _tilt(sample, power)
        square = _correlated(sample, power)
        mean = sign_gradient(drift, square, jnp.zeros_like(state.v), C, fixed, state)
        return descent(state, mean, rule.learning_rate, rule.eta_v, rule.eta_b)


def _tilt(sample: Batches, power: Float[Array, " ages"]) -> Float[Array, "students fields"]:
    """E[ sum_j u_k^j f^j / |u_k| ] for each field f."""
    u = power[None, :, None] * sample.delta
    length = jnp.sqrt(jnp.sum(u**2, axis=1))
    unit = u / jnp.where(length > 0, length, 1.0)[:, None, :]
    return jnp.einsum("njk,njf->kf", unit, sample.h) / len(unit)


def _correlated(sample: Batches, power: Float[Array, " ages"]) -> Float[Array, "students students"]:
    """D_kl, with the sums over j >= s from sums backwards."""
    delta = sample.delta
    fading = power**2
    products = fading[None, :, None, None] * delta[:, :, :, None] * delta[:, :, None, :]
    squares = fading[None, :, None] * delta**2
    overlap = _sum_of_older(products) / power[None, :, None, None]
    now = jnp.sqrt(jnp.sum(squares, axis=1))
    before = jnp.sqrt(_sum_of_older(squares)) / power[None, :, None]
    lengths = now[:, None, :, None] * before[:, :, None, :]
    cosine = jnp.clip(overlap / jnp.where(lengths > 0, lengths, 1.0), -1.0, 1.0)
    A = 2 / math.pi * jnp.mean(jnp.arcsin(cosine), axis=0)
    later = jnp.sum(A[1:], axis=0)
    return A[0] + later + later.T


def _sum_of_older(values: Float[Array, "batches ages ..."]) -> Float[Array, "batches ages ..."]:
    """For each age s the sum over the ages j >= s."""
    return jnp.cumsum(values[:, ::-1], axis=1)[:, ::-1]
