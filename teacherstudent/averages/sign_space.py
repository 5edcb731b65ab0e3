"""Averages of one update of any student that is told signs, by quadrature over the fields.

The student's fields lambda and the normal field u whose sign is the label have the covariance

    [[Q, r], [r^T, t]] = L L^T,   (lambda, u) = L (xi, zeta),   u = rho . xi + s zeta

so that, with c = 1 - 2 p for labels that are flipped with the probability p,

    P(y | lambda)                 = 1/2 + (c y / 2) erf( rho . xi / (sqrt(2) s) )
    E[zeta 1(told label y) | xi]  = c y n(rho . xi / s),   n the standard normal density.

With delta_k = v_k g'(lambda_k) l'(phi, y) all that an update needs are averages over xi alone,

    J = E[d delta / d(lambda, u)] = E[delta (xi, zeta)^T] L^-1
    D = E[delta delta^T],   b_k = E[g(lambda_k) l'(phi, y)]

since by Stein's lemma J L L^T = E[delta (lambda, u)^T].  They are sums over nodes on lines
(`lines.py`), which are cut where a field meets a kink of g, where P(y | lambda) begins and ends to
change, and where y phi has a value at which l' bends or jumps.  The lines have the direction in
which phi and u change together, L^T v + kappa rho, so that they meet these surfaces at angles.

Where the label is the sign of a committee's output, phi* = sum_m v*_m g*(nu_m) + sigma zeta, the
teacher's fields nu are nodes as well, the lines are cut where phi* = 0, and

    P(y | nu) = 1/2 + (c y / 2) erf( phi* / (sqrt(2) sigma) ).

Measured errors are in `docs/theory/perceptrons.md`; `error` estimates that at a given state.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.lines import (
    RADIUS_OF_ONE_LINE,
    Cuts,
    LineRule,
    Lines,
    all_replicas,
    has_axes,
    line_rule,
    lines_along,
    where_reached,
)
from teacherstudent.averages.nodes import crossings, ratio
from teacherstudent.averages.quasi_random import CAUTION
from teacherstudent.averages.triangle import ROUNDING, cholesky, over_triangle

PANELS = 26  # of a single line, on each side of a point, each half as long as the next
GRID = {1: 401}  # points of a line between which a level may be reached, by their dimension d
GRID_OF_MANY = 33
MOST_OF_ONE_LINE = 6  # times that a level is reached on it, or by one unit,
MOST = 4  # and by several units where there are many lines

Number = Float[Array, ""]
Nodes = Float[Array, "nodes numbers"]
Root = Float[Array, "fields fields"]  # the triangular root of the fields' covariance


class SignMoments(NamedTuple):
    """What an update takes: J by the student's fields and those of the label, D, the gradient of
    the readout, and the expected loss.
    """

    J: Float[Array, "students fields"]
    D: Float[Array, "students students"]
    readout: Float[Array, " students"]
    loss: Number


class SignOfField(NamedTuple):
    """Labels that are the sign of one normal field u, the last one.

    - `C`: the covariance of (lambda, u); `kept`: c = 1 - 2 p.
    """

    C: Float[Array, "fields fields"]
    kept: Number

    @property
    def has_kinks(self) -> bool:
        """Whether P(y | lambda) has kinks."""
        return False

    @property
    def numbers(self) -> int:
        """How many fields are integrated over: those of the student."""
        return len(self.C) - 1

    def direction(self, L: Root) -> Float[Array, " numbers"]:
        """Where E[u | xi] changes, the shorter the less xi tells of u."""
        return _over(L[-1, :-1], jnp.sqrt(self.C[-1, -1]))

    def cuts(self, lines: Lines, L: Root) -> Cuts:
        """Where P(y | xi) begins and ends to change on each line."""
        rho, s = L[-1, :-1], L[-1, -1]
        every = len(lines.weights)
        slope = jnp.broadcast_to(rho @ lines.along, every)
        found = crossings(-lines.foot @ rho, slope, jnp.broadcast_to(s, every))
        return jnp.stack(found, axis=1)

    def mean_label(self, xi: Nodes, L: Root) -> Float[Array, " nodes"]:
        """E[y | xi] = c erf(rho . xi / (sqrt(2) s))."""
        return self.kept * _erf(xi @ L[-1, :-1], L[-1, -1])

    def along_label(self, xi: Nodes, L: Root) -> Float[Array, "nodes beside"]:
        """E[zeta y | xi] / 2 = c n(rho . xi / s), of the number zeta that xi does not have."""
        s = L[-1, -1]
        z = ratio(xi @ L[-1, :-1], jnp.broadcast_to(s, len(xi)))
        density = jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return jnp.where(s > 0, self.kept * density, 0.0)[:, None]


class SignOfCommittee(NamedTuple):
    """Labels that are the sign of sum_m v*_m g*(nu_m) + sigma zeta.

    - `C`: the covariance of (lambda, nu); `kept`: c = 1 - 2 p.
    - `activation`, `v_star`, `noise`: g*, v* and sigma.
    """

    C: Float[Array, "fields fields"]
    kept: Number
    activation: Activation
    v_star: Float[Array, " teachers"]
    noise: Number

    @property
    def has_kinks(self) -> bool:
        """Whether the teacher's units have kinks."""
        return bool(self.activation.cuts)

    @property
    def numbers(self) -> int:
        """How many fields are integrated over: all of them."""
        return len(self.C)

    def direction(self, L: Root) -> Float[Array, " numbers"]:
        """Where sum_m v*_m nu_m changes."""
        along = self.v_star @ L[-len(self.v_star) :]
        return _over(along, _length(along))

    def cuts(self, lines: Lines, L: Root) -> Cuts:
        """Where the teacher's output is zero on each line, and where its units have kinks."""
        of_teacher = L[-len(self.v_star) :]
        kinks = _kinks(lines, of_teacher, self.activation)
        zeros = _reached(lines, of_teacher, self.activation, self.v_star, (0.0,), kinks)
        return jnp.concatenate([kinks, zeros], axis=1)

    def mean_label(self, xi: Nodes, L: Root) -> Float[Array, " nodes"]:
        """E[y | xi] = c erf(phi* / (sqrt(2) sigma))."""
        nu = xi @ L[-len(self.v_star) :].T
        return self.kept * _erf(self.activation(nu) @ self.v_star, self.noise)

    def along_label(self, xi: Nodes, L: Root) -> Float[Array, "nodes beside"]:
        """There is no number beside xi that moves a field."""
        return jnp.zeros((len(xi), 0))


