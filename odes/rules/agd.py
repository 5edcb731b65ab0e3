"""The flow of online AGD, batches of B = O(1): t = updates / N.

With D_1 = sqrt(sum_{k,b} (delta_k^b)^2), D_2 = | sum_b e^b g(lambda^b) |, to which the norms tend,
over L = 1 or 2 trained layers,

    G = (1/L) ( sqrt K D_1 / B + [v trained] D_2 / (B sqrt K) ),
    eta = log((1 + sqrt(1 + 4 G)) / 2),   h = gain eta sqrt K / (L D_1)
    dR_km/dt = -E[ h sum_b delta_k^b rho_m^b ]
    dQ_kl/dt = -E[ h sum_b (delta_k^b lambda_l^b + k <-> l) ] + E[ h^2 sum_b delta_k^b delta_l^b ]
    dv_k/dt  = -(kappa / (L sqrt K)) E[ eta sum_b e^b g(lambda_k^b) / D_2 ]            (gain kappa /
    N on v)

At small error, L = 1, eta -> G: SGD with the learning rate K gain.  B = 1: the label noise by
Gauss-Legendre nodes on both sides of e = 0; B > 1: frozen points in B (K + M + 1) dimensions.
Batches of order N: `agd_map.py`.  After J. Bernstein et al. (arXiv:2304.05187) for the rule; the
equations are this project's own.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules.batches import Batches, batches, enough_points
from odes.rules.sampled import Rule, fields_at_nodes, inverse, nodes_of
from odes.rules.theory import Nodes, RuleTheory, check_isotropic
from teacherstudent.problem import Problem
from teacherstudent.rules import AGD
from teacherstudent.rules.agd import automatic_rate
from teacherstudent.states.order_parameters import covariance

NODES = Rule(97, 14)
NOISE_NODES = {
    "disc": (24, 8.0),
    "points": (12, 6.0),
}  # how many on each side of e = 0, and within which radius


class TheoryOfAGD(RuleTheory, rule=AGD):
    """AGD in batches of order one."""

    def check(self, rule: AGD, problem: Problem) -> None:
        check_isotropic(rule, problem)
        if problem.batch_ratio is not None:
            if rule.first_scale is None:
                raise ValueError(
                    "rule.first_scale is missing: with batch_ratio the theory is a map that needs "
                    "s_1 as a number; give sqrt(K) or another one of order one, or sqrt(K / N) for "
                    "the paper's rule at your N."
                )
            return
        if rule.first_scale is not None:
            raise ValueError(
                "rule.first_scale with batches of order one has no limit N -> infinity; leave it "
                "out (s_1 = sqrt(K / N)), give batch_ratio, or simulate."
            )
        if problem.student.train_readout and rule.readout_gain is None:
            raise ValueError(
                "there is no theory of AGD with a readout trained by the paper's own rule: v jumps "
                "by O(1) at every update, and the overlaps follow its stationary law, which is not "
                "known; give rule.readout_gain (kappa, the gain kappa / N), freeze the readout, or "
                "simulate."
            )

    def nodes(self, rule: AGD, problem: Problem) -> Nodes | None:
        if problem.batch_ratio is not None:
            return None
        if problem.batch_size == 1:
            return nodes_of(problem, NODES, signs=False)
        return Nodes(
            f"{2 ** enough_points(problem.batch_size)} frozen Sobol points for "
            f"{problem.batch_size} samples each"
        )

    def velocity(
        self, rule: AGD, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        C, K = covariance(*overlaps(fixed, state), fixed.T), state.v.shape[0]
        if problem.batch_size == 1:
            weights, sample = _single(problem, C, state.v, replica)
        else:
            log2_points = enough_points(problem.batch_size)
            sample = batches(problem, C, state.v, problem.batch_size, log2_points, replica)
            weights = jnp.full(len(sample.e), 1 / len(sample.e))
        b, D, v = _averages(rule, problem, weights, sample)
        dQ = -(b[:, :K] + b[:, :K].T) + D
        return state._replace(q=dQ[:, :, None], r=-b[:, K:, None], v=-v, b=jnp.zeros_like(state.b))


def _averages(rule: AGD, problem: Problem, weights: Float[Array, " batches"], sample: Batches):
    """E[h sum_b delta f], E[h^2 sum_b delta delta] and what moves v."""
    B, K, trained = sample.e.shape[1], sample.delta.shape[2], problem.student.train_readout
    D1 = jnp.sqrt(jnp.sum(sample.delta**2, axis=(1, 2)))
    slope_v = jnp.einsum("nb,nbk->nk", sample.e, sample.hidden)
    D2 = jnp.sqrt(jnp.sum(slope_v**2, axis=1))
    L = 2 if trained else 1
    G = (math.sqrt(K) * D1 / B + (D2 / (B * math.sqrt(K)) if trained else 0.0)) / L
    eta = automatic_rate(G)
    h = rule.gain * eta * math.sqrt(K) / L * inverse(D1)
    b = jnp.einsum("n,nbk,nbf->kf", weights * h, sample.delta, sample.h)
    D = jnp.einsum("n,nbk,nbl->kl", weights * h**2, sample.delta, sample.delta)
    if not trained:
        return b, D, jnp.zeros(K)
    assert rule.readout_gain is not None, "the check of AGD lets no other rule pass"
    return b, D, rule.readout_gain / (L * math.sqrt(K)) * ((weights * eta * inverse(D2)) @ slope_v)


def _single(problem: Problem, C, v, replica: int) -> tuple[Float[Array, " batches"], Batches]:
    """Batches of one sample: nodes of the fields times nodes of the label noise, cut where e +
    sigma zeta = 0.
    """
    at = fields_at_nodes(problem, C, v, NODES, replica)
    count, radius = NOISE_NODES["disc" if len(C) == 2 else "points"]
    z, w = (jnp.asarray(part) for part in np.polynomial.legendre.leggauss(count - replica))
    sigma = problem.teacher.noise
    cut = jnp.clip(
        jnp.where(sigma > 0, -at.e / jnp.where(sigma > 0, sigma, 1.0), 0.0), -radius, radius
    )[:, None]
    left, right = (cut - radius) / 2, (cut + radius) / 2
    half_left, half_right = (cut + radius) / 2, (radius - cut) / 2
    zeta = jnp.concatenate([left + half_left * z[None, :], right + half_right * z[None, :]], axis=1)
    density = jnp.concatenate([half_left * w[None, :], half_right * w[None, :]], axis=1) * jnp.exp(
        -(zeta**2) / 2
    )
    weights = (at.weights[:, None] * density / jnp.sum(density, axis=1, keepdims=True)).ravel()
    e = (at.e[:, None] + sigma * zeta).ravel()
    each = lambda part: jnp.repeat(part, zeta.shape[1], axis=0)[:, None, :]
    return weights, Batches(each(at.h), e[:, None], each(at.a) * e[:, None, None], each(at.hidden))
