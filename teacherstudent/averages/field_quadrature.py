"""Averages over Gaussian fields with any activations and any means, by quadrature.

Of two fields the first is integrated over at nodes, and the second averaged given it
(`hermite_series.py`), so that

    E[f(h_a) g(h_b)] = E_z[f(h_a) gamma_0(mu_b(z), s_b)].

Differentiation sees no jumps, so that derivatives in the sense of distributions get their delta
functions here.  With H_j the height of the jump of g_b at x_j, kappa_j that of the student's g' at
x_j, and p_a the density of h_a,

    J2(k, b) = E[g'(h_k) g_b'(h_b)] + sum_j H_j p_b(x_j) E[g'(h_k) | h_b = x_j]
    G2(k, c) = E[g''(h_k) g_c(h_c)] + sum_j kappa_j p_k(x_j) E[g_c(h_c) | h_k = x_j],

where only teachers b have jumps.
"""

import math
from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.given_fields import Law, SquaredOutput
from teacherstudent.averages.hermite_series import HermiteSeries
from teacherstudent.averages.hidden_units import Group, HiddenUnit, safe_root
from teacherstudent.averages.nodes import Piece, crossings, pieces, ratio
from teacherstudent.averages.rule import Rule
from teacherstudent.averages.triangle import FIXED

MOST_NODES = 2e7  # of one integral over two fields and what is averaged given them
BESIDE = 1e-13  # a distance from a kink that stays on its side of it


class OfOne(NamedTuple):
    """E[g(h_a)], E[g'(h_a)] and E[g''(h_a)]."""

    value: Float[Array, " fields"]
    slope: Float[Array, " fields"]
    curvature: Float[Array, " fields"]


class OfTwo(NamedTuple):
    """Averages of two fields h_a, h_b with g_a and g_b.

    I2 = E[g_a g_b],   S2 = E[g_a' g_b],   J2 = E[g_a' g_b'],   G2 = E[g_a'' g_b]
    along_a = E[(h_a - E h_a) g_a' g_b],   along_b = E[(h_b - E h_b) g_a' g_b]
    """

    I2: Float[Array, "fields others"]
    S2: Float[Array, "fields others"]
    J2: Float[Array, "fields others"]
    G2: Float[Array, "fields others"]
    along_a: Float[Array, "fields others"]
    along_b: Float[Array, "fields others"]


