"""Gauss-Legendre nodes on parallel lines, on the pieces between the zeros of some functions.

Zeros are looked for between the points of a grid, at most three of a function on a line, and found
by bisection.  A last step of Newton's method gives them their derivatives with respect to what the
functions depend on, so that an average of something that jumps there has its own.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

GRID = 59  # points on a line
MOST_ZEROS = 3  # of one function on one line
BISECTIONS = 45
PIECE_NODES = 14

OnLines = Callable[[Float[Array, "lines nodes"]], Float[Array, "functions lines nodes"]]


def cut_lines(
    functions: OnLines, lines: int, radius: float
) -> tuple[Float[Array, "lines nodes"], Float[Array, "lines nodes"]]:
    """Nodes t on each line and their weights, with the normal density."""
    zeros = _zeros(functions, lines, radius)
    ends = jnp.full((lines, 1), radius)
    cuts = jnp.concatenate([-ends, jnp.sort(zeros, axis=1), ends], axis=1)
    nodes, lengths = np.polynomial.legendre.leggauss(PIECE_NODES)
    middle = (cuts[:, 1:] + cuts[:, :-1])[:, :, None] / 2
    half = (cuts[:, 1:] - cuts[:, :-1])[:, :, None] / 2
    t = (middle + half * jnp.asarray(nodes)[None, None, :]).reshape(lines, -1)
    weights = (half * jnp.asarray(lengths)[None, None, :]).reshape(lines, -1)
    return t, weights * jnp.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)


def _zeros(functions: OnLines, lines: int, radius: float) -> Float[Array, "lines zeros"]:
    """The zeros of all functions; where there are fewer, points that divide the line evenly."""
    grid = np.linspace(-radius, radius, GRID)
    values = functions(jnp.broadcast_to(jnp.asarray(grid)[None, :], (lines, GRID)))
    changes = jnp.sign(values[..., 1:]) != jnp.sign(values[..., :-1])
    # The first intervals in which a sign changes come first.
    order = jnp.argsort(~changes, axis=-1, stable=True)[..., :MOST_ZEROS]
    found = jnp.take_along_axis(changes, order, axis=-1)
    left = jnp.asarray(grid)[order]
    right = jnp.asarray(grid)[order + 1]
    before = jnp.take_along_axis(values, order, axis=-1)

    def of_each(t):
        """Each function at its own points."""
        count = len(values)
        each = functions(jnp.moveaxis(t, 0, 1).reshape(lines, -1))
        each = each.reshape(count, lines, count, MOST_ZEROS)
        own = jnp.arange(count)
        return each[own, :, own, :]

    def halve(_, interval):
        left, right = interval
        middle = (left + right) / 2
        beyond = jnp.sign(of_each(middle)) != jnp.sign(before)
        return jnp.where(beyond, left, middle), jnp.where(beyond, middle, right)

    interval = jax.lax.stop_gradient((left, right))
    left, right = jax.lax.fori_loop(0, BISECTIONS, halve, interval)
    t = jax.lax.stop_gradient((left + right) / 2)
    value, slope = jax.jvp(of_each, (t,), (jnp.ones_like(t),))
    slope = jax.lax.stop_gradient(slope)
    step = jnp.where(slope != 0, value / jnp.where(slope != 0, slope, 1.0), 0.0)
    # In a jump of a function itself there is no derivative.
    zero = t - jnp.where(jnp.abs(step) < 1e-6, step, 0.0)
    spread = np.linspace(-radius, radius, MOST_ZEROS * len(values) + 2)[1:-1]
    evenly = jnp.broadcast_to(jnp.asarray(spread.reshape(-1, 1, MOST_ZEROS)), zero.shape)
    zeros = jnp.where(found, zero, evenly)
    return jnp.moveaxis(zeros, 0, 1).reshape(lines, -1)
