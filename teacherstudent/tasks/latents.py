"""Laws of a scalar latent g with mean zero and variance one.

A spike carries their cumulants beyond the second.  A latent is kept as the nodes and weights of a
quadrature, exact for a discrete law:

    E f(g) = sum_i w_i f(g_i)

    name                      law                                                       E He_4(g)
    "rademacher"              +-1 with equal chances                                       -2
    "uniform"                 on [-sqrt 3, sqrt 3]                                         -1.2
    "laplace"                 density exp(-sqrt 2 |g|) / sqrt 2                             3
    ("skewed", q)             (1 - q) / c with probability q, else -q / c, c = sqrt(q (1 - q))
    (nodes, weights)          any discrete law, or a quadrature of any other

Szekely, Bardone, Gerace & Goldt, NeurIPS 2024 (arXiv:2312.14922).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import checks
from teacherstudent.checking.contracts import require_unchanged

UNIFORM_NODES = 40
# On each half line.
LAPLACE_NODES = 40
# By how much mean and variance of a given law may miss 0 and 1.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Latent:
    """A law by name, and its quadrature; `given` is what a user writes for it."""

    given: str | tuple
    nodes: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def continuous(self) -> bool:
        """Whether the nodes are only a quadrature of a law that draws other values too."""
        return self.given in ("uniform", "laplace")

    def moment(self, power: int) -> float:
        """E g^power."""
        return float(np.asarray(self.weights) @ np.asarray(self.nodes) ** power)

    def hermite(self, orders: int) -> Float[np.ndarray, " orders"]:
        """h_k = E He_k(g) for k = 0..orders-1, He_k the probabilists' Hermite polynomials."""
        basis = np.polynomial.hermite_e.hermevander(np.asarray(self.nodes), orders - 1)
        return np.asarray(self.weights) @ basis


LatentLike = str | Sequence | Latent


def as_latent(given, argument: str = "task.latent") -> Latent:
    """The latent meant by a name, ("skewed", q), or nodes and weights.

    Raises ValueError for an unknown name, weights that are not a probability, and a law whose mean
    is not zero or whose variance is not one: whitening supposes both.
    """
    if isinstance(given, Latent):
        require_unchanged(given, Latent)
        return given
    if isinstance(given, str):
        return _by_name(given, argument)
    parts = []
    if isinstance(given, list | tuple) or (isinstance(given, np.ndarray) and given.ndim):
        parts = list(given)
    if len(parts) == 2 and isinstance(parts[0], str) and parts[0] == "skewed":
        return _skewed(parts[1], argument)
    if len(parts) != 2:
        raise ValueError(f"{argument} = {checks.shortened(given)}: give {_known()}.")
    return _discrete(parts[0], parts[1], argument)


def _known() -> str:
    return '"rademacher", "uniform", "laplace", ("skewed", q) or a pair (nodes, weights)'


def _by_name(name: str, argument: str) -> Latent:
    if name == "rademacher":
        return Latent(name, (-1.0, 1.0), (0.5, 0.5))
    if name == "uniform":
        x, w = np.polynomial.legendre.leggauss(UNIFORM_NODES)
        return Latent(name, tuple((math.sqrt(3) * x).tolist()), tuple((w / 2).tolist()))
    if name == "laplace":
        x, w = np.polynomial.laguerre.laggauss(LAPLACE_NODES)
        nodes = np.concatenate([-x[::-1], x]) / math.sqrt(2)
        weights = np.concatenate([w[::-1], w]) / 2
        return Latent(name, tuple(nodes.tolist()), tuple(weights.tolist()))
    raise ValueError(f"{argument} = {checks.shortened(name)} is not known; give {_known()}.")


def _skewed(q, argument: str) -> Latent:
    q = checks.positive(f"{argument}[1]", q)
    if q >= 1:
        raise ValueError(
            f"{argument}[1] = {q:g} is the probability q of the large value; give a number "
            "between 0 and 1."
        )
    c = math.sqrt(q * (1 - q))
    return Latent(("skewed", q), ((1 - q) / c, -q / c), (q, 1 - q))


def _discrete(nodes, weights, argument: str) -> Latent:
    g = checks.array(f"{argument}[0]", nodes)
    p = checks.array(f"{argument}[1]", weights)
    if g.ndim != 1 or g.shape != p.shape or g.size < 2 or not np.isfinite(g).all():
        raise ValueError(
            f"{argument} has nodes of shape {g.shape} and weights of shape {p.shape}; give two "
            "sequences of equally many finite numbers, at least two."
        )
    check_probabilities(f"{argument}[1]", p)
    mean, variance = p @ g, p @ g**2 - (p @ g) ** 2
    if abs(mean) > TOLERANCE or abs(variance - 1) > TOLERANCE:
        raise ValueError(
            f"{argument} has mean {mean:.6g} and variance {variance:.6g}, but whitening needs "
            "mean 0 and variance 1; give (nodes - mean) / sqrt(variance)."
        )
    return Latent((tuple(g.tolist()), tuple(p.tolist())), tuple(g.tolist()), tuple(p.tolist()))


def check_probabilities(name: str, p) -> None:
    """Raise ValueError unless the numbers are not negative and sum to one."""
    if not np.isfinite(p).all() or (p < 0).any():
        raise ValueError(
            f"{name} has the entry {p[~(p >= 0)][0]:g}; probabilities must not be negative."
        )
    if abs(p.sum() - 1) > TOLERANCE:
        raise ValueError(
            f"{name} sums to {p.sum():.6g}; probabilities must sum to 1, so divide by their sum."
        )


@cache
def half_normal(nodes: int) -> tuple[Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """The Gauss rule for |z|, z ~ N(0, 1).

    It is exact for polynomials in |z| up to degree 2 nodes - 1.
    """
    x, w = np.polynomial.legendre.leggauss(400)
    x, w = 6.5 * (x + 1), 6.5 * w
    w = w * np.exp(-(x**2) / 2)
    return gauss_rule(x, w / w.sum(), nodes)


def gauss_rule(x: Float[np.ndarray, " many"], w: Float[np.ndarray, " many"], nodes: int):
    """The Gauss rule with `nodes` nodes for a discrete measure of many more.

    Lanczos' recurrence for the diagonal matrix of the x, started from the square roots of the
    weights, makes a tridiagonal matrix; its eigenvalues are the nodes (Golub and Welsch).
    """
    total = w.sum()
    before = np.zeros_like(x)
    now = np.sqrt(w / w.sum())
    diagonal, beside, norm = [], [], 0.0
    for _ in range(nodes):
        following = x * now - norm * before
        diagonal.append(now @ following)
        following = following - diagonal[-1] * now
        norm = float(np.linalg.norm(following))
        beside.append(norm)
        before, now = now, following / norm
    tridiagonal = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    values, vectors = np.linalg.eigh(tridiagonal)
    return values, total * vectors[0] ** 2
