"""Averages for a student with biases and a teacher, of any two activations, by quadrature."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.biased import BiasedAverages
from teacherstudent.averages.given_fields import Law
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.resolution import DEFAULT, Resolution
from teacherstudent.averages.rule import Rule


class BiasedQuadrature(QuadratureAverages, BiasedAverages):
    """Averages over the fields h ~ N((b, 0), C) for a student with any g and a teacher with any g*.

    `error` is that of `QuadratureAverages`: Stein's lemma holds for the fields without their means.
    """

    centred = False

    def __init__(
        self,
        student: Activation,
        teacher: Activation,
        b: Float[Array, " students"],
        teachers: int,
        resolution: Resolution = DEFAULT,
        rule: Rule | None = None,
    ):
        self.b = b
        super().__init__(student, teacher, len(b), teachers, resolution, rule)

    @property
    def symmetric(self) -> bool:
        """Means have a sign."""
        return False

    def law(self, C: Float[Array, "fields fields"]) -> Law:
        return Law(jnp.concatenate([self.b, jnp.zeros(self.teachers, self.b.dtype)]), C)

    def with_rule(self, rule: Rule) -> "BiasedQuadrature":
        return BiasedQuadrature(
            self.student, self.teacher, self.b, self.teachers, self.resolution, rule
        )

    def S2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        return jnp.concatenate([block.S2 for block in self._of_two(C)], axis=1)
