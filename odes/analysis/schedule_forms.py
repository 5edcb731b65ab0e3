"""The forms that an optimal learning rate is sought in: a few positive numbers, and the schedule
that they make.

All numbers are logarithms of what they stand for: of rates, and of the time scale of a decay.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from teacherstudent.schedules import Schedule, constant, interpolated, piecewise, power


@dataclass(frozen=True)
class Constant:
    """One learning rate for all times."""

    def schedule(self, logs, times) -> Schedule:
        """The learning rate of one number."""
        return constant(jnp.exp(logs[0]))

    def found(self, logs: np.ndarray, times: np.ndarray) -> float | Schedule:
        """The same with plain numbers, as a user would write it."""
        return float(np.exp(logs[0]))


@dataclass(frozen=True)
class Decay:
    """eta(t) = eta_0 / (1 + t / t_0), by its rate at the time `begin` and t_0.

    A run that begins late may need a large eta_0, which is no rate that it ever has: the bounds are
    those of the rate at its begin.
    """

    begin: float

    def schedule(self, logs, times) -> Schedule:
        """The decay of the logarithms of the first rate and of t_0."""
        rate, scale = jnp.exp(logs[0]), jnp.exp(logs[1])
        return power(rate * (1 + self.begin / scale), 1.0, scale)

    def found(self, logs: np.ndarray, times: np.ndarray) -> Schedule:
        """The same with plain numbers."""
        eta_0, t_0 = self.numbers(logs)
        return power(eta_0, 1.0, t_0)

    def numbers(self, logs: np.ndarray) -> tuple[float, float]:
        """eta_0 and t_0."""
        rate, scale = np.exp(logs)
        return float(rate * (1 + self.begin / scale)), float(scale)


@dataclass(frozen=True)
class Pointwise:
    """The learning rate at `count` nodes in time, with straight lines between them."""

    count: int

    def times(self, begin: float, stop: float) -> np.ndarray:
        """The nodes."""
        return np.linspace(begin, stop, self.count)

    def schedule(self, logs, times) -> Schedule:
        """The interpolation of the rates at the nodes."""
        return interpolated(list(times), list(jnp.exp(logs)))

    def found(self, logs: np.ndarray, times: np.ndarray) -> Schedule:
        """The same with plain numbers."""
        return interpolated(times.tolist(), np.exp(logs).tolist())

    def parts(self) -> np.ndarray:
        """Where in time the numbers are, from 0 to 1."""
        return np.linspace(0.0, 1.0, self.count)

    def coarser(self, count: int) -> np.ndarray:
        """The matrix that makes the logarithms at all nodes of those at fewer."""
        fine, coarse = np.linspace(0, 1, self.count), np.linspace(0, 1, count)
        return np.stack([np.interp(fine, coarse, one) for one in np.eye(count)], axis=1)


@dataclass(frozen=True)
class Piecewise:
    """The learning rate in `count` pieces of equal duration, in each of which it stays."""

    count: int

    def times(self, begin: float, stop: float) -> np.ndarray:
        """The times between the pieces."""
        return np.linspace(begin, stop, self.count + 1)[1:-1]

    def schedule(self, logs, times) -> Schedule:
        """The pieces one after the other."""
        return piecewise(list(jnp.exp(logs)), list(times))

    def found(self, logs: np.ndarray, times: np.ndarray) -> Schedule:
        """The same with plain numbers."""
        return piecewise(np.exp(logs).tolist(), times.tolist())

    def parts(self) -> np.ndarray:
        """The middle of each piece, from 0 to 1."""
        return (np.arange(self.count) + 0.5) / self.count

    def coarser(self, count: int) -> np.ndarray:
        """The matrix that makes the logarithms of all pieces of those of fewer."""
        owner = np.arange(self.count) * count // self.count
        return np.eye(count)[owner]


FORMS = {"pointwise": Pointwise, "piecewise": Piecewise, "constant": Constant}
