"""AGD with batches of B = alpha N fresh samples, or the expected gradient (alpha = inf): a
deterministic map, update by update.

With b = E[delta_k (lambda, rho)] = J C, D_kl = E[delta_k delta_l] (label noise included), g_k = E[e
g(lambda_k)],

    M = J C J^T + D / alpha,   n_1 = sqrt(tr M),   n_2 = |g|,   G = (s_1 n_1 + s_2 n_2) / L,   s_2 =
    1 / sqrt K, h = gain eta s_1 / (L n_1),   eta = log((1 + sqrt(1 + 4 G)) / 2), Q' = Q - h
    (b_lambda + b_lambda^T) + h^2 M,   R' = R - h b_rho,   v' = v - gain (eta / L) s_2 g / n_2

Time counts updates.  The map of the expected gradient is exact at every N (which enters only
through s_1); that of alpha N samples holds as N grows, with fluctuations of 1 / sqrt N that a
readout trained by normalised steps can amplify.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from odes.inputs.moments import moments
from odes.rules.sampled import inverse
from teacherstudent.problem import Problem
from teacherstudent.rules import AGD
from teacherstudent.rules.agd import automatic_rate
from teacherstudent.states.order_parameters import covariance


class Point(NamedTuple):
    """The order parameters that the map moves."""

    Q: Float[Array, "students students"]
    R: Float[Array, "students teachers"]
    v: Float[Array, " students"]


def one_update(
    rule: AGD, problem: Problem, T: Float[Array, "teachers teachers"], at: Point
) -> Point:
    """The order parameters after one update."""
    K, trained, alpha, s1 = (
        at.v.shape[0],
        problem.student.train_readout,
        problem.batch_ratio,
        rule.first_scale,
    )
    assert alpha is not None and s1 is not None, "the check of AGD lets no other problem pass"
    C = covariance(at.Q, at.R, T)
    J, D, g = moments(problem, C, at.v)
    b = J @ C
    M = b @ J.T + D / alpha
    n1, n2, s2, L = (
        jnp.sqrt(jnp.maximum(jnp.trace(M), 0.0)),
        jnp.sqrt(jnp.sum(g**2)),
        K**-0.5,
        2 if trained else 1,
    )
    G = (s1 * n1 + (s2 * n2 if trained else 0.0)) / L
    step = rule.gain * automatic_rate(G) / L
    h = step * s1 * inverse(n1)
    v = at.v - step * s2 * g * inverse(n2) if trained else at.v
    return Point(Q=at.Q - h * (b[:, :K] + b[:, :K].T) + h**2 * M, R=at.R - h * b[:, K:], v=v)


def iterate(
    problem: Problem,
    T: Float[Array, "teachers teachers"],
    begin: Point,
    updates: Int[Array, " times"],
) -> Point:
    """The order parameters after increasing numbers of updates, along a leading axis."""

    rule = problem.rule
    assert isinstance(rule, AGD)

    def until(at: tuple, target):
        done, point = at
        move = lambda _, point: one_update(rule, problem, T, point)
        point = jax.lax.fori_loop(done, target, move, point)
        return (target, point), point

    first = (jnp.zeros((), updates.dtype), begin)
    return jax.lax.scan(until, first, updates)[1]
