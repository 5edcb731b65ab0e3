"""Averages for any two activations, by quadrature; `field_quadrature.py` has the integrals.

`error` estimates the error at a given covariance by two routes.  One is a rule with fewer nodes.
It is blind to what no rule sees, a jump that was not found; the other is Stein's lemma, which
needs no derivative of g_c and none of g':

    E[g'(h_k) h_x g_c(h_c)] = C_kx G2(k, c) + C_xc J2(k, c),   x = k and x = c.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.base import Averages
from teacherstudent.averages.field_quadrature import FieldQuadrature, OfTwo
from teacherstudent.averages.given_fields import Law
from teacherstudent.averages.quasi_random import CAUTION
from teacherstudent.averages.resolution import DEFAULT, Resolution
from teacherstudent.averages.rule import Rule, both_rules, rule_of
from teacherstudent.averages.triangle import ROUNDING


class QuadratureAverages(Averages):
    """Averages for a student with any g and a teacher with any g*."""

    centred = True  # no field has a mean

    def __init__(
        self,
        student: Activation,
        teacher: Activation,
        students: int,
        teachers: int,
        resolution: Resolution = DEFAULT,
        rule: Rule | None = None,
    ):
        super().__init__(students, teachers)
        self.student = student
        self.teacher = teacher
        self.resolution = resolution
        if rule is None:
            rule = rule_of(resolution, self.symmetric)
        self.fields = FieldQuadrature(
            student, teacher, students, teachers, rule, centred=self.centred
        )
        self._last: tuple[Array, tuple[OfTwo, OfTwo]] | None = None

    @property
    def symmetric(self) -> bool:
        """Whether squared outputs are even in the fields: all units are even, or all odd."""
        parities = {parity(self.student), parity(self.teacher)}
        return len(parities) == 1 and 0 not in parities

    def law(self, C: Float[Array, "fields fields"]) -> Law:
        """The law of the fields."""
        return Law(jnp.zeros(C.shape[0]), C)

    def with_rule(self, rule: Rule) -> "QuadratureAverages":
        """The same averages by another rule."""
        units = (self.student, self.teacher, self.students, self.teachers, self.resolution)
        return QuadratureAverages(*units, rule)

    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        of_students, mixed = self._of_two(C)
        m = range(self.students, len(C))
        of_teachers = self.fields.of_two(self.law(C), m, m)
        return jnp.block(
            [
                [_symmetric(of_students.I2), mixed.I2],
                [mixed.I2.T, _symmetric(of_teachers.I2)],
            ]
        )

    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        of_students, mixed = self._of_two(C)
        of_teachers = mixed.J2
        jumps = self.teacher.singularities.jumps()
        if jumps:
            k, m = self._ranges()
            of_teachers += self.fields.deltas(self.law(C), m, k, jumps, lambda unit: unit.slope).T
        return jnp.concatenate([_symmetric(of_students.J2), of_teachers], axis=1)

    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        smooth = jnp.concatenate([block.G2 for block in self._of_two(C)], axis=1)
        kinks = self.student.singularities.kinks()
        if not kinks:
            return smooth
        k = range(self.students)
        deltas = [
            self.fields.deltas(self.law(C), k, c, kinks, lambda unit: unit.value)
            for c in self._ranges()
        ]
        return smooth + jnp.concatenate(deltas, axis=1)

    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        return self.fields.squared_output(self.law(C), u, jnp.zeros(()))

    def _of_two(self, C: Float[Array, "fields fields"]) -> tuple[OfTwo, OfTwo]:
        """The averages of two students, and of a student and a teacher.

        Those at the last covariance are kept: J2, G2 and I2 are asked for one after the other.
        """
        if self._last is None or self._last[0] is not C:
            k, m = self._ranges()
            law = self.law(C)
            self._last = (C, (self.fields.of_two(law, k, k), self.fields.of_two(law, k, m)))
        return self._last[1]

    def _ranges(self) -> tuple[range, range]:
        return range(self.students), range(self.students, self.students + self.teachers)

    def error(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, ""]:
        """A cautious estimate of the largest absolute error of I2, J2, G2 and I4 at C and u.

        A multiple of the largest difference from a rule with fewer nodes, or of what is missing in
        Stein's lemma.
        """

        def by_rule(rule):
            averages = self.with_rule(rule)
            parts = (averages.I2(C), averages.J2(C), averages.G2(C), averages.I4(C, u))
            return parts, averages._missing_by_parts(C, *parts[1:3])

        parts, missing = jax.lax.map(by_rule, both_rules(self.resolution, self.symmetric))
        differences = [jnp.max(jnp.abs(part[0] - part[1])) for part in parts]
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(part[0])) for part in parts]))
        return CAUTION * jnp.max(jnp.stack([missing[0], *differences])) + ROUNDING * largest

    def _missing_by_parts(
        self,
        C: Float[Array, "fields fields"],
        J2: Float[Array, "students fields"],
        G2: Float[Array, "students fields"],
    ) -> Float[Array, ""]:
        """The largest error of G2, or of J2, that would explain what Stein's lemma lacks."""
        blocks = self._of_two(C)
        along_student = jnp.concatenate([block.along_a for block in blocks], axis=1)
        along_other = jnp.concatenate([block.along_b for block in blocks], axis=1)
        C_kc = C[: self.students]
        C_kk = jnp.diag(C)[: self.students, None]
        C_cc = jnp.diag(C)[None, :]
        from_student = jnp.abs(along_student - C_kk * G2 - C_kc * J2)
        from_other = jnp.abs(along_other - C_kc * G2 - C_cc * J2)
        missing_G2 = _ratio(from_student, C_kk)
        missing_J2 = _ratio(from_other, C_cc)
        return jnp.max(jnp.maximum(missing_G2, missing_J2))


@lru_cache(maxsize=256)
def parity(activation: Activation) -> int:
    """1 of an even function, -1 of an odd one, 0 of any other, by its values at many points."""
    x = np.concatenate([np.linspace(1e-3, 12.0, 977), np.geomspace(12.5, 100.0, 24)])
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        there = np.asarray(activation(jnp.asarray(x)))
        opposite = np.asarray(activation(jnp.asarray(-x)))
    known = np.isfinite(there) & np.isfinite(opposite)
    there = there[known]
    opposite = opposite[known]
    tolerance = 1e-14 * np.abs(there)
    for sign in (1, -1):
        if (np.abs(there - sign * opposite) <= tolerance).all():
            return sign
    return 0


def _symmetric(x: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
    """Without the difference of two orders of integration."""
    return (x + x.T) / 2


def _ratio(x: Float[Array, "*shape"], y: Float[Array, "*#shape"]) -> Float[Array, "*shape"]:
    """x / y, and zero where y is."""
    return jnp.where(y > 0, x / jnp.where(y > 0, y, 1.0), 0.0)
