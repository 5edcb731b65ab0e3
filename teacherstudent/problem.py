"""A learning problem: task x student x update rule x loss."""

from functools import partial

import equinox as eqx
import numpy as np

from teacherstudent import checks
from teacherstudent.activations import Activation, ActivationLike, as_activation
from teacherstudent.losses import LOSSES
from teacherstudent.order_parameters import OrderParameters
from teacherstudent.rules import Rule
from teacherstudent.spectral_overlaps import SpectralOverlaps
from teacherstudent.tasks import StructuredTask, Task, TeacherStudent


class Student(eqx.Module):
    """A two-layer student network phi(x) = sum_k v_k g(w_k . x / sqrt N).

    - `width`: number K of hidden units.
    - `activation`: g, a name, polynomial coefficients or an elementwise JAX function.
    - `train_readout`: whether v is trained too; otherwise v keeps its value at the start (ones: a committee machine).

    Raises ValueError if a value is outside its range.
    """

    width: int = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    train_readout: bool = eqx.field(static=True)

    def __init__(self, width: int, activation: ActivationLike = "erf", train_readout: bool = False):
        self.width = checks.integer("student.width", width)
        self.activation = as_activation(activation, "student.activation")
        self.train_readout = train_readout

    def __check_init__(self):
        checks.one_of("student.train_readout", self.train_readout, (True, False))


class Problem(eqx.Module):
    """What is learnt, by whom, and how: all that theory and simulation share.

    - `task`: the law of inputs and labels, such as `TeacherStudent` or `HiddenManifold`.
    - `student`: the network, `Student`.
    - `rule`: the update, such as `SGD`.
    - `loss`: "square" is (phi - y)^2 / 2.
    - `batch_size`: fresh samples per update; time counts updates, t = updates / N, whatever the batch size.

    A learning rate, a noise or a weight decay may be a one-dimensional sequence: `integrate` then solves for every value,
    and for every combination if there are several.

    Raises ValueError if a value is outside its range or the parts do not fit together.
    """

    task: Task
    student: Student
    rule: Rule
    loss: str = eqx.field(static=True, default="square")
    batch_size: int = eqx.field(static=True, default=1, converter=partial(checks.integer, "batch_size"))

    def __check_init__(self):
        for name, kind in (("task", Task), ("student", Student), ("rule", Rule)):
            if not isinstance(getattr(self, name), kind):
                raise ValueError(f"{name} is a {type(getattr(self, name)).__name__}; give a {kind.__name__}.")
        checks.one_of("loss", self.loss, LOSSES)
        if getattr(self.rule, "readout_learning_rate", None) is not None and not self.student.train_readout:
            raise ValueError(
                "rule.readout_learning_rate is given but the student's readout is frozen; "
                "set student.train_readout = true, or leave the rate out."
            )

    @property
    def without_inputs(self) -> "Problem":
        """The same teacher, student and rule; what the task says of its inputs, perhaps large arrays, is left out.

        The teacher is all that the theory needs of the task beside the spectrum, and the simulator beside its source of inputs.
        """
        task = self.task
        teacher = TeacherStudent(task.width, task.activation, task.readout, task.noise)
        return Problem(teacher, self.student, self.rule, self.loss, self.batch_size)

    def check_start(self, start: OrderParameters | SpectralOverlaps) -> None:
        """Raise ValueError if the order parameters do not fit this problem."""
        if not isinstance(start, OrderParameters | SpectralOverlaps):
            raise ValueError(
                f"start is a {type(start).__name__}; give OrderParameters or SpectralOverlaps, as random_start makes them."
            )
        for unit, found, wanted in (
            ("student", start.students, self.student.width),
            ("teacher", start.teachers, self.task.width),
        ):
            if found != wanted:
                raise ValueError(
                    f"start has {found} {unit} units, but the problem has {wanted}; "
                    f"give Q of shape ({self.student.width}, {self.student.width}) "
                    f"and R of shape ({self.student.width}, {self.task.width})."
                )
        if isinstance(start, OrderParameters) and isinstance(self.task, StructuredTask):
            if start.weights is not None:
                raise ValueError(
                    f"start has weights for isotropic inputs, but the task is a {type(self.task).__name__}; make the start with "
                    "this problem, start_from_weights(problem, w=, v=, w_star=)."
                )
            return  # these overlaps do not yet say how long the weights are
        self.rule.check_start(start)

    @property
    def sweeps(self) -> dict[str, np.ndarray]:
        """The parameters given as sequences, by name: the dimensions of a sweep."""
        candidates = {"noise": self.task.noise} | {
            name: getattr(self.rule, name)
            for name in ("learning_rate", "readout_learning_rate", "weight_decay")
            if hasattr(self.rule, name)
        }
        return {name: np.asarray(value) for name, value in candidates.items() if np.ndim(value) == 1}
