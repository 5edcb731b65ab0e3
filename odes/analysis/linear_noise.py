"""The linear-noise equations along a solution of the order-parameter equations.

With A = df/dy along ybar and D, c of one update (`one_step_covariance.py`), t = updates / N,

    dS/dt = A S + S A^T + D                               S = Cov sqrt(N) (y - ybar)
    db/dt = A b + 1/2 f'' : S + c - 1/2 (A f + df/dt)     b = N (E y - ybar)

The last term of db/dt is that of the Euler step: m(t + 1/N) - m(t) = m' / N + m'' / (2 N^2).

With the linearised flow U since the begin of a step along the solution (`linearised_flow.py`),
S = U S~ U^T and b = U b~, where

    dS~/dt = U^-1 D U^-T,    db~/dt = U^-1 (...)

are integrals, which the nodes of the step give.  D is an average over samples.  At every node it is
taken over a few points, and corrected by what many more points say at some of the nodes, which are
enough because the correction is small and changes slowly.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.analysis.entries import Frame
from odes.analysis.linearised_flow import NODES, TO_NODES, WEIGHTS, Step
from odes.analysis.one_step_covariance import one_step
from odes.analysis.programs import compiled, in_batches
from odes.analysis.sample_points import SamplePoints

KNOTS = 48  # nodes at which many points are taken, in all
APART = 1e-4  # of the points on both sides of a state, for second derivatives


class Points(NamedTuple):
    """The points for D: few for every node, and two sets of many."""

    few: SamplePoints
    many: tuple[SamplePoints, SamplePoints]


class OneUpdate(NamedTuple):
    """One update beyond its mean, at every node.

    - `D`: its covariance; `error`: half the difference of two sets of points.
    - `c`: its mean of second order; None if that is not known.
    """

    D: Float[np.ndarray, "nodes entries entries"]
    error: Float[np.ndarray, "nodes entries entries"]
    c: Float[np.ndarray, "nodes entries"] | None

    def at_step(self, number: int) -> "OneUpdate":
        """The same at the nodes of one step."""
        nodes = slice(len(NODES) * number, len(NODES) * (number + 1))
        c = None if self.c is None else self.c[nodes]
        return OneUpdate(self.D[nodes], self.error[nodes], c)


class Noise(NamedTuple):
    """The noise at one time: S, the error of S as two sets of points have it, and b."""

    S: Float[np.ndarray, "entries entries"]
    error: Float[np.ndarray, "entries entries"]
    bias: Float[np.ndarray, " entries"]


class Along(NamedTuple):
    """The noise at all recorded times, and the linearised flow to each from the one before."""

    S: Float[np.ndarray, "time entries entries"]
    error: Float[np.ndarray, "time entries entries"]
    bias: Float[np.ndarray, "time entries"] | None
    propagator: Float[np.ndarray, "time entries entries"]


def noise_along(
    frame: Frame, steps: Sequence[Step], count: int, points: Points, with_bias: bool
) -> Along:
    """The noise at so many recorded times, from a start with exactly given order parameters."""
    n = np.size(frame.first)
    zero = np.zeros((n, n))
    if not steps:  # all times are that of the start
        noise = Noise(zero, zero, np.zeros(n))
        return Along(zero[None], zero[None], np.zeros((1, n)), np.eye(n)[None])
    update = one_update_at(frame, steps, points)
    if not with_bias:
        update = update._replace(c=None)
    noise = Noise(zero, zero, np.zeros(n))
    noises, propagators = [noise] * count, [np.eye(n)] * count
    by_interval: list[list[int]] = [[] for _ in range(count)]
    for number, step in enumerate(steps):
        by_interval[step.interval].append(number)
    for interval, numbers in enumerate(by_interval):
        for number in numbers:
            noise = after_step(frame, steps[number], update.at_step(number), noise)
            propagators[interval] = steps[number].last @ propagators[interval]
        noises[interval] = noise
    S, error, bias = (np.stack(parts) for parts in zip(*noises, strict=True))
    return Along(S, error, None if update.c is None else bias, np.stack(propagators))


def after_step(frame: Frame, step: Step, update: OneUpdate, noise: Noise) -> Noise:
    """The noise after one step along the solution."""
    back = np.linalg.inv(step.flow)
    D = back @ update.D @ back.swapaxes(1, 2)
    error = back @ update.error @ back.swapaxes(1, 2)
    last = step.last

    def moved(before, slopes):
        after = before + step.length * np.tensordot(WEIGHTS, slopes, axes=1)
        return last @ after @ last.T

    bias = noise.bias
    if update.c is not None:
        S = noise.S + step.length * np.tensordot(TO_NODES, D, axes=1)
        S = step.flow @ S @ step.flow.swapaxes(1, 2)
        slopes = np.asarray(bias_rates(frame, step.times, step.states, S)) + update.c
        slopes = np.einsum("tij,tj->ti", back, slopes)
        bias = last @ (bias + step.length * WEIGHTS @ slopes)
    return Noise(moved(noise.S, D), moved(noise.error, error), bias)


def one_update_at(frame: Frame, steps: Sequence[Step], points: Points) -> OneUpdate:
    """D and c at all nodes of the steps: with few points, and the correction by many."""
    times = np.concatenate([step.times for step in steps])
    states = np.concatenate([step.states for step in steps])
    piece = np.repeat([step.piece for step in steps], len(NODES))
    few = in_batches(partial(updates, frame, points.few), times, states)
    knots = knots_of(piece)
    at = times[knots], states[knots]
    one, two = (in_batches(partial(updates, frame, many), *at) for many in points.many)
    everywhere = partial(interpolated, knots, piece)
    D = few[0] + everywhere((one[0] + two[0]) / 2 - few[0][knots])
    error = everywhere((one[0] - two[0]) / 2)
    if len(few) == 1:
        return OneUpdate(D, error, None)
    return OneUpdate(D, error, few[1] + everywhere((one[1] + two[1]) / 2 - few[1][knots]))


def knots_of(piece: np.ndarray) -> np.ndarray:
    """Some of the nodes, the first and the last of each piece among them.

    Where the solution changes quickly the solver took many steps, and knots are close as well.
    """
    knots = np.linspace(0, len(piece) - 1, min(KNOTS, len(piece))).round().astype(int)
    jumps = np.flatnonzero(np.diff(piece))
    return np.unique(np.concatenate([knots, jumps, jumps + 1]))


def interpolated(knots: np.ndarray, piece: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values at all nodes, linear in the number of the node between knots."""
    numbers = np.arange(len(piece))
    right = np.clip(np.searchsorted(knots, numbers), 1, max(1, len(knots) - 1))
    right = np.minimum(right, len(knots) - 1)
    left = np.maximum(right - 1, 0)
    width = np.maximum(knots[right] - knots[left], 1)
    share = ((numbers - knots[left]) / width).reshape(-1, *[1] * (values.ndim - 1))
    return (1 - share) * values[left] + share * values[right]


