"""Which averages a theory uses, and how far those by quadrature may be off along a solution."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.fields import ClosedForms, field_averages_for
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.generalisation import averages_of, output_weights
from teacherstudent.mixture_fields import component_fields
from teacherstudent.order_parameters import covariance
from teacherstudent.problem import Problem
from teacherstudent.tasks import MixtureTask

NOTABLE = 1e-5


def averages_used(problem: Problem) -> str:
    """One line that names the averages: closed forms, or which quadrature."""
    if isinstance(problem.task, MixtureTask):
        return _field_averages(problem).description
    averages = averages_of(problem)
    if isinstance(averages, QuadratureAverages):
        return "quadrature, field by field"
    return f"closed forms of {problem.student.activation.name}"


def quadrature_error(problem: Problem, T, Q, R, v, b) -> float | None:
    """The largest estimated error of the averages at the states of one trajectory that are most at risk.

    These are the state with the longest student vectors, since the error grows with the variance of the fields, and the
    last one, where fields may come to coincide.  None if the averages are closed forms.  Warns if it is above 1e-5.
    """
    estimate = _estimate_of_classes(problem) if isinstance(problem.task, MixtureTask) else _estimate(problem, T)
    if estimate is None:
        return None
    finite = np.flatnonzero(np.isfinite(Q).all(axis=(1, 2)))
    longest = finite[np.trace(Q[finite], axis1=1, axis2=2).argmax()]
    errors = [
        float(estimate(*(jnp.asarray(part[at]) for part in (Q, R, v, b)))) for at in sorted({longest, finite[-1]})
    ]
    if max(errors) > NOTABLE:
        warnings.warn(
            f"the averages of this theory are by quadrature and may be off by {max(errors):.1g}; where an activation changes "
            "on a very short interval, naming its ends helps: Activation(..., kinks=(0.5, 0.5001)).",
            stacklevel=4,
        )
    return max(errors)


def _estimate(problem: Problem, T):
    averages = averages_of(problem)
    if not isinstance(averages, QuadratureAverages):
        return None
    fixed = jnp.asarray(T)
    return jax.jit(lambda Q, R, v, b: averages.error(covariance(Q, R, fixed), output_weights(problem, v)))


def _estimate_of_classes(problem: Problem):
    """The error of the mean over components is at most the mean of their errors."""
    averages = _field_averages(problem)
    if not isinstance(averages, FieldSpace):
        return None
    law = problem.classes.components()

    def mean_error(Q, m, v, b) -> Float[Array, ""]:
        fields, y = component_fields(law, Q, m, b), jnp.asarray(law.y)
        errors = jax.lax.map(lambda one: averages.error(one[0], one[1], v, one[2]), (*fields, y))
        return jnp.asarray(law.p) @ errors

    return jax.jit(mean_error)


def _field_averages(problem: Problem) -> ClosedForms | FieldSpace:
    return field_averages_for(problem.student.activation, problem.loss, problem.student.width)
