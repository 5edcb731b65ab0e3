"""Averages over fields with any means, for any activation: quadrature (`field_quadrature.py`)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.field_quadrature import FieldQuadrature, OfTwo
from teacherstudent.averages.given_fields import Law
from teacherstudent.averages.hermite_series import HermiteSeries
from teacherstudent.averages.rule import Rule
from teacherstudent.averages.shifted import Covariance, Mean, PerPair, PerUnit, ShiftedAverages


class ShiftedQuadrature(ShiftedAverages):
    """Averages over the fields of K units with any g."""

    def __init__(self, activation: Activation, students: int, rule: Rule):
        super().__init__(students)
        self.activation = activation
        self.fields = FieldQuadrature(activation, activation, students, 0, rule, centred=False)
        self._last: tuple[Array, Array, OfTwo] | None = None

    def values(self, mean: Mean, C: Covariance) -> PerUnit:
        return self.fields.of_one(Law(mean, C)).value

    def slopes(self, mean: Mean, C: Covariance) -> PerUnit:
        return self.fields.of_one(Law(mean, C)).slope

    def curvatures(self, mean: Mean, C: Covariance) -> PerUnit:
        smooth = self.fields.of_one(Law(mean, C)).curvature
        kinks = self.activation.singularities.kinks()
        return smooth + self.fields.densities(Law(mean, C), kinks)

    def I2(self, mean: Mean, C: Covariance) -> PerPair:
        return _symmetric(self._of_two(mean, C).I2)

    def S2(self, mean: Mean, C: Covariance) -> PerPair:
        return self._of_two(mean, C).S2

    def J2(self, mean: Mean, C: Covariance) -> PerPair:
        return _symmetric(self._of_two(mean, C).J2)

    def G2(self, mean: Mean, C: Covariance) -> PerPair:
        smooth = self._of_two(mean, C).G2
        kinks = self.activation.singularities.kinks()
        if not kinks:
            return smooth
        units = range(self.students)
        return smooth + self.fields.deltas(Law(mean, C), units, units, kinks, _value)

    def I4(self, mean: Mean, C: Covariance, v: PerUnit, y: Float[Array, ""]) -> PerPair:
        return self.fields.squared_output(Law(mean, C), v, -y)

    def _of_two(self, mean: Mean, C: Covariance) -> OfTwo:
        """The averages of two units; those of the last law are kept for the next question."""
        if self._last is None or self._last[0] is not mean or self._last[1] is not C:
            units = range(self.students)
            self._last = (mean, C, self.fields.of_two(Law(mean, C), units, units))
        return self._last[2]


def _value(unit) -> HermiteSeries:
    return unit.value


def _symmetric(x: PerPair) -> PerPair:
    """Without the difference of two orders of integration."""
    return (x + jnp.swapaxes(x, -1, -2)) / 2
