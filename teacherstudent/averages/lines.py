"""Nodes on parallel lines in the space of Gaussian fields, cut where an integrand is not smooth.

Fields h = L xi of d standard normal numbers xi are integrated over along the direction e first,

    xi = E z + e t,   E^T e = 0,

at nodes z of the d - 1 other directions.  On each line the integral over t is divided at given
points, which may be others on each line, so that the sum over nodes is a smooth function of them:
a jump that moves between two nodes leaves no step behind.

- d = 1: there is one line.
- d = 2: equidistant z, or Gauss-Legendre nodes on both sides of zero where the integrand has kinks,
  which meet there.
- d = 3: equidistant z in a disc, where the integrand is smooth but for the cuts.
- d >= 4, and d = 3 with kinks: frozen scrambled Sobol points z and their mirror images.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.nodes import Piece, pieces
from teacherstudent.averages.quasi_random import REPLICAS, normals, uniform_points
from teacherstudent.averages.rule import ball

OF_AXIS = {2: 97, 3: 37}  # equidistant nodes on each other axis, by d
OF_HALF_AXIS = 40  # Gauss-Legendre nodes on each side of zero
LOG2_POINTS = 10  # the base-2 logarithm of the number of points, without their mirror images
OF_PIECE = {1: 12, 2: 32, 3: 20}  # Gauss-Legendre nodes on a piece of a line, by d
OF_PIECE_WITH_POINTS = 8
RADIUS = 7.25
RADIUS_OF_ONE_LINE = 8.5
HALVINGS = 10  # of the interval in which a level is reached,
NEWTON = 2  # and steps of Newton's method after that, before the last one

Function = Callable[[Float[Array, "lines nodes"]], Float[Array, "lines nodes"]]
Cuts = Float[Array, "lines cuts"]


class LineRule(NamedTuple):
    """The nodes z with their weights, and the nodes on each piece of a line."""

    z: Float[Array | np.ndarray, "lines others"]
    weights: Float[Array | np.ndarray, " lines"]
    piece: Piece


@cache
def line_rule(numbers: int, kinks: bool, replica: int = 0) -> LineRule:
    """The rule for d = `numbers`; replicas other than 0 have fewer nodes on a shorter range, or
    other points.
    """
    shorter = 0.25 * (replica > 0)
    radius = (RADIUS_OF_ONE_LINE if numbers == 1 else RADIUS) - shorter
    z, weights = _others(numbers, kinks, replica, radius)
    count = OF_PIECE[numbers] if has_axes(numbers, kinks) else OF_PIECE_WITH_POINTS
    count = _fewer(count, replica)
    return LineRule(z, weights, Piece(*np.polynomial.legendre.leggauss(count), radius))


def _others(numbers: int, kinks: bool, replica: int, radius: float):
    """Nodes in the directions that the lines do not have, and their weights."""
    if numbers == 1:
        return np.zeros((1, 0)), np.ones(1)
    if numbers == 2 and kinks:
        return _on_half_axes(_fewer(OF_HALF_AXIS, replica), radius)
    if has_axes(numbers, kinks):
        spacing = 2 * radius / (_fewer(OF_AXIS[numbers], replica) - 1)
        return ball(numbers - 1, spacing, radius)
    points = normals(uniform_points(numbers - 1, 2**LOG2_POINTS, replica))
    second = points.T @ points / len(points)
    points = np.linalg.solve(np.linalg.cholesky(second), points.T).T
    both = np.concatenate([points, -points])
    return both, np.full(len(both), 1 / len(both))


def has_axes(numbers: int, kinks: bool) -> bool:
    """Whether the lines are not at frozen points."""
    return numbers < 3 or (numbers == 3 and not kinks)


def _on_half_axes(count: int, radius: float):
    """Gauss-Legendre nodes between -radius, 0 and radius, with the normal density."""
    t, lengths = np.polynomial.legendre.leggauss(count)
    z = radius * (t + 1) / 2
    weights = radius * lengths / 2 * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return np.concatenate([-z, z])[:, None], np.concatenate([weights, weights])


def _fewer(count: int, replica: int) -> int:
    """How many nodes a replica has."""
    if replica == 0:
        return count
    return count - max(1, count * (1 + replica) // 16)


def all_replicas(numbers: int, kinks: bool) -> LineRule:
    """The rule and its replicas, stacked: those with fewer nodes have others without weight."""
    rules = [line_rule(numbers, kinks, replica) for replica in range(REPLICAS + 1)]

    def stacked(*parts):
        most = max(len(np.atleast_1d(part)) for part in parts)
        return jnp.stack([_padded(np.asarray(part), most) for part in parts])

    return jax.tree.map(stacked, *rules)


def _padded(part: np.ndarray, rows: int) -> Array:
    """An array with rows of zeros behind; a number as it is."""
    if not part.ndim:
        return jnp.asarray(part)
    missing = [(0, rows - len(part)), *[(0, 0)] * (part.ndim - 1)]
    return jnp.asarray(np.pad(part, missing))


class Lines(NamedTuple):
    """Parallel lines xi = foot + t along, with weights whose sum is 1."""

    foot: Float[Array, "lines numbers"]
    along: Float[Array, " numbers"]
    weights: Float[Array, " lines"]
    piece: Piece

    def nodes(self, cuts: Cuts) -> tuple[Float[Array, "nodes numbers"], Float[Array, " nodes"]]:
        """Nodes xi on the pieces between the cuts, and their weights."""
        t, weights = jax.vmap(lambda points: pieces(points, self.piece))(cuts)
        xi = self.foot[:, None, :] + t[:, :, None] * self.along[None, None, :]
        weights = self.weights[:, None] * weights
        return xi.reshape(-1, len(self.along)), weights.ravel()

    def fields(self, rows: Float[Array, "fields numbers"]):
        """The fields rows . xi as a function of points t of each line."""
        at_foot = rows @ self.foot.T
        slope = rows @ self.along

        def of(t: Float[Array, "lines nodes"]) -> Float[Array, "fields lines nodes"]:
            return at_foot[:, :, None] + slope[:, None, None] * t[None]

        return of


def lines_along(direction: Float[Array, " numbers"], rule: LineRule) -> Lines:
    """The lines in a direction, of any length; the first axis if it has none."""
    square = direction @ direction
    first = jnp.zeros_like(direction).at[0].set(1.0)
    moves = square > 0
    along = jnp.where(moves, direction, first) / jnp.sqrt(jnp.where(moves, square, 1.0))
    foot = jnp.asarray(rule.z) @ _orthogonal_to(along).T
    return Lines(foot, along, jnp.asarray(rule.weights), rule.piece)


def _orthogonal_to(along: Float[Array, " numbers"]) -> Float[Array, "numbers others"]:
    """Orthonormal vectors orthogonal to a unit vector: the last columns of a reflection."""
    side = jnp.where(along[0] < 0, -1.0, 1.0)
    w = along.at[0].add(side)
    reflection = jnp.eye(len(along)) - 2 * w[:, None] * w[None, :] / (w @ w)
    return reflection[:, 1:]


def where_reached(
    function: Function, levels: tuple[float, ...], grid: Float[Array, "lines grid"], most: int
) -> Cuts:
    """Where a function on each line reaches one of several levels, `most` points of each level at
    the most; the end of the grid stands for the missing ones.

    Two such points between neighbours of the grid, which increases, are not seen.
    """
    values = function(grid)
    end = grid.shape[1] - 1

    def of_level(level):
        below = values < level
        first_changes = jax.vmap(lambda one: jnp.nonzero(one, size=most, fill_value=end)[0])
        before = first_changes(below[:, 1:] != below[:, :-1])
        found = before < end
        before = jnp.minimum(before, end - 1)
        lower = jnp.take_along_axis(grid, before, axis=1)
        upper = jnp.take_along_axis(grid, before + 1, axis=1)
        rises = jnp.take_along_axis(below, before, axis=1)
        crossing = _located(function, level, lower, upper, rises)
        return jnp.where(found, crossing, grid[:, -1:])

    points = jax.vmap(of_level, out_axes=1)(jnp.asarray(levels))
    return points.reshape(len(grid), -1)


def _located(function: Function, level: Any, lower, upper, rises) -> Cuts:
    """The point in each interval; its derivative is that of the last step of Newton's method."""

    def halved(_, ends):
        lower, upper = ends
        middle = (lower + upper) / 2
        is_beyond = (function(middle) < level) != rises
        return jnp.where(is_beyond, lower, middle), jnp.where(is_beyond, middle, upper)

    lower, upper = jax.lax.stop_gradient((lower, upper))
    lower, upper = jax.lax.fori_loop(0, HALVINGS, halved, (lower, upper))

    def nearer(_, t):
        t = jax.lax.stop_gradient(t)
        value, slope = jax.jvp(function, (t,), (jnp.ones_like(t),))
        slope = jax.lax.stop_gradient(slope)
        usable = jnp.abs(slope) > 1e-12
        newton = jnp.where(usable, (value - level) / jnp.where(usable, slope, 1.0), 0.0)
        return jnp.clip(t - newton, lower, upper)

    t = jax.lax.fori_loop(0, NEWTON, nearer, (lower + upper) / 2)
    return nearer(0, t)
