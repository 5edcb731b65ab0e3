"""Times at which to record, t = updates / N."""

import numpy as np
from jaxtyping import Float


def log_times(stop: float, points: int = 100, first: float = 0.1) -> Float[np.ndarray, " time"]:
    """Zero and `points - 1` times from `first` to `stop`, equally spaced in their logarithm: dense near zero.

    Raises ValueError unless 0 < first < stop and points >= 3.
    """
    if not 0 < first < stop < float("inf") or points < 3:
        raise ValueError(f"log_times({stop}, {points}, {first}): give 0 < first < stop and at least 3 points.")
    return np.concatenate([[0.0], np.geomspace(first, stop, points - 1)])


def linear_times(stop: float, points: int = 100) -> Float[np.ndarray, " time"]:
    """`points` equally spaced times from zero to `stop`.

    Raises ValueError unless stop > 0 and points >= 2.
    """
    if not 0 < stop < float("inf") or points < 2:
        raise ValueError(f"linear_times({stop}, {points}): give stop > 0 and at least 2 points.")
    return np.linspace(0.0, stop, points)
