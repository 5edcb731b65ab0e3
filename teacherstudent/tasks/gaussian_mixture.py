"""Classification of a Gaussian mixture: clusters around a few means, each with a label.

    x = sum_a A_ca u_a / sqrt N + sigma_c z,   z ~ N(0, I_N)   in cluster c
    s ~ N(A_c, S_c),   S_c = sigma_c^2 I unless given

with u_a orthogonal and |u_a|^2 = N, so that a mean of length one is as long as the noise in its own
direction.  The task with explicit components, too: any low-dimensional Gaussian law of s.
Refinetti, Goldt, Krzakala & Zdeborova, ICML 2021 (arXiv:2102.11742).
"""

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray
from teacherstudent.tasks.mixture import Components, MixtureTask, check_clusters


class GaussianMixture(MixtureTask):
    """Gaussian clusters of inputs with labels y_c = +-1.

        x ~ N(sum_a A_ca u_a / sqrt N, sigma_c^2 I)   with probability p_c

    with u_a orthogonal and |u_a|^2 = N.  Time is t = updates / N.

    - `weights` (clusters,): probabilities p_c; `labels` (clusters,): y_c.
    - `means` (clusters, r): coordinates A_c along r orthonormal directions u_a / sqrt N.
    - `variances`: sigma_c^2, one for all clusters or one each.
    - `covariances` (clusters, r, r): the covariance S_c of s along the directions, where it differs
      from sigma_c^2 I; a cluster whose S_c is zero has a fixed s.

    `GaussianMixture.xor` and `GaussianMixture.two_clusters` are ready-made.

    Raises ValueError if shapes do not fit, weights do not sum to 1, a label is not +-1, a variance
    is negative or a covariance not positive semi-definite.

    Refinetti, Goldt, Krzakala & Zdeborova, ICML 2021 (arXiv:2102.11742).

    >>> import teacherstudent as ts
    >>> task = ts.GaussianMixture([0.5, 0.5], [1, -1], means=[[1.0], [-1.0]], variances=0.5)
    >>> task.directions
    1
    """

    weights: Float[AnyArray, " clusters"]
    labels: Float[AnyArray, " clusters"]
    means: Float[AnyArray, "clusters directions"]
    variances: Float[AnyArray, " clusters"]
    covariances: Float[AnyArray, "clusters directions directions"] | None

    @arguments.of("task.")
    def __init__(self, weights, labels, means, variances=1.0, covariances=None):
        self.weights = checks.array("task.weights", weights)
        self.labels = checks.array("task.labels", labels)
        self.means = checks.array("task.means", means)
        variances = checks.array("task.variances", variances)
        if np.ndim(variances) == 0:
            variances = np.broadcast_to(variances, self.weights.shape)
        self.variances = variances
        if covariances is not None:
            covariances = checks.array("task.covariances", covariances)
        self.covariances = covariances

    def __check_init__(self):
        parts = (self.weights, self.labels, self.means, self.variances, self.covariances)
        if any(map(checks.is_traced, parts)):
            return
        check_clusters(self.weights, self.labels)
        clusters = len(self.weights)
        if self.means.ndim != 2 or len(self.means) != clusters or self.means.shape[1] == 0:
            raise ValueError(
                f"task.means has shape {self.means.shape}; give (clusters, r) = ({clusters}, r), "
                "the coordinates of each mean."
            )
        if (
            self.variances.shape != (clusters,)
            or not np.isfinite(self.variances).all()
            or (self.variances < 0).any()
        ):
            raise ValueError(
                f"task.variances = {checks.shortened(self.variances.tolist())}: give one variance "
                f"for all {clusters} clusters or one each, not negative."
            )
        if not np.isfinite(self.means).all():
            raise ValueError("task.means has entries that are not finite; give numbers everywhere.")
        if self.covariances is not None:
            _check_covariances(self.covariances, (clusters, self.directions, self.directions))

    @classmethod
    @arguments.of("task.")
    def xor(cls, variance=0.1) -> "GaussianMixture":
        """Four clusters of equal weight and variance.

        y = +1 at (1, 0) and (-1, 0), y = -1 at (0, 1) and (0, -1).
        """
        return cls([0.25] * 4, [1, 1, -1, -1], [[1, 0], [-1, 0], [0, 1], [0, -1]], variance)

    @classmethod
    @arguments.of("task.")
    def two_clusters(cls, variance=1.0) -> "GaussianMixture":
        """Two clusters of equal weight, y = +-1 at +-u.

        No classifier errs less than Phi(-1 / sigma).
        """
        return cls([0.5, 0.5], [1, -1], [[1.0], [-1.0]], variance)

    @property
    def directions(self) -> int:
        return self.means.shape[1]

    def components(self) -> Components:
        S = self.covariances
        if S is None:
            S = self.variances[:, None, None] * np.eye(self.directions)[None]
        return Components(self.weights, self.labels, self.means, S, self.variances)


def _check_covariances(S, shape: tuple[int, ...]) -> None:
    if S.shape != shape or not np.isfinite(S).all():
        raise ValueError(
            f"task.covariances has shape {S.shape}; give finite numbers of shape {shape}."
        )
    if np.abs(S - S.swapaxes(1, 2)).max() > 1e-8 * max(1.0, np.abs(S).max()):
        raise ValueError("task.covariances is not symmetric; give (S + S^T) / 2 for each cluster.")
    smallest = np.linalg.eigvalsh(S)[:, 0]
    if smallest.min() < -1e-9 * max(1.0, np.abs(S).max()):
        raise ValueError(
            f"task.covariances[{smallest.argmin()}] is not positive semi-definite (smallest "
            f"eigenvalue {smallest.min():.4g})."
        )
