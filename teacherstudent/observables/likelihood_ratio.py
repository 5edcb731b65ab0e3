"""The norm of the likelihood ratio: from how many samples on a spike can be told from noise at all.

n samples come either all from the spiked class of a `SpikedCumulant` with an unknown spike u, or
all from N(0, I).  With L_n the ratio of the two densities of the n samples, averaged over a prior
of u, and the square averaged over N(0, I),

    ||L_n||^2 = E_{u,u'} f(tau)^n,   tau = u . u' / N   for independent u and u'
    f(tau) = E_{g,g'} (1 - T^2)^(-1/2) exp( -(T^2 (g^2 + g'^2) - 2 T g g') / (2 (1 - T^2)) )
           = sum_k T^k (E He_k(g))^2 / k!

with T = rho^2 tau, rho^2 = beta / (1 + beta).  Where the norm stays bounded as N grows, no test
whatever tells the two cases apart without errors.  Szekely, Bardone, Gerace & Goldt, NeurIPS 2024
(arXiv:2312.14922).
"""

import math
import sys

import numpy as np
import scipy  # which loads special, interpolate, ... where they are first used
from jaxtyping import Float

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.contracts import require_unchanged
from teacherstudent.problem import Problem
from teacherstudent.tasks import SpikedCumulant

PRIORS = ("sphere", "rademacher")
# Nodes of the uniform latent, divided by the smallest width sqrt(1 - T^2) of the integrand.
UNIFORM_NODES = 6.0
# Of the integral over tau: panels, Gauss-Legendre nodes on each, and how often one is halved.
PANELS = 64
POINTS = 16
DEEPEST = 40
# By how much two halves of a panel may differ from the whole, as a share of the integral.
TOLERANCE = 1e-12
# Dimensions of a Rademacher spike.
MOST_COINS = 10**6
# Latent pairs times tau that are held at a time.
PAIRS = 10**7


@arguments.checked
def likelihood_ratio_norm(problem, n, N: int = 1000, prior: str = "sphere"):
    """The squared norm of the likelihood ratio of n samples in N dimensions, whose spiked class is
    that of a `SpikedCumulant`.

        ||L_n||^2 = E_{u,u'} f(u . u' / N)^n,   f(tau) = E_{x ~ N(0, I)} L(x | u) L(x | u')

    It is at least 1, and inf beyond 1e308.

    - `problem`: the task, or a problem with this task; class_prior plays no part.
    - `n`: number of samples, an integer (the answer is a number) or integers (an array of their
      shape).
    - `N`: dimension of the inputs, at least 2.
    - `prior`: the law of the spike, "sphere" (uniform, |u|^2 = N) or "rademacher" (u_i = +-1).

    f is exact for a discrete latent.  The integral over tau, with the weight
    (1 - tau^2)^((N - 3) / 2) on the sphere, is done with logarithms and panels that are halved
    where they must be, to a relative error of 1e-10 (n times 1e-15 beyond n = 1e5).

    Raises ValueError for another task, for the Laplace latent (f is infinite for every tau but 0:
    its likelihood ratio has no second moment), for an unknown prior, and where n or N is not an
    integer, or too small.

    Szekely, Bardone, Gerace & Goldt, NeurIPS 2024 (arXiv:2312.14922).

    >>> import teacherstudent as ts
    >>> task = ts.SpikedCumulant(beta=2.0)
    >>> norms = ts.likelihood_ratio_norm(task, [0, 100, 10_000], N=100)
    >>> bool(norms[0] == 1.0), bool(norms[1] < norms[2])
    (True, True)
    """
    task = _checked(problem)
    N = checks.integer("N", N, minimum=2)
    checks.one_of("prior", prior, PRIORS)
    if prior == "rademacher" and N > MOST_COINS:
        raise ValueError(
            f"N = {N} is too large for prior = 'rademacher', a sum over N + 1 terms; give at most "
            f"{MOST_COINS}."
        )
    samples = [checks.integer("n", one, minimum=0) for one in _flat(n)]
    log_norm = {"sphere": _sphere, "rademacher": _rademacher}[prior]
    norms = [_exp(log_norm(task, one, N)) for one in samples]
    if np.ndim(n) == 0:
        return norms[0]
    return np.array(norms).reshape(np.shape(n))


def _flat(n) -> list:
    """The numbers of samples, of an array or of nested sequences."""
    checks.array("n", n)
    return np.ravel(np.asarray(n, dtype=object)).tolist()


def likelihood_ratio_kernel(problem, tau):
    """f(tau) for one sample and two spikes with u . u' = N tau, tau from -1 to 1.

        f(tau) = E_{x ~ N(0, I)} L(x | u) L(x | u')

    `problem` and what is raised are those of `likelihood_ratio_norm`; ValueError, too, where |tau|
    > 1.
    """
    task, tau = _checked(problem), checks.array("tau", tau)
    if not (np.abs(tau) <= 1).all():
        wrong = tau[~(np.abs(tau) <= 1)].flat[0]
        raise ValueError(f"tau has the entry {wrong:g}; overlaps of unit vectors lie in [-1, 1].")
    return np.exp(_log_kernel(task, tau.ravel())).reshape(tau.shape)[()]


