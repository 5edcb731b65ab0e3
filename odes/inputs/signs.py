"""The averages of one update where a teacher tells signs.

Linear students.  Their output phi is one normal field, and so is the field u whose sign is the
label.  With the averages of `teacherstudent/averages/sign_labels.py`,

    delta_k = v_k f(phi, y)
    J_kj = v_k v_j slope,   J_km = v_k v*_m jump,   D_kl = v_k v_l square

and with `spectral.py` the flow of the overlaps follows.  It is that of one perceptron, in any
number of units; K = M = 1 and v = v* = 1 is

    dR/dt = -eta (R slope + T jump)
    dQ/dt = -2 eta (Q slope + R jump) + eta^2 square.

Students with erf or ReLU, with the losses whose slope is f = s phi - y.  Such an update is that of
the square loss with a regression teacher of one unit, sign(u), and the readout c = 1 - 2 p, but for
the scale s of the output; the flips add (1 - c^2) E[g'_k g'_l] to D, as noise would.

All other students, losses and teachers by quadrature over the fields
(`teacherstudent/averages/sign_space.py`), whose J by u is J_km = v*_m J_ku.
"""

from collections.abc import Callable
from typing import Any, cast

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.moments import Moments
from odes.inputs.one_update import Fixed, Gradient, State, overlaps
from odes.inputs.samples import RandomNumbers
from odes.inputs.spectral import AveragesWithTeacher, by_mode
from teacherstudent.activations.signs import SIGN
from teacherstudent.averages import averages_for, sign_space
from teacherstudent.averages.base import Averages
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.sign_space import SignSpace
from teacherstudent.losses import as_loss
from teacherstudent.problem import Problem
from teacherstudent.schedules import is_schedule
from teacherstudent.states.order_parameters import covariance
from teacherstudent.tasks import ClassifyingTeacher
from teacherstudent.tasks.classifying_teacher import is_linear

Matrix = Float[Array, "students students"]


class AveragesOfSigns(AveragesWithTeacher, task=ClassifyingTeacher):
    """The averages of one update where a teacher tells signs."""

    def check(self, task: ClassifyingTeacher, problem: Problem) -> None:
        _check_noise(task)
        loss = as_loss(problem.loss)
        if not loss.knows_signs:
            raise ValueError(
                f"the loss {loss} does not say where its slope bends or jumps, so that its "
                "averages with signs are not known; give its class margins, (1.0,) for one "
                "jump at y phi = 1, or () where it is smooth, or simulate."
            )

    def description(self, problem: Problem) -> str:
        """One line that names the averages."""
        student, task = problem.student, cast(ClassifyingTeacher, problem.task)
        known = _known_averages(problem)
        if known is _by_nodes:
            kinks = bool(student.activation.cuts)
            if task.is_sign_of_field:
                return sign_space.description(student.width, kinks)
            kinks = kinks or bool(task.activation.cuts)
            return sign_space.description(student.width + task.width, kinks)
        if known is _of_linear_students and not as_loss(problem.loss).has_closed_forms_with_signs:
            return "quadrature over the output, on panels between the loss's margins"
        return f"closed forms of {student.activation.name} with signs"

    def estimates_error(self, problem: Problem) -> bool:
        return _known_averages(problem) is _by_nodes

    def error_at(self, problem: Problem, T, Q, R, v) -> Float[Array, ""]:
        task = cast(ClassifyingTeacher, problem.task)
        space = SignSpace(problem.student.activation, problem.student.width)
        return space.error(as_loss(problem.loss), _law_of_fields(task, Q, R, T), v)

    def remedy(self, problem: Problem) -> str:
        return (
            "labels that are the sign of one normal field cost up to three smooth student units no "
            "digits; beyond that compare with simulate."
        )

    def gradient(self, task: Any, problem: Problem, fixed: Fixed, state: State) -> Gradient:
        return by_mode(self.moments(task, problem, fixed, state), fixed, state)

    def moments(self, task: Any, problem: Problem, fixed: Fixed, state: State) -> Moments:
        Q, R = overlaps(fixed, state)
        mean = _known_averages(problem)(task, problem, Q, R, fixed.T, state.v)
        return mean._replace(D=mean.D / problem.batch_size)

    def random_numbers(self, task: Any, problem: Problem) -> RandomNumbers:
        return super().random_numbers(task, problem)._replace(smooth=False)


