"""The flow of sign-SGD: one lemma.

Given all that depends on x through a few projections, the coordinates of a batch's gradient are
Gaussian with tilts of O(1 / sqrt N).  With the weights of the samples delta_k = (delta_k^1 ..
delta_k^B), c_2 = sqrt(2/pi), and 0/0 = 0,

    w_l . sign(g_k) / sqrt N -> c_2 sum_b delta_k^b lambda_l^b / |delta_k| + noise
    sign(g_k) . sign(g_l) / N -> (2/pi) arcsin( delta_k . delta_l / |delta_k| |delta_l| )

    dR_km/dt = -eta c_2 T_k,rho_m,   T_kf = E[ sum_b delta_k^b f^b / |delta_k| ]
    dv_k/dt = -eta_v E[ sign( sum_b e^b g(lambda_k^b) ) ]
    dQ_kl/dt = -eta c_2 (T_k,lambda_l + T_l,lambda_k) + eta^2 A_kl
    A_kl = (2/pi) E arcsin( delta_k . delta_l / |delta_k| |delta_l| )

Time is updates / N.  The weights must be delocalised, max_i |w_i| << sqrt N: sign-SGD is not
invariant under rotations, and at finite N (Q, R) alone is no Markov chain.  B = 1: averages of
sign(delta); B > 1: `log_integrals.py`, and A_kl at frozen batches.  Label noise is integrated
exactly.  Linear student and teacher: T_kf = sign(v_k) sqrt 2 Gamma((B+1)/2) / Gamma(B/2) Cov(e, f)
/ sqrt(Var e), A_kl = sign(v_k v_l).

Other Gaussian inputs: `sign_modes.py`.  After J. Bernstein et al. (arXiv:1802.04434) for the rule;
its order-parameter equations are this project's own, checked against networks of N = 500 to 2000.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, Gradient, State, overlaps
from odes.inputs.spectral import by_mode
from odes.rules.batches import Batches, batches, enough_points
from odes.rules.log_integrals import highest, over_scales
from odes.rules.sampled import Fields, Rule, fields_at_nodes, inverse, mean_sign, moves, nodes_of
from odes.rules.sgd import descent
from odes.rules.theory import Nodes, RuleTheory
from teacherstudent.averages.pairs import pair_number, unordered_pairs
from teacherstudent.problem import Problem
from teacherstudent.rules import SignSGD
from teacherstudent.states.order_parameters import covariance
from teacherstudent.tasks import GaussianEquivalent, TeacherStudent

C_2 = math.sqrt(2 / math.pi)
SINGLE, BATCH = Rule(401, 16), Rule(161, 14)


class Signs(NamedTuple):
    """Averages of the signs of one gradient.

    `tilt`: T_kf.  `product`: A_kl = E[s_k s_l], s_k the sign in one coordinate, 0 for a unit
    without gradient.  `alive`: P(unit k has a gradient), `both` for two units.  `up`, `down`: the
    probabilities that the sign of the readout's gradient is +1, -1.
    """

    tilt: Float[Array, "students fields"]
    product: Float[Array, "students students"]
    alive: Float[Array, " students"]
    both: Float[Array, "students students"]
    up: Float[Array, " students"]
    down: Float[Array, " students"]


def check_signs(rule: SignSGD, problem: Problem) -> None:
    """Raise ValueError unless the inputs are Gaussian, in a known basis."""
    task = problem.task
    if isinstance(task, TeacherStudent):
        return
    name = type(rule).__name__
    if not isinstance(task, GaussianEquivalent) or task.Omega is None or task.generator is not None:
        raise ValueError(
            f"there is no theory of {name} for "
            f"{type(task).__name__}{' with a generator' * hasattr(task, 'generator')}: signs see "
            "the coordinates of the inputs, so that their covariance must be given and they must "
            "be Gaussian; use TeacherStudent, or GaussianEquivalent with Omega and Phi "
            "(GaussianEquivalent.anisotropic), or simulate."
        )


def is_linear(problem: Problem) -> bool:
    """Whether student and teacher are linear."""
    return problem.student.activation.name == problem.teacher.activation.name == "linear"


class TheoryOfSignSGD(RuleTheory, rule=SignSGD):
    """Sign-SGD, in the averages of the signs of one gradient."""

    def check(self, rule: SignSGD, problem: Problem) -> None:
        check_signs(rule, problem)

    def nodes(self, rule: SignSGD, problem: Problem) -> Nodes | None:
        if is_linear(problem) and not (problem.student.train_readout and problem.batch_size > 1):
            return None
        return nodes_of(problem, SINGLE if problem.batch_size == 1 else BATCH)

    def velocity(
        self, rule: SignSGD, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        C = covariance(*overlaps(fixed, state), fixed.T)
        signs = signs_of_one(problem, C, state.v, replica)
        mean = sign_gradient(
            C_2 * signs.tilt, signs.product, signs.up - signs.down, C, fixed, state
        )
        return descent(state, mean, rule.learning_rate, rule.eta_v, rule.eta_b)


def sign_gradient(b, D, readout, C, fixed: Fixed, state: State) -> Gradient:
    """The averages of one update, by mode, from b_kf = E[s_k f] and D_kl = E[s_k s_l]; b = J C."""
    K = state.v.shape[0]
    if fixed.rho.shape[0] > 1:
        return by_mode(b @ jnp.linalg.pinv(C, hermitian=True), D, readout, fixed, state)
    return Gradient(b[:, :K, None], b[:, K:, None], D[:, :, None], readout, jnp.zeros_like(state.b))


def signs_of_one(
    problem: Problem, C: Float[Array, "fields fields"], v: Float[Array, " students"], replica: int
) -> Signs:
    """The averages of the signs of one gradient of a mini-batch."""
    if is_linear(problem):
        return _linear(problem, C, v, replica)
    if problem.batch_size == 1:
        return _single(problem, fields_at_nodes(problem, C, v, SINGLE, replica))
    return _batch(problem, C, v, replica)


def _single(problem: Problem, at: Fields) -> Signs:
    """B = 1: sign(delta_k) = sign(a_k) sign(e + sigma zeta)."""
    sigma = problem.teacher.noise
    m, present = mean_sign(at.e, sigma), moves(at.e, sigma)
    s, g = jnp.sign(at.a), jnp.sign(at.hidden)
    weighted = (at.weights * present)[:, None]
    up_and_down, difference = at.mean(jnp.abs(g) * present[:, None]), at.mean(g * m[:, None])
    return Signs(
        tilt=(s * (at.weights * m)[:, None]).T @ at.h,
        product=(s * weighted).T @ s,
        alive=at.mean(jnp.abs(s) * present[:, None]),
        both=(jnp.abs(s) * weighted).T @ jnp.abs(s),
        up=(up_and_down + difference) / 2,
        down=(up_and_down - difference) / 2,
    )


def _batch(problem: Problem, C, v, replica: int) -> Signs:
    """B > 1, by integrals over scales."""
    at = fields_at_nodes(problem, C, v, BATCH, replica)
    sigma, B = problem.teacher.noise, problem.batch_size
    first, second = unordered_pairs(v.shape[0])
    dead = jnp.abs(jnp.sign(at.a)) * moves(at.e, sigma)[:, None] == 0
    dead_alone = at.mean(dead.astype(at.e.dtype)) ** B
    dead_both = at.mean((dead[:, first] & dead[:, second]).astype(at.e.dtype)) ** B
    product = jnp.zeros((1, 1))
    if v.shape[0] > 1:
        product = _product(batches(problem, C, v, B, enough_points(B), replica))
    own = jnp.eye(v.shape[0], dtype=bool)
    readout, still = jnp.zeros_like(v), jnp.ones_like(v)
    if problem.student.train_readout:
        readout, still = _readout(problem, at, replica)
    return Signs(
        tilt=jnp.stack([_tilt(problem, at, k, replica) for k in range(v.shape[0])]),
        product=jnp.where(own, 1 - dead_alone[:, None], product),
        alive=1 - dead_alone,
        both=(1 - dead_alone[first] - dead_alone[second] + dead_both)[pair_number(v.shape[0])],
        up=(1 - still + readout) / 2,
        down=(1 - still - readout) / 2,
    )


def _tilt(problem: Problem, at: Fields, k: int, replica: int) -> Float[Array, " fields"]:
    """T_kf for one unit; E_zeta[delta e^(-s^2 delta^2)] = (a e / q) q^(-1/2) e^(-s^2 a^2 e^2 / q),
    q = 1 + 2 s^2 a^2 sigma^2.
    """
    a, B, variance = at.a[:, k], problem.batch_size, problem.teacher.noise**2
    scale = inverse(jnp.sqrt(at.mean(a**2 * (at.e**2 + variance))))
    a = a * scale  # the length of delta does not matter

    def integrand(s):
        q = 1 + 2 * s**2 * a**2 * variance
        decay = at.weights * jnp.exp(-(s**2) * a**2 * at.e**2 / q) / jnp.sqrt(q)
        return (decay * a * at.e / q) @ at.h * jnp.sum(decay) ** (B - 1)

    return 2 * B / math.sqrt(math.pi) * over_scales(integrand, -14.0, highest(B), replica)


def _product(sample: Batches) -> Float[Array, "students students"]:
    """(2/pi) E arcsin of the correlations of delta_k and delta_l, at frozen batches: units with 0-1
    slopes are often parallel.
    """
    length = jnp.sqrt(jnp.sum(sample.delta**2, axis=1, keepdims=True))
    unit = sample.delta * inverse(length)
    cosine = jnp.clip(jnp.einsum("nbk,nbl->nkl", unit, unit), -1.0, 1.0)
    return 2 / math.pi * jnp.mean(jnp.arcsin(cosine), axis=0)


def _readout(
    problem: Problem, at: Fields, replica: int
) -> tuple[Float[Array, " students"], Float[Array, " students"]]:
    """E sign( sum_b e^b g(lambda_k^b) ) and the probability that it is 0."""
    variance, B = problem.teacher.noise**2, problem.batch_size
    mean_square = at.mean((at.e**2 + variance)[:, None] * at.hidden**2)
    g = at.hidden * inverse(jnp.sqrt(mean_square))[None, :]

    def integrand(p):  # over p, of (2/pi) Im(chi^B) / p
        damped = at.weights[:, None] * jnp.exp(-(p**2) * variance * g**2 / 2)
        angle = p * at.e[:, None] * g
        chi = jax.lax.complex(
            jnp.sum(damped * jnp.cos(angle), axis=0), jnp.sum(damped * jnp.sin(angle), axis=0)
        )
        return jnp.imag(chi**B) / p

    still = at.mean(1 - jnp.abs(jnp.sign(g)) * moves(at.e, variance)[:, None]) ** B
    return 2 / math.pi * over_scales(integrand, -16.0, 2.0 + highest(B), replica), still


def _linear(problem: Problem, C, v, replica: int) -> Signs:
    """Linear student and teacher: e is Gaussian."""
    B = problem.batch_size
    u = jnp.concatenate([v, -jnp.asarray(problem.teacher.v_star)])
    variance = u @ C @ u + problem.teacher.noise**2
    root = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
    present = (variance > 0).astype(C.dtype)
    growth = math.sqrt(2) * math.exp(math.lgamma((B + 1) / 2) - math.lgamma(B / 2))
    sign = jnp.sign(v)
    readout, still = _linear_readout(problem, C, v, u, root, replica)
    return Signs(
        tilt=growth * present * sign[:, None] * (C @ u)[None, :] / root,
        product=present * sign[:, None] * sign[None, :],
        alive=present * jnp.abs(sign),
        both=present * jnp.abs(sign[:, None] * sign[None, :]),
        up=(1 - still + readout) / 2,
        down=(1 - still - readout) / 2,
    )


def _linear_readout(problem: Problem, C, v, u, root, replica: int):
    """E sign(e lambda_k) = (2/pi) arcsin(correlation) for B = 1."""
    K = v.shape[0]
    if not problem.student.train_readout:
        return jnp.zeros_like(v), jnp.ones_like(v)
    if problem.batch_size > 1:
        return _readout(problem, fields_at_nodes(problem, C, v, BATCH, replica), replica)
    length = jnp.sqrt(jnp.diag(C)[:K])
    correlation = (C @ u)[:K] * inverse(length) / root
    return 2 / math.pi * jnp.arcsin(jnp.clip(correlation, -1, 1)), jnp.zeros_like(v)
