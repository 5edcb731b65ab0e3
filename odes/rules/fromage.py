"""The flow of Fromage, lr = eta / sqrt N.

With D_1 = sqrt(sum_{k,b} (delta_k^b)^2), to which |g_w| tends, and |w| = sqrt(N tr Q),

    dR_km/dt = -eta sqrt(tr Q) E[ sum_b delta_k^b rho_m^b / D_1 ] - (eta^2 / 2) R_km
    dQ_kl/dt = -eta sqrt(tr Q) E[ sum_b (delta_k^b lambda_l^b + k <-> l) / D_1 ]
               + eta^2 ( tr Q E[ sum_b delta_k^b delta_l^b / D_1^2 ] - Q_kl )
    dv_k/dt  = -eta_v |v| E[ g_v,k / |g_v| ],   g_v = sum_b e^b g(lambda^b)

so that tr Q does not change at second order.  B = 1: averages of sign(e) a_k / |a|, with the label
noise integrated exactly; B > 1: integrals over scales (`log_integrals.py`); the readout with B > 1:
frozen points.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules.batches import batches, enough_points
from odes.rules.log_integrals import highest, over_scales
from odes.rules.sampled import Fields, fields_at_nodes, inverse, mean_sign, moves, nodes_of
from odes.rules.sign_sgd import BATCH, SINGLE
from odes.rules.theory import Nodes, RuleTheory, check_isotropic
from teacherstudent.problem import Problem
from teacherstudent.rules import Fromage
from teacherstudent.states.order_parameters import covariance


class TheoryOfFromage(RuleTheory, rule=Fromage):
    """Fromage with lr = eta / sqrt N."""

    def check(self, rule: Fromage, problem: Problem) -> None:
        check_isotropic(rule, problem)
        if rule.p_bound is not None:
            raise ValueError("the theory of Fromage is without p_bound; leave it out, or simulate.")

    def nodes(self, rule: Fromage, problem: Problem) -> Nodes | None:
        return nodes_of(problem, SINGLE if problem.batch_size == 1 else BATCH)

    def velocity(
        self, rule: Fromage, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        Q, R = overlaps(fixed, state)
        C, K, eta = covariance(Q, R, fixed.T), state.v.shape[0], rule.learning_rate
        of_one = problem.batch_size == 1
        at = fields_at_nodes(problem, C, state.v, SINGLE if of_one else BATCH, replica)
        tilt, product = _single(problem, at) if of_one else _batch(problem, at, replica)
        pull = -eta * jnp.sqrt(jnp.trace(Q)) * tilt
        dQ = pull[:, :K] + pull[:, :K].T + eta**2 * (jnp.trace(Q) * product - Q)
        dR = pull[:, K:] - eta**2 / 2 * R
        v = jnp.zeros_like(state.v)
        if problem.student.train_readout:
            v = (
                -rule.eta_v
                * jnp.sqrt(jnp.sum(state.v**2))
                * _readout(problem, C, state.v, at, replica)
            )
        return state._replace(q=dQ[:, :, None], r=dR[:, :, None], v=v, b=jnp.zeros_like(state.b))


def _single(
    problem: Problem, at: Fields
) -> tuple[Float[Array, "students fields"], Float[Array, "students students"]]:
    """B = 1: E[sign(e) a_k f / |a|] and E[a_k a_l / |a|^2]."""
    unit = at.a * inverse(jnp.sqrt(jnp.sum(at.a**2, axis=1)))[:, None]
    sigma = problem.teacher.noise
    weighted = unit * (at.weights * mean_sign(at.e, sigma))[:, None]
    return weighted.T @ at.h, (unit * (at.weights * moves(at.e, sigma))[:, None]).T @ unit


def _batch(
    problem: Problem, at: Fields, replica: int
) -> tuple[Float[Array, "students fields"], Float[Array, "students students"]]:
    """B > 1, with A = |a| in place of one a_k in the integrals over scales."""
    B, variance = problem.batch_size, problem.teacher.noise**2
    square = jnp.sum(at.a**2, axis=1)
    scale = inverse(jnp.sqrt(at.mean(square * (at.e**2 + variance))))
    a, square = at.a * scale, square * scale**2

    def integrand(s):
        q = 1 + 2 * s**2 * square * variance
        decay = at.weights * jnp.exp(-(s**2) * square * at.e**2 / q) / jnp.sqrt(q)
        rest = jnp.sum(decay) ** (B - 1)
        first = (a * (decay * at.e / q)[:, None]).T @ at.h
        second = (a * (decay * (at.e**2 / q + variance) / q)[:, None]).T @ a
        return jnp.concatenate([first, math.sqrt(math.pi) * s * second], axis=1) * rest

    both = 2 * B / math.sqrt(math.pi) * over_scales(integrand, -14.0, highest(B), replica)
    fields = at.h.shape[1]
    return both[:, :fields], both[:, fields:]


def _readout(problem: Problem, C, v, at: Fields, replica: int) -> Float[Array, " students"]:
    """E[g_v / |g_v|]."""
    if problem.batch_size == 1:
        unit = at.hidden * inverse(jnp.sqrt(jnp.sum(at.hidden**2, axis=1)))[:, None]
        return at.mean(unit * mean_sign(at.e, problem.teacher.noise)[:, None])
    B = problem.batch_size
    sample = batches(problem, C, v, B, enough_points(B), replica)
    g = jnp.einsum("nb,nbk->nk", sample.e, sample.hidden)
    return jnp.mean(g * inverse(jnp.sqrt(jnp.sum(g**2, axis=1)))[:, None], axis=0)
