"""Quasi-random points, the same ones at each call."""

import numpy as np
from jaxtyping import Float

REPLICAS = 3  # other points, from whose averages the error of those that are used is estimated
# Times the largest difference from them: it is below the error for one average of 1000, by chance.
CAUTION = 4.0


def uniform_points(
    dimensions: int, count: int, replica: int = 0
) -> Float[np.ndarray, "points dimensions"]:
    """`count` points of a Sobol sequence in the unit cube, scrambled in another way for each
    replica.
    """
    from scipy.stats import qmc  # a second of importing, which most runs do without

    return qmc.Sobol(dimensions, scramble=True, rng=replica).random(count)


def normals(
    uniform: Float[np.ndarray, "points dimensions"],
) -> Float[np.ndarray, "points dimensions"]:
    """The standard normal quantiles of points in the unit cube, those on its faces moved in by
    2^-40.
    """
    from scipy import special  # as above

    return special.ndtri(np.clip(uniform, 2.0**-40, 1 - 2.0**-40))
