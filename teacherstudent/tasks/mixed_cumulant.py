"""The mixed cumulant model: a spike u in the covariance and one, v, in the higher cumulants.

    y = -1:  x ~ N(0, I)
    y = +1:  x = sqrt(beta_u / N) lambda u + S_v (sqrt(beta_v / N) nu v + z)

with lambda ~ N(0, 1), u . v = 0, and S_v whitening along v alone, so that

    s_u = sqrt(beta_u) lambda + z_u              variance 1 + beta_u
    s_v = rho_v nu + sqrt(1 - rho_v^2) z_v       variance 1

The latents may be coupled:

    "independent"     nu has a law of its own
    "sign"            nu = sign(lambda), so that E s_u s_v is not zero
    "square"          nu = sign(lambda^2 - median): correlated with lambda^2, not with lambda

Bardone & Goldt, ICML 2024 (arXiv:2404.08602).
"""

import math
from functools import cache
from statistics import NormalDist

import equinox as eqx
import numpy as np

from teacherstudent.checking import arguments, checks
from teacherstudent.tasks.latents import Latent, LatentLike, as_latent, gauss_rule, half_normal
from teacherstudent.tasks.mixture import (
    Components,
    MixtureTask,
    checked_prior,
    joined,
    standard_normal,
)

COUPLINGS = ("independent", "sign", "square")
# Of the quadrature over |lambda|, or over each of its two parts.
NODES = 24
# The median of |lambda|.
MEDIAN = NormalDist().inv_cdf(0.75)


class MixedCumulant(MixtureTask):
    """Inputs with a covariance spike u and a cumulant spike v (y = +1) against N(0, I) (y = -1).

        y = +1:  s_u = sqrt(beta_u) lambda + z_u,   s_v = rho_v nu + sqrt(1 - rho_v^2) z_v
        y = -1:  s_u = z_u,   s_v = z_v

    with rho_v = sqrt(beta_v / (1 + beta_v)); the directions are (u, v).  Time is t = updates / N.

    - `beta_u`, `beta_v`: signal-to-noise ratios of the two spikes, not negative.
    - `latent`: the law of nu where it is independent of lambda; "rademacher", "uniform", ...; mean
      0, variance 1.
    - `coupling`: "independent", or nu a function of lambda: "sign", "square" (then nu = +-1).
    - `class_prior`: the probability of the class y = +1.

    Raises ValueError if a value is outside its range, the latent is not standardised, or coupled
    latents are not "rademacher".

    Bardone & Goldt, ICML 2024 (arXiv:2404.08602).

    >>> import teacherstudent as ts
    >>> task = ts.MixedCumulant(beta_u=1.0, beta_v=3.0, coupling="sign")
    >>> task.directions, round(task.rho_v**2, 3)
    (2, 0.75)
    """

    beta_u: float = eqx.field(static=True)
    beta_v: float = eqx.field(static=True)
    latent: Latent = eqx.field(static=True)
    coupling: str = eqx.field(static=True)
    class_prior: float = eqx.field(static=True)

    @arguments.of("task.")
    def __init__(
        self,
        beta_u,
        beta_v,
        latent: LatentLike = "rademacher",
        coupling="independent",
        class_prior=0.5,
    ):
        self.beta_u = checks.single("task.beta_u", beta_u)
        self.beta_v = checks.single("task.beta_v", beta_v)
        self.latent = as_latent(latent)
        checks.one_of("task.coupling", coupling, COUPLINGS)
        self.coupling = coupling
        self.class_prior = checked_prior(class_prior)

    def __check_init__(self):
        if self.coupling != "independent" and self.latent.given != "rademacher":
            raise ValueError(
                f"task.coupling = {self.coupling!r} makes nu = +-1 a function of lambda; leave "
                'task.latent out, or use task.coupling = "independent".'
            )

    @property
    def directions(self) -> int:
        return 2

    @property
    def rho_v(self) -> float:
        """sqrt(beta_v / (1 + beta_v)), the share of nu in the second spike field."""
        return math.sqrt(self.beta_v / (1 + self.beta_v))

    def components(self) -> Components:
        weights, lam, nu = self._latents()
        A = np.stack([math.sqrt(self.beta_u) * lam, self.rho_v * nu], axis=1)
        variance_u = 1.0
        if self.coupling == "independent":
            variance_u = 1 + self.beta_u
        S = np.broadcast_to(np.diag([variance_u, 1 - self.rho_v**2]), (len(A), 2, 2))
        positive = Components(self.class_prior * weights, np.ones(len(A)), A, S, np.ones(len(A)))
        return joined([standard_normal(1 - self.class_prior, -1.0, 2), positive])

    def _latents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights and values of lambda and nu.

        An independent lambda is Gaussian and stays in the covariance.
        """
        if self.coupling == "independent":
            nodes = np.asarray(self.latent.nodes)
            return np.asarray(self.latent.weights), np.zeros_like(nodes), nodes
        if self.coupling == "sign":
            size, weights = half_normal(NODES)
            nu = np.concatenate([np.ones(NODES), -np.ones(NODES)])
        else:
            size, weights, signs = _around_the_median()
            nu = np.concatenate([signs, signs])
        both = np.concatenate([weights, weights]) / 2
        lam = np.concatenate([size, -size])
        return both, lam, nu


@cache
def _around_the_median() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """|lambda| below and above its median by a Gauss rule each, and nu = -1 and +1 there."""
    x, w = np.polynomial.legendre.leggauss(400)
    parts = []
    for low, high in ((0.0, MEDIAN), (MEDIAN, 13.0)):
        points = (low + high) / 2 + (high - low) / 2 * x
        density = w * np.exp(-(points**2) / 2)
        # Each part has half of the probability.
        parts.append(gauss_rule(points, density / (2 * density.sum()), NODES))
    (inner, first), (outer, second) = parts
    signs = np.repeat([-1.0, 1.0], NODES)
    return np.concatenate([inner, outer]), np.concatenate([first, second]), signs
