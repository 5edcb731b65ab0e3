"""Nodes and weights for one and for two Gaussian fields with kinks.

They are integrated over pieces between the kinks, with Gauss-Legendre nodes on each.  In a plane
the inner axis crosses the lines on which either field meets a kink at 45 degrees or more, however
close the two fields are, and is cut there; the outer one is cut where two lines meet.
"""

import math
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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


def cut_plane(
    kinks: tuple[float, ...],
    mean: Float[Array, "2"],
    L: Float[Array, "2 2"],
    piece: Piece,
) -> Plane:
    """Nodes xi and weights for functions of two fields mean + L xi with kinks.

    xi = s across + t along: on lines s = const both fields meet their kinks at an angle of 45
    degrees or more.
    """
    along = _transverse(L)
    across = jnp.array([[0.0, -1.0], [1.0, 0.0]]) @ along
    corners = []
    for pair in product(kinks, repeat=2):
        target = jnp.array(pair, mean.dtype) - mean
        corners.append(_corner(target, L) @ across)
    s, weights_s = pieces(jnp.stack(corners), piece)

    def on_line(distance):
        return cut_line(kinks, mean + (L @ across) * distance, L @ along, piece)

    t, weights_t = jax.vmap(on_line)(s)
    xi = s[:, None, None] * across[None, None, :] + t[..., None] * along[None, None, :]
    return xi.reshape(-1, 2), (weights_s[:, None] * weights_t).ravel()


def ratio(top: Float[Array, "*shape"], bottom: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """top / bottom, and 0 where bottom is: a field that does not move meets no kink."""
    zero = bottom == 0
    return jnp.where(zero, 0.0, top / jnp.where(zero, 1.0, bottom))


def _corner(target: Float[Array, "2"], L: Float[Array, "2 2"]) -> Float[Array, "2"]:
    """xi with L xi = target: where two lines of kinks meet."""
    first = ratio(target[0], L[0, 0])
    return jnp.stack([first, ratio(target[1] - L[1, 0] * first, L[1, 1])])


def _transverse(L: Float[Array, "2 2"]) -> Float[Array, "2"]:
    """The direction halfway between those in which the two fields vary."""
    square = jnp.sum(L**2, axis=1, keepdims=True)
    first, second = L / jnp.sqrt(jnp.where(square > 0, square, 1.0))
    along = first + jnp.where(first @ second < 0, -1.0, 1.0) * second
    length2 = along @ along
    moves = length2 > 0
    direction = jnp.where(moves, along, jnp.array([1.0, 0.0]))
    return direction / jnp.sqrt(jnp.where(moves, length2, 1.0))
