"""Quadrature for E[f_1(h_1) ... f_d(h_d)] over d Gaussian fields h ~ N(0, S), axis by axis.

In Cholesky coordinates h = L z with z ~ N(0, 1_d) the average is nested, the last axis innermost:

    F_i(z_1..z_{i-1}) = sum_n w_n f_i(h_i) F_{i+1}(z_1..z_{i-1}, z_n),    h_i = sum_{j<i} L_ij z_j + L_ii z_n.

A smooth field gets equidistant nodes on [-R, R] weighted with the normal density.  For analytic integrands this
trapezoidal rule converges exponentially, and the poles of tanh off the real axis, which slow down Gauss-Hermite rules,
do little harm.  The axis of a field with kinks is cut where h_i meets a kink, a point that depends on z_1..z_{i-1}, and
each piece gets Gauss-Legendre nodes.  Give such fields first: seen from the axis of a smooth field, the step in a field
almost parallel to it would be too sharp for equidistant nodes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

FIXED = 1e-15  # a conditional variance, relative to the unconditional one, that is zero up to rounding


@dataclass(frozen=True)
class Factor:
    """A function of one field and the points where it, or its derivative, jumps."""

    function: Callable
    kinks: tuple[float, ...] = ()


@dataclass(frozen=True)
class NestedRule:
    """The range [-R, R] and how many nodes a smooth axis, and each piece of a cut axis, gets for d = 1..4 fields."""

    radius: float = 7.25
    smooth_nodes: tuple[int, ...] = (129, 97, 65, 45)
    piece_nodes: tuple[int, ...] = (64, 96, 48, 32)

    def coarser(self) -> "NestedRule":
        """A rule with fewer nodes on a shorter range, to estimate errors from the difference."""
        smooth, pieces = (tuple(count * 7 // 8 for count in counts) for counts in (self.smooth_nodes, self.piece_nodes))
        return NestedRule(self.radius - 0.25, smooth, pieces)

    def average(self, S: Float[Array, "d d"], factors: tuple[Factor, ...]) -> Float[Array, ""]:
        """E[f_1(h_1) ... f_d(h_d)] for h ~ N(0, S); S may be singular."""
        return self._nested(_cholesky(S), factors, [jnp.zeros(())] * len(factors))

    def _nested(
        self, L: Float[Array, "d d"], factors: tuple[Factor, ...], shifts: list[Float[Array, "*outer"]]
    ) -> Float[Array, "*outer"]:
        """F_i on all the nodes of the axes before i; shifts[j] = sum of L_jm z_m over these axes, for the fields j >= i."""
        i = len(factors) - len(shifts)
        shift = shifts[0][..., None]
        z, weights = self._nodes(shift, L[i, i], factors[i].kinks, len(factors))
        values = weights * factors[i].function(shift + L[i, i] * z)
        if len(shifts) > 1:
            inner = [later[..., None] + L[j, i] * z for j, later in enumerate(shifts[1:], start=i + 1)]
            values = values * self._nested(L, factors, inner)
        return jnp.sum(values, axis=-1)

    def _nodes(
        self, shift: Float[Array, "*outer 1"], scale: Float[Array, ""], kinks: tuple[float, ...], fields: int
    ) -> tuple[Float[Array, "*#outer nodes"], Float[Array, "*#outer nodes"]]:
        """Nodes z and weights, normal density included, for a function of shift + scale z."""
        if kinks:
            z, weights = self._pieces(shift, scale, kinks, self.piece_nodes[fields - 1])
        else:
            z, weights = self._equidistant(shift.ndim, self.smooth_nodes[fields - 1])
        return z, weights * jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

    def _equidistant(self, ndim: int, nodes: int) -> tuple[Float[Array, "*outer nodes"], Float[Array, ""]]:
        z, step = np.linspace(-self.radius, self.radius, nodes, retstep=True)
        return _last_axis(z, ndim), jnp.array(step)

    def _pieces(
        self, shift: Float[Array, "*outer 1"], scale: Float[Array, ""], kinks: tuple[float, ...], nodes: int
    ) -> tuple[Float[Array, "*outer nodes"], Float[Array, "*outer nodes"]]:
        moves = scale > 0
        cuts = [(kink - shift) / jnp.where(moves, scale, 1.0) for kink in sorted(kinks)]
        cuts = [jnp.where(moves, jnp.clip(cut, -self.radius, self.radius), 0.0) for cut in cuts]
        ends = [jnp.full_like(shift, -self.radius), *cuts, jnp.full_like(shift, self.radius)]
        t, weights = (_last_axis(x, shift.ndim) for x in np.polynomial.legendre.leggauss(nodes))
        pieces = list(zip(ends[:-1], ends[1:], strict=True))
        z = [(left + right) / 2 + (right - left) / 2 * t for left, right in pieces]
        w = [(right - left) / 2 * weights for left, right in pieces]
        return jnp.concatenate(z, axis=-1), jnp.concatenate(w, axis=-1)


def _last_axis(x: np.ndarray, ndim: int) -> Float[Array, "*outer nodes"]:
    return jnp.asarray(x).reshape((1,) * (ndim - 1) + (-1,))


def _cholesky(S: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """The lower triangular L with S = L L^T; a field fixed by the earlier ones gets a column of zeros."""
    smallest = FIXED * jnp.diag(S)
    columns = []
    for j in range(len(S)):
        free = S[j, j] > smallest[j]
        column = jnp.where(free, S[:, j] / jnp.sqrt(jnp.where(free, S[j, j], 1.0)), 0.0)
        columns.append(jnp.where(np.arange(len(S)) < j, 0.0, column))
        S = S - columns[j][:, None] * columns[j][None, :]
    return jnp.stack(columns, axis=1)
