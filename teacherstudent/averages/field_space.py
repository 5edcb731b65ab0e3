"""Averages of one update by quadrature over the student's fields: any activation, any loss.

The slope l'(phi, y) of a loss depends on all K fields at once, so the rule has K dimensions: nodes xi with weights W, and
lambda = mean + L xi with the lower triangular L L^T = C.  With delta_k = v_k g'(lambda_k) l'(phi, y) one pass gives

    a = E[delta],   J = E[delta xi^T] L^-1,   D = E[delta delta^T],   b = E[g(lambda) l'(phi, y)],   E[l(phi, y)].

J is right in the sense that J C = Cov(delta, lambda), also where C is singular: an axis that does not move is left out.

- K = 1, 2, 3, smooth g: equidistant nodes on [-7.25, 7.25] on each axis, with the normal density (see `nested_rule.py`).
- K = 1, 2, g with kinks: each axis cut where its field meets a kink, the first also where the second field would; Gauss-Legendre
  nodes on each piece.
- K >= 4, and K = 3 with kinks: 2^14 frozen points, half of them scrambled Sobol points, the others their mirror images,
  with exact unit covariance.  They are the same at each call, so that the equations stay smooth; quadratic functions of the
  fields are averaged exactly.

Measured errors at variances of order one, logistic loss: 1e-12 for erf and 1e-11 for tanh and ReLU with K = 1, 2 (tanh 5e-5 at
variances near 10), 1e-6 for K = 3 and smooth g, 1e-4 to 1e-3 for the scattered points.  `error` estimates the error at a given
state from a rule with fewer nodes on a shorter range.
"""

import math
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special
from scipy.stats import qmc

from teacherstudent.activations import Activation
from teacherstudent.averages.nested_rule import _cholesky
from teacherstudent.losses import Loss

RADIUS = 7.25
SMOOTH_NODES = {1: 129, 2: 81, 3: 31}
PIECE_NODES = {1: 64, 2: 32}
LOG2_POINTS = 13  # of Sobol points, before the mirror images


class FieldAverages(NamedTuple):
    """Averages of one update in one component."""

    a: Float[Array, "*components students"]
    J: Float[Array, "*components students students"]
    D: Float[Array, "*components students students"]
    b: Float[Array, "*components students"]
    loss: Float[Array, "*components"]


