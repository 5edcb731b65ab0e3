"""The averages of one update in one mixture component: from averages of the activation where the
loss says how, in closed form if the activation has one, and in field space for all other losses.

A sample of a component with fields lambda ~ N(mean, C) and label y moves unit k by

    -(eta / sqrt N) delta_k x,    delta_k = v_k g'(lambda_k) l'(phi, y),
    phi = sum_j v_j g(lambda_j).

`FieldAverages` says which averages that takes.  The activation knows averages of g and its
derivatives (`shifted.py`); the loss knows how those of an update follow (`Loss.averages`).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.choice import shifted_averages_for
from teacherstudent.averages.field_averages import FieldAverages
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.quasi_random import CAUTION
from teacherstudent.averages.resolution import DEFAULT, Resolution
from teacherstudent.averages.rule import both_rules, rule_of
from teacherstudent.averages.shifted import ShiftedAverages
from teacherstudent.averages.shifted_quadrature import ShiftedQuadrature
from teacherstudent.averages.triangle import ROUNDING
from teacherstudent.losses import Loss, as_loss


class FromActivation:
    """The averages of one update from averages of the activation."""

    def __init__(self, shifted: ShiftedAverages, loss: Loss):
        self.shifted = shifted
        self.loss = loss

    def averages(
        self,
        mean: Float[Array, " students"],
        C: Float[Array, "students students"],
        v: Float[Array, " students"],
        y: Float[Array, ""],
    ) -> FieldAverages:
        """a, J, D, b and the expected loss."""
        return self.loss.averages(self.shifted, mean, C, v, y)


class ClosedForms(FromActivation):
    """The same, where those of the activation are closed forms."""

    def __init__(self, shifted: ShiftedAverages, loss: Loss, name: str):
        super().__init__(shifted, loss)
        self.description = f"closed forms of {name}"


class FieldByField(FromActivation):
    """The same by quadrature."""

    def __init__(self, activation: Activation, loss: Loss, students: int, resolution: Resolution):
        rule = rule_of(resolution, symmetric=False)
        super().__init__(ShiftedQuadrature(activation, students, rule), loss)
        self.activation = activation
        self.students = students
        self.resolution = resolution
        self.description = f"quadrature, field by field: {resolution.description}"

    def error(
        self,
        mean: Float[Array, " students"],
        C: Float[Array, "students students"],
        v: Float[Array, " students"],
        y: Float[Array, ""],
    ) -> Float[Array, ""]:
        """A cautious estimate of the largest absolute error of a, J C, D, b and the loss, from the
        difference of a coarser rule.
        """

        def by_rule(rule):
            shifted = ShiftedQuadrature(self.activation, self.students, rule)
            averages = self.loss.averages(shifted, mean, C, v, y)
            return averages._replace(J=averages.J @ C)

        parts = jax.lax.map(by_rule, both_rules(self.resolution, symmetric=False))
        differences = [jnp.max(jnp.abs(part[0] - part[1])) for part in parts]
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(part[0])) for part in parts]))
        return CAUTION * jnp.max(jnp.stack(differences)) + ROUNDING * largest


def field_averages_for(
    activation: Activation, loss: str | Loss, students: int, resolution: Resolution = DEFAULT
) -> ClosedForms | FieldByField | FieldSpace:
    """Closed forms where both the activation and the loss have them; quadrature for all else."""
    loss = as_loss(loss)
    if not loss.has_closed_forms:
        return FieldSpace(activation, loss, students, log2_points=resolution.log2_points)
    shifted = shifted_averages_for(activation, students)
    if shifted is None:
        return FieldByField(activation, loss, students, resolution)
    return ClosedForms(shifted, loss, activation.name)
