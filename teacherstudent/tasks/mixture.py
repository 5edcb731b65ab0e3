"""Two classes whose inputs differ along a few fixed directions: tasks without a teacher.

The directions u_a, a = 1..r (spikes, or axes of the class means), are orthogonal:

    u_a . u_b = N delta_ab,   s_a = u_a . x / sqrt N
    x = sum_a s_a u_a / sqrt N + sigma_c (noise N(0, 1) orthogonal to all u_a)

where the class y = +-1 decides the law of s in R^r.  The theory needs this law as a finite mixture
of Gaussians,

    component c:  probability p_c,  label y_c,  s ~ N(A_c, S_c),  orthogonal variance sigma_c^2;

a discrete latent is exactly that, any other enters by the nodes of its quadrature, and a bounded
density of s by nodes with S_c = 0.  Szekely, Bardone, Gerace & Goldt, NeurIPS 2024
(arXiv:2312.14922); Refinetti, Goldt, Krzakala & Zdeborova, ICML 2021 (arXiv:2102.11742).
"""

import abc
import dataclasses
from types import MappingProxyType
from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.mixture_fields import Components, expected_loss_of
from teacherstudent.checking import checks
from teacherstudent.tasks.base import Labels, Task, with_fields
from teacherstudent.tasks.latents import check_probabilities


class MixtureTask(Task):
    """Inputs of two classes y = +-1 that differ in the law of a few fields.

    They are s_a = u_a . x / sqrt N, along the task's fixed directions u_a.  A subclass writes the
    number of `directions` and the `components`; theory, simulations and accuracy follow.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> class TwoMeans(ts.MixtureTask):
    ...     distance: float
    ...
    ...     @property
    ...     def directions(self):
    ...         return 1
    ...
    ...     def components(self):
    ...         means = self.distance * np.array([[0.5], [-0.5]])
    ...         p, y = np.array([0.5, 0.5]), np.array([1.0, -1.0])
    ...         return ts.Components(p, y, means, np.ones((2, 1, 1)), np.ones(2))
    >>> problem = ts.Problem(TwoMeans(distance=4.0), ts.Student(1, "linear"), ts.SGD(0.1))
    >>> start = ts.OrderParameters(Q=[[1.0]], m=[[0.5]])
    >>> float(ts.expected_loss(problem, start).round(6))  # E[(phi - y)^2] / 2, phi ~ N(+-1, 1)
    0.5
    """

    NAMES: ClassVar = MappingProxyType(
        {
            "R": "m",
            "eps_g": "loss",
            "test_error": "test_loss",
            "train_error": "train_loss",
            "test_error_se": "test_loss_se",
            "w_star": "directions",
        }
    )
    NOT_RECORDED: ClassVar = ("T",)  # the fixed directions are orthonormal
    START: ClassVar = ("Q", "m", "v", "b")
    FIXED_VECTORS: ClassVar = "fixed directions"
    HAS_CLASSES: ClassVar = True
    BINARY_LABELS: ClassVar = True

    # The components as numbers, in a task that a compiled program takes.
    computed: Components | None = eqx.field(init=False, default=None)

    @abc.abstractmethod
    def components(self) -> Components:
        """The law of (y, s) and of the orthogonal variance as a mixture of Gaussians."""

    def law(self) -> Components:
        """The components: those that were computed before, if there are any."""
        if self.computed is not None:
            return self.computed
        return self.components()

    def label(self, fields, noise) -> Labels:
        """y = +-1, the class."""
        return Labels(noise, noise)

    def error(self, student, loss, Q, R, T, v, b) -> Float[Array, ""]:
        """E[l(phi, y)] = sum_c p_c E_c[l], the part included that nobody can avoid."""
        return expected_loss_of(self.law(), student, loss, Q, R, v, b)

    def for_programs(self) -> "MixtureTask":
        """The same class with its components as numbers, which is all that programs need of it.

        A class with labels or an error of its own keeps its fields, which these may depend on.
        """
        values: dict = {"computed": self.law()}
        kind = type(self)
        if kind.label is MixtureTask.label and kind.error is MixtureTask.error:
            for field in dataclasses.fields(self):
                values.setdefault(field.name, None)
        return with_fields(self, values)

    def latent_dimension(self, N: int) -> int:
        return N


def joined(parts: list[Components]) -> Components:
    """Components of several classes as one mixture; their p must already sum to one together."""
    return Components(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def standard_normal(probability: float, label: float, directions: int) -> Components:
    """The component of a class with inputs N(0, I)."""
    return Components(
        np.array([probability]),
        np.array([label]),
        np.zeros((1, directions)),
        np.eye(directions)[None],
        np.ones(1),
    )


def checked_prior(value) -> float:
    """The probability of the class y = +1, from 0 to 1."""
    prior = checks.single("task.class_prior", value)
    if prior > 1:
        raise ValueError(
            f"task.class_prior = {prior:g} is the probability of the class y = +1; give at most 1."
        )
    return prior


def check_clusters(weights, labels) -> None:
    """Raise ValueError unless there are as many weights as labels, a probability each, and labels
    +-1.
    """
    if weights.ndim != 1 or weights.size == 0 or labels.shape != weights.shape:
        raise ValueError(
            f"task.weights has shape {weights.shape} and task.labels {labels.shape}; give one of "
            "each for every cluster."
        )
    check_probabilities("task.weights", weights)
    if not np.isin(labels, (-1.0, 1.0)).all():
        wrong = labels[~np.isin(labels, (-1.0, 1.0))][0]
        raise ValueError(f"task.labels has the entry {wrong:g}; labels are +1 or -1.")
