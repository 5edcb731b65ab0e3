"""A learning problem: task x student x update rule x loss."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import equinox as eqx
import numpy as np

from teacherstudent.activations.activation import Activation, ActivationLike, as_activation
from teacherstudent.averages.resolution import Resolution
from teacherstudent.checking import arguments, checks, contracts
from teacherstudent.display import Described
from teacherstudent.losses import Loss, name_or_loss
from teacherstudent.models.learnable import Learnable, Places
from teacherstudent.rules import AGD, RULES, Rule
from teacherstudent.schedules import at_time
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.states.spectral_overlaps import SpectralOverlaps
from teacherstudent.tasks import MixtureTask, Task, TeacherTask
from teacherstudent.tasks.base import with_fields
from teacherstudent.tasks.same_inputs import have_same_inputs
from teacherstudent.tasks.sweeping import fields_of, stacked_for_programs, swept, swept_numbers


class Student(Described):
    """A two-layer student network phi(x) = sum_k v_k g(w_k . x / sqrt N + b_k).

    - `width`: number K of hidden units.
    - `activation`: g, a name, polynomial coefficients or an elementwise JAX function.
    - `train_readout`: whether v is trained too; otherwise v keeps its value at the start (ones: a
      committee machine).
    - `frozen`: the numbers of units that do not learn, [0, 2]: their weights, readouts and biases
      keep the values that they have at the start, and have no part in the gradient.
    - `train_bias`: whether the biases b are trained; otherwise they keep their values at the start,
      which are zero with a teacher (biases of other values that stay are trained ones with the rate
      `bias_learning_rate=0`).

    Raises ValueError if a value is outside its range.

    >>> import teacherstudent as ts
    >>> ts.Student(width=3, activation="relu", train_readout=True).width
    3
    """

    width: int = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    train_readout: bool = eqx.field(static=True)
    train_bias: bool = eqx.field(static=True)
    frozen: tuple[int, ...] | None = eqx.field(static=True)

    @arguments.of("student.")
    def __init__(
        self,
        width: int,
        activation: ActivationLike = "erf",
        train_readout: bool = False,
        train_bias: bool = False,
        *,
        frozen=None,
    ):
        self.width = checks.integer("student.width", width)
        self.activation = as_activation(activation, "student.activation")
        self.train_readout = train_readout
        self.train_bias = train_bias
        self.frozen = _frozen_units(frozen, self.width)

    @property
    def moving(self) -> np.ndarray:
        """1 for each unit that learns, 0 for one that is frozen, shape (K,)."""
        moving = np.ones(self.width)
        moving[list(self.frozen or ())] = 0.0
        return moving

    def __check_init__(self):
        checks.one_of("student.train_bias", self.train_bias, (True, False))
        checks.one_of("student.train_readout", self.train_readout, (True, False))


def _frozen_units(given, width: int) -> tuple[int, ...] | None:
    """The numbers of frozen units, each once; None if there are none."""
    if given is None:
        return None
    if not isinstance(given, list | tuple | np.ndarray):
        raise ValueError(
            f"student.frozen = {checks.shortened(given)}; give a list of units, such as [0, 2]."
        )
    units = sorted({checks.integer("student.frozen", one, minimum=0) for one in given})
    if units and units[-1] >= width:
        raise ValueError(
            f"student.frozen has the unit {units[-1]}, but student.width = {width}; units are "
            f"numbered from 0 to {width - 1}."
        )
    if len(units) == width:
        raise ValueError(
            "student.frozen has all units, so that nothing is left to learn; leave one out."
        )
    return tuple(units) or None


def _any_nonzero(array) -> bool:
    """Whether an array of known values has an entry that is not zero."""
    return not checks.is_traced(array) and bool(np.any(array))


def _ratio(value) -> float | None:
    """A ratio as a float, which may be inf."""
    if value is None:
        return None
    number = checks.real_numbers(value)
    if number is None or number.ndim or not number > 0:
        raise ValueError(
            f"batch_ratio = {checks.shortened(value)} is not allowed; give alpha > 0 for batches "
            "of alpha N samples, or inf for the expected gradient."
        )
    return float(number)


class Problem(Learnable):
    """What is learnt, by whom, and how: all that theory and simulation share.

    - `task`: the law of inputs and labels, such as `TeacherStudent`, `HiddenManifold` or
      `SpikedCumulant`.
    - `student`: the network, `Student`.
    - `rule`: the update, such as `SGD`.
    - `loss`: "square" is (phi - y)^2 / 2; for tasks with labels y = +-1 (two classes, or
      `ClassifyingTeacher`) also "logistic", log(1 + exp(-y phi)), "correlation", -y phi (Hebb's
      rule), "perceptron", max(0, -y phi), "hinge", max(0, 1 - y phi), and "adatron", max(0, -y
      phi)^2 / 2, or a `ts.Loss` of one's own.
    - `batch_size`: fresh samples per update; time counts updates, t = updates / N, whatever the
      batch size.  Of a rule with several workers it is the samples of each.
    - `batch_ratio`: alpha, in place of `batch_size`: B = alpha N fresh samples per update; inf is
      the gradient of the expected loss.  For AGD, whose updates then move everything by O(1): time
      counts updates, t = updates.

    A number of the rule, or one of the task's `NUMBERS` (the noise), may be a one-dimensional
    sequence: `integrate` then solves for every value, and for every combination if there are
    several.  It may also be a `Schedule`, a function of the time t, such as
    `ts.exponential(0.5, rate=0.1)`; so may the teacher's readout.

    Raises ValueError if a value is outside its range or the parts do not fit together.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(
    ...     task=ts.TeacherStudent(width=2, noise=0.1),
    ...     student=ts.Student(width=4),
    ...     rule=ts.SGD(learning_rate=0.4),
    ... )
    >>> problem.updates_per_time(N=1000)
    1000
    """

    PLACES: ClassVar[Places] = Places(
        kind="problem",
        divided=("task", "student", "rule"),
        whole=("task", "rule", "loss", "batch_size", "batch_ratio"),
        numbers=("task", "rule"),
        example='over={"rule.learning_rate": [0.1, 0.2], "student.width": [2, 3]}',
    )

    task: Task
    student: Student
    rule: Rule
    loss: str | Loss = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    batch_ratio: float | None = eqx.field(static=True)
    # Of averages without closed forms; `integrate` chooses it, and None is the default one.
    resolution: Resolution | None = eqx.field(static=True)

    @arguments.checked
    def __init__(
        self,
        task: Task,
        student: Student,
        rule: Rule,
        loss="square",
        batch_size: int = 1,
        batch_ratio=None,
    ):
        self.task = task
        self.student = student
        self.rule = rule
        self.loss = name_or_loss(loss)
        self.batch_size = checks.integer("batch_size", batch_size)
        self.batch_ratio = _ratio(batch_ratio)
        self.resolution = None

    def __check_init__(self):
        contracts.require_unchanged(self, Problem)
        contracts.require_unchanged(self.student, Student)
        self.rule.check_width(self.student.width)
        self._check_trained()
        self._check_slope()
        self._check_batch()
        if not self.task.BINARY_LABELS and self.loss != "square":
            raise ValueError(
                f'loss = "{self.loss}" is known for tasks with labels +-1, not for '
                f'{type(self.task).__name__}; use "square".'
            )
        if self.student.train_bias and not self.task.KNOWS_BIASES:
            raise ValueError(
                "student.train_bias = true is known for tasks with two classes, and for those with "
                f"the output of a teacher, not for {type(self.task).__name__}; set it to false."
            )

    def _check_slope(self) -> None:
        """Raise ValueError if the student's activation jumps, or is too rough to be averaged."""
        activation = self.student.activation
        jumps = activation.singularities.jumps()
        if jumps:
            x, height = jumps[0]
            raise ValueError(
                f"student.activation = {activation.name} jumps by {height:.3g} at x = {x:.4g}: "
                "its gradient there is a delta function, which no sample sees, so that training "
                "by gradients has no meaning; give a continuous one, such as erf or tanh (a "
                "teacher may jump)."
            )

    def _check_trained(self) -> None:
        """Raise ValueError if the rule and the student differ in what is trained."""
        self._check_frozen("readout", "readout is", self.student.train_readout)
        self._check_frozen("bias", "biases are", self.student.train_bias)
        if self.student.train_bias and not self.rule.TRAINS_BIASES:
            trained = ", ".join(rule.__name__ for rule in RULES.values() if rule.TRAINS_BIASES)
            raise ValueError(
                f"student.train_bias = true, but {type(self.rule).__name__} is defined for "
                f"matrices, not for biases; set it to false, or use one of {trained}."
            )

    def _check_frozen(self, layer: str, words: str, trained: bool) -> None:
        """Raise ValueError if the rule has a rate for a layer that is frozen."""
        if trained:
            return
        for rate in (f"{layer}_learning_rate", f"{layer}_gain"):
            if getattr(self.rule, rate, None) is not None:
                raise ValueError(
                    f"rule.{rate} is given but the student's {words} frozen; set "
                    f"student.train_{layer} = true, or leave the rate out."
                )

    def _check_batch(self) -> None:
        """Raise ValueError if batch_ratio is given and the rule has no use for it."""
        if self.batch_ratio is None:
            return
        if not isinstance(self.rule, AGD):
            raise ValueError(
                "batch_ratio is for AGD, whose updates then move by O(1); "
                f"{type(self.rule).__name__} has learning rates over N: give batch_size."
            )
        if self.batch_size != 1:
            raise ValueError(
                f"batch_size = {self.batch_size} and batch_ratio are both given; give one of them."
            )
        if self.rule.readout_gain is not None:
            raise ValueError(
                "rule.readout_gain is over N, for t = updates / N; with batch_ratio leave it out."
            )

    def samples(self, N: int) -> int:
        """The fresh samples of one gradient in N dimensions.

        Raises ValueError for the expected gradient, which has none.
        """
        if self.batch_ratio is None:
            return self.batch_size
        if self.batch_ratio == float("inf"):
            raise ValueError(
                "batch_ratio = inf is the expected gradient, which only the theory has (exactly "
                "at every N); give a finite one to simulate."
            )
        return max(1, round(self.batch_ratio * N))

    def updates_per_time(self, N: int) -> int:
        """How many updates the time 1 is: N, or 1 where time counts updates."""
        return N if self.batch_ratio is None else 1

    @property
    def time_attributes(self) -> tuple[str, str, str]:
        """The long name, the symbol and the units of time."""
        long_name, symbol, units = self.rule.TIME
        if self.batch_ratio is not None:
            return "updates", symbol, "updates"
        return long_name, symbol, units

    @property
    def not_recorded(self) -> tuple[str, ...]:
        """Quantities that results leave out, as the task says; never biases that are trained."""
        left_out = self.task.NOT_RECORDED
        if self.student.train_bias:
            return tuple(name for name in left_out if name != "b")
        return left_out

    @property
    def parts_of_start(self) -> tuple[str, ...]:
        """The order parameters that describe a start, as the task says; trained biases always."""
        parts = self.task.START
        if self.student.train_bias and "b" not in parts:
            return (*parts, "b")
        return parts

    def for_programs(self) -> "Problem":
        """The problem as compiled programs take it.

        Its classes are the same, and what only draws inputs is left out.  For each number of the
        task that is a sequence, all arrays of the task get a leading axis.
        """
        return with_fields(self, {"task": stacked_for_programs(self.task)})

    def require_classes(self) -> None:
        """Raise ValueError if the task has no classes."""
        if not self.task.HAS_CLASSES:
            raise ValueError(
                f"the task {type(self.task).__name__} has no classes y = +-1; give a task such as "
                "SpikedCumulant or GaussianMixture."
            )

    @property
    def classes(self) -> MixtureTask:
        """The task, where it has two classes; ValueError otherwise."""
        self.require_classes()
        return cast(MixtureTask, self.task)

    @property
    def teacher(self) -> TeacherTask:
        """The task, where it has a teacher; ValueError otherwise."""
        if self.task.HAS_CLASSES:
            raise ValueError(f"the task {type(self.task).__name__} has no teacher.")
        return cast(TeacherTask, self.task)

    def check_start(self, start: OrderParameters | SpectralOverlaps) -> None:
        """Raise ValueError if the order parameters do not fit this problem."""
        if not isinstance(start, OrderParameters | SpectralOverlaps):
            raise ValueError(
                f"start is a {type(start).__name__}; give OrderParameters or SpectralOverlaps, as "
                "random_start makes them."
            )
        for kind in (OrderParameters, SpectralOverlaps):
            if isinstance(start, kind):
                contracts.require_unchanged(start, kind)
        self._check_units(start)
        if not checks.is_traced(start.T):
            self.task.check_fixed_overlaps(start.T)
        by_mode = isinstance(start, SpectralOverlaps)
        if self.task.HAS_CLASSES:
            self._check_directions(start)
        else:
            self._check_biases(start)
        if self.task.HAS_MODES and not by_mode:
            if start.weights is not None:
                raise ValueError(
                    "start has weights for isotropic inputs, but the task is a "
                    f"{type(self.task).__name__}; make the start with this problem, "
                    "start_from_weights(problem, w=, v=, w_star=)."
                )
            # These overlaps do not yet say how long the weights are.
            return
        self.rule.check_start(start)

    def _check_units(self, start: OrderParameters | SpectralOverlaps) -> None:
        """Raise ValueError unless the start has as many vectors as the problem."""
        K, M = self.student.width, self.task.directions
        counts = (
            ("student units", start.students, K),
            (self.task.FIXED_VECTORS, start.teachers, M),
        )
        for unit, given, wanted in counts:
            if given != wanted:
                raise ValueError(
                    f"start has {given} {unit}, but the problem has {wanted}; give Q of shape "
                    f"({K}, {K}) and {self.task.name_of('R')} of shape ({K}, {M})."
                )

    def _check_biases(self, start: OrderParameters | SpectralOverlaps) -> None:
        """Raise ValueError where a start with a teacher has biases that the problem has not."""
        if not _any_nonzero(start.b):
            return
        if not self.task.KNOWS_BIASES:
            raise ValueError(
                "start.b is not zero, but biases are not known for the task "
                f"{type(self.task).__name__}; leave b out."
            )
        if not self.student.train_bias:
            raise ValueError(
                "start.b is not zero, but student.train_bias = false; set it to true, with "
                "rule.bias_learning_rate = 0 for biases that stay, or leave b out."
            )

    def _check_directions(self, start: OrderParameters | SpectralOverlaps) -> None:
        """Raise ValueError unless the fixed vectors of the start are orthogonal, with length
        sqrt N.
        """
        if not isinstance(start, OrderParameters):
            raise ValueError(
                f"start has overlaps by mode, but {type(self.task).__name__} has one; give "
                "OrderParameters(Q=, m=)."
            )
        if checks.is_traced(start.T):
            return
        gap = np.abs(start.T - np.eye(start.teachers)).max()
        if gap > 1e-5:
            raise ValueError(
                "the fixed directions of the start are not orthogonal with |u_a|^2 = N (u_a . "
                f"u_b / N is off by {gap:.3g}); orthogonalise them and give sqrt N times unit "
                "vectors."
            )

    @property
    def family(self) -> type[Task]:
        """The class that says which quantities results have: that of the task."""
        return type(self.task)

    def begun(self, start: OrderParameters | SpectralOverlaps) -> dict[str, np.ndarray]:
        """The order parameters of a start, by name."""
        return {name: np.asarray(getattr(start, name)) for name in ("Q", "R", "T", "v", "b")}

    @property
    def named_parts(self) -> dict[str, Any]:
        """The parts of a problem, as its arguments."""
        return {
            "task": self.task,
            "student": self.student,
            "rule": self.rule,
            "loss": self.loss,
            "batch_size": self.batch_size,
            "batch_ratio": self.batch_ratio,
        }

    def with_parts(self, changed: Mapping[str, Any]) -> "Problem":
        """The problem with other parts, made and checked anew.

        Raises ValueError for a part that is not allowed.
        """
        parts = {**self.named_parts, **changed}
        if parts["batch_ratio"] is not None and "batch_size" not in changed:
            parts["batch_size"] = 1
        return Problem(**parts)

    def with_checked_parts(self, changed: Mapping[str, Any]) -> "Problem":
        """The problem with parts in which numbers differ that have been checked."""
        return with_fields(self, changed)

    def check_follows(self, first: "Problem", title: str) -> None:
        """Raise ValueError unless networks of the problem `first` can go on with this one.

        `title` is what this one is called, "phase 1 of the protocol".
        """
        if not isinstance(first, Problem):
            raise ValueError(
                f"{title} is {checks.kind_of(self)}, but phase 0 {checks.kind_of(first)}; give "
                "phases of one kind."
            )
        student, other = self.student, first.student
        if (student.width, student.activation) != (other.width, other.activation):
            raise ValueError(
                f"{title} has another student than phase 0 ({student} and {other}); its width and "
                "activation cannot change."
            )
        if student.train_bias != other.train_bias and not self.task.HAS_CLASSES:
            raise ValueError(
                f"{title} has student.train_bias = {str(student.train_bias).lower()}, but phase 0 "
                f"has {str(other.train_bias).lower()}; with a teacher set it to true in all "
                "phases, with rule.bias_learning_rate = 0 where biases are to stay."
            )
        if self.task.directions != first.task.directions:
            raise ValueError(
                f"{title} has {self.task.directions} {self.task.FIXED_VECTORS}, but phase 0 "
                f"{first.task.directions}; give both tasks all of them, with readout 0 where a "
                "task does not use one."
            )
        if not have_same_inputs(self.task, first.task):
            raise ValueError(
                f"{title} has other inputs than phase 0 ({self.task} and {first.task}); only the "
                "labels can change."
            )
        if (self.batch_ratio is None) != (first.batch_ratio is None):
            raise ValueError(
                f"{title} and phase 0 count time in different units, since only one of them has a "
                "batch_ratio; give both one, or none."
            )

    @property
    def units(self) -> dict[str, int]:
        """The numbers of units, K and M, by dimension."""
        return {"student": self.student.width, "teacher": self.task.directions}

    @property
    def input_dimension(self) -> int | None:
        """N, where the task fixes it."""
        return self.task.input_dimension

    @property
    def parts(self) -> tuple:
        """All that may hold classes or functions of its user's own."""
        teacher = getattr(self.task, "activation", None)
        return self.task, self.rule, self.loss, self.student.activation, teacher

    @property
    def sweeps(self) -> dict[str, np.ndarray]:
        """The parameters given as sequences, by name: the dimensions of a sweep."""
        sequences = swept_numbers(self.task)
        for name, values in swept(self.rule, fields_of(self.rule)).items():
            if name in sequences:
                raise ValueError(
                    f"the task and the rule both have a sequence for {name}, which would be "
                    "one dimension of the answer; give one of them as a number."
                )
            sequences[name] = values
        return sequences

    @property
    def scheduled(self) -> dict[str, Task | Rule]:
        """The parts whose fields may be schedules."""
        return {"task": self.task, "rule": self.rule}

    def at(self, t, dtype=None) -> "Problem":
        """The problem with the numbers that its schedules have at the time t.

        `dtype` is the float type of these numbers, that of t unless given.

        >>> import teacherstudent as ts
        >>> rule = ts.SGD(learning_rate=ts.piecewise([0.1, 0.5], [10.0]))
        >>> problem = ts.Problem(ts.TeacherStudent(width=1), ts.Student(width=1), rule)
        >>> print(problem.at(10.0).rule.learning_rate)
        0.5
        """
        if not self.changes_with_time:
            return self
        values = {"task": at_time(self.task, t, dtype), "rule": at_time(self.rule, t, dtype)}
        return with_fields(self, values)
