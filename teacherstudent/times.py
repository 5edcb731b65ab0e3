"""Times at which to record, t = updates / N."""

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks


@arguments.checked
def log_times(stop: float, points: int = 100, first: float = 0.1) -> Float[np.ndarray, " time"]:
    """Zero and `points - 1` times from `first` to `stop`, equally spaced in their logarithm: dense
    near zero.

    Raises ValueError unless 0 < first < stop and points >= 3.
    """
    stop, first = checks.positive("stop", stop), checks.positive("first", first)
    points = checks.integer("points", points, minimum=3)
    checks.memory(f"points = {points}", 4 * points)
    if first >= stop:
        raise ValueError(f"first = {first:g} must be smaller than stop = {stop:g}.")
    return np.concatenate([[0.0], np.geomspace(first, stop, points - 1)])


@arguments.checked
def linear_times(stop: float, points: int = 100) -> Float[np.ndarray, " time"]:
    """`points` equally spaced times from zero to `stop`.

    Raises ValueError unless stop > 0 and points >= 2.
    """
    stop, points = checks.positive("stop", stop), checks.integer("points", points, minimum=2)
    checks.memory(f"points = {points}", 2 * points)
    return np.linspace(0.0, stop, points)