def _check_noise(task: ClassifyingTeacher) -> None:
    """Raise ValueError where noise is added to one unit whose sign would be that of its field.

    It is added to g*(nu), and changes the sign in another way than noise in nu.
    """
    noisy = is_schedule(task.noise) or jnp.any(jnp.asarray(task.noise) != 0)
    if noisy and task.is_sign_of_field and not task.has_normal_field:
        raise ValueError(
            f"task.noise with a teacher of {task.activation.name} makes signs that are not those "
            'of a normal field; set it to 0, or task.activation to "linear", or simulate.'
        )


def _law_of_fields(task: ClassifyingTeacher, Q: Matrix, R, T):
    """The law of fields and label; there is no noise where it is no part of a normal field."""
    noiseless = task.is_sign_of_field and not task.has_normal_field
    return task.law_of_fields(Q, R, T, noiseless=noiseless)


def _known_averages(problem: Problem) -> Callable:
    """The way to the averages of one update: closed forms where there are some."""
    loss = as_loss(problem.loss)
    if not cast(ClassifyingTeacher, problem.task).is_sign_of_field:
        return _by_nodes
    if is_linear(problem.student.activation):
        return _of_linear_students
    closed = not isinstance(_averages(problem), QuadratureAverages)
    if closed and loss.slope_is_linear:
        return _of_other_students
    return _by_nodes


def _by_nodes(task: ClassifyingTeacher, problem: Problem, Q: Matrix, R, T, v) -> Moments:
    """J, D and the readout's gradient by quadrature over the fields."""
    K = len(v)
    space = SignSpace(problem.student.activation, K)
    mean = space.averages(as_loss(problem.loss), _law_of_fields(task, Q, R, T), v)
    of_label = mean.J[:, K:]
    if task.is_sign_of_field:
        of_label = of_label * task.v_star[None, :]
    return Moments(
        J=jnp.concatenate([mean.J[:, :K], of_label], axis=1),
        D=mean.D,
        readout=mean.readout,
        bias=jnp.zeros_like(v),
    )


def _of_linear_students(task: ClassifyingTeacher, problem: Problem, Q: Matrix, R, T, v) -> Moments:
    """J, D and the readout's gradient, E[lambda_k f] by Stein's lemma."""
    v_star = task.v_star
    law = task.law_of_signs(Q, R, T, v)
    of = as_loss(problem.loss).averages_with_signs(law)
    fields = jnp.concatenate([of.slope * v, of.jump * v_star])
    return Moments(
        J=v[:, None] * fields[None, :],
        D=of.square * v[:, None] * v[None, :],
        readout=of.slope * (Q @ v) + of.jump * (R @ v_star),
        bias=jnp.zeros_like(v),
    )


def _of_other_students(task: ClassifyingTeacher, problem: Problem, Q: Matrix, R, T, v) -> Moments:
    """The same from averages of g and of one teacher unit, sign(u)."""
    K = len(v)
    v_star = task.v_star
    law = task.law_of_signs(Q, R, T, v)
    C = covariance(Q, (R @ v_star)[:, None], law.t[None, None])
    u = jnp.append(as_loss(problem.loss).linear_slope * v, -law.kept)
    averages = _averages(problem)
    J2 = averages.J2(C)
    J = v[:, None] * J2 * u[None, :]
    J = J.at[:, :K].add(jnp.diag(v * (averages.G2(C) @ u)))
    one_sample = averages.I4(C, u) + (1 - law.kept**2) * J2[:, :K]
    of_teachers = J[:, K:] * v_star[None, :]
    return Moments(
        J=jnp.concatenate([J[:, :K], of_teachers], axis=1),
        D=v[:, None] * v[None, :] * one_sample,
        readout=averages.I2(C)[:K] @ u,
        bias=jnp.zeros_like(v),
    )


def _averages(problem: Problem) -> Averages:
    """Those of the student's units and one teacher unit, the sign."""
    return averages_for(problem.student.activation, SIGN, problem.student.width, 1)
