"""A teacher that tells signs: a perceptron, or a committee machine, on isotropic inputs.

    y = +-sign( sum_m v*_m g*(w*_m . x / sqrt N) + sigma zeta ),   - with probability p

Rosenblatt's perceptron and its relatives learn these labels by losses of y phi.  With one linear
unit each this is the oldest solved problem of on-line learning: Vallet, Europhys. Lett. 8, 747
(1989); Biehl & Schwarze, J. Phys. A 28, 643 (1995); Opper & Kinzel, in Models of Neural Networks
III (1996).
"""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from teacherstudent.activations.activation import Activation, ActivationLike
from teacherstudent.averages.lines import has_axes
from teacherstudent.averages.quasi_random import normals, uniform_points
from teacherstudent.averages.sign_labels import SignFields
from teacherstudent.averages.sign_space import SignOfCommittee, SignOfField, SignSpace
from teacherstudent.averages.triangle import cholesky
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray
from teacherstudent.losses import Loss
from teacherstudent.schedules import schedules_in
from teacherstudent.states.order_parameters import covariance
from teacherstudent.tasks.base import Labels
from teacherstudent.tasks.teacher_student import TeacherStudent

CANCELLED = 1e-12  # a variance that is rounding, relative to its terms
TRIALS = 64  # fields at which a committee's output is looked at,
RARE = 8.0  # and as many times these, where units may be that are silent for most inputs
LOG2_POINTS = 15  # of the error where it is no angle
# Odd activations that grow, of which one unit has the sign of its field.
SIGNS_OF_FIELDS = ("linear", "erf", "tanh", "sign")


