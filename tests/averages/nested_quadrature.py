"""The averages of the theory as integrals over each of their fields: slow, and independent of ours.

Equal fields are merged first, so that E[g'(h_0) g'(h_1) g(h_0) g(h_2)] is an integral over three
fields with the factors g'g, g' and g; `nested_rule.py` has the rule.  Measured with its default
nodes, the largest errors of I4 are 1e-10 for tanh with variances up to 1.5 (1e-7 at 2.5, 1e-3 at
20), 1e-11 for GELU and 1e-13 for erf, also where fields coincide.  Two fields with kinks cost
accuracy as they approach each other: 1e-9 in generic position, 1e-6 at a correlation of 0.9999.

Differentiation sees no jumps, so that derivatives in the sense of distributions get their delta
functions here.  With H_j the height of the jump of g_b at x_j, kappa_j that of the student's g' at
x_j, and p_a the density of h_a,

    J2(k, b) = E[g'(h_k) g_b'(h_b)] + sum_j H_j p_b(x_j) E[g'(h_k) | h_b = x_j]
    G2(k, c) = E[g''(h_k) g_c(h_c)] + sum_j kappa_j p_k(x_j) E[g_c(h_c) | h_k = x_j],

where only teachers b have jumps.
"""

import math
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.base import Averages
from teacherstudent.averages.triangle import FIXED
from tests.averages.nested_rule import Factor, NestedRule

MOST_NODES = 2e8  # of one integral: some gigabytes
# Of a field in an integral: whether it is smooth, whether it is the teacher's, and which parts of
# its activation stand under the integral.
Kind = tuple[bool, bool, tuple[str, ...]]
# The kinds of the distinct fields, and the fields.
Integral = tuple[tuple[Kind, ...], tuple[int, ...]]


