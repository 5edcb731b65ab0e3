"""What the verbs ask of whatever is learnt: of a `Problem` as of every other model."""

import abc
from typing import Any

import numpy as np

from teacherstudent.display import Described
from teacherstudent.schedules import Schedule, named_schedules


class Learnable(Described):
    """A learning problem that theories and simulations are of: the base of `Problem` and `Model`.

    The verbs know nothing more of it; its registered theory and simulation know the rest.
    """

    @abc.abstractmethod
    def check_start(self, start: Any) -> None:
        """Raise ValueError if the start does not fit."""

    @property
    @abc.abstractmethod
    def family(self) -> type:
        """The class that says which quantities results have, and how they are called there."""

    @abc.abstractmethod
    def updates_per_time(self, N: int) -> int:
        """How many updates the time 1 is."""

    @property
    @abc.abstractmethod
    def sweeps(self) -> dict[str, np.ndarray]:
        """The numbers given as sequences, by name: the dimensions of a sweep."""

    @property
    @abc.abstractmethod
    def scheduled(self) -> dict[str, Any]:
        """The parts whose fields may be schedules, by the names that users write before them."""

    @property
    def schedules(self) -> list[Schedule]:
        """The schedules of all numbers."""
        named = (named_schedules(part) for part in self.scheduled.values())
        return [schedule for part in named for _, schedule in part]

    @property
    def changes_with_time(self) -> bool:
        """Whether a number is a schedule."""
        return bool(self.schedules)

    @abc.abstractmethod
    def at(self, t, dtype=None) -> Any:
        """The same with the numbers that its schedules have at the time t."""

    @property
    @abc.abstractmethod
    def parts(self) -> tuple:
        """All that may hold classes or functions of its user's own."""
