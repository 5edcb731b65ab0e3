"""The flow of online AGD, batches of B = O(1): t = updates / N.

The norms of the gradients tend to

    D_1 = sqrt( sum_{k,b} (delta_k^b)^2 )
    D_2 = | sum_b e^b g(lambda^b) |

and over L = 1 or 2 trained layers

    G   = (1/L) ( sqrt K D_1 / B + [v trained] D_2 / (B sqrt K) )
    eta = log((1 + sqrt(1 + 4 G)) / 2)
    h   = gain eta sqrt K / (L D_1)

    dR_km/dt = -E[ h sum_b delta_k^b rho_m^b ]
    dQ_kl/dt = -E[ h sum_b (delta_k^b lambda_l^b + k <-> l) ] + E[ h^2 sum_b delta_k^b delta_l^b ]
    dv_k/dt  = -(kappa / (L sqrt K)) E[ eta sum_b e^b g(lambda_k^b) / D_2 ]

the last with the gain kappa / N on v.  At small error, L = 1, eta -> G: SGD with the learning rate
K gain.

B = 1: the label noise by Gauss-Legendre nodes on both sides of e = 0.  B > 1: frozen points in
B (K + M + 1) dimensions.  Batches of order N: `agd_map.py`.  After J. Bernstein et al.
(arXiv:2304.05187) for the rule; the equations are this project's own.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules.batches import Batches, batches, enough_points
from odes.rules.sampled import NodeCounts, fields_at_nodes, inverse, nodes_of
from odes.rules.theory import Nodes, RuleTheory, check_isotropic
from teacherstudent.problem import Problem
from teacherstudent.rules import AGD
from teacherstudent.rules.agd import automatic_rate
from teacherstudent.states.order_parameters import covariance

COUNTS = NodeCounts(97, 14)
# Nodes of the label noise on each side of e = 0, and within which radius: where the fields' nodes
# are in the disc, and where they are frozen points.
NOISE_IN_DISC = (24, 8.0)
NOISE_AT_POINTS = (12, 6.0)


class TheoryOfAGD(RuleTheory, rule=AGD):
    """AGD in batches of order one."""

    def takes_only_gradient(self, rule: AGD) -> bool:
        return False

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
            return nodes_of(problem, COUNTS)
        return Nodes(
            f"{2 ** enough_points(problem.batch_size)} frozen Sobol points for "
            f"{problem.batch_size} samples each"
        )

    def velocity(
        self, rule: AGD, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        Q, R = overlaps(fixed, state)
        C = covariance(Q, R, fixed.T)
        K = state.v.shape[0]
        sample_weights, sample = _samples(problem, C, state.v, replica)
        b, D, v = _averages(rule, problem, sample_weights, sample)
        dQ = -(b[:, :K] + b[:, :K].T) + D
        return state._replace(q=dQ[:, :, None], r=-b[:, K:, None], v=-v, b=jnp.zeros_like(state.b))


def _averages(
    rule: AGD, problem: Problem, sample_weights: Float[Array, " batches"], sample: Batches
):
    """E[h sum_b delta f], E[h^2 sum_b delta delta] and what moves v."""
    B = sample.e.shape[1]
    K = sample.delta.shape[2]
    root_K = math.sqrt(K)
    D1 = jnp.sqrt(jnp.sum(sample.delta**2, axis=(1, 2)))
    slope_v = jnp.einsum("nb,nbk->nk", sample.e, sample.hidden)
    D2 = jnp.sqrt(jnp.sum(slope_v**2, axis=1))
    L = 1
    total = root_K * D1 / B
    if problem.student.train_readout:
        L = 2
        total = total + D2 / (B * root_K)
    eta = automatic_rate(total / L)
    h = rule.gain * eta * root_K / L * inverse(D1)
    b = jnp.einsum("n,nbk,nbf->kf", sample_weights * h, sample.delta, sample.h)
    D = jnp.einsum("n,nbk,nbl->kl", sample_weights * h**2, sample.delta, sample.delta)
    if not problem.student.train_readout:
        return b, D, jnp.zeros(K)
    assert rule.readout_gain is not None, "the check of AGD lets no other rule pass"
    direction = (sample_weights * eta * inverse(D2)) @ slope_v
    return b, D, rule.readout_gain / (L * root_K) * direction


def _samples(problem: Problem, C, v, replica: int) -> tuple[Float[Array, " batches"], Batches]:
    """Mini-batches and their quadrature weights."""
    if problem.batch_size == 1:
        return _single_samples(problem, C, v, replica)
    log2_points = enough_points(problem.batch_size)
    sample = batches(problem, C, v, problem.batch_size, log2_points, replica)
    return jnp.full(len(sample.e), 1 / len(sample.e)), sample


def _single_samples(
    problem: Problem, C, v, replica: int
) -> tuple[Float[Array, " batches"], Batches]:
    """Batches of one sample: nodes of the fields times nodes of the label noise."""
    fields = fields_at_nodes(problem, C, v, COUNTS, replica)
    sigma = problem.teacher.noise
    count, radius = NOISE_AT_POINTS
    if len(C) == 2:
        count, radius = NOISE_IN_DISC
    zeta, density = _noise_nodes(fields.e, sigma, count - replica, radius)
    total = jnp.sum(density, axis=1, keepdims=True)
    sample_weights = (fields.node_weights[:, None] * density / total).ravel()
    e = (fields.e[:, None] + sigma * zeta).ravel()

    def for_each_noise(values):
        return jnp.repeat(values, zeta.shape[1], axis=0)[:, None, :]

    sample = Batches(
        h=for_each_noise(fields.h),
        e=e[:, None],
        delta=for_each_noise(fields.a) * e[:, None, None],
        hidden=for_each_noise(fields.hidden),
    )
    return sample_weights, sample


def _noise_nodes(
    e: Float[Array, " nodes"], sigma, count: int, radius: float
) -> tuple[Float[Array, "nodes noise"], Float[Array, "nodes noise"]]:
    """Gauss-Legendre nodes of zeta and their densities, on both sides of e + sigma zeta = 0."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    z = jnp.asarray(nodes)[None, :]
    w = jnp.asarray(weights)[None, :]
    zero = jnp.where(sigma > 0, -e / jnp.where(sigma > 0, sigma, 1.0), 0.0)
    cut = jnp.clip(zero, -radius, radius)[:, None]
    left, right = (cut - radius) / 2, (cut + radius) / 2
    half_left, half_right = (cut + radius) / 2, (radius - cut) / 2
    zeta = jnp.concatenate([left + half_left * z, right + half_right * z], axis=1)
    lengths = jnp.concatenate([half_left * w, half_right * w], axis=1)
    return zeta, lengths * jnp.exp(-(zeta**2) / 2)
