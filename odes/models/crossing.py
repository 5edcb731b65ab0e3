"""The time at which a quantity of a model crosses a threshold."""

from typing import Any

import jax
import numpy as np

from odes.models.solution import Solution
from teacherstudent.models.thresholds import value_of
from teacherstudent.protocol import Until

POINTS = 129  # of the grids on which a crossing is bracketed
FINEST = 1e-9  # of the time, to which a crossing is known


def crossing_time(
    theory: Any, options: Any, model: Any, start: Any, last: float, until: Until
) -> float | None:
    """The first time at which the threshold is met; None if there is none before `last`.

    It is bracketed on a grid of times, and then on finer ones from the state before it; a quantity
    that crosses the threshold and comes back between two of the first times is not seen.
    """
    begin, end, state = start.time, last, model.begun(start)
    bracketed = False
    while True:
        times = np.linspace(begin, end, POINTS)
        with jax.enable_x64(True):
            solution = theory.trajectory(model, state, begin, times, options)
        met = until.is_met(value_of(until, model, _all(solution)))
        if bracketed:
            met[-1] = True  # as the solve before found, to the solver's tolerance
        if not met.any():
            return None
        first = int(np.argmax(met))
        if first == 0:
            return begin
        if times[first] - times[first - 1] <= FINEST * max(times[first], FINEST):
            return float(times[first])
        state = {name: values[first - 1] for name, values in solution.state.items()}
        begin, end, bracketed = times[first - 1], times[first], True


def _all(solution: Solution) -> dict[str, np.ndarray]:
    return {**solution.state, **solution.observed}
