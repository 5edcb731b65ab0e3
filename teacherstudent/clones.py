"""Clones of a task: Gaussian classes with the same first moments.

They show which moments a network has learnt so far.

    clone(task, 1):  s | y ~ N(mu_y, Sigma),    Sigma = sum_y P(y) Sigma_y
    clone(task, 2):  s | y ~ N(mu_y, Sigma_y)

with mu_y and Sigma_y the mean and the covariance of s in the class y of the task.  A network that
learns distributions of increasing complexity behaves at first as on the first clone, then as on the
second, at last as on its own task.  Refinetti, Ingrosso & Goldt, ICML 2023 (arXiv:2211.11567).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.extensions.own_classes import require_our_law
from teacherstudent.tasks.base import Task
from teacherstudent.tasks.gaussian_mixture import GaussianMixture
from teacherstudent.tasks.mixture import Components, MixtureTask


@arguments.checked
def clone(task: Task, moments: int = 2) -> GaussianMixture:
    """One Gaussian for each class, with the first moments of a task.

        moments = 1:  s | y ~ N(mu_y, Sigma),    Sigma = sum_y P(y) Sigma_y
        moments = 2:  s | y ~ N(mu_y, Sigma_y)

    With moments = 1 both classes have the same orthogonal variance, too.

    Raises ValueError unless `moments` is 1 or 2, or if the task has no classes.

    Refinetti, Ingrosso & Goldt, ICML 2023 (arXiv:2211.11567).

    >>> import teacherstudent as ts
    >>> clone = ts.clone(ts.SpikedCumulant(beta=3.0), moments=2)
    >>> bool(np.allclose(clone.covariances, 1.0))
    True
    """
    if not isinstance(task, MixtureTask):
        raise ValueError(
            f"task is a {type(task).__name__}, which has no classes; give a task such as "
            "SpikedCumulant."
        )
    whole = isinstance(moments, int | np.integer) and not isinstance(moments, bool)
    if not whole or moments not in (1, 2):
        raise ValueError(
            f"moments = {checks.shortened(moments)}: give 1 (means) or 2 (means and covariances)."
        )
    require_our_law(task)
    law = task.law()
    present = [y for y in (1.0, -1.0) if law.p[law.y == y].sum() > 0]
    classes = [_class_moments(law, y) for y in present]
    prior = np.stack([one.prior for one in classes])
    mean = np.stack([one.mean for one in classes])
    covariance = np.stack([one.covariance for one in classes])
    variance = np.stack([one.variance for one in classes])
    if moments == 1:
        covariance = np.broadcast_to(np.einsum("c,cab->ab", prior, covariance), covariance.shape)
        variance = np.full(len(present), prior @ variance)
    return GaussianMixture(prior, present, mean, variance, covariance)


class ClassMoments(NamedTuple):
    """Probability of a class, mean and covariance of its s, and its orthogonal variance."""

    prior: float
    mean: Float[np.ndarray, " directions"]
    covariance: Float[np.ndarray, "directions directions"]
    variance: float


def _class_moments(law: Components, y: float) -> ClassMoments:
    """The first moments of one class."""
    p = np.where(law.y == y, law.p, 0.0)
    prior = p.sum()
    p = p / prior
    mean = p @ law.A
    deviation = law.A - mean
    within = np.einsum("c,cab->ab", p, law.S)
    between = np.einsum("c,ca,cb->ab", p, deviation, deviation)
    return ClassMoments(prior, mean, within + between, p @ law.sigma2)
