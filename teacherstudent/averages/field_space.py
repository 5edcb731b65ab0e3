"""Averages of one update by quadrature over the student's fields: any activation, any loss.

The slope l'(phi, y) of a loss depends on all K fields at once, so the quadrature has K dimensions:
nodes xi with weights W, and lambda = mean + L xi with the lower triangular L L^T = C.  With

    delta_k = v_k g'(lambda_k) l'(phi, y)

one pass gives

    a = E[delta]
    J = E[delta xi^T] L^-1
    D = E[delta delta^T]
    b = E[g(lambda) l'(phi, y)]

and E[l(phi, y)].

J is right in the sense that J C = Cov(delta, lambda), also where C is singular: an axis that does
not move is left out.

- K = 1, 2, 3, smooth g: equidistant nodes on [-7.25, 7.25] on each axis, with the normal density
  (see `nested_rule.py`), without those in the corners, outside the ball of radius 7.25.
- K = 1, 2, g with kinks: Gauss-Legendre nodes on pieces.  For K = 2 the inner axis crosses the
  lines on which either field meets a kink at 45 degrees or more, however close the two fields are,
  and is cut there; the outer one is cut where two lines meet.
- K >= 4, and K = 3 with kinks: 2^14 frozen points, half of them scrambled Sobol points, the others
  their mirror images, with exact unit covariance.  They are the same at each call, so that the
  equations stay smooth; quadratic functions of the fields are averaged exactly, and odd ones
  vanish.  Other points (`replica`) tell the error.

Measured errors with the logistic loss, largest of a few states with v ~ N(0, 1):

    K    g     variances of order 1    5        10
    1    any   3e-12                   4e-12    5e-12
    2    erf   4e-12                   4e-12    4e-12
    2    tanh  4e-12                   6e-11    2e-7
    2    relu  5e-12                   8e-12    2e-11
    3    erf   3e-7                    2e-4
    3    tanh  2e-5                    9e-4

(for ReLU 5e-12 also at correlations of 0.9999 and beyond), and 1e-4 for erf and tanh, 1e-3 for
ReLU, from the scattered points.  Larger v sharpen l' and cost digits: with three times the v, 1e-6
for erf, 2e-5 for tanh, 1e-7 for ReLU at variances of 10 and K = 2.  `error` estimates the error at
a given state from rules with fewer nodes on a shorter range, or from other points.
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.field_averages import FieldAverages
from teacherstudent.averages.nodes import CutField, Piece, cut_line, cut_plane
from teacherstudent.averages.quasi_random import CAUTION, REPLICAS, normals, uniform_points
from teacherstudent.averages.rule import ball
from teacherstudent.averages.triangle import ROUNDING, cholesky, over_triangle
from teacherstudent.losses import Loss

RADIUS = 7.25
SMOOTH_NODES = {1: 201, 2: 97, 3: 39}
PIECE_NODES = {1: 64, 2: 32}
LOG2_POINTS = 14  # the base-2 logarithm of the number of points, with their mirror images


class FieldSpace:
    """A quadrature rule over K fields for an activation and a loss.

    Its replicas 1, 2, 3 estimate its error: they have fewer nodes on a shorter range, or other
    points.
    """

    def __init__(
        self,
        activation: Activation,
        loss: Loss,
        students: int,
        replica: int = 0,
        log2_points: int = LOG2_POINTS,
    ):
        self.activation = activation
        self.loss = loss
        self.students = students
        self.replica = replica
        self.log2_points = log2_points

    @property
    def description(self) -> str:
        """One line that says which rule it is."""
        if self._scattered:
            return f"{2**self.log2_points} frozen Sobol points in field space"
        kind = "pieces between kinks" if self.activation.cuts else "equidistant nodes"
        return f"tensor rule in field space, {self._nodes} nodes an axis ({kind})"

    def averages(
        self,
        mean: Float[Array, " students"],
        C: Float[Array, "students students"],
        v: Float[Array, " students"],
        y: Float[Array, ""],
    ) -> FieldAverages:
        """a, J, D, b and the expected loss."""
        L = cholesky(C)
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
            J=over_triangle(weighted.T @ xi, L),
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
        """A cautious estimate of the largest absolute error of a, J C, D, b and the loss, from the
        differences of replicas.
        """

        def averages_of(replica: int) -> FieldAverages:
            rule = FieldSpace(self.activation, self.loss, self.students, replica, self.log2_points)
            averages = rule.averages(mean, C, v, y)
            return averages._replace(J=averages.J @ C)

        used = averages_of(0)
        differences = []
        for replica in range(1, REPLICAS + 1):
            others = averages_of(replica)
            differences.append(_largest([x - y for x, y in zip(used, others, strict=True)]))
        return CAUTION * jnp.max(jnp.stack(differences)) + ROUNDING * _largest(used)

    @property
    def _scattered(self) -> bool:
        """Whether a tensor rule would have too many nodes."""
        return self.students not in self._nodes_by_students

    @property
    def _nodes_by_students(self) -> dict[int, int]:
        """How many nodes an axis has, by K, for the K that have a tensor rule."""
        if self.activation.cuts:
            return PIECE_NODES
        return SMOOTH_NODES

    @property
    def _radius(self) -> float:
        if self.replica == 0:
            return RADIUS
        return RADIUS - 0.25

    @property
    def _nodes(self) -> int:
        count = self._nodes_by_students[self.students]
        if self.replica == 0:
            return count
        return count * (15 - self.replica) // 16

    def _rule(
        self, mean: Float[Array, " students"], L: Float[Array, "students students"]
    ) -> tuple[Float[Array, "nodes students"], Float[Array, " nodes"]]:
        """Nodes xi and weights."""
        if self._scattered:
            points = jnp.asarray(
                normal_points(self.students, 2 ** (self.log2_points - 1), self.replica)
            )
            weights = jnp.full(2 * len(points), 0.5 / len(points))
            return jnp.concatenate([points, -points]), weights
        kinks = self.activation.cuts
        if kinks:
            piece = Piece(*np.polynomial.legendre.leggauss(self._nodes), self._radius)
            if self.students == 2:
                fields = [CutField(mean[i], L[i], None, kinks) for i in (0, 1)]
                return cut_plane(fields, piece)
            t, weights = cut_line(kinks, mean, L[:, 0], piece)
            return t[:, None], weights
        spacing = 2 * self._radius / (self._nodes - 1)
        xi, weights = ball(self.students, spacing, self._radius)
        return jnp.asarray(xi), jnp.asarray(weights)


def _largest(parts) -> Float[Array, ""]:
    """The largest absolute value of several arrays."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(part)) for part in parts]))


@cache
def normal_points(
    students: int, count: int, replica: int = 0
) -> Float[np.ndarray, "points students"]:
    """Quasi-random standard normal points, with exact second moments."""
    uniform = uniform_points(students, count, replica)
    z = normals(uniform)
    return np.linalg.solve(np.linalg.cholesky(z.T @ z / count), z.T).T
