"""The generalisation error, or the expected loss, as a function of the order parameters."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.averages import Averages, averages_for
from teacherstudent.checking import arguments
from teacherstudent.checking.own_classes import unknown_error
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import OrderParameters


@arguments.checked
def generalisation_error(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    """The generalisation error at given order parameters, without label noise.

        eps_g = E[(phi - phi*)^2] / 2 = 1/2 sum_ab u_a u_b I2(a, b),   u = (v_1..v_K, -v*_1..-v*_M)

    Computed in float64.  Saad & Solla, Phys. Rev. E 52, 4225 (1995); Goldt et al., NeurIPS 2019.

    Raises ValueError if the order parameters do not fit the problem, or its task has no teacher
    (see `expected_loss`).
    """
    if problem.task.HAS_CLASSES:
        raise ValueError(
            f"the task {type(problem.task).__name__} has no teacher; use expected_loss, or "
            "accuracy."
        )
    return _at(problem, at)


@arguments.checked
def expected_loss(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    """The expected loss E[l(phi, y)] at given order parameters Q, m, v, b, for tasks with two
    classes.

    It includes what no student can avoid.  `at` may be a batch, such as the states along a
    trajectory, and `problem` another one than they were trained on, such as one with a `clone` of
    its task.  Computed in float64.

    Raises ValueError if the order parameters do not fit the problem, or its task has no classes.
    """
    _ = problem.classes  # says so if there are none
    return _at(problem, at)


def check_error_known(problem: Problem) -> None:
    """Raise ValueError, with the reason, if the error of a problem at given overlaps is not known."""
    why = unknown_error(problem.task, problem.student.activation)
    if why is not None:
        raise ValueError(f"{why}; simulate measures it on held-out samples.")


def _at(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    check_error_known(problem)
    problem.check_start(at)
    with jax.enable_x64(True):
        return _batched_error(
            problem.for_programs(),
            *(jnp.asarray(part, jnp.float64) for part in (at.Q, at.R, at.T, at.v, at.b)),
        )


@jax.jit
def _batched_error(problem: Problem, Q, R, T, v, b) -> Float[Array, "*batch"]:
    one = jnp.vectorize(
        lambda *state: error_of(problem, *state), signature="(k,k),(k,m),(m,m),(k),(k)->()"
    )
    return one(Q, R, T, v, b)


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


def averages_of(problem: Problem) -> Averages:
    """The Gaussian averages for the problem's two activations and widths."""
    return averages_for(
        problem.student.activation,
        problem.teacher.activation,
        problem.student.width,
        problem.teacher.width,
    )


def output_weights(problem: Problem, v: Float[Array, " students"]) -> Float[Array, " fields"]:
    """u = (v, -v*), so that phi - phi* = sum_a u_a g_a(h_a)."""
    return jnp.concatenate([v, -problem.teacher.v_star])
