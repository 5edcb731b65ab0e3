"""The contract of a task: a law of the inputs and of their labels.

There are two families.

With a teacher (`TeacherTask`), a two-layer network labels the inputs:

    nu_m = w*_m . c / sqrt D,   y = sum_m v*_m g*(nu_m) + sigma zeta,   zeta ~ N(0, 1)

The teacher sees the latent c ~ N(0, I_D), the student sees the input x in R^N.  Tasks differ in how
x comes from c; all that the theory needs of it are two covariances, Omega = E[x x^T] and
Phi = E[x c^T].

With two classes (`MixtureTask`, in `mixture.py`), the label is the class y = +-1, and the law of x
depends on it along a few fixed directions.
"""

import abc
import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation, ActivationLike, as_function
from teacherstudent.averages import Averages, averages_for
from teacherstudent.averages.choice import biased_averages_for
from teacherstudent.averages.resolution import Resolution
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray
from teacherstudent.display import Described
from teacherstudent.losses import Loss
from teacherstudent.schedules import is_schedule
from teacherstudent.states.order_parameters import covariance
from teacherstudent.states.spectrum import Modes, Spectrum

Module = TypeVar("Module", bound=eqx.Module)


class Labels(NamedTuple):
    """The labels of some samples without noise, and as the student is told them.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> clean, noise = jnp.array([1.0, -2.0]), jnp.array([0.5, 0.5])
    >>> print(ts.Labels(clean, clean + noise).noisy)
    [ 1.5 -1.5]
    """

    clean: Float[Array, " samples"]
    noisy: Float[Array, " samples"]