class NestedQuadrature(Averages):
    """Averages for a student with any g and a teacher with any g*."""

    def __init__(
        self,
        student: Activation,
        teacher: Activation,
        students: int,
        teachers: int,
        rule: NestedRule = NestedRule(),  # noqa: B008 (frozen)
    ):
        super().__init__(students, teachers)
        self.student = student
        self.teacher = teacher
        self.rule = rule

    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        a, b = np.ix_(range(len(C)), range(len(C)))
        return self._averages(C, value=(a, b))

    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        k, b = np.ix_(range(self.students), range(len(C)))
        smooth = self._averages(C, slope=(k, b))
        jumps = self.teacher.singularities.jumps()
        if not jumps:
            return smooth
        teachers = range(self.students, len(C))
        deltas = self._deltas(C, teachers, range(self.students), jumps, "slope")
        return smooth.at[:, self.students :].add(deltas.T)

    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        k, c = np.ix_(range(self.students), range(len(C)))
        smooth = self._averages(C, curvature=(k,), value=(c,))
        kinks = self.student.singularities.kinks()
        if not kinks:
            return smooth
        return smooth + self._deltas(C, range(self.students), range(len(C)), kinks, "value")

    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        self._check_cost()
        students = range(self.students)
        fields = range(len(C))
        k, l, a, b = np.ix_(students, students, fields, fields)
        each = self._averages(C, slope=(k, l), value=(a, b))
        return jnp.einsum("klab,a,b->kl", each, u, u)

    def _check_cost(self) -> None:
        """Raise ValueError if the largest integral, over two student fields and any two, has more
        nodes than a machine takes.
        """
        fields = min(4, self.students + self.teachers)
        of_student = self.rule.nodes_on_axis(len(self.student.cuts), fields)
        of_teacher = self.rule.nodes_on_axis(len(self.teacher.cuts), fields)
        each = [of_student] * self.students + [of_teacher] * self.teachers
        nodes = math.prod(sorted(each)[-fields:])
        if nodes > MOST_NODES:
            raise ValueError(
                f"the averages of student.activation = {self.student.name} and task.activation = "
                f"{self.teacher.name} need {nodes:.1g} nodes each: they are divided at "
                f"{len(self.student.cuts)} and {len(self.teacher.cuts)} points where these jump "
                "or have a kink; give functions with fewer of them or fewer units, or simulate."
            )

    def _deltas(
        self,
        C: Float[Array, "fields fields"],
        fields: range,
        others: range,
        jumps: list[tuple[float, float]],
        part: str,
    ) -> Float[Array, "jumping others"]:
        """sum_j height_j p_f(x_j) E[f_o(h_o) | h_f = x_j] for fields f and others o, f_o a part of
        the other's activation.
        """
        rows = [[self._delta(C, f, o, jumps, part) for o in others] for f in fields]
        return jnp.stack([jnp.stack(row) for row in rows])

    def _delta(
        self,
        C: Float[Array, "fields fields"],
        f: int,
        o: int,
        jumps: list[tuple[float, float]],
        part: str,
    ) -> Float[Array, ""]:
        activation = self._activation(o)
        factor = _factor(activation, (part,))
        variance = C[f, f]
        safe = jnp.where(variance > 0, variance, 1.0)
        rest = C[o, o] - C[o, f] ** 2 / safe
        rest = jnp.where(rest > FIXED * C[o, o], rest, 0.0)  # fields that coincide up to rounding
        total = jnp.zeros(())
        for x, height in jumps:
            density = jnp.exp(-(x**2) / (2 * safe)) / jnp.sqrt(2 * math.pi * safe)
            mean = self.rule.average_of_one(C[o, f] / safe * x, rest, factor)
            total += jnp.where(variance > 0, height * density * mean, 0.0)
        return total

    def _activation(self, field: int) -> Activation:
        if field < self.students:
            return self.student
        return self.teacher

    def _averages(
        self, C: Float[Array, "fields fields"], **parts: tuple[np.ndarray, ...]
    ) -> Float[Array, "..."]:
        """E[product of the parts at the given fields], for arrays of field indices that broadcast.

        Each distinct integral is computed once, those that differ only in their fields in one
        batch.
        """
        names: list[str] = []
        indices: list[np.ndarray] = []
        for name, fields in parts.items():
            names += [name] * len(fields)
            indices += fields
        tuples = np.stack(np.broadcast_arrays(*indices), axis=-1)
        rows = tuples.reshape(-1, len(names)).tolist()
        integrals = [self._integral(names, row) for row in rows]
        distinct = sorted(set(integrals))
        batches = [self._batch(C, *kind) for kind in groupby(distinct, key=itemgetter(0))]
        position = {integral: n for n, integral in enumerate(distinct)}
        wanted = np.array([position[integral] for integral in integrals])
        return jnp.concatenate(batches)[wanted].reshape(tuples.shape[:-1])

    def _integral(self, names: list[str], fields: list[int]) -> Integral:
        """The kinds of the distinct fields, those with kinks first, and the fields in the same
        order.
        """
        parts = {
            field: tuple(sorted(n for n, f in zip(names, fields, strict=True) if f == field))
            for field in fields
        }
        kinds = {field: self._kind(field, parts[field]) for field in parts}
        ordered = sorted(kinds, key=lambda field: (kinds[field], field))
        return tuple(kinds[field] for field in ordered), tuple(ordered)

    def _kind(self, field: int, parts: tuple[str, ...]) -> Kind:
        return not self._activation(field).cuts, field >= self.students, parts

    def _batch(
        self,
        C: Float[Array, "fields fields"],
        kinds: tuple[Kind, ...],
        integrals: Iterable[Integral],
    ) -> Float[Array, " integrals"]:
        """All integrals with the same kinds of fields, one after the other to bound the memory."""
        fields = np.array([fields for _, fields in integrals])
        factors = tuple(
            _factor(self.teacher if teachers else self.student, parts)
            for _, teachers, parts in kinds
        )
        blocks = C[fields[:, :, None], fields[:, None, :]]

        def average(S):
            return self.rule.average(S, factors)

        return jax.lax.map(jax.checkpoint(average), blocks)


def _factor(activation: Activation, parts: tuple[str, ...]) -> Factor:
    """The product of some parts of an activation."""

    def product(h):
        return math.prod(PARTS[part](activation, h) for part in parts)

    return Factor(product, activation.cuts)


def _ratio(x: Float[Array, "*shape"], y: Float[Array, "*#shape"]) -> Float[Array, "*shape"]:
    """x / y, and zero where y is."""
    return jnp.where(y > 0, x / jnp.where(y > 0, y, 1.0), 0.0)


def _field(activation: Activation, h: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return h


def _curvature(activation: Activation, h: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """g''(h), by forward differentiation."""
    return jax.jvp(activation.derivative, (h,), (jnp.ones_like(h),))[1]


PARTS = {
    "field": _field,
    "value": Activation.__call__,
    "slope": Activation.derivative,
    "curvature": _curvature,
}
