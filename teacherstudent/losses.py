"""Losses l(phi, y) between the student's output phi and the label y."""

import copy
import functools
import math
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.field_averages import FieldAverages
from teacherstudent.averages.shifted import Covariance, Mean, PerUnit, ShiftedAverages
from teacherstudent.averages.sign_labels import SignAverages, SignFields, by_quadrature
from teacherstudent.checking import checks, contracts

# Where a loss of a user's own is tried: outputs in generic position, labels of both classes.
TRIAL_OUTPUTS = (-1.3, 0.4, 0.7, -0.6, 2.1)
TRIAL_LABELS = (1.0, -1.0, 1.0, -1.0, -1.0)
# By which rounding in float32 may make two ways to one number differ.
TRIAL_TOLERANCE = 1e-3
# Where y phi is looked at for jumps of l', at numbers that nobody writes; how often an interval is
# halved; what is left of a change that is a jump, relative to the largest slope; and how close to a
# margin a jump is that of the margin.
JUMP_GRID = (-5.000347, 5.000259, 5001)
JUMP_HALVINGS = 26
JUMP = 1e-5
AT_A_MARGIN = 1e-6
# What a loss says of itself beside its formulas.
NOT_FORMULAS = ("averages", "averages_of_signs", "linear_slope", "margins", "name")


class Loss:
    """A loss l(phi, y) of the student's output phi and the label y, sample by sample.

    SGD descends E[l(phi, y)]: w_k moves by -(eta / sqrt N) v_k g'(lambda_k) l'(phi, y) x, with
    l' = d l / d phi.  Losses are for tasks whose labels are y = +-1, classes or signs.

    To write one:

    1. Derive a class from `ts.Loss` and give it a `name` that none of ours has.
    2. Write `value(output, label)` with jax.numpy.  Both arguments have one shape, any; so has
       the answer, and each of its entries depends on its own output and label only.
    3. Parameters are attributes set in `__init__` (or fields of a frozen dataclass).  They must be
       hashable and stay what they are: two losses are one if class and attributes are.
    4. If differentiation is not good enough (of a root at zero, say), write `slope(output, label)`.
    5. If the averages of an update follow from averages of g, write `averages`; without it they
       are taken by quadrature over the K fields.  Jumps of l' cost that quadrature digits, and the
       result says how many.
    6. For labels of a teacher (`ts.ClassifyingTeacher`) the integrals of the theory are divided
       where l' is not smooth: name all values of y phi at which it bends or jumps, `margins =
       (1.0,)`, or `margins = ()` where there are none.

    Give an object of it, `ts.Problem(..., loss=Huber(0.5))`.  A result file names the class and its
    parameters, but a problem with a loss of one's own cannot be read back from it.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> class Quartic(ts.Loss):
    ...     name = "quartic"
    ...     def value(self, output, label):
    ...         return (output - label) ** 4 / 4
    >>> task = ts.SpikedCumulant(beta=2.0)
    >>> problem = ts.Problem(task, ts.Student(1), ts.SGD(0.1), loss=Quartic())
    >>> float(problem.loss.slope(jnp.array(3.0), jnp.array(1.0)))
    8.0

    `Problem` raises ValueError if a method cannot be traced by JAX, has an answer of another shape,
    if `slope` is not the derivative of `value`, or if it jumps at a y phi in [-5, 5] that is not
    among the margins.
    """

    name: ClassVar[str]
    # The values of y phi at which l' bends or jumps; None where this is not said.
    margins: ClassVar[tuple[float, ...] | None] = None
    # s, where l' = s phi - y; None for any other l'.
    linear_slope: ClassVar[float | None] = None

    def value(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """l(phi, y)."""
        raise NotImplementedError(f"{type(self).__name__} has no method value(output, label)")

    def slope(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """l' = d l / d phi, by forward differentiation."""

        def of_output(phi):
            return self.value(phi, label)

        return jax.jvp(of_output, (output,), (jnp.ones_like(output),))[1]

    def averages(
        self,
        g: ShiftedAverages,
        mean: Mean,
        C: Covariance,
        v: PerUnit,
        y: Float[Array, ""],
    ) -> FieldAverages:
        """The averages of one update from averages of the activation, given in closed form by `g`.

        The fields are lambda ~ N(mean, C), the output is phi = sum_j v_j g(lambda_j), and y is the
        label; `FieldAverages` says what is wanted.  These formulas hold for the class that has
        them: a subclass that changes the loss has none until it brings its own.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no closed forms; see has_closed_forms"
        )

    @property
    def has_closed_forms(self) -> bool:
        """Whether `averages` is written, and for this loss."""
        return self._says("averages")

    def averages_of_signs(self, law: SignFields) -> SignAverages:
        """The averages of one update where a linear student learns the sign of a normal field.

        `ts.SignFields` is their law, `ts.SignAverages` says what is wanted.  These formulas hold
        for the class that has them; any other loss has the quadrature between its `margins`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no closed forms for signs; see averages_with_signs"
        )

    def averages_with_signs(self, law: SignFields) -> SignAverages:
        """The same in closed form where that is written for this loss, and by quadrature."""
        if self.has_closed_forms_with_signs:
            return self.averages_of_signs(law)
        return by_quadrature(self, law)

    @property
    def has_closed_forms_with_signs(self) -> bool:
        """Whether `averages_of_signs` is written, and for this loss."""
        return self._says("averages_of_signs")

    @property
    def knows_signs(self) -> bool:
        """Whether `averages_with_signs` is known: the margins are, or closed forms are written."""
        return self._says("margins") or self.has_closed_forms_with_signs

    @property
    def slope_is_linear(self) -> bool:
        """Whether l' = s phi - y, with s = `linear_slope`, and for this loss."""
        return self.linear_slope is not None and self._says("linear_slope")

    def _says(self, name: str) -> bool:
        """Whether a class of losses says something of itself, and changes nothing else after."""
        owner = _definer(type(self), name)
        return owner is not Loss and not contracts.changes(type(self), owner, NOT_FORMULAS)

    @property
    def in_files(self) -> str:
        """What result files call it: our name, or class and parameters of a user's own."""
        if LOSSES.get(self.name) == self:
            return self.name
        kind = type(self)
        parameters = ", ".join(f"{key}={value!r}" for key, value in sorted(vars(self).items()))
        return f"function:{kind.__module__}.{kind.__qualname__}({parameters})"

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *sorted(vars(self).items())))

    def __str__(self) -> str:
        return self.name


