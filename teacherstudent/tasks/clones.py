"""Clones of a task: Gaussian classes with the same first moments, to see which moments a network
has learnt so far.

    clone(task, 1):  s | y ~ N(mu_y, Sigma),    Sigma = sum_y P(y) Sigma_y
    clone(task, 2):  s | y ~ N(mu_y, Sigma_y)

with mu_y and Sigma_y the mean and the covariance of s in the class y of the task.  A network that
learns distributions of increasing complexity behaves at first as on the first clone, then as on the
second, at last as on its own task.  Refinetti, Ingrosso & Goldt, ICML 2023 (arXiv:2211.11567).
"""

import numpy as np

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.own_classes import require_our_law
from teacherstudent.tasks.base import Task
from teacherstudent.tasks.gaussian_mixture import GaussianMixture
from teacherstudent.tasks.mixture import Components, MixtureTask


@arguments.checked
def clone(task: Task, moments: int = 2) -> GaussianMixture:
    """One Gaussian for each class with the means (moments = 1), or means and covariances (moments =
    2), of a task.

    With moments = 1 both classes have the same covariance, the mean of theirs, and the same
    orthogonal variance.

    Raises ValueError unless `moments` is 1 or 2, or if the task has no classes.
    """
    if not isinstance(task, MixtureTask):
        raise ValueError(
            f"task is a {type(task).__name__}, which has no classes; give a task such as "
            "SpikedCumulant."
        )
    if (
        not isinstance(moments, int | np.integer)
        or isinstance(moments, bool)
        or moments not in (1, 2)
    ):
        raise ValueError(
            f"moments = {checks.shortened(moments)}: give 1 (means) or 2 (means and covariances)."
        )
    require_our_law(task)
    law = task.law()
    present = [y for y in (1.0, -1.0) if law.p[law.y == y].sum() > 0]
    prior, mean, covariance, variance = (
        np.stack(parts) for parts in zip(*(_of_class(law, y) for y in present), strict=True)
    )
    if moments == 1:
        covariance = np.broadcast_to(np.einsum("c,cab->ab", prior, covariance), covariance.shape)
        variance = np.full(len(present), prior @ variance)
    return GaussianMixture(prior, present, mean, variance, covariance)


def _of_class(law: Components, y: float) -> tuple:
    """Probability of a class, mean and covariance of its s, and its orthogonal variance."""
    p = np.where(law.y == y, law.p, 0.0)
    prior = p.sum()
    p = p / prior
    mean = p @ law.A
    deviation = law.A - mean
    covariance = np.einsum("c,cab->ab", p, law.S) + np.einsum(
        "c,ca,cb->ab", p, deviation, deviation
    )
    return prior, mean, covariance, p @ law.sigma2