class Task(Described):
    """A law of inputs and labels: the base of every task.

    To write a task of your own:

    1. Subclass the task whose inputs are yours, such as `TeacherStudent`, and write
       `label(fields, noise)`: the labels, from the teacher's fields nu (samples, teachers) and one
       standard normal number for each sample, each label from its own sample alone.  The answer is
       `ts.Labels(clean, noisy)`, or one array of labels without noise.  Further numbers of the task
       are further fields of the class, set in `__init__`; what is no number is
       `equinox.field(static=True)`.  Those that `NUMBERS` names may be given as sequences, which
       `integrate` sweeps.
    2. Or, for inputs of two classes, subclass `MixtureTask` and write `directions` and
       `components` (`ts.Components`): theory, both simulators and the accuracy follow from them.
    3. A task with labels of its own is simulated, with whole weights or, on isotropic inputs, by
       the chain of the overlaps; its error is measured on held-out samples.  If you know the error
       at given overlaps, write it as `error`; if you know the averages of one update too, write
       them as a `ts.InputTheory` for exactly this class, and `integrate` answers.  Where the error
       is that of the base class, say so: `error = ts.TeacherStudent.error`.

    What results say of a task it says itself, by these attributes of its class:

    - `NUMBERS`: fields that are one number each, of which a sequence is a sweep.
    - `ARRAYS`: fields that result files keep as arrays, not in the problem's JSON.
    - `NAMES`: what results call a quantity that has another name for this task, {"R": "m"}.
    - `NOT_RECORDED`: quantities that have no meaning for this task, or only one value.
    - `START`: the order parameters that describe a start.
    - `FIXED_VECTORS`: what the vectors beside the student's are, in words.
    - `HAS_CLASSES`: whether labels are the classes y = +-1, so that there is an accuracy.
    - `BINARY_LABELS`: whether all labels are +-1, of classes or of a teacher, so that losses other
      than the square make sense.
    - `KNOWS_BIASES`: whether the student may have biases.  Then `error`, and the averages of a
      theory of one's own, are at the biases b.
    - `HAS_MODES`: whether the input covariance has more than one eigenvalue, so that states are
      `SpectralOverlaps`.
    - `INPUT_FIELDS`: fields that say how inputs are drawn, and nothing of labels or averages.

    A class with a number of its own declares it and sets it in an `__init__` of its own.  Labels
    that are clipped at +-c, after the noise:

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> class Clipped(ts.TeacherStudent):
    ...     NUMBERS = ("noise", "most")
    ...     most: float  # c
    ...
    ...     def __init__(self, width, activation="erf", readout=1.0, noise=0.0, most=1.0):
    ...         super().__init__(width, activation, readout, noise)
    ...         self.most = most
    ...
    ...     def label(self, fields, noise):
    ...         clean, noisy = super().label(fields, noise)
    ...         most = self.most
    ...         return ts.Labels(jnp.clip(clean, -most, most), jnp.clip(noisy, -most, most))
    >>> task = Clipped(width=1, activation="linear", noise=1.0)
    >>> print(task.label(jnp.array([[0.5], [0.5]]), jnp.array([0.25, 3.0])).noisy)
    [0.75 1.  ]
    """

    NUMBERS: ClassVar[tuple[str, ...]] = ()
    ARRAYS: ClassVar[tuple[str, ...]] = ()
    NAMES: ClassVar[Mapping[str, str]] = MappingProxyType({})
    NOT_RECORDED: ClassVar[tuple[str, ...]] = ()
    START: ClassVar[tuple[str, ...]] = ("Q", "R", "T", "v")
    FIXED_VECTORS: ClassVar[str] = "fixed vectors"
    HAS_CLASSES: ClassVar[bool] = False
    BINARY_LABELS: ClassVar[bool] = False
    KNOWS_BIASES: ClassVar[bool] = True
    HAS_MODES: ClassVar[bool] = False
    INPUT_FIELDS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def name_of(cls, quantity: str) -> str:
        """What results call a quantity of this task: `eps_g` or `loss`, `R` or `m`."""
        return cls.NAMES.get(quantity, quantity)

    @property
    @abc.abstractmethod
    def directions(self) -> int:
        """The number M of fixed vectors: teacher units, spikes or class means."""

    @property
    def input_dimension(self) -> int | None:
        """N, where the task's own arrays fix it."""
        for name in self.ARRAYS:
            array = getattr(self, name)
            if array is not None:
                return array.shape[0]
        return None

    @abc.abstractmethod
    def latent_dimension(self, N: int) -> int:
        """The dimension D of the fixed vectors for inputs in N dimensions.

        ValueError if there are no such inputs.
        """

    def coordinate_covariances(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Omega and Phi, where the inputs are Gaussian and these are known by coordinates.

        None otherwise: then there is no theory of rules that see the coordinates, such as SignSGD.
        """
        return None

    def warn_theory(self) -> None:
        """Warn where the theory is known not to describe these inputs."""

    @abc.abstractmethod
    def label(
        self, fields: Float[Array, "samples directions"], noise: Float[Array, " samples"]
    ) -> Labels | Float[Array, " samples"]:
        """The labels of samples with these fields along the fixed vectors.

        With a teacher `noise` is one standard normal number for each sample; with two classes it is
        the class y = +-1.
        """

    @abc.abstractmethod
    def error(self, student, loss, Q, R, T, v, b) -> Float[Array, ""]:
        """The error at given overlaps, readout and biases: eps_g with a teacher, the expected loss
        with two classes.
        """

    def other_labels(self) -> Mapping[str, "Task"]:
        """Tasks whose labels are part of this one's: the error on each of them is an observable of
        its name.
        """
        return {}

    def check_fixed_overlaps(self, T: Float[AnyArray, "*batch directions directions"]) -> None:
        """Raise ValueError where fixed vectors with these overlaps make no labels."""

    def sample_error(
        self, loss: Loss, output: Float[Array, " samples"], label: Float[Array, " samples"]
    ) -> Float[Array, " samples"]:
        """The error of single samples, whose mean is measured on samples: their loss."""
        return loss.value(output, label)

    def for_programs(self) -> "Task":
        """The task as compiled programs take it: the same class, without what only draws inputs.

        A program is compiled once for all values of the fields that are left out.
        """
        return with_fields(self, dict.fromkeys(self.INPUT_FIELDS))


def _readout(given):
    """The readout as arrays, or, where single units have schedules, as a tuple of numbers."""
    if isinstance(given, list | tuple) and any(map(is_schedule, given)):
        return tuple(checks.parameter(one) for one in given)
    return checks.parameter(given)


def with_fields(module: Module, values: Mapping[str, Any]) -> Module:
    """A copy of a module with other values of some fields, which are not checked again."""
    copy = object.__new__(type(module))
    for field in dataclasses.fields(module):
        value = values.get(field.name, getattr(module, field.name, None))
        vars(copy)[field.name] = value  # a class of one's own may have made it a property
    return copy


def averages_of_fields(
    student,
    teacher: Activation,
    teachers: int,
    mean: Float[Array, " fields"] | None = None,
    resolution: Resolution | None = None,
) -> Averages:
    """The averages over the fields of a student and of M = `teachers` units with activation g*.

    Fields have the means that `TeacherTask.mean_of_fields` answers; with None they have none, and
    keep the formulas for these.
    """
    if mean is None:
        return averages_for(student.activation, teacher, student.width, teachers, resolution)
    return biased_averages_for(student.activation, teacher, mean, student.width, resolution)


class TeacherTask(Task):
    """Inputs of some law, with labels from a two-layer teacher.

        y = sum_m v*_m g*(w*_m . c / sqrt D) + sigma zeta

    - `width`: number M of teacher units.
    - `activation`: g*, a name, polynomial coefficients or an elementwise JAX function.
    - `readout`: v*, one number for all units or one per unit; or a schedule, or a list in which
      some units have one.
    - `noise`: sigma, the standard deviation (not the variance) of the label noise.

    >>> import teacherstudent as ts
    >>> isinstance(ts.HiddenManifold(width=2, latent_ratio=0.5), ts.TeacherTask)
    True
    >>> print(ts.TeacherStudent(2, readout=[1.0, -0.5]).v_star)
    [ 1.  -0.5]
    """

    NUMBERS: ClassVar[tuple[str, ...]] = ("noise",)
    NOT_RECORDED: ClassVar = ("b", "test_accuracy", "test_accuracy_se")
    FIXED_VECTORS: ClassVar = "teacher units"

    width: int = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    readout: checks.Parameter
    noise: checks.Parameter

    @arguments.of("task.")
    def __init__(self, width: int, activation: ActivationLike = "erf", readout=1.0, noise=0.0):
        self.width = checks.integer("task.width", width)
        self.activation = as_function(activation, "task.activation")
        self.readout = _readout(readout)
        self.noise = checks.parameter(noise)

    def __check_init__(self):
        checks.number("task.noise", self.noise)
        if isinstance(self.readout, tuple):
            self._check_readouts(self.readout)
            return
        if checks.is_numeric(self.readout) and np.ndim(self.readout) > 1:
            raise ValueError(
                f"task.readout has shape {np.shape(self.readout)}; give one number for all teacher "
                "units, or one per unit."
            )
        checks.number("task.readout", self.readout, minimum=-np.inf)
        if np.ndim(self.readout) == 1 and np.shape(self.readout) != (self.width,):
            raise ValueError(
                f"task.readout has {np.size(self.readout)} entries but task.width = {self.width}; "
                "give one number for all teacher units, or one per unit."
            )

    def _check_readouts(self, readouts: tuple) -> None:
        """Raise ValueError unless there is a number, or a schedule, for each unit."""
        if len(readouts) != self.width:
            raise ValueError(
                f"task.readout has {len(readouts)} entries but task.width = {self.width}; "
                "give one number or schedule for all teacher units, or one per unit."
            )
        for index, one in enumerate(readouts):
            checks.number(f"task.readout[{index}]", one, minimum=-np.inf)

    @property
    def directions(self) -> int:
        return self.width

    @property
    def v_star(self) -> Float[Array, " teachers"]:
        """The teacher's readout v*, one entry per unit.

        Where it changes with time, that of `Problem.at(t)` is known.
        """
        readout = self.readout
        if isinstance(readout, tuple):
            readout = jnp.stack([jnp.asarray(one) for one in readout])
        return jnp.broadcast_to(jnp.asarray(readout), (self.width,))

    @property
    def readouts(self) -> list[Any]:
        """The readout v* unit by unit, numbers or schedules; one schedule may stand for all."""
        if is_schedule(self.readout):
            return [self.readout]
        if isinstance(self.readout, tuple):
            return list(self.readout)
        return list(self.v_star)

    def label(
        self, fields: Float[Array, "samples teachers"], noise: Float[Array, " samples"]
    ) -> Labels:
        """y = sum_m v*_m g*(nu_m) + sigma zeta."""
        clean = self.activation(fields) @ self.v_star
        return Labels(clean, clean + self.noise * noise)

    def error(self, student, loss, Q, R, T, v, b) -> Float[Array, ""]:
        """eps_g = 1/2 E[(phi - phi*)^2] = 1/2 sum_ab u_a u_b I2(a, b), u = (v, -v*)."""
        mean = self.mean_of_fields(student, R, T, b)
        averages = averages_of_fields(student, self.activation, len(T), mean)
        u = jnp.concatenate([v, -self.v_star])
        return 0.5 * u @ averages.I2(covariance(Q, R, T)) @ u

    @property
    def mean_coordinates(self) -> Float[Array, " teachers"] | None:
        """mu, where the mean of the inputs is sum_m mu_m w*_m / sqrt N; None if it is zero."""
        return None

    def mean_of_fields(self, student, R, T, b) -> Float[Array, " fields"] | None:
        """The means (R mu + b, T mu) of the fields; None if they are zero by themselves, on centred
        inputs and without trained biases.
        """
        mu = self.mean_coordinates
        if mu is not None:
            return jnp.concatenate([R @ mu + b, T @ mu])
        if student.train_bias:
            return jnp.concatenate([b, jnp.zeros(len(T), b.dtype)])
        return None

    @property
    def input_mean(self):
        """What is subtracted from inputs that come from outside, a number or one for each input."""
        return 0.0


class StructuredTask(TeacherTask):
    """A task with a teacher whose input covariance has more than one eigenvalue.

    Its states are `SpectralOverlaps`.
    """

    HAS_MODES: ClassVar = True

    @abc.abstractmethod
    def modes(self, N: int) -> Modes:
        """Eigenvalues and eigenvectors of the input covariance in N dimensions, and Phi."""

    @abc.abstractmethod
    def spectrum(self, nodes: int) -> Spectrum:
        """The spectrum of the input covariance, averaged over directions.

        It is that of the limit N -> infinity where there is one.
        """