def description(numbers: int, kinks: bool) -> str:
    """One line that names the nodes for so many fields that are integrated over."""
    if numbers == 1:
        return "quadrature over the field, on panels between kinks and the loss's margins"
    where = "at nodes" if has_axes(numbers, kinks) else "at frozen Sobol points"
    lines = len(line_rule(numbers, kinks).z)
    return f"quadrature over {numbers} fields, {lines} lines {where}, cut at the loss's margins"


class SignSpace:
    """Averages over the fields of K students with an activation g, and of labels +-1."""

    def __init__(self, activation: Activation, students: int):
        self.activation = activation
        self.students = students

    def averages(self, loss, law, v: Float[Array, " students"]) -> SignMoments:
        """J by all fields of the law, D, the readout's gradient and the loss.

        `loss` is a `ts.Loss` with margins.
        """
        return self._averages(loss, law, v, line_rule(law.numbers, self._has_kinks(law)))

    def _averages(self, loss, law, v, rule: LineRule) -> SignMoments:
        L = cholesky(law.C)
        xi, weights = self._nodes(law, L, v, rule, loss.margins)
        lam = xi @ L[: self.students, : law.numbers].T
        hidden = self.activation(lam)
        slope_of_unit = self.activation.derivative(lam) * v[None, :]
        phi = hidden @ v
        mean_label = law.mean_label(xi, L)

        def of_label(label):
            y = jnp.broadcast_to(label, phi.shape)
            share = weights * (1 + label * mean_label) / 2
            slope = loss.slope(phi, y)
            delta = slope_of_unit * slope[:, None]
            weighted = share[:, None] * delta
            by_label = weights[:, None] * label * delta
            along = [weighted.T @ xi, by_label.T @ law.along_label(xi, L)]
            along = jnp.concatenate(along, axis=1)
            return along, weighted.T @ delta, (share * slope) @ hidden, share @ loss.value(phi, y)

        both = jax.vmap(of_label)(jnp.array([1.0, -1.0]))
        along, D, readout, value = (jnp.sum(part, axis=0) for part in both)
        return SignMoments(over_triangle(along, L), D, readout, value)

    def wrong_sign(self, law, v: Float[Array, " students"]) -> Number:
        """P(y phi < 0) + P(phi = 0) / 2."""
        L = cholesky(law.C)
        rule = line_rule(law.numbers, self._has_kinks(law))
        xi, weights = self._nodes(law, L, v, rule, (0.0,))
        phi = self.activation(xi @ L[: self.students, : law.numbers].T) @ v
        return weights @ (1 - jnp.sign(phi) * law.mean_label(xi, L)) / 2

    def error(self, loss, law, v: Float[Array, " students"]) -> Number:
        """A cautious estimate of the largest absolute error of J C, D, the readout's gradient and
        the loss, from the differences of replicas.
        """

        def with_rule(rule: LineRule) -> SignMoments:
            found = self._averages(loss, law, v, rule)
            return found._replace(J=found.J @ law.C)

        parts = jax.lax.map(with_rule, all_replicas(law.numbers, self._has_kinks(law)))
        differences = [jnp.max(jnp.abs(part[1:] - part[:1])) for part in parts]
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(part[0])) for part in parts]))
        return CAUTION * jnp.max(jnp.stack(differences)) + ROUNDING * largest

    def _nodes(
        self, law, L: Root, v: Float[Array, " students"], rule: LineRule, margins
    ) -> tuple[Nodes, Float[Array, " nodes"]]:
        """Nodes and weights; the lines are cut where y phi is one of the margins."""
        of_students = L[: self.students, : law.numbers]
        lines = lines_along(self._direction(law, L, v), rule)
        levels = sorted({sign * margin for margin in margins for sign in (1, -1)} or {0.0})
        kinks = _kinks(lines, of_students, self.activation)
        reached = _reached(lines, of_students, self.activation, v, tuple(levels), kinks)
        cuts = [law.cuts(lines, L), kinks, reached]
        if law.numbers == 1:
            cuts.append(_panels(jnp.zeros((1, 1))))
            if not margins:  # where phi = 0, a long student makes a smooth loss steep
                cuts.append(_panels(reached))
        return lines.nodes(jnp.concatenate(cuts, axis=1))

    def _direction(self, law, L: Root, v) -> Float[Array, " numbers"]:
        """Where the output and the label change together."""
        along = v @ L[: self.students, : law.numbers]
        along = _over(along, _length(along))
        of_label = law.direction(L)
        return along + jnp.where(along @ of_label < 0, -1.0, 1.0) * of_label

    def _has_kinks(self, law) -> bool:
        """Whether kinks of two units may meet on a line."""
        return bool(self.activation.cuts) or law.has_kinks


