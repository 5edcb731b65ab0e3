"""The probability that a student names the class: P(y phi > 0), and half of P(phi = 0).

The indicator is no smooth function of the fields, so this is a mean over frozen points: 2^16
scrambled Sobol points in K + 1 dimensions, of which the first coordinate chooses the component and
the others are its normal coordinates, so that the answer is the same at each call.  Measured error:
1e-4 to 3e-4 for K = 1 to 4 (the standard error of as many random points is 2e-3).
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.mixture_fields import component_fields
from teacherstudent.averages.nested_rule import cholesky
from teacherstudent.averages.quasi_random import normals, uniform_points
from teacherstudent.checking import arguments
from teacherstudent.observables.generalisation import check_error_known
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import OrderParameters

LOG2_POINTS = 16


@arguments.checked
def accuracy(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    """The probability of the right class, P(y phi > 0) + P(phi = 0) / 2, at given order parameters
    Q, m, v, b.

    1 - accuracy is the classification error, to be compared with `oracle_error`.  Computed in
    float64 from frozen quasi-random points, with an error of a few 1e-4.

    Raises ValueError if the order parameters do not fit the problem, or its task has no classes.
    """
    _ = problem.classes  # says so if there are none
    check_error_known(problem)
    problem.check_start(at)
    with jax.enable_x64(True):
        return _batched(
            problem.for_programs(),
            *(jnp.asarray(part, jnp.float64) for part in (at.Q, at.m, at.v, at.b)),
        )


@jax.jit
def _batched(problem: Problem, Q, m, v, b) -> Float[Array, "*batch"]:
    one = jnp.vectorize(
        lambda *state: accuracy_at(problem, *state), signature="(k,k),(k,r),(k),(k)->()"
    )
    return one(Q, m, v, b)


def accuracy_at(
    problem: Problem,
    Q: Float[Array, "students students"],
    m: Float[Array, "students directions"],
    v: Float[Array, " students"],
    b: Float[Array, " students"],
) -> Float[Array, ""]:
    """The accuracy at one state."""
    law = problem.classes.law()
    fields = component_fields(law, Q, m, b)
    points = jnp.asarray(_points(v.shape[0]))
    chosen = jnp.searchsorted(jnp.cumsum(jnp.asarray(law.p)), points[:, 0], side="right")
    chosen = jnp.minimum(chosen, len(law.p) - 1)
    roots = jax.vmap(cholesky)(fields.C)
    lam = fields.mean[chosen] + jnp.einsum("nkj,nj->nk", roots[chosen], points[:, 1:])
    phi = problem.student.activation(lam) @ v
    return 0.5 + 0.5 * jnp.mean(jnp.asarray(law.y)[chosen] * jnp.sign(phi))


@cache
def _points(students: int) -> Float[np.ndarray, "points coordinates"]:
    """One uniform and K normal coordinates for each point."""
    uniform = uniform_points(students + 1, 2**LOG2_POINTS)
    return np.concatenate([uniform[:, :1], normals(uniform[:, 1:])], axis=1)
