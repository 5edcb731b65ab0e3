"""The averages of one update in one mixture component: from closed forms where there are some, else
in field space.

A sample of a component with fields lambda ~ N(mean, C) and label y moves unit k by -(eta / sqrt N)
delta_k x with delta_k = v_k g'(lambda_k) l'(phi), phi = sum_j v_j g(lambda_j).  Needed are

    a_k = E[delta_k],   J_kl = E[d delta_k / d lambda_l],   D_kl = E[delta_k delta_l],   b_k =
    E[g(lambda_k) l'(phi)],   E[l]

For the square loss, l' = phi - y, with the averages of `shifted.py`,

    a_k  = v_k ( sum_j v_j S2(k, j) - y E g'_k )
    J_kl = v_k v_l J2(k, l) + (k = l) v_k ( sum_j v_j G2(k, j) - y E g''_k )
    D_kl = v_k v_l I4(k, l; v, y)
    b_k  = sum_j v_j I2(k, j) - y E g_k,      E l = ( v^T I2 v - 2 y sum_j v_j E g_j + y^2 ) / 2

and for the correlation loss, l' = -y, the same without the terms of phi.
"""

import abc

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.field_space import FieldAverages, FieldSpace
from teacherstudent.averages.shifted import ShiftedAverages
from teacherstudent.averages.shifted_for import shifted_averages_for
from teacherstudent.losses import LOSSES


class ClosedForms(abc.ABC):
    """The averages of one update from closed forms of an activation."""

    def __init__(self, averages: ShiftedAverages, name: str):
        self.of = averages
        self.description = f"closed forms of {name}"

    @abc.abstractmethod
    def averages(
        self,
        mean: Float[Array, " students"],
        C: Float[Array, "students students"],
        v: Float[Array, " students"],
        y: Float[Array, ""],
    ) -> FieldAverages:
        """a, J, D, b and the expected loss."""


class SquareLoss(ClosedForms):
    """l(phi, y) = (phi - y)^2 / 2."""

    def averages(
        self,
        mean: Float[Array, " students"],
        C: Float[Array, "students students"],
        v: Float[Array, " students"],
        y: Float[Array, ""],
    ) -> FieldAverages:
        of, I2, values = self.of, self.of.I2(mean, C), self.of.values(mean, C)
        curvature = of.G2(mean, C) @ v - y * of.curvatures(mean, C)
        return FieldAverages(
            a=v * (of.S2(mean, C) @ v - y * of.slopes(mean, C)),
            J=v[:, None] * v[None, :] * of.J2(mean, C) + jnp.diag(v * curvature),
            D=v[:, None] * v[None, :] * of.I4(mean, C, v, y),
            b=I2 @ v - y * values,
            loss=(v @ I2 @ v - 2 * y * (v @ values) + y**2) / 2,
        )


class CorrelationLoss(ClosedForms):
    """l(phi, y) = -y phi."""

    def averages(
        self,
        mean: Float[Array, " students"],
        C: Float[Array, "students students"],
        v: Float[Array, " students"],
        y: Float[Array, ""],
    ) -> FieldAverages:
        of, values = self.of, self.of.values(mean, C)
        return FieldAverages(
            a=-y * v * of.slopes(mean, C),
            J=-y * jnp.diag(v * of.curvatures(mean, C)),
            D=v[:, None] * v[None, :] * y**2 * of.J2(mean, C),
            b=-y * values,
            loss=-y * (v @ values),
        )


def field_averages_for(
    activation: Activation, loss: str, students: int
) -> ClosedForms | FieldSpace:
    """Closed forms for the square and the correlation loss of erf, ReLU and polynomials; quadrature
    for all else.
    """
    closed = shifted_averages_for(activation, students)
    if closed is None or loss not in ("square", "correlation"):
        return FieldSpace(activation, LOSSES[loss], students)
    return (SquareLoss if loss == "square" else CorrelationLoss)(closed, activation.name)
