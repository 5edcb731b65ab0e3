"""The generalisation error, or the expected loss, as a function of the order parameters."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.averages import Averages
from teacherstudent.checking import arguments
from teacherstudent.extensions.own_classes import unknown_error
from teacherstudent.observables.loss_of_signs import loss_of_signs
from teacherstudent.problem import Problem
from teacherstudent.schedules import named_schedules
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks.base import averages_of_fields


@arguments.checked
def generalisation_error(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    """The generalisation error at given order parameters, without label noise.

        eps_g = E[(phi - phi*)^2] / 2 = 1/2 sum_ab u_a u_b I2(a, b)
        u = (v_1..v_K, -v*_1..-v*_M),   I2(a, b) = E[g_a(h_a) g_b(h_b)]

    h are the fields (lambda_1..lambda_K, nu_1..nu_M), of covariance [[Q, R], [R^T, T]].  `at` is
    one state or a batch of them, such as those along a trajectory; the answer has the shape of the
    batch.  Computed in float64.

    Raises ValueError if the order parameters do not fit the problem, or its task has no teacher
    (see `expected_loss`).

    Saad & Solla, Phys. Rev. E 52, 4225 (1995); Goldt et al., NeurIPS 2019.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> linear = ts.TeacherStudent(width=2, activation="linear")
    >>> problem = ts.Problem(linear, ts.Student(width=3, activation="linear"), ts.SGD(0.3))
    >>> state = ts.OrderParameters(Q=np.eye(3), R=np.zeros((3, 2)))
    >>> float(ts.generalisation_error(problem, state))  # (sum_kl Q_kl + sum_mn T_mn) / 2
    2.5
    """
    if problem.task.HAS_CLASSES:
        raise ValueError(
            f"the task {type(problem.task).__name__} has no teacher; use expected_loss, or "
            "accuracy."
        )
    return _error_at(problem, at)


@arguments.checked
def expected_loss(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    """The expected loss at given order parameters, for tasks with labels y = +-1.

        E l(phi, y),   phi = sum_k v_k g(lambda_k + b_k),   y = +-1

    These are Q, m, v, b with two classes, and Q, R, T, v with a `ClassifyingTeacher`, whose labels
    are those that the student is told, noise and flips included.

    It includes what no student can avoid.  `at` may be a batch, such as the states along a
    trajectory, and `problem` another one than they were trained on, such as one with a `clone` of
    its task.  Computed in float64.

    Raises ValueError if the order parameters do not fit the problem, or its labels are not +-1.

    >>> import teacherstudent as ts
    >>> task = ts.SpikedCumulant(beta=2.0)
    >>> problem = ts.Problem(task, ts.Student(width=1, activation="linear"), ts.SGD(0.1))
    >>> untrained = ts.OrderParameters(Q=[[0.0]], m=[[0.0]])
    >>> float(ts.expected_loss(problem, untrained))  # phi = 0, so that (phi - y)^2 / 2 = 1/2
    0.5
    """
    if problem.task.HAS_CLASSES:
        return _error_at(problem, at)
    return loss_of_signs(problem, at)


def require_classes(problem: Problem) -> None:
    """Raise ValueError if the task of a problem has no classes."""
    if not problem.task.HAS_CLASSES:
        raise ValueError(
            f"the task {type(problem.task).__name__} has no classes y = +-1; give a task such as "
            "SpikedCumulant or GaussianMixture."
        )


def check_error_known(problem: Problem) -> None:
    """Raise ValueError, with the reason, if the error at given overlaps is not known."""
    why = unknown_error(problem.task, problem.student.activation)
    if why is not None:
        raise ValueError(f"{why}; simulate measures it on held-out samples.")


def _error_at(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    check_error_known(problem)
    _check_one_teacher(problem)
    problem.check_start(at)
    with jax.enable_x64(True):
        state = [jnp.asarray(part, jnp.float64) for part in (at.Q, at.R, at.T, at.v, at.b)]
        return _batched_error(problem.for_programs(), *state)


def _check_one_teacher(problem: Problem) -> None:
    """Raise ValueError if the teacher changes with time, which order parameters do not have."""
    for field, _ in named_schedules(problem.task):
        if field != "noise":  # which is not part of the error
            raise ValueError(
                f"task.{field} changes with time; give the problem at one time, problem.at(t)."
            )


@jax.jit
def _batched_error(problem: Problem, Q, R, T, v, b) -> Float[Array, "*batch"]:
    one_state = partial(error_of, problem)
    return jnp.vectorize(one_state, signature="(k,k),(k,m),(m,m),(k),(k)->()")(Q, R, T, v, b)


def error_of(
    problem: Problem,
    Q: Float[Array, "students students"],
    R: Float[Array, "students teachers"],
    T: Float[Array, "teachers teachers"],
    v: Float[Array, " students"],
    b: Float[Array, " students"],
) -> Float[Array, ""]:
    """eps_g of a task with a teacher, the expected loss of one with classes."""
    return problem.task.error(problem.student, problem.loss, Q, R, T, v, b)


def averages_of(
    problem: Problem,
    C: Float[Array, "fields fields"] | None = None,
    b: Float[Array, " students"] | None = None,
) -> Averages:
    """The Gaussian averages for the problem's two activations and widths.

    Where fields have means, which follow from their covariance C and the biases b, they are at
    these, and at zero unless C and b are given.
    """
    student, teacher = problem.student, problem.teacher
    K, M = student.width, teacher.width
    if C is None:
        C = jnp.zeros((K + M, K + M))
    if b is None:
        b = jnp.zeros(K)
    mean = teacher.mean_of_fields(student, C[:K, K:], C[K:, K:], b)
    return averages_of_fields(student, teacher.activation, M, mean, problem.resolution)


def output_weights(problem: Problem, v: Float[Array, " students"]) -> Float[Array, " fields"]:
    """u = (v, -v*), so that phi - phi* = sum_a u_a g_a(h_a)."""
    return jnp.concatenate([v, -problem.teacher.v_star])
