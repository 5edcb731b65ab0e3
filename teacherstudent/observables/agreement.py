"""The probability that student and teacher have the same sign, as an observable.

    agreement = P(phi phi* > 0) + P(phi phi* = 0) / 2

The fields (lambda, nu) are jointly normal with covariance [[Q, R], [R^T, T]], with the means that
biases and inputs give them.  The indicator is no
smooth function of them, so this is a mean over frozen points: 2^18 scrambled Sobol points in K + M
dimensions, the same ones at each call.  For K = M = 1 and odd increasing activations it is known,
1 - arccos(rho) / pi with the correlation rho.  Largest measured error: 1e-4 there, and for K + M =
3, 5 and 7, from the differences of other points, 1e-4, 4e-4 and 5e-4 (the standard error of as many
random points is 1e-3).  One state takes about 30 ms on one core for K + M = 5.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.quasi_random import normals, uniform_points
from teacherstudent.averages.triangle import cholesky
from teacherstudent.extensions.own_classes import changed_law
from teacherstudent.observables.observable import Observable
from teacherstudent.problem import Problem
from teacherstudent.schedules import named_schedules
from teacherstudent.states.order_parameters import OrderParameters, covariance

LOG2_POINTS = 18


def sign_agreement(problem: Problem) -> Observable:
    """The probability that student and teacher have the same sign."""
    if problem.task.HAS_CLASSES:
        raise ValueError(
            f"sign_agreement is for tasks with a teacher, not for {type(problem.task).__name__}; "
            "give 'accuracy'."
        )
    changed = changed_law(problem.task)
    if changed is not None:
        raise ValueError(
            f"sign_agreement: {changed}, and its labels and fields are not known; leave it out."
        )
    teacher = problem.teacher
    for field, _ in named_schedules(teacher):
        if field != "noise":  # which is no part of the teacher's sign
            raise ValueError(
                f"sign_agreement: task.{field} changes with time, which an observable does not "
                "see; leave it out, or record it in each phase of a ts.Protocol."
            )
    activations = problem.student.activation, teacher.activation
    v_star = np.asarray(teacher.v_star)

    # One state at a time: many of them with all their points would fill the memory.
    @jax.custom_batching.sequential_vmap
    def probability(C, mean, v):
        return agreement(*activations, C, mean, v, jnp.asarray(v_star))

    def of(state: OrderParameters) -> Float[Array, ""]:
        C = covariance(state.Q, state.R, state.T)
        mean = teacher.mean_of_fields(problem.student, state.R, state.T, state.b)
        if mean is None:
            mean = jnp.zeros(len(C), C.dtype)
        return probability(C, mean, state.v)

    return Observable(
        "sign_agreement",
        (),
        r"$P(\phi\phi^* > 0)$",
        of=of,
        long_name="probability that student and teacher have the same sign",
    )


def agreement(
    of_student,
    of_teacher,
    C: Float[Array, "fields fields"],
    mean: Float[Array, " fields"],
    v: Float[Array, " students"],
    v_star: Float[Array, " teachers"],
    replica: int = 0,
) -> Float[Array, ""]:
    """P(phi phi* > 0) + P(phi phi* = 0) / 2 for fields of covariance C with these means."""
    K = v.shape[0]
    fields = mean[None, :] + jnp.asarray(_points(len(C), replica)) @ cholesky(C).T
    phi = of_student(fields[:, :K]) @ v
    phi_star = of_teacher(fields[:, K:]) @ v_star
    return 0.5 + 0.5 * jnp.mean(jnp.sign(phi) * jnp.sign(phi_star))


@cache
def _points(fields: int, replica: int) -> Float[np.ndarray, "points fields"]:
    """The normal coordinates of each point."""
    return normals(uniform_points(fields, 2**LOG2_POINTS, replica))