def _checked(problem) -> SpikedCumulant:
    task = problem
    if isinstance(problem, Problem):
        task = problem.task
    if not isinstance(task, SpikedCumulant):
        raise ValueError(
            "the likelihood ratio is known for the task SpikedCumulant, not for "
            f"{type(task).__name__}; give a SpikedCumulant."
        )
    require_unchanged(task, SpikedCumulant)
    if task.latent.given == "laplace":
        raise ValueError(
            'task.latent = "laplace" has tails too heavy: the norm of its likelihood ratio is '
            'infinite for any n >= 1; give a bounded latent such as "rademacher" or "uniform".'
        )
    return task


def _exp(exponent: float) -> float:
    if exponent < math.log(sys.float_info.max):
        return math.exp(exponent)
    return math.inf


def _log_kernel(
    task: SpikedCumulant, tau: Float[np.ndarray, " overlaps"]
) -> Float[np.ndarray, " overlaps"]:
    """log f(tau)."""
    g, weights = _latent_rule(task)
    log_weights = np.log(np.outer(weights, weights)).ravel()
    squares, products = (g[:, None] ** 2 + g**2).ravel(), np.outer(g, g).ravel()
    parts = np.array_split(tau, 1 + tau.size * squares.size // PAIRS)
    return np.concatenate(
        [_log_kernel_of(task.rho**2 * part, squares, products, log_weights) for part in parts]
    )


def _log_kernel_of(T, squares, products, log_weights):
    width = (1 - T) * (1 + T)
    exponent = -(np.outer(T**2, squares) - 2 * np.outer(T, products)) / (2 * width[:, None])
    return scipy.special.logsumexp(exponent + log_weights, axis=1) - np.log(width) / 2


def _latent_rule(
    task: SpikedCumulant,
) -> tuple[Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """Nodes and weights of the latent with positive weights; of the uniform one enough for T close
    to 1, where the integrand is narrow.
    """
    g, weights = np.asarray(task.latent.nodes), np.asarray(task.latent.weights)
    needed = math.ceil(UNIFORM_NODES / math.sqrt(1 - task.rho**4))
    if task.latent.given == "uniform" and needed > len(g):
        x, w = np.polynomial.legendre.leggauss(needed)
        g, weights = math.sqrt(3) * x, w / 2
    return g[weights > 0], weights[weights > 0]


def _rademacher(task: SpikedCumulant, n: int, N: int) -> float:
    """log E f(tau)^n where N (1 + tau) / 2 is binomial, N fair coins."""
    equal = np.arange(N + 1)
    log_chance = (
        scipy.special.gammaln(N + 1)
        - scipy.special.gammaln(equal + 1)
        - scipy.special.gammaln(N - equal + 1)
        - N * math.log(2)
    )
    log_chance -= scipy.special.logsumexp(log_chance)  # rounding of gammaln
    return float(scipy.special.logsumexp(log_chance + n * _log_kernel(task, (2 * equal - N) / N)))


def _sphere(task: SpikedCumulant, n: int, N: int) -> float:
    """log E f(tau)^n where tau = sin theta has the density cos(theta)^(N - 2) in theta."""

    def log_density(theta):
        return (N - 2) * np.log(np.cos(theta))

    def log_integrand(theta):
        return n * _log_kernel(task, np.sin(theta).ravel()).reshape(theta.shape) + log_density(
            theta
        )

    return _log_integral(log_integrand) - _log_integral(log_density)


def _log_integral(log_integrand) -> float:
    """log of the integral of exp(log_integrand) over |theta| < pi / 2: panels are halved until that
    changes nothing.

    However narrow a peak is, the nodes next to it outweigh all others, so that its panel is halved.
    """
    edges = np.linspace(-math.pi / 2, math.pi / 2, PANELS + 1)
    left, right = edges[:-1], edges[1:]
    whole, done = _log_panels(log_integrand, left, right), np.array([-np.inf])
    for _ in range(DEEPEST):
        middle = (left + right) / 2
        halves = np.stack(
            [_log_panels(log_integrand, left, middle), _log_panels(log_integrand, middle, right)]
        )
        together = np.logaddexp(*halves)
        total = scipy.special.logsumexp(np.concatenate([done, together]))
        change = np.exp(together - total) - np.exp(np.minimum(whole - total, 700.0))
        rough = np.abs(change) > TOLERANCE
        done = np.concatenate([done, together[~rough]])
        if not rough.any():
            return float(total)
        middle = middle[rough]
        left, right = (
            np.concatenate([left[rough], middle]),
            np.concatenate([middle, right[rough]]),
        )
        whole = halves[:, rough].ravel()
    return float(total)


def _log_panels(log_integrand, left, right):
    """log of the integral over each panel."""
    t, w = np.polynomial.legendre.leggauss(POINTS)
    half = (right - left) / 2
    theta = (left + half)[:, None] + half[:, None] * t
    return scipy.special.logsumexp(log_integrand(theta) + np.log(w), axis=1) + np.log(half)
