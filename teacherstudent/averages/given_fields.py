"""Averages with the fields of one or two units fixed at nodes, and all others given these.

With h_k, h_l = m + L z at nodes z (`nodes.py`), the others have

    E[h_a | z] = m_a + (B z)_a,   Cov(h_a, h_b | z) = (C - B B^T)_ab,   B = Cov(h, (h_k, h_l)) L^-T

so that the expensive average of the theory,

    E[g'(h_k) g'(h_l) (sum_a u_a g_a(h_a) + c)^2] = E_z[g'(h_k) g'(h_l) (mean(z)^2 + variance(z))]

is one over a plane (`hidden_units.py` has mean and variance), and over a line where k = l.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from teacherstudent.averages.hidden_units import Group, HiddenUnit, output_given, safe_root
from teacherstudent.averages.nodes import CutField, Piece, crossings, cut_plane, pieces, ratio
from teacherstudent.averages.rule import Rule
from teacherstudent.averages.triangle import FIXED, cholesky

SHARPEST = 2  # of the other fields of one kind, at whose kinks a plane is cut
TINY = 1e-30
BESIDE = 1e-13  # a distance from a kink that stays on its side of it


class Law(NamedTuple):
    """The fields, Gaussian: those of the student first."""

    mean: Float[Array, " fields"]
    C: Float[Array, "fields fields"]


class Given(NamedTuple):
    """The law of other fields where some are fixed: means at each node, covariance."""

    mean: Float[Array, "others nodes"]
    C: Float[Array, "others others"]


def given(law: Law, slopes, z, others) -> Given:
    """The law of the other fields at the nodes z (nodes, fixed); slopes is B (others, fixed)."""
    mean = law.mean[others][:, None] + slopes @ z.T
    C = law.C[others][:, others] - slopes @ slopes.T
    diagonal = jnp.diag(C)
    # Fields that coincide with the fixed ones up to rounding.
    free = diagonal > FIXED * jnp.diag(law.C)[others]
    return Given(mean, jnp.where(free[:, None] & free[None, :], C, 0.0))


def slopes_of(law: Law, L, fixed, others) -> Float[Array, "others fixed"]:
    """B with B L^T = Cov(others, fixed); a direction without variance has none."""
    cross = law.C[others][:, fixed]
    columns: list[Array] = []
    for j in range(len(fixed)):
        rest = cross[:, j]
        for i in range(j):
            rest = rest - columns[i] * L[j, i]
        columns.append(ratio(rest, jnp.broadcast_to(L[j, j], rest.shape)))
    return jnp.stack(columns, axis=1)


class SquaredOutput:
    """E[g'(h_k) g'(h_l) (sum_a u_a g_a(h_a) + c)^2] for one pair of units or one unit."""

    def __init__(
        self,
        student: HiddenUnit,
        groups: tuple[Group, ...],
        rule: Rule,
        centred: bool,
    ):
        self.student = student
        self.groups = groups
        self.rule = rule
        self.centred = centred

    def of(
        self,
        law: Law,
        u: Float[Array, " fields"],
        offset: Float[Array, ""],
        fixed: Int[Array, " fixed"],
        others: Int[Array, " others"],
    ) -> Float[Array, ""]:
        """The average with the units `fixed`, one or two, and all `others`, by their numbers."""
        mean = law.mean[fixed]
        L = cholesky(law.C[fixed][:, fixed])
        slopes = slopes_of(law, L, fixed, others)
        z, weights = self._nodes(law, mean, L, slopes, others)
        h = mean[None, :] + z @ L.T
        if self.student.cuts:
            h = h + beside(z, L)
        rest = given(law, slopes, z, others)
        output = output_given(self.groups, rest.mean, rest.C, u[others], self.rule.terms)
        total = output.mean + self.student.activation(h) @ u[fixed] + offset
        slopes_there = self.student.activation.derivative(h)
        power = 3 - len(fixed)  # one unit stands for both
        slopes_of_both = jnp.prod(slopes_there, axis=1) ** power
        return jnp.sum(weights * slopes_of_both * (total**2 + output.variance))

    def _nodes(self, law, mean, L, slopes, others):
        rule = self.rule
        kinked = any(group.unit.cuts for group in self.groups if group.size)
        kinked = kinked or bool(self.student.cuts)
        if kinked and len(mean) == 2:
            return self._cut_plane(law, mean, L, slopes, others)
        if kinked:
            return self._cut_line(law, mean, L, slopes, others)
        if len(mean) == 2:
            return jnp.asarray(rule.plane), jnp.asarray(rule.plane_weights)
        return jnp.asarray(rule.line)[:, None], jnp.asarray(rule.line_weights)

    def _cut_plane(self, law, mean, L, slopes, others):
        """Nodes between the lines on which these two fields, and those of the others that are
        almost known here, meet their kinks.
        """
        fields = []
        if self.student.cuts:
            fields = [CutField(mean[i], L[i], None, self.student.cuts) for i in (0, 1)]
        rest = jnp.diag(law.C)[others] - jnp.sum(slopes**2, axis=1)
        deviation = safe_root(rest)
        begin = 0
        for group in self.groups:
            members = slice(begin, begin + group.size)
            begin += group.size
            if group.unit.cuts and group.size:
                lengths = jnp.sqrt(jnp.sum(slopes[members] ** 2, axis=1) + TINY)
                sharpest = jnp.argsort(deviation[members] / lengths)[:SHARPEST]
                for i in range(min(SHARPEST, group.size)):
                    number = sharpest[i]
                    fields.append(
                        CutField(
                            law.mean[others][members][number],
                            slopes[members][number],
                            deviation[members][number],
                            group.unit.cuts,
                        )
                    )
        if len(fields) == 1:
            fields.append(fields[0])
        piece = Piece(self.rule.piece, self.rule.piece_weights, self.rule.radius)
        through_zero = self.centred and all(field.kinks == (0.0,) for field in fields)
        return cut_plane(fields, piece, through_zero)

    def _cut_line(self, law, mean, L, slopes, others):
        """Nodes on the pieces between the kinks of this field and of all others."""
        cuts = [ratio(kink - mean, L[:, 0]) for kink in self.student.cuts]
        rest = jnp.diag(law.C)[others] - slopes[:, 0] ** 2
        begin = 0
        for group in self.groups:
            fields = slice(begin, begin + group.size)
            begin += group.size
            for kink in group.unit.cuts:
                distance = kink - law.mean[others][fields]
                cuts += crossings(distance, slopes[fields, 0], safe_root(rest[fields]))
        piece = Piece(self.rule.piece, self.rule.piece_weights, self.rule.radius)
        z, weights = pieces(jnp.concatenate(cuts), piece)
        return z[:, None], weights


def beside(z, L) -> Float[Array, "nodes fixed"]:
    """A small step for fields that do not vary and may sit on a kink: half of the nodes go to each
    side of it.
    """
    still = jnp.diag(L)[None, :] == 0
    side = jnp.sign(jnp.sum(z, axis=1))[:, None]
    return jnp.where(still, BESIDE, 0.0) * side
