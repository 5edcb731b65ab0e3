"""How far averages by quadrature may be off along a solution."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.generalisation import averages_of, output_weights
from teacherstudent.order_parameters import covariance
from teacherstudent.problem import Problem

NOTABLE = 1e-5


def quadrature_error(problem: Problem, T, Q, R, v) -> float | None:
    """The largest estimated error of the averages at the states of one trajectory that are most at risk.

    These are the state with the longest student vectors, since the error grows with the variance of the fields, and the
    last one, where fields may come to coincide.  None if the averages are closed forms.  Warns if it is above 1e-5.
    """
    averages = averages_of(problem)
    if not isinstance(averages, QuadratureAverages):
        return None
    finite = np.flatnonzero(np.isfinite(Q).all(axis=(1, 2)))
    longest = finite[np.trace(Q[finite], axis1=1, axis2=2).argmax()]
    estimate = jax.jit(lambda C, v: averages.error(C, output_weights(problem, v)))
    errors = [
        float(estimate(covariance(*map(jnp.asarray, (Q[at], R[at], T))), jnp.asarray(v[at])))
        for at in sorted({longest, finite[-1]})
    ]
    if max(errors) > NOTABLE:
        kinks = (
            ""
            if problem.student.activation.kinks
            else "; if an activation has a kink, name it: Activation(..., kinks=(0.0,))"
        )
        warnings.warn(
            f"the averages of this theory are by quadrature and may be off by {max(errors):.1g}{kinks}.", stacklevel=4
        )
    return max(errors)
