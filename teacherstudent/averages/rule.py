"""The nodes and weights of a resolution, as arrays.

A coarser rule has the shapes of the finer one, with nodes of no weight, so that one program serves
both.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.resolution import Resolution

Nodes = Float[Array | np.ndarray, "nodes"]


class Rule(NamedTuple):
    """Nodes and weights for N(0, 1), with the density in the weights, unless it is said otherwise.

    - `line`, `line_weights`: of one field that is integrated over.
    - `plane`, `plane_weights`: of two; those of one half of the plane where integrands are even.
    - `hidden`, `hidden_polynomials`: of a field that is averaged over given others, with the
      normalised Hermite polynomials times the weights; `hidden_line` and
      `hidden_line_polynomials` are finer, for averages over lines.
    - `terms`: 1 for each term of Mehler's series, 0 for those left out.
    - `piece`, `piece_weights`: Gauss-Legendre nodes on [-1, 1], without a density;
      `line_piece` and `line_piece_weights` more of them, for lines.
    - `radius`, `line_radius`: where integrals over pieces end.
    """

    line: Nodes
    line_weights: Nodes
    plane: Float[Array | np.ndarray, "nodes 2"]
    plane_weights: Nodes
    hidden: Nodes
    hidden_polynomials: Float[Array | np.ndarray, "terms nodes"]
    hidden_line: Nodes
    hidden_line_polynomials: Float[Array | np.ndarray, "2 nodes"]
    terms: Float[Array | np.ndarray, " terms"]
    piece: Nodes
    piece_weights: Nodes
    line_piece: Nodes
    line_piece_weights: Nodes
    radius: Any
    line_radius: Any


def rule_of(resolution: Resolution, symmetric: bool, likewise: Resolution | None = None) -> Rule:
    """The rule of a resolution, with the shapes of a finer one if that is given.

    `symmetric`: for integrands over the plane that are even.
    """
    shapes = None
    if likewise is not None:
        shapes = rule_of(likewise, symmetric)
    lines = resolution.of_lines()
    line, line_weights = ball(1, lines.spacing, lines.radius)
    plane, plane_weights = ball(2, resolution.spacing, resolution.radius, half=symmetric)
    hidden, polynomials = _hidden(resolution, resolution.terms)
    hidden_line, line_polynomials = _hidden(lines, 2)
    piece, piece_weights = np.polynomial.legendre.leggauss(resolution.piece_nodes)
    line_piece, line_piece_weights = np.polynomial.legendre.leggauss(lines.piece_nodes)
    rule = Rule(
        line=line[:, 0],
        line_weights=line_weights,
        plane=plane,
        plane_weights=plane_weights,
        hidden=hidden,
        hidden_polynomials=polynomials,
        hidden_line=hidden_line,
        hidden_line_polynomials=line_polynomials,
        terms=np.ones(resolution.terms),
        piece=piece,
        piece_weights=piece_weights,
        line_piece=line_piece,
        line_piece_weights=line_piece_weights,
        radius=resolution.radius,
        line_radius=lines.radius,
    )
    if shapes is None:
        return rule
    return Rule(*(_padded(part, like) for part, like in zip(rule, shapes, strict=True)))


def both_rules(resolution: Resolution, symmetric: bool) -> Rule:
    """The rule of a resolution and a coarser one, stacked."""
    fine = rule_of(resolution, symmetric)
    coarse = rule_of(resolution.coarser(), symmetric, resolution)
    return Rule(*(jnp.stack([a, b]) for a, b in zip(fine, coarse, strict=True)))


def _padded(part, like):
    """An array with zeros behind, up to another's shape; numbers as they are."""
    if not np.ndim(part):
        return part
    missing = [(0, more - less) for less, more in zip(part.shape, like.shape, strict=True)]
    return np.pad(part, missing)


def _hidden(resolution: Resolution, terms: int):
    x, weights = ball(1, resolution.hidden_spacing, resolution.hidden_radius)
    return x[:, 0], hermite_polynomials(x[:, 0], terms) * weights[None, :]


def hermite_polynomials(
    x: Float[np.ndarray, " nodes"], terms: int
) -> Float[np.ndarray, "terms nodes"]:
    """he_0(x), he_1(x), ..., He_n / sqrt(n!)."""
    rows = [np.ones_like(x), x]
    for n in range(1, terms - 1):
        rows.append((x * rows[-1] - math.sqrt(n) * rows[-2]) / math.sqrt(n + 1))
    return np.stack(rows[:terms])


def ball(dimensions: int, spacing: float, radius: float, half: bool = False) -> tuple:
    """Equidistant nodes inside a ball around zero, one of them there, and their normal weights.

    For analytic integrands this trapezoidal rule converges exponentially, and the poles of tanh off
    the real axis, which slow down Gauss-Hermite rules, do little harm.

    A `half` ball has one node of each pair x, -x, with twice the weight.
    """
    count = math.floor(radius / spacing)
    z = spacing * np.arange(-count, count + 1)
    axes = np.meshgrid(*[z] * dimensions, indexing="ij")
    xi = np.stack([axis.ravel() for axis in axes], axis=1)
    square = np.sum(xi**2, axis=1)
    # The corners of the cube weigh no more than what lies outside of it.
    inside = square <= radius**2
    xi = xi[inside]
    weights = np.exp(-square[inside] / 2)
    weights = weights / weights.sum()
    if half:
        middle = len(xi) // 2  # zero itself: nodes are in the order of their coordinates
        weights[middle] /= 2
        return xi[middle:], 2 * weights[middle:]
    return xi, weights
