"""Nodes and weights for one and for two Gaussian fields with kinks.

They are integrated over pieces between the kinks, with Gauss-Legendre nodes on each.  In a plane
each field meets its kinks on straight lines.  The inner axis is cut where it crosses them, at
angles that are as large as can be; the outer one is cut where two lines meet.

A field of which only the mean is known at each point of the plane makes a step of some width there,
and the inner axis is cut where it begins and ends, too.
"""

import math
from itertools import combinations, product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# On both sides of a kink of a field whose mean alone is known, in its standard deviations.
WIDTHS = 6.0
DIRECTIONS = 24  # that the inner axis of a plane can have

Line = tuple[Float[Array, " nodes"], Float[Array, " nodes"]]
Plane = tuple[Float[Array, "nodes 2"], Float[Array, " nodes"]]


class Piece(NamedTuple):
    """Gauss-Legendre nodes on [-1, 1], and the radius where the last pieces end."""

    nodes: Float[Array | np.ndarray, " nodes"]
    weights: Float[Array | np.ndarray, " nodes"]
    radius: Any


def pieces(cuts: Float[Array, " cuts"], piece: Piece) -> Line:
    """Nodes on each piece of [-radius, radius], with the normal density."""
    t, weights, radius = piece
    edge = jnp.full((1,), radius, cuts.dtype)
    inside = jnp.sort(jnp.clip(cuts, -radius, radius))
    ends = jnp.concatenate([-edge, inside, edge])
    middle = (ends[:-1, None] + ends[1:, None]) / 2
    half = (ends[1:, None] - ends[:-1, None]) / 2
    z = (middle + half * jnp.asarray(t)[None, :]).ravel()
    lengths = (half * jnp.asarray(weights)[None, :]).ravel()
    return z, lengths * jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def cut_line(
    kinks: tuple[float, ...],
    mean: Float[Array, " fields"],
    scale: Float[Array, " fields"],
    piece: Piece,
) -> Line:
    """Nodes t and weights for functions of the fields mean + scale t with kinks."""
    cuts = [ratio(kink - mean, scale) for kink in kinks]
    return pieces(jnp.concatenate(cuts), piece)


class CutField(NamedTuple):
    """A field with the mean `mean + slope . z` at the point z of a plane, and its kinks.

    `width` is the standard deviation that it has there; None for a field that has none.
    """

    mean: Float[Array, ""]
    slope: Float[Array, "2"]
    width: Float[Array, ""] | None
    kinks: tuple[float, ...]


def cut_plane(fields: list[CutField], piece: Piece, through_zero: bool = False) -> Plane:
    """Nodes z and weights for functions of fields with kinks.

    z = s across + t along.  `through_zero` says that all lines go through z = 0, and meet there.
    """
    along = transverse(jnp.stack([field.slope for field in fields]))
    across = jnp.stack([along[1], -along[0]])
    corners = [jnp.zeros(())]
    if not through_zero:
        corners = _corners(fields, across)
    s, weights_s = pieces(jnp.stack(corners), piece)

    def on_line(distance):
        cuts = []
        for field in fields:
            here = field.mean + (field.slope @ across) * distance
            scale = field.slope @ along
            for kink in field.kinks:
                if field.width is None:
                    cuts.append(ratio(kink - here, scale))
                else:
                    cuts += crossings(kink - here, scale, field.width)
        return pieces(jnp.stack(cuts), piece)

    t, weights_t = jax.vmap(on_line)(s)
    z = s[:, None, None] * across[None, None, :] + t[..., None] * along[None, None, :]
    return z.reshape(-1, 2), (weights_s[:, None] * weights_t).ravel()


def crossings(
    distance: Float[Array, "*fields"],
    slope: Float[Array, "*fields"],
    deviation: Float[Array, "*fields"],
) -> list[Float[Array, "*fields"]]:
    """Where slope z meets a kink at a distance, and where its step begins and ends if a deviation
    is left.
    """
    centre = ratio(distance, slope)
    width = WIDTHS * ratio(deviation, jnp.abs(slope))
    return [centre - width, centre, centre + width]


def ratio(top: Float[Array, "*shape"], bottom: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """top / bottom, and 0 where bottom is: a field that does not move meets no kink."""
    zero = bottom == 0
    return jnp.where(zero, 0.0, top / jnp.where(zero, 1.0, bottom))


def _corners(fields: list[CutField], across: Float[Array, "2"]) -> list[Float[Array, ""]]:
    """The distances across at which two lines of kinks meet."""
    corners = []
    for one, other in combinations(fields, 2):
        det = one.slope[0] * other.slope[1] - one.slope[1] * other.slope[0]
        for pair in product(one.kinks, other.kinks):
            first, second = pair[0] - one.mean, pair[1] - other.mean
            x = first * other.slope[1] - second * one.slope[1]
            y = second * one.slope[0] - first * other.slope[0]
            corners.append(ratio(x * across[0] + y * across[1], det))
    return corners


def transverse(slopes: Float[Array, "fields 2"]) -> Float[Array, "2"]:
    """The unit vector whose smallest angle to the lines slope . z = const is largest.

    Of two fields it is halfway between the directions in which they vary, of more the best one of
    a few.
    """
    square = jnp.sum(slopes**2, axis=1, keepdims=True)
    normals = slopes / jnp.sqrt(jnp.where(square > 0, square, 1.0))
    if len(slopes) > 2:
        angles = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
        directions = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], axis=1))
        steepness = jnp.abs(directions @ normals.T)
        # A field that does not vary in the plane meets no kink there.
        steepness = jnp.where(square[:, 0] > 0, steepness, 1.0)
        return directions[jnp.argmax(jnp.min(steepness, axis=1))]
    first, second = normals
    along = first + jnp.where(first @ second < 0, -1.0, 1.0) * second
    length2 = along @ along
    moves = length2 > 0
    direction = jnp.where(moves, along, jnp.array([1.0, 0.0]))
    return direction / jnp.sqrt(jnp.where(moves, length2, 1.0))
