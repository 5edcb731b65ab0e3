"""What one update does on average: the quantities that move, those that do not, and the averages
that move them.

A sample moves w_k by -(eta / sqrt N) delta_k x.  Along an eigenvector u_tau of the input
covariance, in the limit N -> infinity, only these averages matter (of each mode q = w w^T and
r = w f^T are what moves, f the teacher or the fixed directions):

    q_kl(tau)      = E[delta_k x_tau] w_l^tau
    r_km(tau)      = E[delta_k x_tau] f_m^tau
    square_kl(tau) = E[delta_k delta_l x_tau^2]
    v_k            = E[d l / d v_k]
    b_k            = E[d l / d b_k]

Tasks differ in how they come about: `spectral.py` for inputs with a teacher, `mixture.py` for
inputs of two classes.  The arrays have the modes last, so that each product is one matrix product
for all modes.
"""

import abc
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.samples import RandomNumbers, Samples
from teacherstudent.checking import contracts
from teacherstudent.checking.contracts import check_registration
from teacherstudent.extensions.own_classes import (
    brings_error,
    changed_activation,
    changed_law,
    own_bases,
)
from teacherstudent.problem import Problem
from teacherstudent.tasks import Task


class Fixed(NamedTuple):
    """What does not move: the spectrum of the inputs, and the teacher's overlaps.

    - `rho`: the eigenvalues of the input covariance; `weights`: their fractions p_tau, with sum 1.
    - `t`, `T`: the teacher's overlaps by mode, and in all.
    - `noise`: E[x_tau^2] of what multiplies delta in an update: rho for the input itself, another
      number for its signs.
    """

    rho: Float[Array, " modes"]
    weights: Float[Array, " modes"]
    t: Float[Array, "teachers teachers modes"]
    T: Float[Array, "teachers teachers"]
    noise: Float[Array, " modes"]


class State(NamedTuple):
    """What moves: the student, and what the rule remembers.

    - `q`, `r`: the student's overlaps by mode.
    - `v`, `b`: its readout and its biases.
    - `memory`: the order parameters of what the rule remembers.
    """

    q: Float[Array, "students students modes"]
    r: Float[Array, "students teachers modes"]
    v: Float[Array, " students"]
    b: Float[Array, " students"]
    memory: Any = ()


class Gradient(NamedTuple):
    """The averages of one update.

    - `q`: with the student's vectors, E[delta_k x_tau] w_l^tau.
    - `r`: with the fixed ones, E[delta_k x_tau] f_m^tau.
    - `square`: E[delta_k delta_l x_tau^2].
    - `v`, `b`: of readout and biases.
    """

    q: Float[Array, "students students modes"]
    r: Float[Array, "students teachers modes"]
    square: Float[Array, "students students modes"]
    v: Float[Array, " students"]
    b: Float[Array, " students"]


def overlaps(
    fixed: Fixed, state: State
) -> tuple[Float[Array, "students students"], Float[Array, "students teachers"]]:
    """Q = sum_tau p rho q and R = sum_tau p r."""
    return state.q @ (fixed.weights * fixed.rho), state.r @ fixed.weights


