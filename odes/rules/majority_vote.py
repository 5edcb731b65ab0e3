"""The flow of a majority vote of W workers: sign-SGD with another strength, and another noise.

With T, A of one worker (`sign_sgd.py`), workers independent, of which A_v are adversaries, the
drift is that of sign-SGD times (W - 2 A_v) m,

    m = E[ P(others' sum = 0) + P(|others' sum| = 1) / 2 ]   (W = 3: 1/2, W = 4: 3/8)

and in the noise

    eta^2 A_kl -> eta^2 Psi_kl
    Psi_kl = E[ sign(S_k) sign(S_l) ]

with S the sum over W workers of the pair (s_k, s_l) in {-1, 0, 1}^2.

A tie, sign(0) = 0, moves nothing.  A worker's unit without a gradient votes 0.  An adversary flips
both signs of a pair, which leaves Psi as it is.  Laws of sums are powers of characteristic
functions on the 2 W + 1 points of a circle.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules.sgd import descent
from odes.rules.sign_sgd import C_2, Signs, TheoryOfSigns, sign_gradient, signs_of_one
from teacherstudent.problem import Problem
from teacherstudent.rules import MajorityVote
from teacherstudent.states.order_parameters import covariance


class TheoryOfMajorityVote(TheoryOfSigns, rule=MajorityVote):
    """A vote of sign-SGD's workers without memory."""

    def check(self, rule: MajorityVote, problem: Problem) -> None:
        if rule.beta:
            raise ValueError(
                f"there is no theory of MajorityVote with beta = {rule.beta:g} here; set "
                "rule.beta = 0, use Signum for one worker, or simulate."
            )
        super().check(rule, problem)

    def velocity(
        self, rule: MajorityVote, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        W = rule.workers
        A = rule.adversaries
        Q, R = overlaps(fixed, state)
        C = covariance(Q, R, fixed.T)
        one = signs_of_one(problem, C, state.v, replica)
        strength = (W - 2 * A) * strength_of_one(one.alive, W)
        drift = C_2 * strength[:, None] * one.tilt
        product = product_of_votes(one, W)
        readout = mean_vote(one.up, one.down, W, A)
        mean = sign_gradient(drift, product, readout, C, fixed, state)
        return descent(state, mean, rule.learning_rate, rule.eta_v, rule.eta_b)


def _angles(workers: int) -> Float[np.ndarray, " angles"]:
    return 2 * np.pi * np.arange(2 * workers + 1) / (2 * workers + 1)


def strength_of_one(alive: Float[Array, " students"], workers: int) -> Float[Array, " students"]:
    """How much a small tilt of one worker's sign tilts the vote.

    P(the others' sum is 0) + P(it is +-1) / 2.
    """
    cosine = jnp.cos(jnp.asarray(_angles(workers)))
    of_one = 1 - alive[:, None] + alive[:, None] * cosine[None, :]
    law = of_one ** (workers - 1)
    return jnp.mean(law * (1 + cosine)[None, :], axis=1)


def _sines(workers: int) -> Float[np.ndarray, " angles"]:
    """sum_{S = 1}^W sin(angle S), from the transform of sign(S)."""
    votes = np.arange(1, workers + 1)
    return np.sin(np.outer(_angles(workers), votes)).sum(axis=1)


def product_of_votes(one: Signs, workers: int) -> Float[Array, "students students"]:
    """Psi_kl = E[sign(S_k) sign(S_l)] from the joint law of the signs of one worker.

    The characteristic function of one worker's pair of signs is a sum over the cases in which both
    units vote, alike or not, only one of them does, or neither.
    """
    angle = jnp.asarray(_angles(workers))
    sines = jnp.asarray(_sines(workers))
    same = (one.both + one.product) / 2
    different = (one.both - one.product) / 2
    first = one.alive[:, None] - one.both
    second = one.alive[None, :] - one.both
    neither = 1 - one.alive[:, None] - one.alive[None, :] + one.both
    c = jnp.cos(angle)
    s = jnp.sin(angle)
    cos_of_sum = c[:, None] * c[None, :] - s[:, None] * s[None, :]
    cos_of_difference = c[:, None] * c[None, :] + s[:, None] * s[None, :]
    of_one = (
        _for_angles(neither)
        + _for_angles(same) * cos_of_sum[None, None]
        + _for_angles(different) * cos_of_difference[None, None]
        + _for_angles(first) * c[None, None, :, None]
        + _for_angles(second) * c[None, None, None, :]
    )
    law = of_one**workers
    return -4 * jnp.einsum("klab,a,b->kl", law, sines, sines) / len(angle) ** 2


def _for_angles(probability: Float[Array, "students students"]):
    """With axes for the two angles of the characteristic function."""
    return probability[:, :, None, None]


def mean_vote(
    up: Float[Array, " students"], down: Float[Array, " students"], workers: int, adversaries: int
) -> Float[Array, " students"]:
    """E sign of the sum of W signs, each +1, -1 with probabilities `up`, `down`.

    Those of adversaries are the other way round.
    """
    angle = jnp.asarray(_angles(workers))
    sines = jnp.asarray(_sines(workers))
    still = 1 - up - down
    real = still[:, None] + (up + down)[:, None] * jnp.cos(angle)[None, :]
    imaginary = (up - down)[:, None] * jnp.sin(angle)[None, :]
    honest = jax.lax.complex(real, imaginary)
    law = honest ** (workers - adversaries) * jnp.conj(honest) ** adversaries
    return 2 * jnp.imag(law) @ sines / len(angle)
