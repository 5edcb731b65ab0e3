"""The student's fields on inputs of two classes, component by component.

In a component where s ~ N(A, S) and the orthogonal variance is sigma^2,

    E lambda = m A + b,     Cov(lambda) = m S m^T + sigma^2 (Q - m m^T),     Cov(lambda, s) = m S.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.averages.field_averages import FieldAverages
from teacherstudent.averages.fields import field_averages_for
from teacherstudent.averages.resolution import DEFAULT, Resolution
from teacherstudent.checking.checks import AnyArray


class Components(NamedTuple):
    """The law of the label y and of the fields s_a = u_a . x / sqrt N as a mixture of Gaussians.

    In component c, of probability p_c, the label is y_c = +-1, the fields along the r fixed
    directions are s ~ N(A_c, S_c), and the inputs orthogonal to these have the variance sigma2_c.
    The p sum to 1.

    Two classes of equal weight and unit variance, whose means are at +-2 along one direction:

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> law = ts.Components(
    ...     p=np.array([0.5, 0.5]),
    ...     y=np.array([1.0, -1.0]),
    ...     A=np.array([[2.0], [-2.0]]),
    ...     S=np.ones((2, 1, 1)),
    ...     sigma2=np.ones(2),
    ... )
    >>> float(law.p @ law.A[:, 0] ** 2)
    4.0
    """

    p: Float[AnyArray, " components"]
    y: Float[AnyArray, " components"]
    A: Float[AnyArray, "components directions"]
    S: Float[AnyArray, "components directions directions"]
    sigma2: Float[AnyArray, " components"]


class ComponentFields(NamedTuple):
    """Means and covariances of the fields in every component."""

    mean: Float[Array, "components students"]
    C: Float[Array, "components students students"]


def component_fields(
    law: Components,
    Q: Float[Array, "students students"],
    m: Float[Array, "students directions"],
    b: Float[Array, " students"],
) -> ComponentFields:
    """Mean and covariance of lambda in each component of a law."""
    A, S, sigma2 = (jnp.asarray(part) for part in (law.A, law.S, law.sigma2))
    orthogonal = Q - m @ m.T
    C = jnp.einsum("ka,cab,lb->ckl", m, S, m) + sigma2[:, None, None] * orthogonal[None]
    return ComponentFields(A @ m.T + b[None, :], C)


def component_averages(
    student,
    loss,
    law: Components,
    fields: ComponentFields,
    v: Float[Array, " students"],
    resolution: Resolution | None = None,
) -> FieldAverages:
    """The averages of one update, with the components as first axis."""
    averages = field_averages_for(student.activation, loss, v.shape[0], resolution or DEFAULT)
    in_components = jax.vmap(averages.averages, in_axes=(0, 0, None, 0))
    return in_components(*fields, v, jnp.asarray(law.y))


def expected_loss_of(
    law: Components,
    student,
    loss,
    Q: Float[Array, "students students"],
    m: Float[Array, "students directions"],
    v: Float[Array, " students"],
    b: Float[Array, " students"],
) -> Float[Array, ""]:
    """E[l(phi, y)] = sum_c p_c E_c[l], the part included that nobody can avoid."""
    fields = component_fields(law, Q, m, b)
    return jnp.asarray(law.p) @ component_averages(student, loss, law, fields, v).loss
