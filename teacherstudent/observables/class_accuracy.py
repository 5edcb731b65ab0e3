"""The probability that a student names the class.

    accuracy = P(y phi > 0) + P(phi = 0) / 2

The indicator is no smooth function of the fields, so this is a mean over frozen points: 2^16
scrambled Sobol points in K + 1 dimensions, of which the first coordinate chooses the component and
the others are its normal coordinates, so that the answer is the same at each call.  Measured error:
1e-4 to 3e-4 for K = 1 to 4 (the standard error of as many random points is 2e-3).
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.mixture_fields import component_fields
from teacherstudent.averages.quasi_random import normals, uniform_points
from teacherstudent.averages.triangle import cholesky
from teacherstudent.checking import arguments
from teacherstudent.observables.generalisation import check_error_known, require_classes
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import OrderParameters

LOG2_POINTS = 16


@arguments.checked
def accuracy(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    """The probability of the right class at given order parameters Q, m, v, b.

        accuracy = P(y phi > 0) + P(phi = 0) / 2,   phi = sum_k v_k g(lambda_k + b_k)

    1 - accuracy is the classification error, to be compared with `oracle_error`.  `at` is one state
    or a batch of them; the answer has the shape of the batch.  Computed in float64 from frozen
    quasi-random points, with an error of a few 1e-4.

    Raises ValueError if the order parameters do not fit the problem, or its task has no classes.

    >>> import teacherstudent as ts
    >>> task = ts.GaussianMixture(weights=[0.5, 0.5], labels=[1, -1], means=[[1.0], [-1.0]])
    >>> problem = ts.Problem(task, ts.Student(width=1, activation="linear"), ts.SGD(0.1))
    >>> along_the_means = ts.OrderParameters(Q=[[1.0]], m=[[1.0]])
    >>> round(float(ts.accuracy(problem, along_the_means)), 3)  # the normal law's P(z < 1)
    0.841
    """
    require_classes(problem)
    check_error_known(problem)
    problem.check_start(at)
    with jax.enable_x64(True):
        state = [jnp.asarray(part, jnp.float64) for part in (at.Q, at.m, at.v, at.b)]
        return _batched(problem.for_programs(), *state)


@jax.jit
def _batched(problem: Problem, Q, m, v, b) -> Float[Array, "*batch"]:
    one_state = partial(accuracy_at, problem)
    return jnp.vectorize(one_state, signature="(k,k),(k,r),(k),(k)->()")(Q, m, v, b)


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
