"""Quadrature for E[f_1(h_1) ... f_d(h_d)] over d Gaussian fields h ~ N(0, S), axis by axis.

In Cholesky coordinates h = L z with z ~ N(0, 1_d) the average is nested, the last axis innermost:

    F_i(z_1..z_{i-1}) = sum_n w_n f_i(h_i) F_{i+1}(z_1..z_{i-1}, z_n)
    h_i = sum_{j<i} L_ij z_j + L_ii z_n.

A smooth field gets equidistant nodes on [-R, R] weighted with the normal density.  For analytic
integrands this trapezoidal rule converges exponentially, and the poles of tanh off the real axis,
which slow down Gauss-Hermite rules, do little harm.  The axis of a field with kinks or jumps is cut
where h_i meets one, a point that depends on z_1..z_{i-1}, and each piece gets Gauss-Legendre nodes.
Give such fields first: seen from the axis of a smooth field, the step in a field almost parallel to
it would be too sharp for equidistant nodes.  The first axis is also cut where the later fields meet
theirs: a field almost parallel to the first makes a steep step there of what is integrated over it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.triangle import cholesky

FEW_PIECES = 4  # that each get all nodes of a piece
LEAST_NODES = 12  # of a piece, however many there are
BESIDE = 1e-13  # a distance from a point that stays on its side of it


@dataclass(frozen=True)
class Factor:
    """A function of one field and the points where it, its slope or its curvature jumps."""

    function: Callable
    cuts: tuple[float, ...] = ()


@dataclass(frozen=True)
class NestedRule:
    """The range [-R, R] and how many nodes a smooth axis, and each piece of a cut axis, gets for d
    = 1..4 fields.
    """

    radius: float = 7.25
    smooth_nodes: tuple[int, ...] = (129, 97, 65, 45)
    piece_nodes: tuple[int, ...] = (64, 96, 48, 32)

    def coarser(self, replica: int) -> "NestedRule":
        """The rule with fewer nodes on a shorter range, to estimate errors from the difference; 1
        or 2 for how few.

        Errors fall slowly with the nodes of pieces where kinks of two fields are close; smooth axes
        get an even number, and so none at zero.
        """
        smooth = tuple(count * (15 - replica) // 32 * 2 for count in self.smooth_nodes)
        pieces = tuple(count * (7 - replica) // 8 for count in self.piece_nodes)
        return NestedRule(self.radius - 0.25, smooth, pieces)

    def nodes_on_axis(self, cuts: int, fields: int) -> int:
        """How many nodes the axis of a field with so many cuts gets in an integral over `fields`
        fields.
        """
        if not cuts:
            return self.smooth_nodes[fields - 1]
        return (cuts + 1) * _nodes_of_piece(self.piece_nodes[fields - 1], cuts + 1)

    def average(self, S: Float[Array, "d d"], factors: tuple[Factor, ...]) -> Float[Array, ""]:
        """E[f_1(h_1) ... f_d(h_d)] for h ~ N(0, S); S may be singular."""
        return self._nested(cholesky(S), factors, [jnp.zeros(())] * len(factors))

    def average_of_one(
        self, mean: Float[Array, ""], variance: Float[Array, ""], factor: Factor
    ) -> Float[Array, ""]:
        """E[f(h)] for one field h ~ N(mean, variance); a variance of zero gives the mean of both
        sides of a jump.
        """
        varies = variance > 0
        deviation = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1.0)), 0.0)
        return self._nested(deviation[None, None], (factor,), [mean])

    def _nested(
        self,
        L: Float[Array, "d d"],
        factors: tuple[Factor, ...],
        shifts: list[Float[Array, "*outer"]],
    ) -> Float[Array, "*outer"]:
        """F_i on all the nodes of the axes before i; shifts[j] = sum of L_jm z_m over these axes,
        for the fields j >= i.
        """
        i = len(factors) - len(shifts)
        shift = shifts[0][..., None]
        z, weights = self._nodes(shift, L[:, i], factors, i)
        h = shift + L[i, i] * z
        if factors[i].cuts:
            # A field that does not move along this axis may sit on a jump: half of the nodes go to
            # each side of it.
            h = h + jnp.where(L[i, i] > 0, 0.0, BESIDE) * jnp.sign(z) * (1 + jnp.abs(h))
        values = weights * factors[i].function(h)
        if len(shifts) > 1:
            inner = []
            for j, later in enumerate(shifts[1:], start=i + 1):
                inner.append(later[..., None] + L[j, i] * z)
            values = values * self._nested(L, factors, inner)
        return jnp.sum(values, axis=-1)

    def _nodes(
        self,
        shift: Float[Array, "*outer 1"],
        scales: Float[Array, " d"],
        factors: tuple[Factor, ...],
        axis: int,
    ) -> tuple[Float[Array, "*#outer nodes"], Float[Array, "*#outer nodes"]]:
        """Nodes z and weights, normal density included, for functions of shift + scale z on this
        axis.
        """
        if factors[axis].cuts:
            cuts = _cuts(shift, scales[axis], factors[axis].cuts)
            if axis == 0:
                cuts += _cuts_of_later(shift, scales, factors)
            z, weights = self._pieces(shift, cuts, self.piece_nodes[len(factors) - 1])
        else:
            z, weights = self._equidistant(shift.ndim, self.smooth_nodes[len(factors) - 1])
        return z, weights * jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    def _equidistant(
        self, ndim: int, nodes: int
    ) -> tuple[Float[Array, "*outer nodes"], Float[Array, ""]]:
        z, step = np.linspace(-self.radius, self.radius, nodes, retstep=True)
        return _last_axis(z, ndim), jnp.array(step)

    def _pieces(
        self, shift: Float[Array, "*outer 1"], cuts: list[Float[Array, "*outer 1"]], nodes: int
    ) -> tuple[Float[Array, "*outer nodes"], Float[Array, "*outer nodes"]]:
        """Gauss-Legendre nodes on each piece of [-R, R] between the cuts, fewer on each where there
        are many.
        """
        inside = jnp.clip(jnp.concatenate(cuts, axis=-1), -self.radius, self.radius)
        edge = jnp.full_like(shift, self.radius)
        ends = jnp.concatenate([-edge, jnp.sort(inside, axis=-1), edge], axis=-1)
        middle = (ends[..., :-1, None] + ends[..., 1:, None]) / 2
        half = (ends[..., 1:, None] - ends[..., :-1, None]) / 2
        count = len(cuts) + 1
        nodes = _nodes_of_piece(nodes, count)
        t, weights = np.polynomial.legendre.leggauss(nodes)
        flat = (*shift.shape[:-1], count * nodes)
        z = middle + half * _last_axis(t, shift.ndim + 1)
        lengths = half * _last_axis(weights, shift.ndim + 1)
        return z.reshape(flat), lengths.reshape(flat)


def _nodes_of_piece(nodes: int, pieces: int) -> int:
    """The nodes of each piece: fewer where there are many pieces."""
    if pieces <= FEW_PIECES:
        return nodes
    return max(LEAST_NODES, FEW_PIECES * nodes // pieces)


def _cuts(
    shift: Float[Array, "*outer 1"], scale: Float[Array, ""], points: tuple[float, ...]
) -> list[Float[Array, "*outer 1"]]:
    """Where shift + scale z meets the points; z = 0 if it does not move."""
    moves = scale != 0
    return [
        jnp.where(moves, (point - shift) / jnp.where(moves, scale, 1.0), 0.0) for point in points
    ]


def _cuts_of_later(
    shift: Float[Array, "*outer 1"], scales: Float[Array, " d"], factors: tuple[Factor, ...]
) -> list[Float[Array, "*outer 1"]]:
    """Where the later fields meet their own cuts on average, and steps of fields that are almost
    parallel sit.

    All lines through the origin meet the first axis at z = 0.
    """
    cuts = []
    if any(0 in later.cuts for later in factors[1:]) and 0 not in factors[0].cuts:
        cuts.append(jnp.zeros_like(shift))
    for j, later in enumerate(factors[1:], start=1):
        away = tuple(point for point in later.cuts if point != 0)
        cuts += _cuts(shift, scales[j], away)
    return cuts


def _last_axis(x: np.ndarray, ndim: int) -> Float[Array, "*outer nodes"]:
    return jnp.asarray(x).reshape((1,) * (ndim - 1) + (-1,))