class InputTheory(abc.ABC):
    """The averages of one update on the inputs of a family of tasks.

    To give a task of your own a theory:

    1. Subclass `InputTheory` and name the task: `class MyAverages(ts.InputTheory, task=MyTask)`.
       That registers it for this class of tasks, and for subclasses that change neither labels nor
       inputs.
    2. Write `gradient(task, problem, fixed, state)`, the averages of one update (`Gradient`).  On
       inputs with a teacher, derive the class from `ts.AveragesWithTeacher` and change with
       `_replace` what your labels change of its answer.  On isotropic inputs Q is
       `state.q[..., 0]` and R is `state.r[..., 0]`.  The means `q`, `r`, `v` are linear in the
       label, and `square` = E[delta_k delta_l x_tau^2] is quadratic in it: of a random label only
       its mean and variance at given fields matter.
    3. Give the task a method `error` (`Task.error`), so that its error at given overlaps is known.
    4. For bands of fluctuations (`ts.fluctuations`), write `random_numbers(task, problem)` and
       `samples(task, problem, fixed, state, z)`, single samples from normal numbers.  The averages
       of `ts.AveragesWithTeacher` have them, for labels of your own, too.

    A task whose components are a mixture of Gaussians (`MixtureTask`) needs none of this.

    Labels twice as large are those of a teacher whose readout is:

    >>> import teacherstudent as ts
    >>> class Doubled(ts.TeacherStudent):
    ...     def label(self, fields, noise):
    ...         return 2 * (self.activation(fields) @ self.v_star)
    ...
    ...     def error(self, student, loss, Q, R, T, v, b):
    ...         return twice(self).error(student, loss, Q, R, T, v, b)
    >>> def twice(task):
    ...     return ts.TeacherStudent(task.width, task.activation, readout=2 * task.readout)
    >>> class AveragesOfDoubled(ts.InputTheory, task=Doubled):
    ...     def gradient(self, task, problem, fixed, state):
    ...         other = ts.Problem(twice(task), problem.student, problem.rule)
    ...         return gradient(other, fixed, state)
    >>> start = ts.OrderParameters(Q=[[1.0]], R=[[0.5]], T=[[1.0]], v=[1.0])
    >>> student, rule = ts.Student(width=1), ts.SGD(learning_rate=0.1)
    >>> curves = ts.integrate(ts.Problem(Doubled(width=1), student, rule), start, [0.0, 1.0])
    >>> known = ts.integrate(ts.Problem(twice(Doubled(width=1)), student, rule), start, [0.0, 1.0])
    >>> bool(abs(curves.eps_g - known.eps_g).max() < 1e-9)
    True
    """

    registered: ClassVar[dict[type[Task], "InputTheory"]] = {}

    def __init_subclass__(cls, task: type[Task] | None = None, **kwargs: Any):
        check_registration(cls, InputTheory, "task", "gradient", task, kwargs)
        super().__init_subclass__()
        if task is None:
            return
        if not (isinstance(task, type) and issubclass(task, Task)):
            raise ValueError(
                f"class {cls.__name__}(InputTheory, task={task!r}): task must be a class of tasks, "
                "such as ts.TeacherStudent."
            )
        InputTheory.registered[task] = cls()
        if not contracts.is_ours(cls):
            # Programs may have been compiled with other averages of this class.
            jax.clear_caches()

    def check(self, task: Any, problem: Problem) -> None:
        """Raise ValueError, with the reason, where the averages are not known of a problem."""

    def description(self, problem: Problem) -> str | None:
        """One line that names the averages; None where those of the activations are taken."""
        return None

    def estimates_error(self, problem: Problem) -> bool:
        """Whether `error_at` is known: the averages have nodes of their own."""
        return False

    def error_at(self, problem: Problem, T, Q, R, v) -> Float[Array, ""]:
        """A cautious estimate of the largest error of the averages at one state."""
        raise NotImplementedError(f"{type(self).__name__} has no method error_at")

    def remedy(self, problem: Problem) -> str | None:
        """What makes that error smaller; None where it is that of all averages by quadrature."""
        return None

    @abc.abstractmethod
    def gradient(self, task: Any, problem: Problem, fixed: Fixed, state: State) -> Gradient:
        """The averages of one update on the inputs of the task."""

    def random_numbers(self, task: Any, problem: Problem) -> RandomNumbers:
        """How many normal numbers the fields and the label of one sample take.

        Raises ValueError where single samples are not known.
        """
        raise ValueError(
            f"there is no band of fluctuations for the task {type(task).__name__}: "
            f"{type(self).__name__} knows averages over samples, but no single ones; simulate "
            "several seeds."
        )

    def samples(
        self,
        task: Any,
        problem: Problem,
        fixed: Fixed,
        state: State,
        z: Float[Array, "components points numbers"],
    ) -> Samples:
        """Single samples, made of standard normal numbers, as many as `random_numbers` says."""
        raise NotImplementedError(f"{type(self).__name__} has no method samples")


def gradient(problem: Problem, fixed: Fixed, state: State) -> Gradient:
    """The averages of one update of a problem: frozen units have no part in it."""
    averages = averages_of(type(problem.task))
    return without_frozen(problem, averages.gradient(problem.task, problem, fixed, state))


def without_frozen(problem: Problem, mean: Gradient) -> Gradient:
    """The averages of one update, or what one sample adds to them, without the frozen units."""
    if not problem.student.frozen:
        return mean
    moving = jnp.asarray(problem.student.moving)
    rows = moving[:, None, None]
    return Gradient(
        q=rows * mean.q,
        r=rows * mean.r,
        square=rows * moving[None, :, None] * mean.square,
        v=moving * mean.v,
        b=moving * mean.b,
    )


def averages_of(kind: type[Task]) -> InputTheory:
    """The averages known of a class of tasks; ValueError if there are none."""
    owner = contracts.nearest(kind, InputTheory.registered)
    if owner is None:
        raise ValueError(f"there is no theory for the task {kind.__name__}.")
    return InputTheory.registered[owner]


def _brings_averages(task: Task) -> bool:
    """Whether a theory was registered for the class of a task, with the labels and inputs it has.

    That of another class of one's own holds for a subclass which changes neither.
    """
    owner = contracts.nearest(type(task), InputTheory.registered)
    return owner in own_bases(task) and not contracts.changes(type(task), owner)


def require_averages(problem: Problem) -> None:
    """Raise ValueError, with the reason, if the known averages are not those of a problem.

    Those of the task may not be of its own labels and inputs, or those of the activation not of
    its own derivative.
    """
    task, activation = problem.task, problem.student.activation
    changed = changed_law(task)
    if changed is not None:
        name = type(task).__name__
        missing = []
        if not _brings_averages(task):
            theory = f"class TheoryOf{name}(ts.InputTheory, task={name})"
            missing.append(f"{theory} with the averages of its updates")
        if not brings_error(task):
            missing.append(f"a method {name}.error")
        if missing:
            raise ValueError(
                f"{changed}, and no theory is known of that; write {', and '.join(missing)}, or "
                "simulate."
            )
    changed = changed_activation(activation)
    if changed is not None:
        raise ValueError(
            f"student.activation: {changed}, and the theory knows only g and its own derivative; "
            "give Activation(name, function), or simulate."
        )