def _definer(kind: type, method: str) -> type:
    """The class whose definition of a method a class has."""
    return next(one for one in kind.__mro__ if method in vars(one))


class SquareLoss(Loss):
    """Half of the squared error,

        l(phi, y) = (phi - y)^2 / 2.

    The factor 1/2 is part of it: without it every learning rate here is to be doubled.
    """

    name = "square"
    margins = ()
    linear_slope = 1.0

    def value(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        return 0.5 * (output - label) ** 2

    def slope(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """phi - y."""
        return output - label

    def averages(
        self,
        g: ShiftedAverages,
        mean: Mean,
        C: Covariance,
        v: PerUnit,
        y: Float[Array, ""],
    ) -> FieldAverages:
        """From the averages of `averages/shifted.py`,

        a_k  = v_k ( sum_j v_j S2(k, j) - y E g'_k )
        J_kl = v_k v_l J2(k, l) + (k = l) v_k ( sum_j v_j G2(k, j) - y E g''_k )
        D_kl = v_k v_l I4(k, l; v, y)
        b_k  = sum_j v_j I2(k, j) - y E g_k
        E l  = ( v^T I2 v - 2 y sum_j v_j E g_j + y^2 ) / 2.
        """
        I2 = g.I2(mean, C)
        values = g.values(mean, C)
        vv = v[:, None] * v[None, :]
        curvature = g.G2(mean, C) @ v - y * g.curvatures(mean, C)
        return FieldAverages(
            a=v * (g.S2(mean, C) @ v - y * g.slopes(mean, C)),
            J=vv * g.J2(mean, C) + jnp.diag(v * curvature),
            D=vv * g.I4(mean, C, v, y),
            b=I2 @ v - y * values,
            loss=(v @ I2 @ v - 2 * y * (v @ values) + y**2) / 2,
        )

    def averages_of_signs(self, law: SignFields) -> SignAverages:
        """Of f = phi - y: slope = 1, square = q - 2 E y phi + 1."""
        square = law.q - 2 * _overlap(law) + 1
        return SignAverages(jnp.ones_like(law.q), law.of_jump(-2.0), square, square / 2)


class LogisticLoss(Loss):
    """Minus the logarithm of the probability 1 / (1 + exp(-y phi)) of the label,

    l(phi, y) = log(1 + exp(-y phi)).
    """

    name = "logistic"
    margins = ()

    def value(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        return jax.nn.softplus(-label * output)

    def slope(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """-y / (1 + exp(y phi))."""
        return -label * jax.nn.sigmoid(-label * output)


class CorrelationLoss(Loss):
    """Minus the correlation of output and label, whose descent is Hebb's rule,

    l(phi, y) = -y phi.
    """

    name = "correlation"
    margins = ()
    linear_slope = 0.0

    def value(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        return -label * output

    def slope(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """-y."""
        return -label * jnp.ones_like(output)

    def averages(
        self,
        g: ShiftedAverages,
        mean: Mean,
        C: Covariance,
        v: PerUnit,
        y: Float[Array, ""],
    ) -> FieldAverages:
        """From the averages of `averages/shifted.py`,

        a_k  = -y v_k E g'_k
        J_kl = -y (k = l) v_k E g''_k
        D_kl = y^2 v_k v_l J2(k, l)
        b_k  = -y E g_k
        E l  = -y sum_j v_j E g_j.
        """
        values = g.values(mean, C)
        return FieldAverages(
            a=-y * v * g.slopes(mean, C),
            J=-y * jnp.diag(v * g.curvatures(mean, C)),
            D=v[:, None] * v[None, :] * y**2 * g.J2(mean, C),
            b=-y * values,
            loss=-y * (v @ values),
        )

    def averages_of_signs(self, law: SignFields) -> SignAverages:
        """Of f = -y: slope = 0, square = 1, E l = -E y phi."""
        zero = jnp.zeros_like(law.q)
        return SignAverages(zero, law.of_jump(-2.0), jnp.ones_like(law.q), -_overlap(law))


class PerceptronLoss(Loss):
    """What is missing of the right sign, whose descent is Rosenblatt's error-driven rule,

    l(phi, y) = max(0, -y phi).

    A sample of zero output counts as an error, so that a student without weights begins to learn.
    """

    name = "perceptron"
    margins = (0.0,)

    def value(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        return jnp.maximum(-label * output, 0)

    def slope(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """-y where y phi <= 0, and zero elsewhere."""
        return jnp.where(label * output <= 0, -label, jnp.zeros_like(output))

    def averages_of_signs(self, law: SignFields) -> SignAverages:
        """With e the probability of an error in the labels as they are told,

        slope = 1 / sqrt(2 pi q),   square = e,   E l = (E |phi| - E y phi) / 2.
        """
        moves = law.q > 0
        size = jnp.sqrt(jnp.where(moves, law.q, 1.0))
        slope = jnp.where(moves, 1 / (size * math.sqrt(2 * math.pi)), 0.0)
        size = jnp.where(moves, size, 0.0)
        value = (math.sqrt(2 / math.pi) * size - _overlap(law)) / 2
        return SignAverages(slope, law.of_jump(-1.0), law.told_error, value)


class HingeLoss(Loss):
    """What is missing of the margin one,

    l(phi, y) = max(0, 1 - y phi).
    """

    name = "hinge"
    margins = (1.0,)

    def value(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        return jnp.maximum(1 - label * output, 0)

    def slope(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """-y where y phi < 1, and zero elsewhere."""
        return jnp.where(label * output < 1, -label, jnp.zeros_like(output))


class AdaTronLoss(Loss):
    """Half of the squared output where its sign is wrong, whose descent is the AdaTron rule,

    l(phi, y) = max(0, -y phi)^2 / 2.

    At learning rate 1 and |x|^2 = N an update moves a wrong output of one linear unit to zero.
    Biehl & Riegler, Europhys. Lett. 28, 525 (1994).
    """

    name = "adatron"
    margins = (0.0,)

    def value(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        return jnp.maximum(-label * output, 0) ** 2 / 2

    def slope(
        self, output: Float[Array, "*shape"], label: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """phi where y phi < 0, and zero elsewhere."""
        return jnp.where(label * output < 0, output, jnp.zeros_like(output))

    def averages_of_signs(self, law: SignFields) -> SignAverages:
        """With e the probability of an error in the labels as they are told,

        slope = e,   square = q (e - c rho sqrt(1 - rho^2) / pi),   E l = square / 2.
        """
        error = law.told_error
        square = law.q * (error - law.kept * law.correlation * law.sine / math.pi)
        jump = law.of_jump(-math.sqrt(2 / math.pi) * law.rest)
        return SignAverages(error, jump, square, square / 2)


def _overlap(law: SignFields) -> Float[Array, ""]:
    """E y phi = c sqrt(2 / pi) r / sqrt t of the labels y as they are told."""
    present = law.t > 0
    length = jnp.sqrt(jnp.where(present, law.t, 1.0))
    return jnp.where(present, law.kept * math.sqrt(2 / math.pi) * law.r / length, 0.0)


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        SquareLoss(),
        LogisticLoss(),
        CorrelationLoss(),
        PerceptronLoss(),
        HingeLoss(),
        AdaTronLoss(),
    )
}


def as_loss(given: Any, argument: str = "loss") -> Loss:
    """The `Loss` meant by a name, or the given one, which is tried once.

    Raises ValueError for an unknown name, what is no loss, and a loss of one's own whose methods
    cannot be traced, answer with another shape, or contradict each other.
    """
    if isinstance(given, Loss):
        _check(given, argument)
        return given
    if isinstance(given, str) and given in LOSSES:
        return LOSSES[given]
    raise ValueError(_unknown(given, argument))


def _unknown(given, argument: str) -> str:
    """Why what is given names no loss."""
    known = f"known are {', '.join(LOSSES)}, or an object of a class derived from ts.Loss"
    if isinstance(given, type) and issubclass(given, Loss):
        return f"{argument} is the class {given.__name__}; give an object, {given.__name__}()."
    if not isinstance(given, str):
        return f"{argument} = {checks.shortened(given)} is no loss; {known}."
    if given.startswith("function:"):
        kind = given.removeprefix("function:")
        return (
            f"{argument} was {kind}, a class of one's own, of which files keep the name and "
            "numbers only; make the problem with that loss."
        )
    near = get_close_matches(given, LOSSES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{argument} = {checks.shortened(given)} is not known; {known}.{hint}"


def name_or_loss(given: Any, argument: str = "loss") -> str | Loss:
    """What a problem keeps: the name of one of our losses, or a user's own loss as it is.

    Raises ValueError as `as_loss`.
    """
    loss = as_loss(given, argument)
    if LOSSES.get(loss.name) == loss:
        return loss.name
    # The problem keeps what the loss is now: its parameters may not change later.
    return copy.copy(loss)


def _check(loss: Loss, argument: str) -> None:
    """Raise ValueError if a loss breaks its contract."""
    kind = type(loss).__name__
    name = getattr(loss, "name", None)
    if not isinstance(name, str):
        raise ValueError(
            f'{argument}: class {kind} has no name; give it one, name = "{kind.lower()}".'
        )
    if name in LOSSES and LOSSES[name] != loss:
        raise ValueError(
            f"{argument}: class {kind} has the name {name!r}, which is one of ours; give it "
            "another."
        )
    try:
        hash(loss)
    except TypeError as error:
        raise ValueError(
            f"{argument}: the attributes of class {kind} must be hashable ({error}); give numbers "
            "or tuples."
        ) from error
    _check_margins(loss, argument)
    _check_methods(loss, argument)


def _check_margins(loss: Loss, argument: str) -> None:
    """Raise ValueError unless the margins are finite numbers, or None."""
    margins = loss.margins
    if margins is None:
        return
    known = isinstance(margins, tuple | list)
    if known and len(margins):
        numbers = checks.real_numbers(list(margins))
        known = numbers is not None and numbers.ndim == 1 and bool(np.isfinite(numbers).all())
    if not known:
        raise ValueError(
            f"{argument}: {type(loss).__name__}.margins = {checks.shortened(margins)} must be a "
            "tuple of finite numbers, the values of y phi where the slope bends or jumps, such as "
            "(1.0,), or None."
        )


@functools.lru_cache(maxsize=256)
def _check_methods(loss: Loss, argument: str) -> None:
    """Raise ValueError unless value and slope work sample by sample and belong together."""
    if loss in LOSSES.values():
        return
    kind = type(loss).__name__
    if _definer(type(loss), "value") is Loss:
        raise ValueError(
            f"{argument}: class {kind} has no method value(output, label); write it with jax.numpy."
        )
    _tried(loss.value, f"{argument}: {kind}.value")
    found = _tried(loss.slope, f"{argument}: {kind}.slope")
    expected = _tried(functools.partial(Loss.slope, loss), f"{argument}: {kind}.value")
    wrong = np.flatnonzero(~np.isclose(found, expected, TRIAL_TOLERANCE, TRIAL_TOLERANCE))
    if len(wrong):
        n = wrong[0]
        raise ValueError(
            f"{argument}: {kind}.slope({TRIAL_OUTPUTS[n]}, {TRIAL_LABELS[n]}) = {found[n]:.5g}, "
            f"but the derivative of {kind}.value with respect to the output is {expected[n]:.5g} "
            "there; correct one of them, or leave slope out."
        )
    if loss.margins is not None:
        _check_jumps(loss, tuple(loss.margins), argument)


def _check_jumps(loss: Loss, margins: tuple[float, ...], argument: str) -> None:
    """Raise ValueError if the slope jumps where the loss names no margin."""
    for label in (1.0, -1.0):
        for place in _jumps_of_slope(loss, label):
            if all(abs(place - margin) > AT_A_MARGIN for margin in margins):
                raise ValueError(
                    f"{argument}: {type(loss).__name__}.slope jumps at y phi = {place:.5g}, which "
                    f"is not in its margins = {margins}; name all places where it "
                    "bends or jumps, or give margins = None."
                )


def _jumps_of_slope(loss: Loss, label: float) -> Float[np.ndarray, " jumps"]:
    """The values of y phi, for one label y, where the slope jumps.

    Each interval of a grid is halved to where the slope changes more: what is left is a jump.
    """

    def slope(margin):
        return loss.slope(label * margin, jnp.full_like(margin, label))

    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        grid = jnp.asarray(np.linspace(*JUMP_GRID), jnp.float64)
        lower, upper = grid[:-1], grid[1:]
        for _ in range(JUMP_HALVINGS):
            middle = (lower + upper) / 2
            below, at, above = slope(lower), slope(middle), slope(upper)
            first = jnp.abs(at - below) >= jnp.abs(above - at)
            lower, upper = jnp.where(first, lower, middle), jnp.where(first, middle, upper)
        ends = np.asarray(slope(lower)), np.asarray(slope(upper))
        places = np.asarray(upper)
    height = np.abs(ends[1] - ends[0])
    size = np.max(np.abs(ends), initial=0.0, where=np.isfinite(ends))
    return places[height > JUMP * size]


def _tried(method: Callable, where: str) -> Float[np.ndarray, " samples"]:
    """The answer of a method at a few samples, which must not depend on each other."""
    with jax.ensure_compile_time_eval():
        output = jnp.asarray(TRIAL_OUTPUTS, jnp.float32)
        label = jnp.asarray(TRIAL_LABELS, jnp.float32)
        try:
            together = jax.jit(method)(output, label)
        except Exception as error:
            raise ValueError(
                f"{where} cannot be traced by JAX ({type(error).__name__}: "
                f"{checks.first_line(error)}); write it with jax.numpy."
            ) from error
        shape = getattr(together, "shape", None)
        if shape != output.shape:
            found = f"shape {shape}"
            if shape is None:
                found = f"type {type(together).__name__}"
            raise ValueError(
                f"{where} answers with {found} for outputs and labels of shape {output.shape}; "
                "give an array of that shape, one number for each sample."
            )
        apart = [method(output[n : n + 1], label[n : n + 1])[0] for n in range(len(output))]
        answers = np.asarray(together, np.float64)
        if not np.allclose(answers, np.asarray(apart), TRIAL_TOLERANCE, TRIAL_TOLERANCE):
            raise ValueError(
                f"{where} mixes samples: each entry must depend on its own output and label only."
            )
        return answers