class ClassifyingTeacher(TeacherStudent):
    """Signs of a teacher's output on isotropic Gaussian inputs, some of them flipped.

        x ~ N(0, I_N)
        y = s sign( sum_m v*_m g*(w*_m . x / sqrt N) + sigma zeta ),   zeta ~ N(0, 1)
        s = -1 with probability `flips`, else 1

    - `width`: number M of teacher units; one linear unit is a perceptron.
    - `activation`: g*, a name, polynomial coefficients or an elementwise JAX function.
    - `readout`: v*, one number for all units or one per unit.
    - `noise`: sigma, the standard deviation of the noise inside of the sign.
    - `flips`: the probability that a label is the opposite of what it is to be.

    The error eps_g is the probability that student and teacher, without noise and flips, differ
    in sign,

        eps_g = P(phi phi* < 0) = arccos(R / sqrt(Q T)) / pi

    the latter for one linear unit each; the observable "expected_loss" is the loss beside it.

    There is a theory for every student and every loss of ours.  Where the teacher's sign is that of
    one normal field (M linear units, or one unit with "erf", "tanh" or "sign") its averages are
    closed forms or integrals, to 1e-10 for linear students of any width, for one unit with any
    activation and for two of variances of order one (1e-4 for two ReLU units with the hinge loss),
    1e-4 for three smooth units, and 1e-3 to 1e-2 beyond, at frozen points, and worse for fields of
    large variance.  Signs of all other teachers have averages at frozen points, too.  The report of
    a result estimates the error.  One erf, tanh or sign unit has a theory without noise only.

    Time is t = updates / N (the examples per input dimension, alpha, for batches of one).

    Raises ValueError if a value is outside its range or `readout` does not fit `width`.

    Biehl & Schwarze, J. Phys. A 28, 643 (1995); Biehl, Riegler & Stechert, Phys. Rev. E 52, R4624
    (1995), for noise.

    A start with a teacher whose output is zero for every input is refused.

    >>> import teacherstudent as ts
    >>> perceptron = ts.Student(width=1, activation="linear")
    >>> task = ts.ClassifyingTeacher(width=1)
    >>> problem = ts.Problem(task, perceptron, ts.SGD(1.0), loss="correlation")  # Hebb's rule
    >>> start = ts.OrderParameters(Q=[[1e-6]], R=[[0.0]])
    >>> theory = ts.integrate(problem, start, [0.0, 100.0])
    >>> round(float(theory.eps_g[-1] * (2 * 3.14159 * 100) ** 0.5), 1)  # 1 / sqrt(2 pi t)
    1.0
    """

    NUMBERS: ClassVar = ("noise", "flips")
    BINARY_LABELS: ClassVar = True
    KNOWS_BIASES: ClassVar = False

    flips: checks.Parameter

    @arguments.of("task.")
    def __init__(
        self,
        width: int,
        activation: ActivationLike = "linear",
        readout=1.0,
        noise=0.0,
        flips=0.0,
    ):
        super().__init__(width, activation, readout, noise)
        self.flips = checks.parameter(flips)

    def __check_init__(self):
        checks.number("task.flips", self.flips)
        given = checks.real_numbers(self.flips)
        if given is not None and np.any(given > 1):
            raise ValueError(
                f"task.flips = {checks.shortened(self.flips)} is the probability that a label is "
                "flipped; give at most 1."
            )

    def check_fixed_overlaps(self, T: Float[AnyArray, "*batch teachers teachers"]) -> None:
        """Raise ValueError if the output whose sign is the label is zero for every input."""
        if schedules_in(self.readout):
            return
        if not self.is_sign_of_field:
            self._check_output(np.asarray(T, np.float64))
            return
        v_star = np.broadcast_to(np.asarray(self.readout), (self.width,))
        variance = np.einsum("m,...mn,n->...", v_star, np.asarray(T), v_star)
        size = np.einsum("m,...mn,n->...", np.abs(v_star), np.abs(np.asarray(T)), np.abs(v_star))
        if (variance <= CANCELLED * size).any():
            raise ValueError(
                "the teacher's output is zero for every input, sum_mn v*_m T_mn v*_n = "
                f"{variance.min():.3g}, and has no sign; give other start.T or task.readout."
            )

    def _check_output(self, T: Float[np.ndarray, "*batch teachers teachers"]) -> None:
        """Raise ValueError if phi* vanishes, but for rounding, at fields of common and of rare
        sizes.
        """
        v_star = np.broadcast_to(np.asarray(self.readout, np.float64), (self.width,))
        values, vectors = np.linalg.eigh(T)
        values = np.where(values > CANCELLED * values[..., -1:], values, 0.0)
        points = np.random.default_rng(0).standard_normal((TRIALS, self.width))
        points = np.concatenate([points, RARE * points])
        fields = np.einsum("...ma,...a,pa->...pm", vectors, np.sqrt(values), points)
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            terms = np.asarray(self.activation(jnp.asarray(fields, jnp.float64))) * v_star
        size = np.abs(terms).sum(axis=-1)
        if (np.abs(terms.sum(axis=-1)) <= CANCELLED * size).all(axis=-1).any():
            raise ValueError(
                "the teacher's output is zero for every input, and has no sign; give other start.T "
                "or task.readout."
            )

    def label(
        self, fields: Float[Array, "samples teachers"], noise: Float[Array, " samples"]
    ) -> Labels:
        """The sign without noise and flips, and with them."""
        signal = self.activation(fields) @ self.v_star
        flipped, zeta = coin_and_normal(noise, self.flips)
        told = sign(signal + self.noise * zeta)
        return Labels(sign(signal), jnp.where(flipped, -told, told))

    def sample_error(
        self, loss: Loss, output: Float[Array, " samples"], label: Float[Array, " samples"]
    ) -> Float[Array, " samples"]:
        """1 for a wrong sign, 0 for the right one, 1/2 for an output that is zero."""
        return (1 - jnp.sign(output * label)) / 2

    def error(self, student, loss, Q, R, T, v, b) -> Float[Array, ""]:
        """P(phi phi* < 0) + P(phi = 0) / 2, without noise and flips."""
        if self.is_sign_of_field and is_linear(student.activation):
            return self.law_of_signs(Q, R, T, v, noiseless=True).error
        if self._has_accurate_nodes(student):
            return error_by_nodes(self, student, Q, R, T, v)
        return error_at_points(self, student, Q, R, T, v)

    def expected_loss(self, student, loss: Loss, Q, R, T, v) -> Float[Array, ""]:
        """E[l(phi, y)] over labels as the student is told them, with noise and flips.

        Raises ValueError where it is differentiated for a loss that names no margins.
        """
        if self.is_linear_perceptron(student) and loss.knows_signs:
            return loss.averages_with_signs(self.law_of_signs(Q, R, T, v)).loss
        if self._has_accurate_nodes(student) and loss.margins is not None:
            return loss_by_nodes(self, student, loss, Q, R, T, v)
        return loss_at_points(self, student, loss, Q, R, T, v)

    def outputs_at_points(self, student, Q, R, T, v):
        """phi and phi* at frozen points."""
        K = len(Q)
        fields = jnp.asarray(_points(K + len(T))) @ cholesky(covariance(Q, R, T)).T
        phi = student.activation(fields[:, :K]) @ v
        return phi, self.activation(fields[:, K:]) @ self.v_star

    def _has_accurate_nodes(self, student) -> bool:
        """Whether nodes for the fields are better than frozen points."""
        if self.is_sign_of_field:
            return has_axes(student.width, bool(student.activation.cuts))
        kinks = bool(student.activation.cuts) or bool(self.activation.cuts)
        return has_axes(student.width + self.width, kinks)

    def is_linear_perceptron(self, student) -> bool:
        """Whether student and teacher are one normal field each, of which labels are signs."""
        return is_linear(self.activation) and is_linear(student.activation)

    @property
    def is_sign_of_field(self) -> bool:
        """Whether y is, without noise, the sign of one normal field, sum_m v*_m nu_m."""
        if is_linear(self.activation):
            return True
        known = type(self.activation) is Activation and self.activation.name in SIGNS_OF_FIELDS
        return known and self.width == 1

    def law_of_signs(self, Q, R, T, v, noiseless: bool = False) -> SignFields:
        """The law of a linear student's output and of the field u whose sign is the label."""
        v_star = self.v_star
        variance = v_star @ T @ v_star
        kept = jnp.ones_like(variance)
        if not noiseless:
            variance = variance + self.noise**2
            kept = 1 - 2 * jnp.asarray(self.flips) * kept
        return SignFields(v @ Q @ v, v @ R @ v_star, variance, kept)

    @property
    def has_normal_field(self) -> bool:
        """Whether the label, with the noise, is the sign of one normal field.

        Noise is added to g*(nu), which changes the sign in another way than noise in nu.
        """
        return is_linear(self.activation)

    def law_of_fields(
        self, Q, R, T, noiseless: bool = False, flipped: bool = True
    ) -> SignOfField | SignOfCommittee:
        """The law of the student's fields and of the label, without noise or flips if so asked."""
        v_star = self.v_star
        noise = jnp.zeros_like(T[0, 0]) if noiseless else jnp.asarray(self.noise)
        kept = jnp.ones_like(T[0, 0])
        if flipped:
            kept = 1 - 2 * jnp.asarray(self.flips) * kept
        if not (self.has_normal_field or (noiseless and self.is_sign_of_field)):
            return SignOfCommittee(covariance(Q, R, T), kept, self.activation, v_star, noise)
        variance = v_star @ T @ v_star + noise**2
        return SignOfField(covariance(Q, (R @ v_star)[:, None], variance[None, None]), kept)


