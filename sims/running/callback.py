"""A function of the user's own that sees each record as it is made, and may end the run."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from teacherstudent.checking import checks
from teacherstudent.models.learnable import Learnable
from teacherstudent.results.datasets import rename_for_task


class Callback:
    """f(t, record) after each recorded time; True ends the run there.

    `stopped` says whether it did.  The record has the names that the dataset will have, as arrays
    (seeds, ...) of its own.
    """

    def __init__(self, function: Callable[[float, dict[str, np.ndarray]], Any], problem: Learnable):
        self.function = function
        self.problem = problem
        self.stopped = False

    def stops(self, t: float, row: Mapping[str, np.ndarray]) -> bool:
        """Call the function; whether the run is to end."""
        named = rename_for_task(self.problem, row)
        answer = self.function(t, {name: np.array(values) for name, values in named.items()})
        if answer is not None and not isinstance(answer, bool | np.bool_):
            raise ValueError(
                f"callback answers {checks.shortened(answer)} at t = {t:.6g}; return True to stop "
                "there, and False or None to go on."
            )
        stops = bool(answer)
        self.stopped = self.stopped or stops
        return stops


def checked_callback(function, problem: Learnable) -> Callback | None:
    """The argument `callback`; ValueError if it is no function, or seeds are shared out."""
    if function is None:
        return None
    if not callable(function):
        raise ValueError(
            f"callback = {checks.shortened(function)} is no function; give one of the time and a "
            "dictionary of arrays."
        )
    if jax.process_count() > 1:
        raise ValueError(
            f"callback sees the seeds of one process alone, but there are {jax.process_count()}; "
            "leave it out, or run in one process."
        )
    return Callback(function, problem)
