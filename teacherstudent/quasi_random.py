"""Quasi-random points, the same ones at each call."""

import numpy as np
from jaxtyping import Float


def uniform_points(dimensions: int, count: int) -> Float[np.ndarray, "points dimensions"]:
    """`count` points of a scrambled Sobol sequence in the unit cube."""
    from scipy.stats import qmc  # a second of importing, which most runs do without

    return qmc.Sobol(dimensions, scramble=True, rng=0).random(count)
