"""The equations of the hidden manifold over D latent modes, as published (Goldt et al. 2020): an
independent route for erf.

R = b mean(r), Sigma = mean(sigma), Q = zeta W + b^2 Sigma, d = zeta delta + b^2 rho
dr/dt = (d / delta) A r + (b rho / delta) B t
dsigma/dt = X + X^T + eta^2 (rho d / delta) V,   X = (d / delta) A sigma + (b rho / delta) B r^T
dW/dt = -eta (v_k D_kl + v_l D_lk) + (zeta + b^2) eta^2 V
"""

import numpy as np
from scipy.integrate import solve_ivp

from tests.odes.plain_erf import I2, I3, I4, J2


def solve(F, w, w_star, v, v_star, b, zeta, eta, eta_v, sigma, times):
    """Q, R and v at the times, for the modes of F^T F / N and given weights, by SciPy's DOP853 at
    rtol 1e-10.
    """
    (N, D), K, M = F.shape, len(w), len(w_star)
    delta = D / N
    rho, e = np.linalg.eigh(F.T @ F / N)
    gamma, omega = w @ F @ e / np.sqrt(N), w_star @ e
    t = np.einsum("mt,nt->tmn", omega, omega)
    T = w_star @ w_star.T / D
    start = (
        np.einsum("kt,lt->tkl", gamma, gamma),
        np.einsum("kt,mt->tkm", gamma, omega),
        w @ w.T / N,
        np.asarray(v),
    )
    sizes = np.cumsum([part.size for part in start])[:-1]
    d = (zeta * delta + b**2 * rho)[:, None, None]
    rho = rho[:, None, None]

    def parts(y):
        return [
            part.reshape(like.shape) for part, like in zip(np.split(y, sizes), start, strict=True)
        ]

    def overlaps(y):
        s, r, W, v = parts(y)
        return zeta * W + b**2 * s.mean(0), b * r.mean(0), v

    def velocity(time, y):
        s, r, W, v = parts(y)
        Q, R, _ = overlaps(y)
        C = np.block([[Q, R], [R.T, T]])
        u, fields = np.concatenate([v, -np.asarray(v_star)]), range(K + M)
        gradient = np.array(
            [[sum(u[a] * I3(C, k, x, a) for a in fields) for x in fields] for k in range(K)]
        )
        jacobian = np.array([[u[x] * J2(C, k, x) for x in fields] for k in range(K)])
        own = np.array(
            [(gradient[k, k] - jacobian[k] @ C[k]) / C[k, k] for k in range(K)]
        )  # sum_a u_a G2(k, a), by Stein
        A = -eta * v[:, None] * (np.diag(own) + jacobian[:, :K])
        B = -eta * v[:, None] * jacobian[:, K:]
        V = np.array(
            [
                [
                    v[k]
                    * v[l]
                    * (
                        sum(u[a] * u[c] * I4(C, k, l, a, c) for a in fields for c in fields)
                        + sigma**2 * J2(C, k, l)
                    )
                    for l in range(K)
                ]
                for k in range(K)
            ]
        )
        dr = d / delta * (A @ r) + b * rho / delta * (B @ t)
        X = d / delta * (A @ s) + b * rho / delta * (B @ r.swapaxes(1, 2))
        ds = X + X.swapaxes(1, 2) + eta**2 * rho * d / delta * V
        drift = v[:, None] * gradient[:, :K]
        dW = -eta * (drift + drift.T) + (zeta + b**2) * eta**2 * V
        dv = np.array([-eta_v * sum(u[a] * I2(C, k, a) for a in fields) for k in range(K)])
        return np.concatenate([part.ravel() for part in (ds, dr, dW, dv)])

    y0 = np.concatenate([part.ravel() for part in start])
    solution = solve_ivp(velocity, (0, times[-1]), y0, "DOP853", times, rtol=1e-10, atol=1e-12)
    return [np.array(part) for part in zip(*map(overlaps, solution.y.T), strict=True)]
