"""Spectra of input covariances: what the inputs contribute to the order-parameter equations.

Inputs x in R^N with latent c ~ N(0, I_D), delta = D / N, enter only through

    Omega = E[x x^T] = sum_tau rho_tau u_tau u_tau^T  (N x N, |u_tau| = 1)   and   Phi = E[x c^T]
    (N x D).

A direction u_tau holds components u_tau . w_k of the student and f_m = u_tau . Phi w*_m / sqrt
delta of the teacher.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks

MOST_NODES = 1000  # of a Gauss rule, which is found from a matrix of nodes x nodes numbers


class Modes(NamedTuple):
    """Omega by its eigenvectors: the columns of `vectors`, and `rest` in all directions orthogonal
    to them.
    """

    rho: Float[np.ndarray, " modes"]
    vectors: Float[np.ndarray, "inputs modes"]
    rest: float
    Phi: Float[np.ndarray, "inputs latents"]


class Spectrum(NamedTuple):
    """Omega's eigenvalues, their weights (sum 1), and the mean of |Phi^T u_tau|^2 / delta over the
    eigenvectors of each.

    For a teacher drawn independently of the inputs, E[f_m f_n] = signal_tau T_mn.
    """

    rho: Float[np.ndarray, " modes"]
    weights: Float[np.ndarray, " modes"]
    signal: Float[np.ndarray, " modes"]


def spectrum_of(modes: Modes) -> Spectrum:
    """The spectrum of all N modes, equal eigenvalues merged."""
    N, D = modes.Phi.shape
    signal = np.sum((modes.Phi.T @ modes.vectors) ** 2, axis=0) * N / D
    return Spectrum(*merge_equal(modes.rho, np.full(N, 1 / N), signal))


def merge_equal(rho, weights, *densities, tolerance: float = 1e-10) -> tuple[np.ndarray, ...]:
    """Modes with equal eigenvalues as one mode: weights added, densities (first axis: modes)
    averaged with them.

    Exact, since the equations are linear in the densities at given rho.  Eigenvalues count as equal
    within the rounding of an eigenvalue solver: `tolerance` times the largest.
    """
    rho, weights = np.asarray(rho), np.asarray(weights)
    order = np.argsort(rho, kind="stable")
    ordered = rho[order]
    starts = [0]
    for index in range(1, len(ordered)):
        if ordered[index] - ordered[starts[-1]] > tolerance * ordered[-1]:
            starts.append(index)
    total = np.add.reduceat(weights[order], starts)

    def averaged(values):
        values = np.asarray(values)
        shape = (-1,) + (1,) * (values.ndim - 1)
        return np.add.reduceat(
            (weights.reshape(shape) * values)[order], starts, axis=0
        ) / total.reshape(shape)

    return averaged(rho), total, *map(averaged, densities)


def eigenmodes(
    Omega: Float[np.ndarray, "inputs inputs"], Phi: Float[np.ndarray, "inputs latents"]
) -> Modes:
    """The modes of given covariances, by a full eigenvalue decomposition: of the order of N^3
    operations.
    """
    rho, vectors = np.linalg.eigh(Omega)
    return Modes(np.clip(rho, 0, None), vectors, 0.0, Phi)


@arguments.checked
def marchenko_pastur(
    ratio, nodes: int = 24
) -> tuple[Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """Nodes and weights of the Gauss rule for the Marchenko-Pastur law of F^T F / N, F an N x D
    matrix, ratio = D / N.

    The entries of F are independent with unit variance, N and D -> infinity.  The law's orthogonal
    polynomials have the recurrence coefficients 1, 1 + ratio, 1 + ratio, ... and sqrt(ratio), so
    the nodes are the eigenvalues of one tridiagonal matrix, and the weights the squared first
    components of its eigenvectors.  Its mass at zero for ratio > 1 is included.  The rule
    integrates polynomials up to degree 2 nodes - 1 exactly.

    Raises ValueError unless ratio > 0 and nodes >= 1.  V. A. Marchenko & L. A. Pastur, Math. USSR
    Sb. 1, 457 (1967).
    """
    ratio, nodes = (
        checks.positive("ratio", ratio),
        checks.integer("nodes", nodes, maximum=MOST_NODES),
    )
    diagonal = np.full(nodes, 1 + ratio)
    diagonal[0] = 1.0
    beside = np.full(nodes - 1, np.sqrt(ratio))
    rho, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    return rho, vectors[0] ** 2


@arguments.checked
def power_law(N: int, exponent) -> Float[np.ndarray, " modes"]:
    """N eigenvalues rho_i proportional to i^-exponent, with mean 1 so that inputs have unit
    variance on average.
    """
    N, exponent = checks.integer("N", N), checks.single("exponent", exponent)
    checks.memory(f"N = {N}", 3 * N)
    rho = np.arange(1, N + 1, dtype=float) ** -exponent
    return rho / rho.mean()
