"""Sign-SGD on Gaussian inputs with covariance Omega: the modes in which its drift is diagonal.

Signs see the coordinates, so that the eigenvalues of Omega are not enough.  With

    D = diag(Omega),   H = D^(-1/4) Omega D^(-1/4) = O Lambda O^T

and u_m = sqrt(N/D) Phi w*_m the teacher's vectors (there D is the latent dimension),
E[x nu_m] = u_m / sqrt N, sign(x) projects like D^(-1/2) x:

    E[s_k sign(x)] = c_2 D^(-1/2) (Omega J_lambda w + J_nu u) / sqrt N

which in omega = O^T D^(1/4) w, f = O^T D^(-1/4) u is the equation of ordinary SGD for the spectrum
Lambda, with

    q = omega omega^T,   r = omega f^T,   t = f f^T
    Q = (1/N) sum Lambda q,   R = (1/N) sum r

The noise of a mode is not Lambda but

    (O^T D^(1/4) K_sigma D^(1/4) O)_ii
    K_sigma = (2/pi) arcsin( D^(-1/2) Omega D^(-1/2) ), the covariance of sign(x)

For diagonal Omega all this is a factor: Lambda = sqrt(rho), q -> sqrt(rho) q, t -> t / sqrt(rho),
noise sqrt(rho), and no weights are needed.  Linear regression is the case of Xiao, Marshall,
Agarwala & Paquette (arXiv:2411.12135); the equations here are this project's own.
"""

import numpy as np
from jaxtyping import Float

from teacherstudent.checking.checks import AnyArray
from teacherstudent.problem import Problem
from teacherstudent.states.spectral_overlaps import SpectralOverlaps
from teacherstudent.tasks.base import with_fields


def sign_modes(
    problem: Problem, start: SpectralOverlaps
) -> tuple[SpectralOverlaps, Float[AnyArray, " modes"]]:
    """The overlaps by mode of the signs, and the noise of each mode.

    Raises ValueError if a coordinate does not vary, Omega is not diagonal and the start has no
    weights, or there are several units and several samples per update (whose joint signs do not
    factorise over modes).
    """
    covariances = problem.task.coordinate_covariances()
    assert covariances is not None, "the check of sign rules lets no other inputs with modes pass"
    Omega, Phi = covariances
    variances = np.diagonal(Omega)
    if variances.min() <= 0:
        raise ValueError(
            f"task.Omega has {np.sum(variances <= 0)} coordinates without variance; sign-SGD moves "
            "along no sign of them, and they have no theory: leave them out."
        )
    if not (Omega - np.diag(variances)).any():
        return _diagonal_modes(start)
    if start.network is None:
        raise ValueError(
            "start has no weights, but sign rules on a covariance that is not diagonal need "
            "their coordinates; make it with ts.start_from_weights, or ts.random_start."
        )
    if problem.student.width > 1 and problem.batch_size * problem.rule.gradients > 1:
        raise ValueError(
            f"sign rules with K = {problem.student.width} units and several samples per update "
            "have a theory only for diagonal Omega; use one sample or one unit, or simulate."
        )
    w, w_star = start.network
    return _rotated_modes(start, Omega, Phi, w, w_star)


def _diagonal_modes(
    start: SpectralOverlaps,
) -> tuple[SpectralOverlaps, Float[AnyArray, " modes"]]:
    """Where Omega is diagonal: all overlaps change by a factor."""
    root = np.sqrt(start.rho)
    factor = root[:, None, None]
    # In these modes T is not what the modes explain, so that nothing is checked again.
    moved = with_fields(start, {"rho": root, "q": factor * start.q, "t": start.t / factor})
    return moved, root


def _rotated_modes(
    start: SpectralOverlaps,
    Omega: Float[np.ndarray, "inputs inputs"],
    Phi: Float[np.ndarray, "inputs latents"],
    w: Float[np.ndarray, "students inputs"],
    w_star: Float[np.ndarray, "teachers latents"],
) -> tuple[SpectralOverlaps, Float[AnyArray, " modes"]]:
    """Where Omega is not diagonal: from the coordinates of the weights."""
    N, latents = Phi.shape
    variances = np.diagonal(Omega)
    quarter = variances**0.25
    Lambda, O = np.linalg.eigh(Omega / quarter[:, None] / quarter)
    omega = (w * quarter) @ O
    f = np.sqrt(N / latents) * (w_star @ Phi.T / quarter) @ O
    correlations = Omega / np.sqrt(variances[:, None] * variances)
    signs = 2 / np.pi * np.arcsin(np.clip(correlations, -1, 1))
    noise = np.einsum("it,ij,jt->t", O, signs * quarter[:, None] * quarter, O)
    overlaps = {
        "rho": np.maximum(Lambda, 0.0),
        "weights": np.full(N, 1 / N),
        "q": _by_mode(omega, omega),
        "r": _by_mode(omega, f),
        "t": _by_mode(f, f),
    }
    return with_fields(start, overlaps), noise


def _by_mode(
    one: Float[np.ndarray, "rows modes"], other: Float[np.ndarray, "columns modes"]
) -> Float[np.ndarray, "modes rows columns"]:
    """The products of two sets of vectors, mode by mode."""
    return np.einsum("at,bt->tab", one, other)