class FieldQuadrature:
    """Averages over the fields of K student units and, behind them, M teacher units.

    `centred` says that no field has a mean.
    """

    def __init__(
        self,
        student: Activation,
        teacher: Activation,
        students: int,
        teachers: int,
        rule: Rule,
        centred: bool,
    ):
        self.students = students
        self.teachers = teachers
        self.rule = rule
        self.centred = centred
        self.student = HiddenUnit(student, rule)
        self.teacher = HiddenUnit(teacher, rule)

    def of_two(self, law: Law, fields: range, others: range) -> "OfTwo":
        """The averages of two fields a and b, a of one kind and b of one kind, but for their delta
        functions.
        """
        front = self._unit(fields).activation
        back = self._unit(others)

        def one(a, b):
            h, weights, mean, deviation = self._pair(law, a, b, fields, others)
            zeroth, first = back.value.coefficients(mean, deviation)
            (slope_of_b,) = back.slope.coefficients(mean, deviation)
            slope = front.derivative(h)
            along_b = (mean - law.mean[b]) * zeroth + deviation * first
            return OfTwo(
                I2=jnp.sum(weights * front(h) * zeroth),
                S2=jnp.sum(weights * slope * zeroth),
                J2=jnp.sum(weights * slope * slope_of_b),
                G2=jnp.sum(weights * curvature(front, h) * zeroth),
                along_a=jnp.sum(weights * slope * (h - law.mean[a]) * zeroth),
                along_b=jnp.sum(weights * slope * along_b),
            )

        return OfTwo(*self._for_pairs(one, fields, others))

    def of_one(self, law: Law) -> "OfOne":
        """The averages of each student field alone, but for its delta functions."""
        activation = self.student.activation

        def one(a):
            _, h, weights = self._nodes_of(law, a, range(self.students), [])
            return OfOne(
                value=jnp.sum(weights * activation(h)),
                slope=jnp.sum(weights * activation.derivative(h)),
                curvature=jnp.sum(weights * curvature(activation, h)),
            )

        return OfOne(*jax.vmap(one)(jnp.arange(self.students)))

    def densities(self, law: Law, jumps: list[tuple[float, float]]) -> Float[Array, " students"]:
        """sum_j height_j p_a(x_j) of the student's fields."""
        variance = jnp.diag(law.C)[: self.students]
        total = jnp.zeros(self.students)
        for x, height in jumps:
            total += height * _density(x - law.mean[: self.students], variance)
        return total

    def _for_pairs(self, one: Callable, fields: range, others: range):
        """one(a, b) for all pairs: those of one field a together, one a after the other."""
        columns = jnp.arange(others.start, others.stop)

        def row(a):
            return jax.vmap(lambda b: one(a, b))(columns)

        return jax.lax.map(jax.checkpoint(row), jnp.arange(fields.start, fields.stop))

    def _unit(self, fields: range) -> HiddenUnit:
        if fields.start < self.students:
            return self.student
        return self.teacher

    def _pair(self, law: Law, a, b, fields: range, others: range):
        """Nodes for the field a: its values, their weights, and mean and deviation of b given
        it.
        """
        deviation = safe_root(law.C[a, a])
        slope = ratio(law.C[a, b], deviation)
        rest = law.C[b, b] - slope**2
        rest = jnp.where(rest > FIXED * law.C[b, b], rest, 0.0)
        cuts = []
        for kink in self._unit(others).cuts:
            step = crossings(kink - law.mean[b], slope, safe_root(rest))
            cuts += [cut[None] for cut in step]
        z, h, weights = self._nodes_of(law, a, fields, cuts)
        return h, weights, law.mean[b] + slope * z, safe_root(rest)

    def _nodes_of(self, law: Law, a, fields: range, cuts: list):
        """Nodes for the field a between its own kinks and further cuts, its values, and their
        weights.
        """
        deviation = safe_root(law.C[a, a])
        kinks = self._unit(fields).cuts
        cuts = cuts + [ratio(kink - law.mean[a], deviation)[None] for kink in kinks]
        if cuts:
            rule = self.rule
            piece = Piece(rule.line_piece, rule.line_piece_weights, rule.line_radius)
            z, weights = pieces(jnp.concatenate(cuts), piece)
        else:
            z, weights = jnp.asarray(self.rule.line), jnp.asarray(self.rule.line_weights)
        h = law.mean[a] + deviation * z
        if kinks:
            # A field that does not vary may sit on a kink: half of the nodes go to each side.
            h = h + jnp.where(deviation > 0, 0.0, BESIDE) * jnp.sign(z) * (1 + jnp.abs(h))
        return z, h, weights

    def deltas(
        self,
        law: Law,
        fields: range,
        others: range,
        jumps: list[tuple[float, float]],
        back: Callable[[HiddenUnit], HermiteSeries],
    ) -> Float[Array, "fields others"]:
        """sum_j height_j p_a(x_j) E[back(h_b) | h_a = x_j]."""
        series = back(self._unit(others))

        def one(a, b):
            variance = law.C[a, a]
            varies = variance > 0
            safe = jnp.where(varies, variance, 1.0)
            rest = law.C[b, b] - law.C[a, b] ** 2 / safe
            rest = jnp.where(rest > FIXED * law.C[b, b], rest, 0.0)
            total = jnp.zeros(())
            for x, height in jumps:
                away = x - law.mean[a]
                mean = law.mean[b] + law.C[a, b] / safe * away
                average = series.coefficients(mean, safe_root(rest))[0]
                total += height * _density(away, variance) * average
            return total

        return self._for_pairs(one, fields, others)

    def squared_output(
        self, law: Law, u: Float[Array, " fields"], offset: Float[Array, ""]
    ) -> Float[Array, "students students"]:
        """E[g'(h_k) g'(h_l) (sum_a u_a g_a(h_a) + offset)^2] for all pairs of units."""
        self._check_cost()
        students = range(self.students)
        alone = self._squared(law, u, offset, [(k,) for k in students])
        pairs = list(combinations(students, 2))
        if not pairs:
            return jnp.diag(alone)
        k, l = np.array(pairs).T
        both = jnp.zeros((self.students, self.students))
        both = both.at[k, l].set(self._squared(law, u, offset, pairs))
        return both + both.T + jnp.diag(alone)

    def _squared(self, law: Law, u, offset, fixed: list[tuple]) -> Float[Array, " pairs"]:
        """The same for units, or pairs of them, one after the other to bound the memory."""
        fields = range(self.students + self.teachers)
        others = [[field for field in fields if field not in units] for units in fixed]
        groups = (
            Group(self.student, self.students - len(fixed[0])),
            Group(self.teacher, self.teachers),
        )
        average = SquaredOutput(self.student, groups, self.rule, self.centred)

        def one(units):
            return average.of(law, u, offset, *units)

        chosen = (np.array(fixed), np.array(others, int).reshape(len(fixed), -1))
        return jax.lax.map(jax.checkpoint(one), jax.tree.map(jnp.asarray, chosen))

    def _check_cost(self) -> None:
        """Raise ValueError if the integral over two student fields has more nodes than a machine
        takes.
        """
        kinks = len(self.student.cuts)
        if not kinks or self.students < 2:
            return
        nodes = (kinks**2 + 1) * (2 * kinks + 1) * len(self.rule.piece) ** 2
        nodes *= len(self.student.series.nodes)
        if nodes > MOST_NODES:
            raise ValueError(
                f"the averages of student.activation = {self.student.activation.name} need "
                f"{nodes:.1g} nodes each: they are divided at {kinks} points where it jumps or has "
                "a kink; give a function with fewer of them, or simulate."
            )


def _density(x: Float[Array, "*shape"], variance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """That of N(0, variance) at x; zero where there is no variance."""
    varies = variance > 0
    safe = jnp.where(varies, variance, 1.0)
    density = jnp.exp(-(x**2) / (2 * safe)) / jnp.sqrt(2 * math.pi * safe)
    return jnp.where(varies, density, 0.0)


def curvature(activation: Activation, h: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """g''(h), by forward differentiation."""
    return jax.jvp(activation.derivative, (h,), (jnp.ones_like(h),))[1]
