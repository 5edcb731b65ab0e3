"""Clusters whose spike fields s have a density on a box in R^r.

All that is orthogonal to the directions is N(0, 1).

The theory takes the Gauss-Legendre nodes of each box as components with S_c = 0: classes told apart
by means, covariances or any higher moments, as in the distributions of increasing complexity of
Refinetti, Ingrosso & Goldt, ICML 2023 (arXiv:2211.11567).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.checks import AnyArray
from teacherstudent.tasks.mixture import Components, MixtureTask, check_clusters, joined

# Nodes of a side.
MOST_NODES = 200
# Components of a cluster: each costs the averages of one Gaussian.
MOST_COMPONENTS = 50_000


class BoxMixture(MixtureTask):
    """Clusters c with s uniform, or with a density of yours, on a box, and labels y_c = +-1.

    - `weights` (clusters,): probabilities; `labels` (clusters,): y_c.
    - `boxes` (clusters, r, 2): the lower and upper end of each side.
    - `densities`: one function for each cluster, a JAX function of s (r,), not negative and smooth
      on the box (it need not be normalised); None is uniform.  The simulation draws from it on a
      grid of 256 cells a side (64 for r = 3).
    - `nodes`: Gauss-Legendre nodes a side for the theory, nodes^r components for each cluster.

    The fields s_a = u_a . x / sqrt N, a = 1..r, lie on the box, and what is orthogonal to all u_a
    is N(0, 1).  Time is t = updates / N.

    Raises ValueError if shapes do not fit, r > 3, weights do not sum to 1, a label is not +-1, a
    box is empty, or a density is negative or zero everywhere.

    Refinetti, Ingrosso & Goldt, ICML 2023 (arXiv:2211.11567).

    >>> import teacherstudent as ts
    >>> task = ts.BoxMixture([0.5, 0.5], [1, -1], boxes=[[[0.0, 2.0]], [[-1.0, 1.0]]], nodes=4)
    >>> task.directions, len(task.components().p)
    (1, 8)
    """

    weights: Float[AnyArray, " clusters"]
    labels: Float[AnyArray, " clusters"]
    boxes: Float[AnyArray, "clusters directions 2"]
    densities: tuple[Callable, ...] | None = eqx.field(static=True)
    nodes: int = eqx.field(static=True)

    @arguments.of("task.")
    def __init__(self, weights, labels, boxes, densities=None, nodes: int = 16):
        self.weights = checks.array("task.weights", weights)
        self.labels = checks.array("task.labels", labels)
        self.boxes = checks.array("task.boxes", boxes)
        if not (densities is None or isinstance(densities, tuple | list)):
            raise ValueError(
                f"task.densities = {checks.shortened(densities)}: give a list with a function for "
                "each cluster."
            )
        if densities is not None and not all(map(callable, densities)):
            raise ValueError(
                "task.densities holds something that is no function; give one function for each "
                "cluster."
            )
        if densities is not None:
            densities = tuple(densities)
        self.densities = densities
        self.nodes = checks.integer("task.nodes", nodes, maximum=MOST_NODES)

    def __check_init__(self):
        check_clusters(self.weights, self.labels)
        clusters = len(self.weights)
        shape = self.boxes.shape
        if (
            self.boxes.ndim != 3
            or shape[0] != clusters
            or shape[1] not in (1, 2, 3)
            or shape[2] != 2
        ):
            raise ValueError(
                f"task.boxes has shape {shape}; give ({clusters}, r, 2) with r = 1, 2 or 3: ends "
                "of each side."
            )
        if self.nodes ** shape[1] > MOST_COMPONENTS:
            raise ValueError(
                f"task.nodes = {self.nodes} a side are {self.nodes ** shape[1]} components for "
                f"each cluster; give at most {int(MOST_COMPONENTS ** (1 / shape[1]))}."
            )
        if not np.isfinite(self.boxes).all() or (self.boxes[..., 0] >= self.boxes[..., 1]).any():
            raise ValueError(
                "task.boxes has a side whose lower end is not below its upper end; give (low, "
                "high)."
            )
        if self.densities is not None:
            self._check_densities(self.densities, clusters)

    def _check_densities(self, densities: tuple[Callable, ...], clusters: int) -> None:
        """Raise ValueError unless each cluster has a density on its box."""
        if len(densities) != clusters:
            raise ValueError(
                f"task.densities holds {len(densities)} entries; give one function for each "
                f"of {clusters} clusters."
            )
        for cluster in range(clusters):
            values = self.density(cluster, self.rule(cluster)[0])
            if not np.isfinite(values).all() or (values < 0).any() or not values.any():
                raise ValueError(
                    f"task.densities[{cluster}] is negative, not finite, or zero on its whole "
                    "box; a density is positive there."
                )

    @property
    def directions(self) -> int:
        return self.boxes.shape[1]

    def rule(
        self, cluster: int
    ) -> tuple[Float[np.ndarray, "nodes directions"], Float[np.ndarray, " nodes"]]:
        """Nodes of the tensor Gauss-Legendre rule on the box of a cluster, and their weights.

        The weights sum to one.
        """
        x, w = np.polynomial.legendre.leggauss(self.nodes)
        nodes = np.meshgrid(*[(x + 1) / 2] * self.directions, indexing="ij")
        unit = np.stack([side.ravel() for side in nodes], axis=1)
        factors = np.meshgrid(*[w / 2] * self.directions, indexing="ij")
        weights = np.prod([side.ravel() for side in factors], axis=0)
        low, high = self.boxes[cluster].T
        return low + (high - low) * unit, weights

    def density(
        self, cluster: int, s: Float[np.ndarray, "points directions"]
    ) -> Float[np.ndarray, " points"]:
        """The density of a cluster at given points, not normalised."""
        if self.densities is None:
            return np.ones(len(s))
        with jax.enable_x64(True):
            values = jax.vmap(self.densities[cluster])(jnp.asarray(s))
        if values.shape != (len(s),):
            raise ValueError(
                f"task.densities[{cluster}] answers with shape {values.shape[1:]}; give a "
                "function to one number."
            )
        return np.asarray(values)

    def components(self) -> Components:
        return joined([self._cluster_components(cluster) for cluster in range(len(self.weights))])

    def _cluster_components(self, cluster: int) -> Components:
        s, weights = self.rule(cluster)
        weights = weights * self.density(cluster, s)
        count, r = s.shape
        return Components(
            self.weights[cluster] * weights / weights.sum(),
            np.full(count, self.labels[cluster]),
            s,
            np.zeros((count, r, r)),
            np.ones(count),
        )
