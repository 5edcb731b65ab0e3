"""Spectra of input covariances: what the inputs contribute to the order-parameter equations.

Inputs x in R^N with latent c ~ N(0, I_D), delta = D / N, enter only through

    Omega = E[x x^T] = sum_tau rho_tau u_tau u_tau^T      (N x N, |u_tau| = 1)
    Phi = E[x c^T]                                        (N x D)

Along a direction u_tau the student and the teacher have the components

    u_tau . w_k
    f_m = u_tau . Phi w*_m / sqrt delta
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks

MOST_NODES = 1000  # of a Gauss rule, which is found from a matrix of nodes x nodes numbers


class Modes(NamedTuple):
    """Omega by its eigenvectors, the columns of `vectors`.

    `rest` is the eigenvalue of all directions orthogonal to them.
    """

    rho: Float[np.ndarray, " modes"]
    vectors: Float[np.ndarray, "inputs modes"]
    rest: float
    Phi: Float[np.ndarray, "inputs latents"]


class Spectrum(NamedTuple):
    """Omega's eigenvalues, their weights (sum 1), and what each says of the teacher.

    `signal` is the mean of |Phi^T u_tau|^2 / delta over the eigenvectors of an eigenvalue.  For a
    teacher drawn independently of the inputs, E[f_m f_n] = signal_tau T_mn.
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
    """Modes with equal eigenvalues as one mode.

    Their weights are added, and densities (first axis: modes) averaged with them.  This is exact,
    since the equations are linear in the densities at given rho.  Eigenvalues count as equal within
    the rounding of an eigenvalue solver: `tolerance` times the largest.
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
        along_modes = (-1,) + (1,) * (values.ndim - 1)
        weighted = weights.reshape(along_modes) * values
        return np.add.reduceat(weighted[order], starts, axis=0) / total.reshape(along_modes)

    return averaged(rho), total, *map(averaged, densities)


def eigenmodes(
    Omega: Float[np.ndarray, "inputs inputs"], Phi: Float[np.ndarray, "inputs latents"]
) -> Modes:
    """The modes of given covariances, by an eigenvalue decomposition of order N^3."""
    rho, vectors = np.linalg.eigh(Omega)
    return Modes(np.clip(rho, 0, None), vectors, 0.0, Phi)


@arguments.checked
def marchenko_pastur(
    ratio, nodes: int = 24
) -> tuple[Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """Nodes and weights of the Gauss quadrature for the Marchenko-Pastur law.

    It is the law of the eigenvalues of

        F^T F / N,   F an N x D matrix of independent entries with unit variance,

    for N, D -> infinity at ratio = D / N.  Its orthogonal polynomials have the recurrence
    coefficients 1, 1 + ratio, 1 + ratio, ... and sqrt(ratio), so the nodes are the eigenvalues of
    one tridiagonal matrix, and the weights the squared first components of its eigenvectors.  The
    mass at zero for ratio > 1 is included.  Polynomials up to degree 2 nodes - 1 are integrated
    exactly.

    Returns the nodes and their weights, each of shape (nodes,); the weights sum to 1.

    Raises ValueError unless ratio > 0 and 1 <= nodes <= 1000.

    >>> import teacherstudent as ts
    >>> rho, weights = ts.marchenko_pastur(0.5, nodes=8)
    >>> print(f"{weights @ rho:.6f} {weights @ rho**2:.6f}")  # 1 and 1 + ratio
    1.000000 1.500000

    V. A. Marchenko & L. A. Pastur, Math. USSR Sb. 1, 457 (1967).
    """
    ratio = checks.positive("ratio", ratio)
    nodes = checks.integer("nodes", nodes, maximum=MOST_NODES)
    diagonal = np.full(nodes, 1 + ratio)
    diagonal[0] = 1.0
    beside = np.full(nodes - 1, np.sqrt(ratio))
    rho, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    return rho, vectors[0] ** 2


@arguments.checked
def power_law(N: int, exponent) -> Float[np.ndarray, " modes"]:
    """N eigenvalues of an input covariance that fall as a power of their number.

        rho_i proportional to i^-exponent,   i = 1, ..., N

    Their mean is 1, so that inputs have unit variance on average.  Returns an array of shape (N,).

    Raises ValueError unless N is a positive integer and exponent >= 0.

    >>> import teacherstudent as ts
    >>> print(ts.power_law(4, 1.0).round(2))
    [1.92 0.96 0.64 0.48]
    """
    N, exponent = checks.integer("N", N), checks.single("exponent", exponent)
    checks.memory(f"N = {N}", 3 * N)
    rho = np.arange(1, N + 1, dtype=float) ** -exponent
    return rho / rho.mean()
