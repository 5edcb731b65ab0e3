"""The dense curve of a theory: its values between the recorded times, by which it is drawn.

They come from the same solve as the recorded numbers, by the solver's interpolation inside each
step, so that they cost no further step and change none.  What would be costly at so many times (an
error by quadrature, the accuracy of two classes, drifts) is computed at the recorded times only.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from odes.solving.drift import DRIFTS
from odes.solving.trajectory import Trajectory
from teacherstudent.problem import Problem
from teacherstudent.starts import Start

POINTS = 256  # of a curve
FEWEST = 48  # in one phase of a protocol
LINEAR = 0.35  # the fraction of them that is equally spaced in time, not in its logarithm
BEFORE_FIRST = 16.0  # how far before the first recorded time the logarithm begins
MOST_NUMBERS = 2**22  # of all states that the solver records, which are in memory at once
ALONG_TIME = ("Q", "R", "v", "b", "eps_g", "q", "r", "accuracy", *DRIFTS)
DRAWN = ("Q", "R", "v", "b", "eps_g", "accuracy")


class DenseTimes(NamedTuple):
    """The times at which a solve records: those that were asked for, and those of the curve.

    - `times`: all of them, in order; a time may be there twice.
    - `recorded`: which of them were asked for.
    """

    times: Float[np.ndarray, " all"]
    recorded: Bool[np.ndarray, " all"]

    @classmethod
    def of(cls, recorded: Float[np.ndarray, " time"], points: int) -> "DenseTimes":
        """The recorded times with so many others between the first and the last of them."""
        if points == 0 or len(recorded) < 2:
            return cls(recorded, np.ones(len(recorded), bool))
        # The number of times depends on `points` alone, so that other times need no new program.
        both = np.concatenate([recorded, times_between(recorded, points)])
        order = np.argsort(both, kind="stable")
        return cls(both[order], order < len(recorded))

    @property
    def at_records(self) -> Float[np.ndarray, " time"]:
        """The times that were asked for."""
        return self.times[self.recorded]

    @property
    def between(self) -> Float[np.ndarray, " curve"]:
        """The times of the curve."""
        return self.times[~self.recorded]

    @property
    def wanted(self) -> Float[np.ndarray, " all"]:
        """For a program: 1 where all is wanted, 0 where only what costs little."""
        return self.recorded.astype(np.float64)

    def split(self, answer: Trajectory) -> tuple[Trajectory, Trajectory | None]:
        """The answer at the recorded times, and that along the curve, if there is one."""
        if self.recorded.all():
            return answer, None
        return _at(answer, self.recorded), _at(answer, ~self.recorded)


def times_between(recorded: Float[np.ndarray, " time"], points: int) -> Float[np.ndarray, " curve"]:
    """Times from the first recorded one to the last, dense after the first as well as everywhere.

    Some are equally spaced in time, the others in the logarithm of the time since the first.
    """
    begin, first, last = recorded[0], recorded[1], recorded[-1]
    linear = int(LINEAR * points)
    even = np.linspace(begin, last, linear)
    early = begin + np.geomspace((first - begin) / BEFORE_FIRST, last - begin, points - linear)
    return np.sort(np.minimum(np.concatenate([even, early]), last))


def has_curve(problem: Problem, start: Start, extras: tuple[str, ...]) -> bool:
    """Whether a curve is kept: not of a sweep or a batch of starts, nor where the states that are
    recorded would take too much memory; and a map has no state between two updates.
    """
    if problem.sweeps or start.batch or problem.batch_ratio is not None:
        return False
    numbers = np.size(start.Q) + np.size(start.R)
    if extras:  # some of which need every mode
        numbers *= np.size(getattr(start, "rho", 1.0))
    return numbers * POINTS <= MOST_NUMBERS


def _at(answer: Trajectory, chosen: Bool[np.ndarray, " all"]) -> Trajectory:
    parts: Mapping = answer._asdict()
    along = {name: parts[name][chosen] for name in ALONG_TIME if parts[name] is not None}
    return answer._replace(**along)
