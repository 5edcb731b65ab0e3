"""Times at which to record, t = updates / N."""

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks


@arguments.checked
def log_times(stop: float, points: int = 100, first: float = 0.1) -> Float[np.ndarray, " time"]:
    """Zero, and times from `first` to `stop` that are equally spaced in their logarithm.

    There are `points` of them with the zero, dense near it.  The unit is that of `times`
    everywhere: t = updates / N.

    Raises ValueError unless 0 < first < stop and points >= 3.

    >>> import teacherstudent as ts
    >>> print(ts.log_times(100.0, points=5))
    [  0.    0.1   1.   10.  100. ]
    """
    stop = checks.positive("stop", stop)
    first = checks.positive("first", first)
    points = checks.integer("points", points, minimum=3)
    checks.memory(f"points = {points}", 4 * points)
    if first >= stop:
        raise ValueError(f"first = {first:g} must be smaller than stop = {stop:g}.")
    return np.concatenate([[0.0], np.geomspace(first, stop, points - 1)])


@arguments.checked
def linear_times(stop: float, points: int = 100) -> Float[np.ndarray, " time"]:
    """`points` equally spaced times from zero to `stop`, in units of t = updates / N.

    Raises ValueError unless stop > 0 and points >= 2.

    >>> import teacherstudent as ts
    >>> print(ts.linear_times(10.0, points=5))
    [ 0.   2.5  5.   7.5 10. ]
    """
    stop = checks.positive("stop", stop)
    points = checks.integer("points", points, minimum=2)
    checks.memory(f"points = {points}", 2 * points)
    return np.linspace(0.0, stop, points)
