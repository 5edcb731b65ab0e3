"""The reduced chain as one would write it first: Q and R of one network, one update at a time, in
NumPy.
"""

import numpy as np
from scipy.special import erf


def reduced_chain(start, eta, sigma, N, steps, seed=0):
    """Q and R after `steps` updates of the first layer, with the fields drawn from a Cholesky
    factor of their covariance.
    """
    rng = np.random.default_rng(seed)
    Q, R, T, v = np.array(start.Q), np.array(start.R), np.asarray(start.T), np.asarray(start.v)
    K, P = len(Q), len(Q) + len(T)
    for _ in range(steps):
        z = rng.standard_normal(P)
        fields = np.linalg.cholesky(np.block([[Q, R], [R.T, T]]) + 1e-12 * np.eye(P)) @ z
        lam, nu = fields[:K], fields[K:]
        error = (
            v @ erf(lam / np.sqrt(2)) - erf(nu / np.sqrt(2)).sum() - sigma * rng.standard_normal()
        )
        c = -eta * v * np.sqrt(2 / np.pi) * np.exp(-(lam**2) / 2) * error
        square = (z @ z + rng.chisquare(N - P)) / N
        Q += (np.outer(c, lam) + np.outer(lam, c)) / N + np.outer(c, c) * square / N
        R += np.outer(c, nu) / N
    return Q, R
