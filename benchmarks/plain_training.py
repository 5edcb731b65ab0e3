"""The usual way: one network, one sample at a time, in NumPy with float32."""

import numpy as np
from scipy.special import erf


def train(w, v, w_star, eta, sigma, steps, seed=0):
    """The weights after `steps` updates of the first layer."""
    rng = np.random.default_rng(seed)
    w = w.copy()
    N = w.shape[1]
    root, half = np.float32(np.sqrt(N)), np.float32(np.sqrt(2))
    slope = np.float32(np.sqrt(2 / np.pi))
    for _ in range(steps):
        x = rng.standard_normal(N, dtype=np.float32)
        field = w @ x / root
        y = erf(w_star @ x / root / half).sum() + np.float32(sigma) * rng.standard_normal(
            dtype=np.float32
        )
        error = v @ erf(field / half) - y
        w -= np.outer(np.float32(eta) / root * v * slope * np.exp(-(field**2) / 2) * error, x)
    return w
