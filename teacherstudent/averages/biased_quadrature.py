"""Averages of fields with means, for a student and a teacher of any activations, by quadrature."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.biased import BiasedAverages
from teacherstudent.averages.given_fields import Law
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.resolution import DEFAULT, Resolution
from teacherstudent.averages.rule import Rule


class BiasedQuadrature(QuadratureAverages, BiasedAverages):
    """Averages over the fields h ~ N(mean, C) for a student with any g and a teacher with any g*.

    `error` is that of `QuadratureAverages`: Stein's lemma holds for the fields without their means.
    """

    centred = False

    def __init__(
        self,
        student: Activation,
        teacher: Activation,
        mean: Float[Array, " fields"],
        students: int,
        resolution: Resolution = DEFAULT,
        rule: Rule | None = None,
    ):
        self.mean = mean
        super().__init__(student, teacher, students, len(mean) - students, resolution, rule)

    @property
    def symmetric(self) -> bool:
        """Means have a sign."""
        return False

    def law(self, C: Float[Array, "fields fields"]) -> Law:
        return Law(self.mean, C)

    def with_rule(self, rule: Rule) -> "BiasedQuadrature":
        return BiasedQuadrature(
            self.student, self.teacher, self.mean, self.students, self.resolution, rule
        )

    def S2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        return jnp.concatenate([block.S2 for block in self._of_two(C)], axis=1)
