"""The expected loss where a teacher tells signs, at given order parameters and as an observable."""

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.extensions.own_classes import require_our_law
from teacherstudent.losses import as_loss
from teacherstudent.observables.observable import Observable
from teacherstudent.problem import Problem
from teacherstudent.schedules import named_schedules
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import ClassifyingTeacher
from teacherstudent.tasks.sweeping import swept_numbers


def loss_of_signs(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    """E l(phi, y) at given order parameters, or at each state of a batch."""
    _check_signs(problem)
    problem.check_start(at)
    with jax.enable_x64(True):
        state = [jnp.asarray(part, jnp.float64) for part in (at.Q, at.R, at.T, at.v)]
        return _batched_loss(problem.for_programs(), *state)


def expected_loss_of_signs(problem: Problem) -> Observable:
    """The expected loss with a teacher that tells signs, as an observable."""
    if problem.task.HAS_CLASSES:
        raise ValueError(
            "expected_loss is among the answers for tasks with two classes, as the variable loss; "
            "leave it out."
        )
    _check_signs(problem)
    program = problem.for_programs()

    # One state at a time: many of them with all their points would fill the memory.
    @jax.custom_batching.sequential_vmap
    def loss(Q, R, T, v):
        return _loss_of_signs(program, Q, R, T, v)

    def of(state: OrderParameters) -> Float[Array, ""]:
        return loss(state.Q, state.R, jnp.asarray(state.T), state.v)

    return Observable("expected_loss", (), r"$E\ell$", of=of, long_name="expected loss")


def _check_signs(problem: Problem) -> None:
    """Raise ValueError unless the labels are signs of a teacher, with numbers that are known."""
    task = problem.task
    if not isinstance(task, ClassifyingTeacher):
        raise ValueError(
            f"expected_loss: the task {type(task).__name__} has no labels +-1; give a task such as "
            "SpikedCumulant, GaussianMixture or ClassifyingTeacher."
        )
    require_our_law(task)
    for field, _ in named_schedules(task):
        raise ValueError(
            f"expected_loss: task.{field} changes with time, which it does not see; give the "
            "problem at one time, problem.at(t)."
        )
    for name in swept_numbers(task):
        raise ValueError(f"expected_loss: task.{name} is a sequence; give one number.")


@jax.jit
def _batched_loss(problem: Problem, Q, R, T, v) -> Float[Array, "*batch"]:
    one_state = partial(_loss_of_signs, problem)
    return jnp.vectorize(one_state, signature="(k,k),(k,m),(m,m),(k)->()")(Q, R, T, v)


def _loss_of_signs(problem: Problem, Q, R, T, v) -> Float[Array, ""]:
    """E l at one state."""
    task = cast(ClassifyingTeacher, problem.task)
    return task.expected_loss(problem.student, as_loss(problem.loss), Q, R, T, v)
