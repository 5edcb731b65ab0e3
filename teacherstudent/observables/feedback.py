"""How far a readout and the numbers that carry the error back agree, as observables.

With the readout v and F = `rule.backward(v)`, the numbers through which the first layer hears the
error: the readout itself under SGD, fixed ones under `ts.FeedbackAlignment`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.checking import arguments
from teacherstudent.extensions.own_classes import changed_law
from teacherstudent.observables.generalisation import averages_of, output_weights
from teacherstudent.observables.observable import Observable
from teacherstudent.problem import Problem
from teacherstudent.schedules import named_schedules
from teacherstudent.states.order_parameters import OrderParameters, covariance


@arguments.checked
def feedback_alignment(problem: Problem) -> Observable:
    """The cosine of the angle between the readout and the feedback, to be recorded by `integrate`
    and `simulate`; "feedback_alignment" for short.

        cos(v, F) = v . F / (|v| |F|)

    0 where one of them is zero; 1 for a rule that follows the gradient, F = v.

    Refinetti, d'Ascoli, Ohana & Goldt, ICML 2021 (arXiv:2011.12428).

    >>> import teacherstudent as ts
    >>> rule = ts.FeedbackAlignment(0.5, feedback=[1.0, 1.0])
    >>> student = ts.Student(2, train_readout=True)
    >>> problem = ts.Problem(ts.TeacherStudent(width=1), student, rule)
    >>> state = ts.OrderParameters(Q=[[1.0, 0.0], [0.0, 1.0]], R=[[0.0], [0.0]], v=[0.0, 2.0])
    >>> round(float(ts.feedback_alignment(problem).value(state)), 4)
    0.7071
    """

    def of(state: OrderParameters) -> Float[Array, ""]:
        v = jnp.asarray(state.v)
        return _cosine(v, problem.rule.backward(v), jnp.ones_like(v))

    return Observable(
        "feedback_alignment",
        (),
        r"$\cos(v, F)$",
        of=of,
        long_name="alignment of readout and feedback",
    )


@arguments.checked
def gradient_alignment(problem: Problem) -> Observable:
    """The cosine of the angle between the first layer's update and its gradient, to be recorded by
    `integrate` and `simulate`; "gradient_alignment" for short.

        sum_k F_k v_k B_kk / sqrt( sum_k F_k^2 B_kk sum_k v_k^2 B_kk )
        B_kk = E[g'(lambda_k)^2 (phi - y)^2]

    for one sample, y with its label noise: |x|^2 / N is 1 in the limit, and different units move
    different weights, so that a ratio of expectations remains.  The sums are over the units that
    learn.  0 where v or F is zero; 1 for a rule that follows the gradient, F = v.

    Raises ValueError unless the task has a teacher of ours whose numbers do not change with time.

    Refinetti, d'Ascoli, Ohana & Goldt, ICML 2021 (arXiv:2011.12428).

    >>> import teacherstudent as ts
    >>> rule = ts.FeedbackAlignment(0.5, feedback=[1.0, 1.0])
    >>> problem = ts.Problem(ts.TeacherStudent(width=1), ts.Student(2), rule)
    >>> alike = ts.OrderParameters(Q=[[1.0, 0.0], [0.0, 1.0]], R=[[0.0], [0.0]])
    >>> round(float(ts.gradient_alignment(problem).value(alike)), 4)  # v = (1, 1)
    1.0
    """
    _check_known(problem)

    def of(state: OrderParameters) -> Float[Array, ""]:
        C, v = jnp.asarray(covariance(state.Q, state.R, state.T)), jnp.asarray(state.v)
        averages = averages_of(problem, C, jnp.asarray(state.b))
        K = v.shape[0]
        without_noise = averages.I4(C, output_weights(problem, v))
        B = without_noise + problem.teacher.noise**2 * averages.J2(C)[:, :K]
        weights = jnp.diag(B) * jnp.asarray(problem.student.moving)
        return _cosine(v, problem.rule.backward(v), weights)

    return Observable(
        "gradient_alignment",
        (),
        r"$\cos(\Delta w, \nabla_w)$",
        of=of,
        long_name="alignment of update and gradient",
    )


def _check_known(problem: Problem) -> None:
    """Raise ValueError unless the averages of the error and of g' are those of our teachers."""
    if problem.task.HAS_CLASSES:
        raise ValueError(
            "gradient_alignment is for tasks with a teacher, not for "
            f"{type(problem.task).__name__}; give 'feedback_alignment'."
        )
    changed = changed_law(problem.task)
    if changed is not None:
        raise ValueError(
            f"gradient_alignment: {changed}, and its averages are not known; leave it out."
        )
    for field, _ in named_schedules(problem.task):
        raise ValueError(
            f"gradient_alignment: task.{field} changes with time, which an observable does not "
            "see; leave it out, or record it in each phase of a ts.Protocol."
        )


def _cosine(
    a: Float[Array, " students"], b: Float[Array, " students"], weights: Float[Array, " students"]
) -> Float[Array, ""]:
    """sum_k weights_k a_k b_k over the lengths; 0 where a length is zero."""
    squares = (weights @ a**2) * (weights @ b**2)
    has_lengths = squares > 0
    lengths = jnp.sqrt(jnp.where(has_lengths, squares, 1.0))
    return jnp.where(has_lengths, weights @ (a * b) / lengths, 0.0)
