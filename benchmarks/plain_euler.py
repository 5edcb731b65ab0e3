"""The usual way: the erf equations in vectorised NumPy, explicit Euler with a fixed step."""

import numpy as np


def euler(Q, R, T, v, v_star, eta, sigma, stop, dt):
    """Q, R and eps_g at time `stop`, first layer only."""
    Q, R = Q.copy(), R.copy()
    u = np.concatenate([v, -v_star])
    for _ in range(round(stop / dt)):
        dQ, dR = velocity(Q, R, T, v, u, eta, sigma)
        Q += dt * dQ
        R += dt * dR
    C = np.block([[Q, R], [R.T, T]])
    scale = 1 / np.sqrt(1 + np.diag(C))
    return Q, R, u @ np.arcsin(C * np.outer(scale, scale)) @ u / np.pi


def velocity(Q, R, T, v, u, eta, sigma):
    """dQ/dt and dR/dt with the full fourth-order tensor of Saad & Solla."""
    K = len(v)
    C = np.block([[Q, R], [R.T, T]])
    wide = 1 + np.diag(C)
    J2 = 2 / np.pi / np.sqrt(wide[:K, None] * wide[None, :] - C[:K] ** 2)
    G2 = -C[:K] / wide[:K, None] * J2
    drift = v[:, None] * (C[:K] * (G2 @ u)[:, None] + (J2 * u) @ C)
    noise = v[:, None] * v[None, :] * (fourth(C, K, u) + sigma**2 * J2[:, :K])
    return -eta * (drift[:, :K] + drift[:, :K].T) + eta**2 * noise, -eta * drift[:, K:]


def fourth(C, K, u):
    """sum_ab u_a u_b I4(i, k, a, b) over all indices at once."""
    wide = 1 + np.diag(C)
    a, b, ab = wide[:K, None], wide[None, :K], C[:K, :K]
    L4 = a * b - ab**2
    A, B = C[:K, None, :], C[None, :K, :]  # C_ax and C_bx
    shrink = lambda first, second: (
        first[0][..., :, None] * second[0][..., None, :] * b[..., None, None]
        + first[1][..., :, None] * second[1][..., None, :] * a[..., None, None]
        - ab[..., None, None]
        * (
            first[0][..., :, None] * second[1][..., None, :]
            + first[1][..., :, None] * second[0][..., None, :]
        )
    )
    A, B = np.broadcast_arrays(A, B)
    conditional = C - shrink((A, B), (A, B)) / L4[..., None, None]
    width = 1 + np.diagonal(conditional, axis1=2, axis2=3)
    angle = np.arcsin(conditional / np.sqrt(width[..., :, None] * width[..., None, :]))
    return 4 / np.pi**2 / np.sqrt(L4) * np.einsum("ikab,a,b->ik", angle, u, u)
