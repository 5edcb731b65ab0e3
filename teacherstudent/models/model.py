"""The contract of a model: a learning problem with a state that obeys closed equations.

A two-layer regression (`Problem`) is one such model.  The others have fields of their own: what is
learnt, by whom, and at which rates.
"""

import abc
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Array

from teacherstudent.checking import checks
from teacherstudent.models.learnable import Learnable, Places
from teacherstudent.models.state import State
from teacherstudent.schedules import at_time
from teacherstudent.tasks.sweeping import swept


class Quantity(NamedTuple):
    """A variable of a model's results.

    - `dims`: its dimensions, beside seeds, sweeps and time.
    - `long_name`, `symbol`: how plots and tables call it.
    - `along_time`: whether it changes with time.

    >>> import teacherstudent as ts
    >>> ts.Quantity(("student",), "biases of the student", "$b_k$").along_time
    True
    """

    dims: tuple[str, ...]
    long_name: str
    symbol: str
    along_time: bool = True


class Model(Learnable):
    """A learning problem: what theory and simulation share.  The base of every model.

    To write a model of your own:

    1. Subclass `Model`.  Its numbers are fields of the class, set in `__init__`; what is no number
       is `equinox.field(static=True)`.  `NUMBERS` names those that may be sequences, which are
       swept, or schedules.
    2. Say in `STATE` what moves, with `shapes` the sizes, and in `RECORDED` what is recorded
       beside it: `observed(t, state)` computes these, in JAX.  `ERROR` is the one of them that
       is the error.
    3. Give it a theory (`ts.ModelTheory`), a simulation (`ts.ModelSimulation`), or both.

    What results say of a model it says by these attributes of its class:

    - `NUMBERS`: fields that are one number each.
    - `STATE`: what a start gives and what moves, {name: Quantity}.
    - `RECORDED`: further quantities, functions of the state.
    - `ERROR`: the name of the error.
    - `TIME`: the long name, the symbol and the units of time.

    A rotor that turns by a given rate, whose position is its state:

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> class Rotor(ts.Model):
    ...     NUMBERS = ("rate",)
    ...     STATE = {"x": ts.Quantity(("axis",), "position", "$x$")}
    ...     RECORDED = {"radius": ts.Quantity((), "distance from the axis", "$|x|$")}
    ...     ERROR = "radius"
    ...     rate: float
    ...
    ...     def __init__(self, rate):
    ...         self.rate = rate
    ...
    ...     @property
    ...     def shapes(self):
    ...         return {"x": (2,)}
    ...
    ...     def observed(self, t, state):
    ...         return {"radius": jnp.hypot(*state["x"])}
    >>> class TheoryOfRotor(ts.ModelTheory, model=Rotor):
    ...     def velocity(self, model, t, state):
    ...         x, y = state["x"]
    ...         return {"x": model.rate * jnp.stack([-y, x])}
    >>> theory = ts.integrate(Rotor(0.5), ts.State(x=[1.0, 0.0]), [0.0, jnp.pi])
    >>> print(theory.x[-1].values.round(6) + 0.0)
    [0. 1.]
    """

    NUMBERS: ClassVar[tuple[str, ...]] = ()
    STATE: ClassVar[Mapping[str, Quantity]] = MappingProxyType({})
    RECORDED: ClassVar[Mapping[str, Quantity]] = MappingProxyType({})
    ERROR: ClassVar[str] = "eps_g"
    TIME: ClassVar[tuple[str, str, str]] = ("updates per input dimension", "$t$", "updates / N")
    PLACES: ClassVar[Places] = Places(
        kind="model",
        divided=("model",),
        whole=("model",),
        numbers=("model",),
        example='over={"model.learning_rate": [0.1, 0.2]}',
    )
    # What results know of every problem, as of a task (`Task`).
    NAMES: ClassVar[Mapping[str, str]] = MappingProxyType({})
    NOT_RECORDED: ClassVar[tuple[str, ...]] = ()
    ARRAYS: ClassVar[tuple[str, ...]] = ()
    START: ClassVar[tuple[str, ...]] = ()
    HAS_CLASSES: ClassVar[bool] = False
    HAS_MODES: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each part of the state."""

    @abc.abstractmethod
    def observed(self, t, state: Mapping[str, Array]) -> dict[str, Array]:
        """The quantities of `RECORDED` at the time t."""

    def defaults(self) -> dict[str, Any]:
        """The parts of the state that a start may leave out, with their values."""
        return {}

    def check_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Raise ValueError if no system has this state."""

    def check_run(self, begin: float, last: float) -> None:
        """Raise ValueError if the model cannot be followed from one time to another."""

    @classmethod
    def name_of(cls, quantity: str) -> str:
        """What results call a quantity: the error of a model has a name of its own."""
        if quantity == "eps_g":
            return cls.ERROR
        return cls.NAMES.get(quantity, quantity)

    @classmethod
    def quantities(cls) -> dict[str, Quantity]:
        """All variables of results."""
        return {**cls.STATE, **cls.RECORDED}

    def check_start(self, start: Any) -> None:
        """Raise ValueError if the start does not fit this model."""
        if not isinstance(start, State):
            raise ValueError(
                f"start is {checks.kind_of(start)}; give ts.State({self._wanted()}) to begin a "
                f"{type(self).__name__}."
            )
        self.check_state(self.begun(start))

    def check_follows(self, first: Any, title: str) -> None:
        """Raise ValueError unless what has learnt `first` can go on with this: it must be of the
        same class, and its state have the same shapes.
        """
        if type(first) is not type(self):
            raise ValueError(
                f"{title} is {checks.kind_of(self)}, but phase 0 {checks.kind_of(first)}; give "
                "phases of one kind."
            )
        mine, before = self.shapes_in_protocol, first.shapes_in_protocol
        for name in [*mine, *before]:
            if mine.get(name) != before.get(name):
                raise ValueError(
                    f"{title} has a state with {_part(name, mine)}, but phase 0 has "
                    f"{_part(name, before)}; only numbers can change from phase to phase."
                )

    @property
    def shapes_in_protocol(self) -> dict[str, tuple[int, ...]]:
        """The shapes that phases of a protocol share."""
        return dict(self.shapes)

    def entered(self, state: State, before: Any) -> State:
        """The state with which a phase of a protocol begins, from that in which the phase `before`
        ended.
        """
        return state

    def begun(self, start: State) -> dict[str, np.ndarray]:
        """All parts of the state at a start, in the order of `STATE`.

        Raises ValueError for a part that is unknown, missing or of another shape.
        """
        shapes = dict(self.shapes)
        unknown = [name for name in start.values if name not in shapes]
        if unknown:
            raise ValueError(
                f"start.{unknown[0]} is no part of the state of a {type(self).__name__}; give "
                f"ts.State({self._wanted()}){checks.hint(unknown[0], shapes)}"
            )
        given = {**self.defaults(), **start.values}
        state = {}
        for name, shape in shapes.items():
            if name not in given:
                raise ValueError(f"start.{name} is missing; give ts.State({self._wanted()}).")
            array = np.asarray(given[name], np.float64)
            if array.shape != tuple(shape):
                raise ValueError(
                    f"start.{name} has the shape {array.shape}, but a state of this "
                    f"{type(self).__name__} has {tuple(shape)}."
                )
            state[name] = array
        return state

    @property
    def family(self) -> Any:
        """The class that says which quantities results have: that of the model."""
        return type(self)

    def _wanted(self) -> str:
        """The parts of a state, as one writes them."""
        return ", ".join(f"{name}=" for name in self.shapes)

    def updates_per_time(self, N: int) -> int:
        """How many updates the time 1 is."""
        return N

    @property
    def time_attributes(self) -> tuple[str, str, str]:
        """The long name, the symbol and the units of time."""
        return self.TIME

    @property
    def named_parts(self) -> dict[str, Any]:
        """The part that a sweep may change: the model itself."""
        return {"model": self}

    def with_parts(self, changed: Mapping[str, Any]):
        """The model that stands in the place of this one.

        Raises ValueError unless it is of the same class.
        """
        model = changed.get("model", self)
        if type(model) is not type(self):
            kind = type(self).__name__
            raise ValueError(
                f"over has {checks.kind_of(model)} in the place of the model, which is a {kind}; "
                f"give models of this class, or make a sweep of each."
            )
        return model

    def with_checked_parts(self, changed: Mapping[str, Any]):
        """The model that stands in the place of this one."""
        return changed.get("model", self)

    @property
    def shared_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each part of the state: results have no masks for models."""
        return self.shapes

    @property
    def sweeps(self) -> dict[str, np.ndarray]:
        """The numbers given as sequences, by name: the dimensions of a sweep."""
        return swept(self, self.NUMBERS)

    @property
    def parts(self) -> tuple:
        """All that may hold classes or functions of its user's own."""
        return (self, *(getattr(self, name) for name in self.__dataclass_fields__))

    @property
    def scheduled(self) -> dict[str, Any]:
        """The part whose fields may be schedules: the model itself."""
        return {"model": self}

    def at(self, t, dtype=None):
        """The model with the numbers that its schedules have at the time t."""
        if not self.changes_with_time:
            return self
        return at_time(self, t, dtype)


def _part(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A part of a state in words."""
    if name not in shapes:
        return f"no {name}"
    return f"{name} of the shape {shapes[name]}"


MODELS: dict[str, type[Model]] = {}


def registered(kind: type[Model]) -> type[Model]:
    """Make a model known by name, to files and to the command line."""
    MODELS[kind.__name__] = kind
    return kind
