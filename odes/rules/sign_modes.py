"""Sign-SGD on Gaussian inputs with covariance Omega: the modes in which its drift is diagonal.

Signs see the coordinates, so that the eigenvalues of Omega are not enough.  With D = diag(Omega), H
= D^(-1/4) Omega D^(-1/4) = O Lambda O^T, and u_m = sqrt(N/D) Phi w*_m the teacher's vectors, E[x
nu_m] = u_m / sqrt N,

    sign(x) projects like D^(-1/2) x:     E[s_k sign(x)] = c_2 D^(-1/2) (Omega J_lambda w + J_nu u)
    / sqrt N

which in omega = O^T D^(1/4) w, f = O^T D^(-1/4) u is the equation of ordinary SGD for the spectrum
Lambda, q = omega omega^T, r = omega f^T, t = f f^T, with Q = (1/N) sum Lambda q and R = (1/N) sum
r; the noise of a mode is not Lambda but

    (O^T D^(1/4) K_sigma D^(1/4) O)_ii,   K_sigma = (2/pi) arcsin( D^(-1/2) Omega D^(-1/2) ), the
    covariance of sign(x).

For diagonal Omega all this is a factor: Lambda = sqrt(rho), q -> sqrt(rho) q, t -> t / sqrt(rho),
noise sqrt(rho), and no weights are needed.  Linear regression is the case of Xiao, Marshall,
Agarwala & Paquette (arXiv:2411.12135); the equations here are this project's own.
"""

import numpy as np
from jaxtyping import Float

from teacherstudent.problem import Problem
from teacherstudent.states.spectral_overlaps import SpectralOverlaps
from teacherstudent.tasks import GaussianEquivalent


def sign_modes(
    problem: Problem, start: SpectralOverlaps
) -> tuple[SpectralOverlaps, Float[np.ndarray, " modes"]]:
    """The overlaps by mode of the signs, and the noise of each mode.

    Raises ValueError if a coordinate does not vary, Omega is not diagonal and the start has no
    weights, or there are several units and several samples per update (whose joint signs do not
    factorise over modes).
    """
    task = problem.task
    assert isinstance(task, GaussianEquivalent), "check_signs lets no other inputs with modes pass"
    Omega = np.asarray(task.Omega)
    D = np.diagonal(Omega)
    if D.min() <= 0:
        raise ValueError(
            f"task.Omega has {np.sum(D <= 0)} coordinates without variance; sign-SGD moves along "
            "no sign of them, and they have no theory: leave them out."
        )
    if not (Omega - np.diag(D)).any():
        root = np.sqrt(start.rho)
        by_mode = lambda factor: factor[:, None, None]
        return _unchecked(
            start, root, start.weights, by_mode(root) * start.q, start.r, start.t / by_mode(root)
        ), root
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
    (w, w_star), (N, latents) = start.network, np.asarray(task.Phi).shape
    quarter = D**0.25
    rho, O = np.linalg.eigh(Omega / quarter[:, None] / quarter)
    omega = (w * quarter) @ O
    f = np.sqrt(N / latents) * (w_star @ np.asarray(task.Phi).T / quarter) @ O
    signs = 2 / np.pi * np.arcsin(np.clip(Omega / np.sqrt(D[:, None] * D), -1, 1))
    noise = np.einsum("it,ij,jt->t", O, signs * quarter[:, None] * quarter, O)
    q, r, t = (
        np.einsum("at,bt->tab", one, other) for one, other in ((omega, omega), (omega, f), (f, f))
    )
    return _unchecked(start, np.maximum(rho, 0.0), np.full(N, 1 / N), q, r, t), noise


def _unchecked(start: SpectralOverlaps, rho, weights, q, r, t) -> SpectralOverlaps:
    """The start in other modes, in which T is not what the modes explain."""
    moved = object.__new__(SpectralOverlaps)
    for name, value in (
        ("rho", rho),
        ("weights", weights),
        ("q", q),
        ("r", r),
        ("t", t),
        ("T", start.T),
        ("v", start.v),
    ):
        object.__setattr__(moved, name, value)
    object.__setattr__(moved, "network", start.network)
    return moved