class FieldSpace:
    """A quadrature rule over K fields for an activation and a loss; `coarse` has fewer nodes."""

    def __init__(self, activation: Activation, loss: Loss, students: int, coarse: bool = False):
        self.activation, self.loss, self.students, self.coarse = activation, loss, students, coarse

    @property
    def description(self) -> str:
        """One line that says which rule it is."""
        if self._scattered:
            return f"{2 * self._points} frozen Sobol points in field space"
        kind = "pieces between kinks" if self.activation.kinks else "equidistant nodes"
        return f"tensor rule in field space, {self._nodes} nodes an axis ({kind})"

    def averages(
        self,
        mean: Float[Array, " students"],
        C: Float[Array, "students students"],
        v: Float[Array, " students"],
        y: Float[Array, ""],
    ) -> FieldAverages:
        """a, J, D, b and the expected loss."""
        L = _cholesky(C)
        xi, weights = self._rule(mean, L)
        lam = mean[None, :] + xi @ L.T
        hidden = self.activation(lam)
        phi = hidden @ v
        label = y * jnp.ones_like(phi)
        slope = self.loss.slope(phi, label)
        delta = v[None, :] * self.activation.derivative(lam) * slope[:, None]
        weighted = weights[:, None] * delta
        return FieldAverages(
            a=jnp.sum(weighted, axis=0),
            J=_over_triangle(weighted.T @ xi, L),
            D=weighted.T @ delta,
            b=(weights * slope) @ hidden,
            loss=weights @ self.loss.value(phi, label),
        )

    def error(
        self,
        mean: Float[Array, " students"],
        C: Float[Array, "students students"],
        v: Float[Array, " students"],
        y: Float[Array, ""],
    ) -> Float[Array, ""]:
        """An estimate of the largest absolute error of a, J C, D, b and the loss: the difference from a coarser rule."""
        coarse = FieldSpace(self.activation, self.loss, self.students, coarse=True)
        ours, theirs = (rule.averages(mean, C, v, y) for rule in (self, coarse))
        ours, theirs = (one._replace(J=one.J @ C) for one in (ours, theirs))
        differences = jax.tree.map(lambda x, y: jnp.max(jnp.abs(x - y)), ours, theirs)
        return jnp.max(jnp.stack(differences))

    @property
    def _scattered(self) -> bool:
        """Whether a tensor rule would have too many nodes."""
        return self.students not in (PIECE_NODES if self.activation.kinks else SMOOTH_NODES)

    @property
    def _radius(self) -> float:
        return RADIUS - 0.25 * self.coarse

    @property
    def _nodes(self) -> int:
        count = (PIECE_NODES if self.activation.kinks else SMOOTH_NODES)[self.students]
        return count * 7 // 8 if self.coarse else count

    @property
    def _points(self) -> int:
        return 2 ** (LOG2_POINTS - self.coarse)

    def _rule(
        self, mean: Float[Array, " students"], L: Float[Array, "students students"]
    ) -> tuple[Float[Array, "nodes students"], Float[Array, " nodes"]]:
        """Nodes xi and weights."""
        if self._scattered:
            points = jnp.asarray(_normal_points(self.students, self._points))
            return points, jnp.full(len(points), 1 / len(points))
        if self.activation.kinks:
            return self._cut(mean, L)
        z, step = np.linspace(-self._radius, self._radius, self._nodes, retstep=True)
        w = step * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        xi = np.stack([axis.ravel() for axis in np.meshgrid(*[z] * self.students, indexing="ij")], axis=1)
        weights = np.prod([axis.ravel() for axis in np.meshgrid(*[w] * self.students, indexing="ij")], axis=0)
        return jnp.asarray(xi), jnp.asarray(weights)

    def _cut(self, mean: Float[Array, " students"], L: Float[Array, "students students"]):
        """The rule for g with kinks, axis by axis."""
        cuts = [_crossing(kink, mean[i], L[i, 0]) for i in range(self.students) for kink in self.activation.kinks]
        first, weights = self._pieces(jnp.stack(cuts))
        if self.students == 1:
            return first[:, None], weights

        def along_second(one):
            return self._pieces(
                jnp.stack([_crossing(kink, mean[1] + L[1, 0] * one, L[1, 1]) for kink in self.activation.kinks])
            )

        second, weights2 = jax.vmap(along_second)(first)
        xi = jnp.stack([jnp.broadcast_to(first[:, None], second.shape).ravel(), second.ravel()], axis=1)
        return xi, (weights[:, None] * weights2).ravel()

    def _pieces(self, cuts: Float[Array, " cuts"]) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
        """Gauss-Legendre nodes on each piece of [-R, R], with the normal density."""
        t, w = (jnp.asarray(part)[None, :] for part in np.polynomial.legendre.leggauss(self._nodes))
        edge = jnp.full((1,), self._radius, cuts.dtype)
        ends = jnp.concatenate([-edge, jnp.sort(jnp.clip(cuts, -self._radius, self._radius)), edge])
        left, right = ends[:-1, None], ends[1:, None]
        z = ((left + right) / 2 + (right - left) / 2 * t).ravel()
        return z, ((right - left) / 2 * w).ravel() * jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _crossing(kink: float, mean: Float[Array, ""], scale: Float[Array, ""]) -> Float[Array, ""]:
    """Where mean + scale xi meets a kink; 0 for a field that does not move."""
    moves = jnp.abs(scale) > 0
    return jnp.where(moves, (kink - mean) / jnp.where(moves, scale, 1.0), 0.0)


def _over_triangle(
    Y: Float[Array, "students students"], L: Float[Array, "students students"]
) -> Float[Array, "students students"]:
    """J with J L = Y, L lower triangular; a column of zeros in L gives one in J."""
    dead = jnp.diag(L) == 0
    Y = jnp.where(dead[None, :], 0.0, Y)
    L = L + jnp.diag(jnp.where(dead, 1.0, 0.0))
    return jax.scipy.linalg.solve_triangular(L.T, Y.T, lower=False).T


@cache
def _normal_points(students: int, count: int) -> Float[np.ndarray, "points students"]:
    """Quasi-random standard normal points and their mirror images, with exact unit covariance."""
    uniform = qmc.Sobol(students, scramble=True, rng=0).random(count)
    tiny = 2.0**-40
    z = special.ndtri(np.clip(uniform, tiny, 1 - tiny))
    z = np.linalg.solve(np.linalg.cholesky(z.T @ z / count), z.T).T
    return np.concatenate([z, -z])
