"""The averages of one update in one mixture component: in closed form if activation and loss have
one, else in field space.

A sample of a component with fields lambda ~ N(mean, C) and label y moves unit k by

    -(eta / sqrt N) delta_k x,    delta_k = v_k g'(lambda_k) l'(phi, y),
    phi = sum_j v_j g(lambda_j).

`FieldAverages` says which averages that takes.  The activation knows averages of g and its
derivatives (`shifted.py`); the loss knows how those of an update follow (`Loss.averages`).
"""

from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.choice import shifted_averages_for
from teacherstudent.averages.field_averages import FieldAverages
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.shifted import ShiftedAverages
from teacherstudent.losses import Loss, as_loss


class ClosedForms:
    """The averages of one update from closed forms of an activation."""

    def __init__(self, shifted: ShiftedAverages, loss: Loss, name: str):
        self.shifted = shifted
        self.loss = loss
        self.description = f"closed forms of {name}"

    def averages(
        self,
        mean: Float[Array, " students"],
        C: Float[Array, "students students"],
        v: Float[Array, " students"],
        y: Float[Array, ""],
    ) -> FieldAverages:
        """a, J, D, b and the expected loss."""
        return self.loss.averages(self.shifted, mean, C, v, y)


def field_averages_for(
    activation: Activation, loss: str | Loss, students: int
) -> ClosedForms | FieldSpace:
    """Closed forms where both the activation and the loss have them; quadrature for all else."""
    loss = as_loss(loss)
    if loss.has_closed_forms:
        shifted = shifted_averages_for(activation, students)
        if shifted is not None:
            return ClosedForms(shifted, loss, activation.name)
    return FieldSpace(activation, loss, students)
