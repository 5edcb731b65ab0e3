"""AGD with batches of B = alpha N fresh samples, or the expected gradient (alpha = inf): a
deterministic map, update by update.

With b = E[delta_k (lambda, rho)] = J C, D_kl = E[delta_k delta_l] (label noise included),
g_k = E[e g(lambda_k)], and over L = 1 or 2 trained layers,

    M   = J C J^T + D / alpha
    n_1 = sqrt(tr M),   n_2 = |g|
    G   = (s_1 n_1 + s_2 n_2) / L,   s_2 = 1 / sqrt K
    eta = log((1 + sqrt(1 + 4 G)) / 2)
    h   = gain eta s_1 / (L n_1)

    Q'  = Q - h (b_lambda + b_lambda^T) + h^2 M
    R'  = R - h b_rho
    v'  = v - gain (eta / L) s_2 g / n_2

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
    rule: AGD, problem: Problem, T: Float[Array, "teachers teachers"], point: Point
) -> Point:
    """The order parameters after one update."""
    alpha = problem.batch_ratio
    s1 = rule.first_scale
    assert alpha is not None and s1 is not None, "the check of AGD lets no other problem pass"
    Q, R, v = point
    K = v.shape[0]
    C = covariance(Q, R, T)
    J, D, g, _ = moments(problem, C, v, jnp.zeros_like(v))
    b = J @ C
    M = b @ J.T + D / alpha
    n1 = jnp.sqrt(jnp.maximum(jnp.trace(M), 0.0))
    n2 = jnp.sqrt(jnp.sum(g**2))
    s2 = K**-0.5
    L = 1
    total = s1 * n1
    if problem.student.train_readout:
        L = 2
        total = total + s2 * n2
    step = rule.gain * automatic_rate(total / L) / L
    h = step * s1 * inverse(n1)
    if problem.student.train_readout:
        v = v - step * s2 * g * inverse(n2)
    return Point(Q=Q - h * (b[:, :K] + b[:, :K].T) + h**2 * M, R=R - h * b[:, K:], v=v)


def iterate(
    problem: Problem,
    T: Float[Array, "teachers teachers"],
    begin: Point,
    begun: Int[Array, ""],
    updates: Int[Array, " times"],
) -> Point:
    """The order parameters after increasing numbers of updates, along a leading axis.

    `begun` is the number of updates that led to the first point.
    """

    def move(index, point: Point) -> Point:
        now = problem.at(index.astype(jnp.float64))
        assert isinstance(now.rule, AGD)
        return one_update(now.rule, now, T, point)

    def until(reached: tuple, target):
        done, point = reached
        point = jax.lax.fori_loop(done, target, move, point)
        return (target, point), point

    first = (begun, begin)
    return jax.lax.scan(until, first, updates)[1]