def _kinks(lines: Lines, rows: Float[Array, "fields numbers"], activation: Activation) -> Cuts:
    """Where each field meets a kink of its activation on each line."""
    at_foot = lines.foot @ rows.T
    slope = jnp.broadcast_to(rows @ lines.along, at_foot.shape)
    found = [ratio(kink - at_foot, slope) for kink in activation.cuts]
    return jnp.concatenate([jnp.zeros((len(at_foot), 0)), *found], axis=1)


def _reached(
    lines: Lines, rows, activation: Activation, v, levels: tuple, kinks: Float[Array, "lines kinks"]
) -> Cuts:
    """Where sum_k v_k g(h_k) has one of the levels on each line."""
    fields = lines.fields(rows)
    numbers = rows.shape[1]
    most = min(MOST, len(rows) + 1)
    if numbers == 1 or len(rows) == 1:  # one unit may go up and down by itself
        most = MOST_OF_ONE_LINE
    radius = lines.piece.radius
    even = jnp.asarray(np.linspace(-1, 1, GRID.get(numbers, GRID_OF_MANY))) * radius
    grid = jnp.broadcast_to(even, (len(kinks), len(even)))
    # Between two kinks an output of ReLU units has a level at most once.
    grid = jnp.sort(jnp.concatenate([grid, jnp.clip(kinks, -radius, radius)], axis=1), axis=1)

    def output(t):
        return jnp.einsum("k,kln->ln", v, activation(fields(t)))

    return where_reached(output, levels, jax.lax.stop_gradient(grid), most)


def _panels(centres: Float[Array, "lines centres"]) -> Cuts:
    """The ends of panels that shrink towards points of each line."""
    right = RADIUS_OF_ONE_LINE * 0.5 ** np.arange(PANELS)
    ends = jnp.asarray(np.concatenate([-right, [0.0], right]))
    return (centres[:, :, None] + ends[None, None, :]).reshape(len(centres), -1)


def _erf(mean: Float[Array, " nodes"], deviation: Number) -> Float[Array, " nodes"]:
    """erf(mean / (sqrt(2) deviation)); without deviation the sign of the mean, 1 at zero, where the
    output of ReLU units may be.
    """
    sharp = deviation <= 0
    safe = jnp.where(sharp, 1.0, deviation)
    signs = jnp.where(mean >= 0, 1.0, -1.0)
    return jnp.where(sharp, signs, jax.scipy.special.erf(mean / (safe * math.sqrt(2))))


def _over(x: Float[Array, " numbers"], length: Number) -> Float[Array, " numbers"]:
    """x / length, and zero where the length is."""
    moves = length > 0
    return jnp.where(moves, x / jnp.where(moves, length, 1.0), 0.0)


def _length(x: Float[Array, " numbers"]) -> Number:
    """|x|, with derivative zero where x is."""
    square = x @ x
    moves = square > 0
    return jnp.where(moves, jnp.sqrt(jnp.where(moves, square, 1.0)), 0.0)