def error_by_nodes(task: ClassifyingTeacher, student, Q, R, T, v) -> Float[Array, ""]:
    """The error by nodes that move with its jumps, so that it has derivatives."""
    law = task.law_of_fields(Q, R, T, noiseless=True, flipped=False)
    return SignSpace(student.activation, len(Q)).wrong_sign(law, v)


# Frozen points take a tenth of the time of nodes, and most errors are only recorded.  But a mean of
# signs at points that stay has the derivative zero, so that derivatives are those by nodes.
@eqx.filter_custom_jvp
def error_at_points(task: ClassifyingTeacher, student, Q, R, T, v) -> Float[Array, ""]:
    """The error at frozen points, which has the derivatives of the one by nodes."""
    phi, phi_star = task.outputs_at_points(student, Q, R, T, v)
    return 0.5 - 0.5 * jnp.mean(jnp.sign(phi) * sign(phi_star))


@error_at_points.def_jvp
def _error_with_derivative(primals, tangents):
    return eqx.filter_jvp(error_by_nodes, primals, tangents)


def loss_by_nodes(task: ClassifyingTeacher, student, loss: Loss, Q, R, T, v) -> Float[Array, ""]:
    """The expected loss by nodes that move with the jumps of label and loss."""
    space = SignSpace(student.activation, len(Q))
    return space.averages(loss, task.law_of_fields(Q, R, T), v).loss


