"""The erf equations of Saad & Solla written out in NumPy, sum by sum, with their determinants: an
independent route.
"""

import numpy as np


def I2(C, a, b):
    return 2 / np.pi * np.arcsin(C[a, b] / np.sqrt((1 + C[a, a]) * (1 + C[b, b])))


def J2(C, a, b):
    return 2 / np.pi / np.sqrt((1 + C[a, a]) * (1 + C[b, b]) - C[a, b] ** 2)


def I3(C, a, b, c):
    determinant = (1 + C[a, a]) * (1 + C[c, c]) - C[a, c] ** 2
    numerator = C[b, c] * (1 + C[a, a]) - C[a, b] * C[a, c]
    return 2 / np.pi * numerator / ((1 + C[a, a]) * np.sqrt(determinant))


def I4(C, a, b, c, d):
    L4 = (1 + C[a, a]) * (1 + C[b, b]) - C[a, b] ** 2
    L0 = (
        L4 * C[c, d]
        - C[b, c] * C[b, d] * (1 + C[a, a])
        - C[a, c] * C[a, d] * (1 + C[b, b])
        + C[a, b] * (C[a, c] * C[b, d] + C[a, d] * C[b, c])
    )

    def widened(x):
        return (
            L4 * (1 + C[x, x])
            - C[b, x] ** 2 * (1 + C[a, a])
            - C[a, x] ** 2 * (1 + C[b, b])
            + 2 * C[a, b] * C[a, x] * C[b, x]
        )

    return 4 / np.pi**2 / np.sqrt(L4) * np.arcsin(L0 / np.sqrt(widened(c) * widened(d)))


def velocity(Q, R, T, v, v_star, eta, eta_v, sigma, kappa=0.0, batch=1):
    """(dQ/dt, dR/dt, dv/dt), every sum written as a loop."""
    K, M = R.shape
    C = np.block([[Q, R], [R.T, T]])
    fields, students = range(K + M), range(K)
    u = np.concatenate([v, -np.asarray(v_star)])
    drift = np.array(
        [[v[i] * sum(u[a] * I3(C, i, x, a) for a in fields) for x in fields] for i in students]
    )
    noise = np.array(
        [
            [
                v[i] * v[k] * sum(u[a] * u[b] * I4(C, i, k, a, b) for a in fields for b in fields)
                + v[i] * v[k] * sigma**2 * J2(C, i, k)
                for k in students
            ]
            for i in students
        ]
    )
    dQ = -eta * (drift[:, :K] + drift[:, :K].T) + eta**2 / batch * noise - 2 * kappa * Q
    dR = -eta * drift[:, K:] - kappa * R
    dv = np.array(
        [-eta_v * sum(u[a] * I2(C, i, a) for a in fields) - kappa * v[i] for i in students]
    )
    return dQ, dR, dv


def error(Q, R, T, v, v_star):
    """eps_g, as the double sum over fields."""
    C = np.block([[Q, R], [R.T, T]])
    u = np.concatenate([v, -np.asarray(v_star)])
    return 0.5 * sum(u[a] * u[b] * I2(C, a, b) for a in range(len(u)) for b in range(len(u)))
