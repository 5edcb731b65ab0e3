"""Quasi-random points, the same ones at each call."""

import numpy as np
from jaxtyping import Float


def uniform_points(dimensions: int, count: int) -> Float[np.ndarray, "points dimensions"]:
    """`count` points of a scrambled Sobol sequence in the unit cube."""
    from scipy.stats import qmc  # a second of importing, which most runs do without

    return qmc.Sobol(dimensions, scramble=True, rng=0).random(count)


def normals(uniform: Float[np.ndarray, "points dimensions"]) -> Float[np.ndarray, "points dimensions"]:
    """The standard normal quantiles of points in the unit cube, those on its faces moved in by 2^-40."""
    from scipy import special  # as above

    return special.ndtri(np.clip(uniform, 2.0**-40, 1 - 2.0**-40))