@compiled
def updates(frame: Frame, points: SamplePoints, times, states) -> tuple[Array, ...]:
    """D, and c where it is known, at some states."""

    def at_one(moment):
        t, y = moment
        one = one_step(frame.problem.at(t), frame.fixed, frame.state(y), points)
        return tuple(part for part in one if part is not None)

    return jax.lax.map(at_one, (times, states))


@compiled
def bias_rates(frame: Frame, times, states, S: Float[Array, "nodes entries entries"]) -> Array:
    """1/2 f'' : S - 1/2 (A f + df/dt) at some states."""

    def velocity(point):  # of state and time
        return frame.velocity(point[-1], point[:-1])

    def at_one(moment):
        t, y, S = moment
        point = jnp.append(y, t)
        f = velocity(point)
        values, points, directions = second_differences(y, S)
        still = jnp.zeros((len(points), 1))
        points = jnp.concatenate([points, still + t], axis=1)
        directions = jnp.concatenate([directions, still], axis=1)
        # All of them in one call, so that one program has the derivative once.
        slopes = slopes_of(
            velocity,
            jnp.concatenate([points, point[None]]),
            jnp.concatenate([directions, jnp.append(f, 1.0)[None]]),
        )
        return values @ slopes[:-1] - slopes[-1] / 2

    return jax.lax.map(at_one, (times, states, S))


@compiled
def error_derivatives(frame: Frame, times, states, S) -> tuple[Array, Array]:
    """The gradient of the error, and 1/2 hess : S, at some states."""

    def at_one(moment):
        t, y, S = moment
        n = y.size
        values, points, directions = second_differences(y, S)
        slopes = slopes_of(
            partial(frame.error, t),
            jnp.concatenate([points, jnp.broadcast_to(y, (n, n))]),
            jnp.concatenate([directions, jnp.eye(n)]),
        )
        return slopes[2 * n :], values @ slopes[: 2 * n]

    return jax.lax.map(at_one, (times, states, S))


def slopes_of(function: Callable, points, directions) -> Array:
    """The derivatives of a function at several points, along a direction at each."""

    def slope(point, direction):
        return jax.jvp(function, (point,), (direction,))[1]

    return jax.vmap(slope)(points, directions)


def second_differences(y: Float[Array, " entries"], S: Float[Array, "entries entries"]):
    """Factors, points and directions, of which the slopes g' of a function make

        1/2 g'' : S = 1/2 sum_i s_i d^2 g(y + x e_i) / dx^2 = sum factor g'(point; direction)

    with the eigenvalues s_i and eigenvectors e_i of S.  Second derivatives by differentiation take
    several times as long to compile as the first ones, and some averages have none.
    """
    values, vectors = jnp.linalg.eigh((S + S.T) / 2)
    directions = jnp.concatenate([vectors.T, vectors.T])
    signs = jnp.concatenate([jnp.ones(y.size), -jnp.ones(y.size)])
    points = y[None, :] + APART * signs[:, None] * directions
    factors = signs * jnp.concatenate([values, values]) / (4 * APART)
    return factors, points, directions
