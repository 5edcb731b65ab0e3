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

import math
from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.field_averages import FieldAverages
from teacherstudent.averages.nested_rule import ROUNDING, cholesky
from teacherstudent.averages.quasi_random import CAUTION, REPLICAS, normals, uniform_points
from teacherstudent.losses import Loss

RADIUS = 7.25
SMOOTH_NODES = {1: 201, 2: 97, 3: 39}
PIECE_NODES = {1: 64, 2: 32}
LOG2_POINTS = 13  # of Sobol points, before the mirror images


class FieldSpace:
    """A quadrature rule over K fields for an activation and a loss.

    Its replicas 1, 2, 3 estimate its error: they have fewer nodes on a shorter range, or other
    points.
    """

    def __init__(self, activation: Activation, loss: Loss, students: int, replica: int = 0):
        self.activation = activation
        self.loss = loss
        self.students = students
        self.replica = replica

    @property
    def description(self) -> str:
        """One line that says which rule it is."""
        if self._scattered:
            return f"{2 * self._points} frozen Sobol points in field space"
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
        """A cautious estimate of the largest absolute error of a, J C, D, b and the loss, from the
        differences of replicas.
        """

        def averages_of(replica: int) -> FieldAverages:
            rule = FieldSpace(self.activation, self.loss, self.students, replica)
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

    @property
    def _points(self) -> int:
        return 2**LOG2_POINTS

    def _rule(
        self, mean: Float[Array, " students"], L: Float[Array, "students students"]
    ) -> tuple[Float[Array, "nodes students"], Float[Array, " nodes"]]:
        """Nodes xi and weights."""
        if self._scattered:
            points = jnp.asarray(normal_points(self.students, self._points, self.replica))
            weights = jnp.full(2 * len(points), 0.5 / len(points))
            return jnp.concatenate([points, -points]), weights
        if self.activation.cuts and self.students == 1:
            return self._cut_line(mean, L[:, 0])
        if self.activation.cuts:
            return self._cut_plane(mean, L)
        z, step = np.linspace(-self._radius, self._radius, self._nodes, retstep=True)
        axes = np.meshgrid(*[z] * self.students, indexing="ij")
        xi = np.stack([axis.ravel() for axis in axes], axis=1)
        square = np.sum(xi**2, axis=1)
        # The corners of the cube weigh no more than what lies outside of it.
        inside = square <= self._radius**2
        weights = np.exp(-square / 2) * (step / math.sqrt(2 * math.pi)) ** self.students
        return jnp.asarray(xi[inside]), jnp.asarray(weights[inside])

    def _cut_line(
        self, mean: Float[Array, " fields"], scale: Float[Array, " fields"]
    ) -> tuple[Float[Array, "nodes 1"], Float[Array, " nodes"]]:
        """Nodes t and weights for kinked functions of the fields mean + scale t."""
        cuts = [_ratio(kink - mean, scale) for kink in self.activation.cuts]
        t, weights = self._pieces(jnp.concatenate(cuts))
        return t[:, None], weights

    def _cut_plane(
        self, mean: Float[Array, "2"], L: Float[Array, "2 2"]
    ) -> tuple[Float[Array, "nodes 2"], Float[Array, " nodes"]]:
        """xi = s across + t along: on lines s = const both fields meet their kinks at an angle of
        45 degrees or more.
        """
        along = _transverse(L)
        across = jnp.array([[0.0, -1.0], [1.0, 0.0]]) @ along
        corners = []
        for kinks in product(self.activation.cuts, repeat=2):
            target = jnp.array(kinks, mean.dtype) - mean
            corners.append(_corner(target, L) @ across)
        s, weights_s = self._pieces(jnp.stack(corners))

        def on_line(distance):
            return self._cut_line(mean + (L @ across) * distance, L @ along)

        t, weights_t = jax.vmap(on_line)(s)
        xi = s[:, None, None] * across[None, None, :] + t * along[None, None, :]
        return xi.reshape(-1, 2), (weights_s[:, None] * weights_t).ravel()

    def _pieces(
        self, cuts: Float[Array, " cuts"]
    ) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
        """Gauss-Legendre nodes on each piece of [-R, R], with the normal density."""
        t, weights = np.polynomial.legendre.leggauss(self._nodes)
        edge = jnp.full((1,), self._radius, cuts.dtype)
        inside = jnp.sort(jnp.clip(cuts, -self._radius, self._radius))
        ends = jnp.concatenate([-edge, inside, edge])
        middle = (ends[:-1, None] + ends[1:, None]) / 2
        half = (ends[1:, None] - ends[:-1, None]) / 2
        z = (middle + half * jnp.asarray(t)[None, :]).ravel()
        lengths = (half * jnp.asarray(weights)[None, :]).ravel()
        return z, lengths * jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _largest(parts) -> Float[Array, ""]:
    """The largest absolute value of several arrays."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(part)) for part in parts]))


def _ratio(top: Float[Array, "*shape"], bottom: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """top / bottom, and 0 where bottom is: a field that does not move meets no kink."""
    zero = bottom == 0
    return jnp.where(zero, 0.0, top / jnp.where(zero, 1.0, bottom))


def _corner(target: Float[Array, "2"], L: Float[Array, "2 2"]) -> Float[Array, "2"]:
    """xi with L xi = target: where two lines of kinks meet."""
    first = _ratio(target[0], L[0, 0])
    return jnp.stack([first, _ratio(target[1] - L[1, 0] * first, L[1, 1])])


def _transverse(L: Float[Array, "2 2"]) -> Float[Array, "2"]:
    """The direction halfway between those in which the two fields vary."""
    square = jnp.sum(L**2, axis=1, keepdims=True)
    first, second = L / jnp.sqrt(jnp.where(square > 0, square, 1.0))
    along = first + jnp.where(first @ second < 0, -1.0, 1.0) * second
    length2 = along @ along
    moves = length2 > 0
    direction = jnp.where(moves, along, jnp.array([1.0, 0.0]))
    return direction / jnp.sqrt(jnp.where(moves, length2, 1.0))


def _over_triangle(
    Y: Float[Array, "students students"], L: Float[Array, "students students"]
) -> Float[Array, "students students"]:
    """J with J L = Y, L lower triangular; a column of zeros in L gives one in J."""
    dead = jnp.diag(L) == 0
    Y = jnp.where(dead[None, :], 0.0, Y)
    L = L + jnp.diag(jnp.where(dead, 1.0, 0.0))
    return jax.scipy.linalg.solve_triangular(L.T, Y.T, lower=False).T


@cache
def normal_points(
    students: int, count: int, replica: int = 0
) -> Float[np.ndarray, "points students"]:
    """Quasi-random standard normal points, with exact second moments."""
    uniform = uniform_points(students, count, replica)
    z = normals(uniform)
    return np.linalg.solve(np.linalg.cholesky(z.T @ z / count), z.T).T
