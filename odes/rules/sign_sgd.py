"""The flow of sign-SGD: one lemma.

Given all that depends on x through a few projections, the coordinates of a batch's gradient are
Gaussian with tilts of O(1 / sqrt N).  With the weights of the samples
delta_k = (delta_k^1 .. delta_k^B), c_2 = sqrt(2/pi), and 0/0 = 0,

    w_l . sign(g_k) / sqrt N -> c_2 sum_b delta_k^b lambda_l^b / |delta_k| + noise
    sign(g_k) . sign(g_l) / N -> (2/pi) arcsin( delta_k . delta_l / |delta_k| |delta_l| )

so that, with T_kf = E[ sum_b delta_k^b f^b / |delta_k| ] for a field f,

    dR_km/dt = -eta c_2 T_k,rho_m
    dQ_kl/dt = -eta c_2 (T_k,lambda_l + T_l,lambda_k) + eta^2 A_kl
    dv_k/dt  = -eta_v E[ sign( sum_b e^b g(lambda_k^b) ) ]
    A_kl     = (2/pi) E arcsin( delta_k . delta_l / |delta_k| |delta_l| )

Time is updates / N.  The weights must be delocalised, max_i |w_i| << sqrt N: sign-SGD is not
invariant under rotations, and at finite N (Q, R) alone is no Markov chain.

B = 1: averages of sign(delta).  B > 1: `log_integrals.py`, and A_kl at frozen batches.  Label noise
is integrated exactly.  Linear student and teacher:

    T_kf = sign(v_k) sqrt 2 Gamma((B+1)/2) / Gamma(B/2) Cov(e, f) / sqrt(Var e)
    A_kl = sign(v_k v_l)

Other Gaussian inputs: `sign_modes.py`.  After J. Bernstein et al. (arXiv:1802.04434) for the rule;
its order-parameter equations are this project's own, checked against networks of N = 500 to 2000.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.moments import Moments
from odes.inputs.one_update import Fixed, Gradient, State, overlaps
from odes.inputs.spectral import by_mode
from odes.rules.batches import Batches, batches, enough_points
from odes.rules.log_integrals import FINE_STEP, LOWEST, highest, over_scales
from odes.rules.sampled import (
    Fields,
    NodeCounts,
    fields_at_nodes,
    inverse,
    mean_sign,
    moves,
    nodes_of,
)
from odes.rules.sgd import descent
from odes.rules.sign_modes import sign_modes
from odes.rules.theory import Nodes, RuleTheory
from teacherstudent.averages.pairs import pair_number, unordered_pairs
from teacherstudent.problem import Problem
from teacherstudent.rules import SignSGD
from teacherstudent.states.order_parameters import covariance
from teacherstudent.states.spectral_overlaps import SpectralOverlaps

C_2 = math.sqrt(2 / math.pi)
SINGLE = NodeCounts(401, 16)
BATCH = NodeCounts(161, 14)


class Signs(NamedTuple):
    """Averages of the signs of one gradient.

    - `tilt`: T_kf.
    - `product`: A_kl = E[s_k s_l], s_k the sign in one coordinate, 0 for a unit without gradient.
    - `alive`: P(unit k has a gradient), `both` for two units.
    - `up`, `down`: the probabilities that the sign of the readout's gradient is +1, -1.
    """

    tilt: Float[Array, "students fields"]
    product: Float[Array, "students students"]
    alive: Float[Array, " students"]
    both: Float[Array, "students students"]
    up: Float[Array, " students"]
    down: Float[Array, " students"]


class TheoryOfSigns(RuleTheory):
    """What the theories of rules that take the sign of one gradient have in common."""

    def takes_only_gradient(self, rule: Any) -> bool:
        return False

    def check(self, rule: Any, problem: Problem) -> None:
        """Raise ValueError unless the inputs are Gaussian, in a known basis."""
        task = problem.task
        isotropic = not (task.HAS_MODES or task.HAS_CLASSES)
        if isotropic or task.coordinate_covariances() is not None:
            return
        raise ValueError(
            f"there is no theory of {type(rule).__name__} for {type(task).__name__}: signs "
            "see the coordinates of the inputs, so that their covariance must be given and they "
            "must be Gaussian, without a generator; use TeacherStudent, or GaussianEquivalent with "
            "Omega and Phi (GaussianEquivalent.anisotropic), or simulate."
        )

    def nodes(self, rule: SignSGD, problem: Problem) -> Nodes | None:
        if is_linear(problem) and not (problem.student.train_readout and problem.batch_size > 1):
            return None
        return nodes_of(problem, counts_for(problem))

    def prepare_modes(self, problem: Problem, start: SpectralOverlaps):
        """The modes of the signs, and the noise of each."""
        return sign_modes(problem, start)


class TheoryOfSignSGD(TheoryOfSigns, rule=SignSGD):
    """Sign-SGD, in the averages of the signs of one gradient."""

    def velocity(
        self, rule: SignSGD, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        mean = _mean_sign(problem, fixed, state, replica)
        return descent(state, mean, rule.learning_rate, rule.eta_v, rule.eta_b)

    def diffusion(self, rule: SignSGD, problem: Problem, fixed: Fixed, state: State):
        return rule.learning_rate**2 * _mean_sign(problem, fixed, state).square


def _mean_sign(problem: Problem, fixed: Fixed, state: State, replica: int = 0) -> Gradient:
    """The averages of the sign of one gradient."""
    Q, R = overlaps(fixed, state)
    C = covariance(Q, R, fixed.T)
    signs = signs_of_one(problem, C, state.v, replica)
    drift = C_2 * signs.tilt
    return sign_gradient(drift, signs.product, signs.up - signs.down, C, fixed, state)


def is_linear(problem: Problem) -> bool:
    """Whether student and teacher are linear."""
    return problem.student.activation.name == problem.teacher.activation.name == "linear"


def counts_for(problem: Problem) -> NodeCounts:
    """How many nodes averages over one sample, or over each of a mini-batch, have."""
    if problem.batch_size == 1:
        return SINGLE
    return BATCH


def sign_gradient(b, D, readout, C, fixed: Fixed, state: State) -> Gradient:
    """The averages of one update, by mode, from b_kf = E[s_k f] and D_kl = E[s_k s_l]; b = J C."""
    if fixed.rho.shape[0] > 1:
        J = b @ jnp.linalg.pinv(C, hermitian=True)
        return by_mode(Moments(J, D, readout, jnp.zeros_like(state.b)), fixed, state)
    K = state.v.shape[0]
    return Gradient(
        q=b[:, :K, None],
        r=b[:, K:, None],
        square=D[:, :, None],
        v=readout,
        b=jnp.zeros_like(state.b),
    )


def signs_of_one(
    problem: Problem, C: Float[Array, "fields fields"], v: Float[Array, " students"], replica: int
) -> Signs:
    """The averages of the signs of one gradient of a mini-batch."""
    if is_linear(problem):
        return _signs_of_linear(problem, C, v, replica)
    if problem.batch_size == 1:
        return _signs_of_sample(problem, C, v, replica)
    return _signs_of_batch(problem, C, v, replica)


def _signs_of_sample(problem: Problem, C, v, replica: int) -> Signs:
    """B = 1: sign(delta_k) = sign(a_k) sign(e + sigma zeta)."""
    fields = fields_at_nodes(problem, C, v, SINGLE, replica)
    sigma = problem.teacher.noise
    m = mean_sign(fields.e, sigma)
    present = moves(fields.e, sigma)
    s = jnp.sign(fields.a)
    g = jnp.sign(fields.hidden)
    signed = (fields.node_weights * m)[:, None]
    weighted = (fields.node_weights * present)[:, None]
    up_and_down = fields.mean(jnp.abs(g) * present[:, None])
    difference = fields.mean(g * m[:, None])
    return Signs(
        tilt=(s * signed).T @ fields.h,
        product=(s * weighted).T @ s,
        alive=fields.mean(jnp.abs(s) * present[:, None]),
        both=(jnp.abs(s) * weighted).T @ jnp.abs(s),
        up=(up_and_down + difference) / 2,
        down=(up_and_down - difference) / 2,
    )


def _signs_of_batch(problem: Problem, C, v, replica: int) -> Signs:
    """B > 1, by integrals over scales."""
    K = v.shape[0]
    fields = fields_at_nodes(problem, C, v, BATCH, replica)
    dead_alone, dead_both = _dead(problem, fields)
    first, second = unordered_pairs(K)
    both = 1 - dead_alone[first] - dead_alone[second] + dead_both
    product = jnp.zeros((1, 1))
    if K > 1:
        B = problem.batch_size
        product = _product(batches(problem, C, v, B, enough_points(B), replica))
    readout, still = jnp.zeros_like(v), jnp.ones_like(v)
    if problem.student.train_readout:
        readout, still = _readout(problem, fields, replica)
    diagonal = jnp.eye(K, dtype=bool)
    return Signs(
        tilt=jnp.stack([_tilt(problem, fields, k, replica) for k in range(K)]),
        product=jnp.where(diagonal, 1 - dead_alone[:, None], product),
        alive=1 - dead_alone,
        both=both[pair_number(K)],
        up=(1 - still + readout) / 2,
        down=(1 - still - readout) / 2,
    )


def _dead(
    problem: Problem, fields: Fields
) -> tuple[Float[Array, " students"], Float[Array, " pairs"]]:
    """The probabilities that one unit, or both of a pair, have no gradient from any sample."""
    B = problem.batch_size
    present = moves(fields.e, problem.teacher.noise)
    dead = jnp.abs(jnp.sign(fields.a)) * present[:, None] == 0
    first, second = unordered_pairs(dead.shape[1])
    dtype = fields.e.dtype
    alone = fields.mean(dead.astype(dtype)) ** B
    both = fields.mean((dead[:, first] & dead[:, second]).astype(dtype)) ** B
    return alone, both


def _tilt(problem: Problem, fields: Fields, k: int, replica: int) -> Float[Array, " fields"]:
    """T_kf for one unit, by an integral over scales s.

    E_zeta[delta e^(-s^2 delta^2)] = (a e / q) q^(-1/2) e^(-s^2 a^2 e^2 / q)
    q = 1 + 2 s^2 a^2 sigma^2
    """
    B = problem.batch_size
    variance = problem.teacher.noise**2
    e = fields.e
    a = fields.a[:, k]
    # The length of delta does not matter.
    a = a * inverse(jnp.sqrt(fields.mean(a**2 * (e**2 + variance))))

    # One division, one root and one exponential for each node and scale: they take the time.
    spread = 2 * a**2 * variance
    square = (a * e) ** 2
    signed = fields.node_weights * a * e

    def integrand(s):
        inverse_q = 1 / (1 + s**2 * spread)
        decay = jnp.exp(-(s**2) * square * inverse_q) * jnp.sqrt(inverse_q)
        mean_decay = fields.node_weights @ decay
        return (signed * inverse_q * decay) @ fields.h * mean_decay ** (B - 1)

    return 2 * B / math.sqrt(math.pi) * over_scales(integrand, LOWEST, highest(B), replica)


def _product(sample: Batches) -> Float[Array, "students students"]:
    """(2/pi) E arcsin of the correlations of delta_k and delta_l.

    At frozen batches: units with 0-1 slopes are often parallel.
    """
    length = jnp.sqrt(jnp.sum(sample.delta**2, axis=1, keepdims=True))
    unit = sample.delta * inverse(length)
    cosine = jnp.clip(jnp.einsum("nbk,nbl->nkl", unit, unit), -1.0, 1.0)
    return 2 / math.pi * jnp.mean(jnp.arcsin(cosine), axis=0)


def _readout(
    problem: Problem, fields: Fields, replica: int
) -> tuple[Float[Array, " students"], Float[Array, " students"]]:
    """E sign( sum_b e^b g(lambda_k^b) ) and the probability that it is 0.

    The first is an integral over p of (2/pi) Im(chi^B) / p, chi the characteristic function of e g.
    """
    B = problem.batch_size
    variance = problem.teacher.noise**2
    mean_square = fields.mean((fields.e**2 + variance)[:, None] * fields.hidden**2)
    g = fields.hidden * inverse(jnp.sqrt(mean_square))[None, :]

    def integrand(p):
        damped = fields.node_weights[:, None] * jnp.exp(-(p**2) * variance * g**2 / 2)
        angle = p * fields.e[:, None] * g
        real = jnp.sum(damped * jnp.cos(angle), axis=0)
        imaginary = jnp.sum(damped * jnp.sin(angle), axis=0)
        chi = jax.lax.complex(real, imaginary)
        return jnp.imag(chi**B) / p

    present = moves(fields.e, variance)[:, None]
    still = fields.mean(1 - jnp.abs(jnp.sign(g)) * present) ** B
    integral = over_scales(integrand, LOWEST, 2.0 + highest(B), replica, FINE_STEP)
    mean = 2 / math.pi * integral
    return mean, still


def _signs_of_linear(problem: Problem, C, v, replica: int) -> Signs:
    """Linear student and teacher: e is Gaussian."""
    B = problem.batch_size
    u = jnp.concatenate([v, -jnp.asarray(problem.teacher.v_star)])
    variance = u @ C @ u + problem.teacher.noise**2
    deviation = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
    present = (variance > 0).astype(C.dtype)
    growth = math.sqrt(2) * math.exp(math.lgamma((B + 1) / 2) - math.lgamma(B / 2))
    sign = jnp.sign(v)
    readout, still = _linear_readout(problem, C, v, u, deviation, replica)
    return Signs(
        tilt=growth * present * sign[:, None] * (C @ u)[None, :] / deviation,
        product=present * sign[:, None] * sign[None, :],
        alive=present * jnp.abs(sign),
        both=present * jnp.abs(sign[:, None] * sign[None, :]),
        up=(1 - still + readout) / 2,
        down=(1 - still - readout) / 2,
    )


def _linear_readout(problem: Problem, C, v, u, deviation, replica: int):
    """E sign(e lambda_k), (2/pi) arcsin(correlation) for B = 1, and P(it is 0)."""
    if not problem.student.train_readout:
        return jnp.zeros_like(v), jnp.ones_like(v)
    if problem.batch_size > 1:
        return _readout(problem, fields_at_nodes(problem, C, v, BATCH, replica), replica)
    K = v.shape[0]
    length = jnp.sqrt(jnp.diag(C)[:K])
    correlation = (C @ u)[:K] * inverse(length) / deviation
    mean = 2 / math.pi * jnp.arcsin(jnp.clip(correlation, -1, 1))
    return mean, jnp.zeros_like(v)
