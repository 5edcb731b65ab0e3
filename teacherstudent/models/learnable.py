"""What the verbs ask of whatever is learnt: of a `Problem` as of every other model."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from teacherstudent.display import Described
from teacherstudent.schedules import Schedule, named_schedules


class Places(NamedTuple):
    """What a sweep may change, by the names that users write.

    - `kind`: what the whole is called.
    - `divided`: parts with arguments of their own, "rule" for "rule.learning_rate".
    - `whole`: parts that may be given as a whole.
    - `numbers`: parts with numbers that programs take as such.
    - `example`: an argument `over` of `ts.sweep`.
    """

    kind: str
    divided: tuple[str, ...]
    whole: tuple[str, ...]
    numbers: tuple[str, ...]
    example: str


class Learnable(Described):
    """A learning problem that theories and simulations are of: the base of `Problem` and `Model`.

    The verbs know nothing more of it; its registered theory and simulation know the rest.
    """

    PLACES: ClassVar[Places]

    @abc.abstractmethod
    def check_start(self, start: Any) -> None:
        """Raise ValueError if the start does not fit."""

    @abc.abstractmethod
    def check_follows(self, first: Any, title: str) -> None:
        """Raise ValueError unless what has learnt `first` can go on with this, in a protocol.

        `title` is what this is called there, "phase 1 of the protocol".
        """

    def with_states_alike(self, problems: list) -> list:
        """The problems of all phases of a protocol, with states of the same parts."""
        return problems

    def entered(self, state: Any, before: Any) -> Any:
        """The state with which a phase of a protocol begins, from that in which the phase `before`
        ended.
        """
        return state

    @property
    @abc.abstractmethod
    def family(self) -> Any:
        """The class that says which quantities results have, and how they are called there."""

    @property
    def not_recorded(self) -> tuple[str, ...]:
        """Quantities that results leave out."""
        return ()

    @abc.abstractmethod
    def updates_per_time(self, N: int) -> int:
        """How many updates the time 1 is."""

    @property
    @abc.abstractmethod
    def time_attributes(self) -> tuple[str, str, str]:
        """The long name, the symbol and the units of time."""

    @classmethod
    def quantities(cls) -> Mapping[str, Any]:
        """The variables of results that no other problem has, {name: Quantity}."""
        return {}

    @abc.abstractmethod
    def begun(self, start: Any) -> dict[str, np.ndarray]:
        """The state at a start, by name."""

    @property
    @abc.abstractmethod
    def named_parts(self) -> dict[str, Any]:
        """The parts that a sweep may change, by the names of `PLACES`."""

    @abc.abstractmethod
    def with_parts(self, changed: Mapping[str, Any]) -> Any:
        """The same with other parts, made and checked anew.

        Raises ValueError for a part that is not allowed.
        """

    @abc.abstractmethod
    def with_checked_parts(self, changed: Mapping[str, Any]) -> Any:
        """The same with parts in which numbers differ that have been checked."""

    @property
    def units(self) -> dict[str, int]:
        """The numbers of units that may differ between the points of a sweep, by dimension."""
        return {}

    @property
    def shared_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes that may not differ between the points of a sweep."""
        return {}

    @property
    def input_dimension(self) -> int | None:
        """N, where the problem fixes it."""
        return None

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
