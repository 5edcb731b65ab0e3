"""The flow of Fromage, lr = eta / sqrt N.

With D_1 = sqrt(sum_{k,b} (delta_k^b)^2), to which |g_w| tends, and |w| = sqrt(N tr Q),

    dR_km/dt = -eta sqrt(tr Q) E[ sum_b delta_k^b rho_m^b / D_1 ] - (eta^2 / 2) R_km
    dQ_kl/dt = -eta sqrt(tr Q) E[ sum_b (delta_k^b lambda_l^b + k <-> l) / D_1 ]
               + eta^2 ( tr Q E[ sum_b delta_k^b delta_l^b / D_1^2 ] - Q_kl )
    dv_k/dt  = -eta_v |v| E[ g_v,k / |g_v| ],   g_v = sum_b e^b g(lambda^b)

so that tr Q does not change at second order.  Time is updates / N.

B = 1: averages of sign(e) a_k / |a|, with the label noise integrated exactly.  B > 1: integrals
over scales (`log_integrals.py`); the readout with B > 1: frozen points.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules.batches import batches, enough_points
from odes.rules.log_integrals import LOWEST, highest, over_scales
from odes.rules.sampled import Fields, fields_at_nodes, inverse, mean_sign, moves, nodes_of
from odes.rules.sign_sgd import counts_for
from odes.rules.theory import Nodes, RuleTheory, check_isotropic
from teacherstudent.problem import Problem
from teacherstudent.rules import Fromage
from teacherstudent.states.order_parameters import covariance


class TheoryOfFromage(RuleTheory, rule=Fromage):
    """Fromage with lr = eta / sqrt N."""

    def takes_only_gradient(self, rule: Fromage) -> bool:
        return False

    def check(self, rule: Fromage, problem: Problem) -> None:
        check_isotropic(rule, problem)
        if rule.p_bound is not None:
            raise ValueError("the theory of Fromage is without p_bound; leave it out, or simulate.")

    def nodes(self, rule: Fromage, problem: Problem) -> Nodes | None:
        return nodes_of(problem, counts_for(problem))

    def velocity(
        self, rule: Fromage, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        Q, R = overlaps(fixed, state)
        C = covariance(Q, R, fixed.T)
        eta = rule.learning_rate
        fields = fields_at_nodes(problem, C, state.v, counts_for(problem), replica)
        tilt, product = _averages(problem, fields, replica)
        K = state.v.shape[0]
        pull = -eta * jnp.sqrt(jnp.trace(Q)) * tilt
        dQ = pull[:, :K] + pull[:, :K].T + eta**2 * (jnp.trace(Q) * product - Q)
        dR = pull[:, K:] - eta**2 / 2 * R
        dv = jnp.zeros_like(state.v)
        if problem.student.train_readout:
            length = jnp.sqrt(jnp.sum(state.v**2))
            dv = -rule.eta_v * length * _readout(problem, C, state.v, fields, replica)
        return state._replace(q=dQ[:, :, None], r=dR[:, :, None], v=dv, b=jnp.zeros_like(state.b))


def _averages(
    problem: Problem, fields: Fields, replica: int
) -> tuple[Float[Array, "students fields"], Float[Array, "students students"]]:
    """E[ sum_b delta_k^b f^b / D_1 ] and E[ sum_b delta_k^b delta_l^b / D_1^2 ]."""
    if problem.batch_size == 1:
        return _averages_of_sample(problem, fields)
    return _averages_of_batch(problem, fields, replica)


def _averages_of_sample(
    problem: Problem, fields: Fields
) -> tuple[Float[Array, "students fields"], Float[Array, "students students"]]:
    """B = 1: E[sign(e) a_k f / |a|] and E[a_k a_l / |a|^2]."""
    length = jnp.sqrt(jnp.sum(fields.a**2, axis=1))
    unit = fields.a * inverse(length)[:, None]
    sigma = problem.teacher.noise
    signed = unit * (fields.node_weights * mean_sign(fields.e, sigma))[:, None]
    present = unit * (fields.node_weights * moves(fields.e, sigma))[:, None]
    return signed.T @ fields.h, present.T @ unit


def _averages_of_batch(
    problem: Problem, fields: Fields, replica: int
) -> tuple[Float[Array, "students fields"], Float[Array, "students students"]]:
    """B > 1, with A = |a| in place of one a_k in the integrals over scales."""
    B = problem.batch_size
    variance = problem.teacher.noise**2
    e = fields.e
    square = jnp.sum(fields.a**2, axis=1)
    scale = inverse(jnp.sqrt(fields.mean(square * (e**2 + variance))))
    a = fields.a * scale
    square = square * scale**2

    spread = 2 * square * variance
    error = square * e**2
    h = fields.h * (fields.node_weights * e)[:, None]

    def integrand(s):
        inverse_q = 1 / (1 + s**2 * spread)
        decay = jnp.exp(-(s**2) * error * inverse_q) * jnp.sqrt(inverse_q)
        rest = (fields.node_weights @ decay) ** (B - 1)
        decay = decay * inverse_q
        first = (a * decay[:, None]).T @ h
        noisy = fields.node_weights * decay * (e**2 * inverse_q + variance)
        second = (a * noisy[:, None]).T @ a
        return jnp.concatenate([first, math.sqrt(math.pi) * s * second], axis=1) * rest

    both = 2 * B / math.sqrt(math.pi) * over_scales(integrand, LOWEST, highest(B), replica)
    count = fields.h.shape[1]
    return both[:, :count], both[:, count:]


def _readout(problem: Problem, C, v, fields: Fields, replica: int) -> Float[Array, " students"]:
    """E[g_v / |g_v|]."""
    B = problem.batch_size
    if B == 1:
        length = jnp.sqrt(jnp.sum(fields.hidden**2, axis=1))
        unit = fields.hidden * inverse(length)[:, None]
        return fields.mean(unit * mean_sign(fields.e, problem.teacher.noise)[:, None])
    sample = batches(problem, C, v, B, enough_points(B), replica)
    g = jnp.einsum("nb,nbk->nk", sample.e, sample.hidden)
    length = jnp.sqrt(jnp.sum(g**2, axis=1))
    return jnp.mean(g * inverse(length)[:, None], axis=0)
