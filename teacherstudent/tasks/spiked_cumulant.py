"""The spiked cumulant model: two classes that differ in higher cumulants along one spike u.

Their means and their covariances are equal.

    y = -1:  x ~ N(0, I)
    y = +1:  x = S (sqrt(beta / N) g u + z),   z ~ N(0, I),   |u|^2 = N

where S = (I + beta u u^T / N)^(-1/2) whitens exactly.  The spike field s = u . x / sqrt N is

    s = rho g + sqrt(1 - rho^2) z_u,   rho = sqrt(beta / (1 + beta))

and all that is orthogonal to u is N(0, I): mean zero and covariance I in both classes.
Szekely, Bardone, Gerace & Goldt, NeurIPS 2024 (arXiv:2312.14922).
"""

import math

import equinox as eqx
import numpy as np

from teacherstudent.checking import arguments, checks
from teacherstudent.tasks.latents import Latent, LatentLike, as_latent
from teacherstudent.tasks.mixture import (
    Components,
    MixtureTask,
    checked_prior,
    joined,
    standard_normal,
)


class SpikedCumulant(MixtureTask):
    """Whitened inputs with a non-Gaussian spike (y = +1) against N(0, I) (y = -1).

    - `beta`: signal-to-noise ratio of the spike before whitening, not negative.
    - `latent`: the law of g: "rademacher", "uniform", "laplace", ("skewed", q), or (nodes,
      weights); mean 0, variance 1.
    - `class_prior`: the probability of the class y = +1; 1 leaves out the other, as in independent
      component analysis.

    The field s = u . x / sqrt N of the spike has, with rho = sqrt(beta / (1 + beta)),

        y = +1:  s = rho g + sqrt(1 - rho^2) z,   z ~ N(0, 1)
        y = -1:  s = z

    Time is t = updates / N.

    Raises ValueError if a value is outside its range or the latent is not standardised.

    Szekely, Bardone, Gerace & Goldt, NeurIPS 2024 (arXiv:2312.14922).

    >>> import teacherstudent as ts
    >>> task = ts.SpikedCumulant(beta=3.0, latent="rademacher")
    >>> round(task.rho**2, 3)
    0.75
    """

    beta: float = eqx.field(static=True)
    latent: Latent = eqx.field(static=True)
    class_prior: float = eqx.field(static=True)

    @arguments.of("task.")
    def __init__(self, beta, latent: LatentLike = "rademacher", class_prior=0.5):
        self.beta = checks.single("task.beta", beta)
        self.latent = as_latent(latent)
        self.class_prior = checked_prior(class_prior)

    @property
    def directions(self) -> int:
        return 1

    @property
    def rho(self) -> float:
        """sqrt(beta / (1 + beta)), the share of g in the spike field."""
        return math.sqrt(self.beta / (1 + self.beta))

    def components(self) -> Components:
        return joined(
            [
                standard_normal(1 - self.class_prior, -1.0, 1),
                spiked(self.class_prior, self.rho, self.latent),
            ]
        )


def spiked(probability: float, rho: float, latent: Latent) -> Components:
    """The class of s = rho g + sqrt(1 - rho^2) z, a component for each node of g."""
    nodes, weights = np.asarray(latent.nodes), np.asarray(latent.weights)
    count = len(nodes)
    return Components(
        probability * weights,
        np.ones(count),
        rho * nodes[:, None],
        np.full((count, 1, 1), 1 - rho**2),
        np.ones(count),
    )
