"""The usual way on structured inputs: the erf equations over all modes in vectorised NumPy,
integrated by SciPy's DOP853.
"""

import numpy as np
from scipy.integrate import solve_ivp

from benchmarks.plain_euler import fourth


def solve(start, v_star, eta, sigma, stop, rtol, atol):
    """Q and R at time `stop`, first layer only."""
    rho, p, q, r, t, T, v = (
        np.asarray(getattr(start, name)) for name in ("rho", "weights", "q", "r", "t", "T", "v")
    )
    K, M = start.students, start.teachers
    u, cut = np.concatenate([v, -v_star]), q.size
    rho_ = rho[:, None, None]

    def overlaps(y):
        q, r = y[:cut].reshape(-1, K, K), y[cut:].reshape(-1, K, M)
        return q, r, np.tensordot(p * rho, q, 1), np.tensordot(p, r, 1)

    def velocity(time, y):
        q, r, Q, R = overlaps(y)
        C = np.block([[Q, R], [R.T, T]])
        wide = 1 + np.diag(C)
        J2 = 2 / np.pi / np.sqrt(wide[:K, None] * wide[None, :] - C[:K] ** 2)
        G2 = -C[:K] / wide[:K, None] * J2
        J = v[:, None] * (J2 * u + np.hstack([np.diag(G2 @ u), np.zeros((K, M))]))
        noise = v[:, None] * v[None, :] * (fourth(C, K, u) + sigma**2 * J2[:, :K])
        X = -eta * (rho_ * (J[:, :K] @ q) + J[:, K:] @ r.swapaxes(1, 2))
        dq = X + X.swapaxes(1, 2) + eta**2 * rho_ * noise
        dr = -eta * (rho_ * (J[:, :K] @ r) + J[:, K:] @ t)
        return np.concatenate([dq.ravel(), dr.ravel()])

    solution = solve_ivp(
        velocity,
        (0, stop),
        np.concatenate([q.ravel(), r.ravel()]),
        "DOP853",
        [stop],
        rtol=rtol,
        atol=atol,
    )
    return overlaps(solution.y[:, -1])[2:]
