"""The generalisation error on another task than that of the training, as an observable."""

import dataclasses

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.checking import arguments
from teacherstudent.extensions.own_classes import LABELLING, unknown_error
from teacherstudent.observables.generalisation import error_of
from teacherstudent.observables.observable import Observable, ObservableOfProblem
from teacherstudent.problem import Problem, Student
from teacherstudent.rules import SGD
from teacherstudent.schedules import schedules_in
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import Task
from teacherstudent.tasks.sweeping import swept_numbers


@arguments.checked
def error_on(task: Task, name: str | None = None) -> ObservableOfProblem:
    """The generalisation error of the student on another task than it is trained on, to be recorded
    by `integrate` and `simulate`.

        eps_g' = E[(phi - phi'*)^2] / 2,   phi'* the labels of the other task

    It is computed from the order parameters of the training, so that the other task has the same
    fixed vectors and inputs: its teacher may have another readout or activation.  With two classes
    it is the expected loss, and the other task may have another law along the same directions.
    Forgetting, for example, is the error on units that the present task does not read.

    - `task`: the other task.
    - `name`: of the variable in the dataset, "eps_g_other" unless given ("loss_other" with two
      classes).

    The verb raises ValueError if the task has another number of fixed vectors than that of the
    training, other inputs, or an error that is not known.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> now = ts.TeacherStudent(width=4, readout=[1, 1, 0, 0])
    >>> before = ts.TeacherStudent(width=4, readout=[0, 0, 1, 1])
    >>> problem = ts.Problem(now, ts.Student(width=2), ts.SGD(0.5))
    >>> start = ts.OrderParameters(Q=0.9 * np.eye(2), R=0.8 * np.eye(4)[2:], T=np.eye(4))
    >>> theory = ts.integrate(problem, start, [0.0, 20.0], observables=[ts.error_on(before)])
    >>> bool(theory.eps_g_other[1] > theory.eps_g_other[0])
    True
    """
    return ErrorOn(task, name or f"{task.name_of('eps_g')}_other")


class ErrorOn(ObservableOfProblem):
    """The error on another task, before the problem is known."""

    task: Task
    name: str = eqx.field(static=True)
    labels: str = eqx.field(static=True, default="")  # whose they are, if that has a word

    def of_problem(self, problem: Problem) -> Observable:
        self._check_error(problem)
        if schedules_in(self.task):
            raise ValueError(
                f"{self.name}: the other task changes with time, which an observable does not see; "
                "give numbers."
            )
        _check_same_vectors(self.task, problem.task)
        # What is trained plays no part in an error at given overlaps, but that a student without
        # trained biases has none.
        biases = problem.student.train_bias
        student = Student(problem.student.width, problem.student.activation, train_bias=biases)
        other = Problem(self.task, student, SGD(1.0), problem.loss).for_programs()

        def error(state: OrderParameters) -> Float[Array, ""]:
            return error_of(other, state.Q, state.R, state.T, state.v, state.b)

        error_name = problem.task.name_of("eps_g")
        symbol = {"eps_g": r"$\epsilon_g'$", "loss": r"$E\ell'$"}[error_name]
        words = {"eps_g": "generalisation error", "loss": "expected loss"}[error_name]
        long_name = f"{words} on another task"
        if self.labels:
            symbol = rf"$\epsilon_\mathrm{{{self.labels}}}$"
            long_name = f"error on the labels of the {self.labels}"
        return Observable(self.name, (), symbol, of=error, long_name=long_name)

    def _check_error(self, problem: Problem) -> None:
        """Raise ValueError if the other task is a sweep, or its error is not known."""
        swept = swept_numbers(self.task)
        if swept:
            raise ValueError(
                f"error_on: task.{next(iter(swept))} is a sequence; give one number, and an "
                "error_on for each task."
            )
        why = unknown_error(self.task, problem.student.activation)
        if why is not None:
            raise ValueError(f"error_on: {why}; give a task whose error is known.")


def _check_same_vectors(other: Task, trained: Task) -> None:
    """Raise ValueError unless the overlaps on one task mean the same on the other."""
    found, expected = type(other).__name__, type(trained).__name__
    if other.HAS_CLASSES != trained.HAS_CLASSES:
        raise ValueError(
            f"error_on: one of {found} and {expected} has a teacher and the other two classes; "
            "give a task of the same kind as that of the training."
        )
    if other.directions != trained.directions:
        raise ValueError(
            f"error_on: the task has {other.directions} {other.FIXED_VECTORS}, but that of the "
            f"training has {trained.directions}; give one with as many (a readout of zeros leaves "
            "units out)."
        )
    if (other.HAS_MODES or trained.HAS_MODES) and not _same_inputs(other, trained):
        raise ValueError(
            f"error_on: the task {found} has other inputs than that of the training, on which Q "
            "and R are others; change only its activation, readout or noise."
        )


def _same_inputs(one: Task, other: Task) -> bool:
    """Whether two tasks differ in their labels at most."""
    if type(one) is not type(other):
        return False
    names = [field.name for field in dataclasses.fields(type(one)) if field.name not in LABELLING]
    return all(_equal(getattr(one, name), getattr(other, name)) for name in names)


def _equal(one, other) -> bool:
    if hasattr(one, "shape") or hasattr(other, "shape"):
        return np.array_equal(one, other)
    return bool(one == other)