@eqx.filter_custom_jvp
def loss_at_points(task: ClassifyingTeacher, student, loss: Loss, Q, R, T, v) -> Float[Array, ""]:
    """The expected loss at frozen points, which has the derivatives of the one by nodes."""
    phi, phi_star = task.outputs_at_points(student, Q, R, T, v)
    noise = jnp.asarray(task.noise)
    noisy = noise > 0
    smooth = jax.scipy.special.erf(phi_star / (jnp.where(noisy, noise, 1.0) * math.sqrt(2)))
    mean_label = (1 - 2 * jnp.asarray(task.flips)) * jnp.where(noisy, smooth, sign(phi_star))
    y = jnp.ones_like(phi)
    of_plus, of_minus = loss.value(phi, y), loss.value(phi, -y)
    return jnp.mean((1 + mean_label) / 2 * of_plus + (1 - mean_label) / 2 * of_minus)


@loss_at_points.def_jvp
def _loss_with_derivative(primals, tangents):
    loss = primals[2]
    if loss.margins is None:
        raise ValueError(
            f"the loss {loss} does not say where its slope bends or jumps, so that derivatives of "
            "its mean are not known; give its class margins, or () where it is smooth."
        )
    return eqx.filter_jvp(loss_by_nodes, primals, tangents)


def is_linear(activation: Activation) -> bool:
    """Whether an activation is ours with this name."""
    return type(activation) is Activation and activation.name == "linear"


def sign(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 or -1, the former at zero."""
    return jnp.where(x >= 0, jnp.ones_like(x), -jnp.ones_like(x))


def coin_and_normal(
    normal: Float[Array, " samples"], probability
) -> tuple[Bool[Array, " samples"], Float[Array, " samples"]]:
    """A coin that shows True with a probability, and a normal number independent of it, both from
    one normal number.

    The coin is True where the absolute value is large.  Given the coin, the tail probability of
    that value is uniform, and makes the absolute value of the new number; the sign is kept.
    """
    dtype = normal.dtype
    p = jnp.asarray(probability, dtype)
    tail = jax.scipy.special.erfc(jnp.abs(normal) / math.sqrt(2))
    coin = tail < p
    of_true = tail / jnp.where(p > 0, p, 1)
    of_false = (tail - p) / jnp.where(p < 1, 1 - p, 1)
    uniform = jnp.clip(jnp.where(coin, of_true, of_false), jnp.finfo(dtype).tiny, 1)
    size = -jax.scipy.special.ndtri(uniform / 2)
    return coin, jnp.where(normal < 0, -size, size)


def _points(fields: int) -> np.ndarray:
    """Frozen normal coordinates."""
    return normals(uniform_points(fields, 2**LOG2_POINTS))
