"""The points of a sweep: a problem and a start for each combination of values.

A problem is here whatever is learnt, a `Problem` or another model.  Most values are numbers of the
rule, the task or the model.  They are checked once along their whole axis, and
then put in their places without a check for each point: ten thousand points take a second.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from teacherstudent.checking import checks
from teacherstudent.checking.contracts import is_ours
from teacherstudent.display import Described
from teacherstudent.models.learnable import Learnable
from teacherstudent.schedules import Schedule
from teacherstudent.states.order_parameters import OrderParameters, Weights
from teacherstudent.sweeps.axes import Axis, assignments
from teacherstudent.tasks.sweeping import fields_of, numbers_of, with_number


@dataclass(frozen=True)
class Point:
    """One point of a sweep; `N` is the input dimension of its networks, if it is given."""

    problem: Any
    start: Any
    N: int | None


def points_of(problem: Learnable, start: Any, N: int | None, axes: Sequence[Axis]) -> list[Point]:
    """All points, the last axis fastest.

    Raises ValueError for a value that is not allowed in its place.
    """
    _check_numbers(problem, axes)
    maker = _Maker(problem)
    points = []
    for given in assignments(axes):
        one = maker.problem(given)
        size = given.get("N", N)
        begin = start_at(given.get("start", start), one, size)
        points.append(Point(one, begin, size))
    return points


class _Maker:
    """Makes the problems of points; what several points share, such as a task, is one object."""

    def __init__(self, problem: Learnable):
        self.base = problem
        self.others: dict[tuple, tuple[Any, list]] = {}
        self.parts: dict[tuple, tuple[Any, Any]] = {}
        self.are_numbers: dict[tuple, bool] = {}

    def problem(self, given: Mapping[str, Any]) -> Any:
        """The problem with the given values in their places."""
        numbers: dict[str, dict[str, float]] = {}
        others = {}
        for path, value in given.items():
            part, _, entry = path.partition(".")
            if part not in given and self._is_number(path, value):
                numbers.setdefault(part, {})[entry] = value
            elif part not in ("start", "N"):
                others[path] = value
        made = self._with_others(others)
        changed = {}
        for part, values in numbers.items():
            changed[part] = self._with_numbers(made.named_parts[part], values)
        return made.with_checked_parts(changed)

    def _is_number(self, path: str, value: Any) -> bool:
        key = (path, type(value))
        if key not in self.are_numbers:
            self.are_numbers[key] = is_number(self.base, path, value)
        return self.are_numbers[key]

    def _with_others(self, others: Mapping[str, Any]) -> Any:
        """The problem with other objects, made and checked once."""
        key = (*others, *map(id, others.values()))
        if key not in self.others:
            kept = list(others.values())  # so that their ids stay theirs
            self.others[key] = (with_entries(self.base, others), kept)
        return self.others[key][0]

    def _with_numbers(self, owner: Any, values: Mapping[str, float]) -> Any:
        """A rule, a task or a model with other numbers, which have been checked."""
        key = (id(owner), *values.items())
        if key not in self.parts:
            changed = owner
            for entry, value in values.items():
                name = entry.replace(".", "_")
                changed = with_number(changed, _fields_with_numbers(owner), name, float(value))
            self.parts[key] = (changed, owner)
        return self.parts[key][0]


def is_number(problem: Learnable, path: str, value: Any) -> bool:
    """Whether a value stands for a number of the rule, the task or the model, which programs take
    as such.
    """
    part, _, entry = path.partition(".")
    if part not in problem.PLACES.numbers or type(value) not in (float, int):
        return False
    owner = problem.named_parts[part]
    if not is_ours(type(owner)):  # its __init__ may compute other fields from the number
        return False
    number = numbers_of(owner, _fields_with_numbers(owner)).get(entry.replace(".", "_"))
    return number is not None and isinstance(number.value, float | np.ndarray | jax.Array)


def _fields_with_numbers(owner: Any) -> Sequence[str]:
    """The fields of a rule, a task or a model that may be numbers; a static one is part of the
    program.
    """
    static = {one.name for one in dataclasses.fields(owner) if one.metadata.get("static")}
    names = getattr(owner, "NUMBERS", None)
    if names is None:  # a rule
        names = fields_of(owner)
    return [name for name in names if name not in static]


def _check_numbers(problem: Learnable, axes: Sequence[Axis]) -> None:
    """Raise ValueError for numbers along an axis that their place does not allow."""
    for axis in axes:
        for path in axis.paths:
            values = [entries[path] for entries in axis.entries]
            if all(is_number(problem, path, value) for value in values):
                _check_along(problem, path, values)


def _check_along(problem: Learnable, path: str, values: list) -> None:
    """Set a number to all its values at once, as a sequence, or one by one where that is not
    possible.
    """
    part, _, entry = path.partition(".")
    owner = problem.named_parts[part]
    if "." not in entry and is_ours(type(owner)) and entry in arguments_of(owner):
        with_entries(problem, {path: np.asarray(values, float)})
        return
    for value in dict.fromkeys(values):
        with_entries(problem, {path: value})


def with_entries(problem: Any, values: Mapping[str, Any]) -> Any:
    """The problem with other values in some places, made and checked anew.

    Raises ValueError for a place that it does not have, or a value that is not allowed there.
    """
    parts = problem.named_parts
    changed = {name: value for name, value in values.items() if name in problem.PLACES.whole}
    entries: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        part, dot, entry = path.partition(".")
        if dot:
            entries.setdefault(part, {})[entry] = value
    for part, some in entries.items():
        changed[part] = _with_arguments(changed.get(part, parts[part]), part, some)
    return problem.with_parts(changed)


def _with_arguments(owner: Any, place: str, values: Mapping[str, Any]) -> Any:
    """A part of a problem with other values of some of its arguments.

    An argument that is an object, such as the reward of a model, may have arguments of its own,
    "reward.penalty"; one that is a schedule has parameters.  All arguments change at once, as one
    of them may not fit the others as they were.
    """
    given = arguments_of(owner)
    changed: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for entry, value in values.items():
        name, dot, rest = entry.partition(".")
        if name not in given or (dot and not rest):
            raise ValueError(
                f"over has {place}.{entry}, but {type(owner).__name__} has no {entry}; its "
                f"arguments are {', '.join(given) or 'none'}."
            )
        if dot:
            inner.setdefault(name, {})[rest] = value
        else:
            changed[name] = value
    parameters = {}
    for name, some in inner.items():
        part = changed.get(name, given[name])
        if isinstance(part, Described) and not isinstance(part, Schedule):
            changed[name] = _with_arguments(part, f"{place}.{name}", some)
        else:
            parameters[name] = some
    if changed:
        if not is_ours(type(owner)):
            _check_made_again(owner, given, place)
        owner = type(owner)(**{**given, **changed})
    for name, some in parameters.items():
        for rest, value in some.items():
            owner = _with_inner(owner, place, name, rest, value)
    return owner


def _check_made_again(owner: Any, given: Mapping[str, Any], part: str) -> None:
    """Raise ValueError for an object of the user's that its own fields do not make once more."""
    again = type(owner)(**given)
    leaves, structure = jax.tree.flatten(owner)
    others, structure_of_other = jax.tree.flatten(again)
    same = str(structure) == str(structure_of_other)
    if not same or not all(map(np.array_equal, leaves, others)):
        raise ValueError(
            f"{type(owner).__name__} keeps other numbers than its __init__ is given, so that it "
            "cannot be made with one of them changed; keep the arguments as fields, or sweep the "
            f'whole object: over={{"{part}": [...]}}.'
        )


def _with_inner(owner: Any, part: str, name: str, inner: str, value: Any) -> Any:
    """The same with another value of a parameter of a schedule."""
    numbers = numbers_of(owner, [name])
    if checks.real_numbers(value) is None or np.ndim(value):
        raise ValueError(
            f"{part}.{name}.{inner} = {checks.shortened(value)} is not a number; give one."
        )
    wanted = f"{name}_{inner.replace('.', '_')}"
    if wanted not in numbers:
        known = ", ".join(one.removeprefix(f"{name}_") for one in numbers if one != name)
        raise ValueError(
            f"over has {part}.{name}.{inner}, but {part}.{name} is "
            f"{checks.shortened(getattr(owner, name))}, whose parameters are {known or 'none'}."
        )
    return with_number(owner, [name], wanted, float(value))


def arguments_of(owner: Any) -> dict[str, Any]:
    """The arguments that make a task, a student, a rule or a model once more."""
    given = {}
    for name, parameter in inspect.signature(type(owner)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if not hasattr(owner, name):
            raise ValueError(
                f"{type(owner).__name__} cannot be made with another value, since its argument "
                f"{name} is no field of it; sweep the whole object, "
                '"task", "rule" or "model", over a list of them.'
            )
        given[name] = getattr(owner, name)
    return given


def start_at(start: Any, problem: Any, N: int | None) -> Any:
    """The start of one point: what a function answers for its problem, or the one start that all
    share, cut to as many units as the point has.

    Raises ValueError if it has fewer.
    """
    if callable(start):
        made = _called(start, problem, N)
        problem.check_start(made)
        return made
    units = problem.units
    if units and isinstance(start, OrderParameters) and not start.batch:
        return _cut(start, units["student"], units["teacher"])
    return start


def _called(start: Callable, problem: Any, N: int | None) -> Any:
    if "N" in inspect.signature(start).parameters:
        return start(problem, N=N)
    return start(problem)


def _cut(start: OrderParameters, K: int, M: int) -> OrderParameters:
    """A start with the first K students and M teachers of one that may have more."""
    if (start.students, start.teachers) == (K, M):
        return start
    if start.students < K or start.teachers < M:
        raise ValueError(
            f"start has {start.students} student and {start.teachers} teacher units, but a point "
            f"of the sweep has {K} and {M}; give a start for the widest point (others take its "
            "first units), or a function of the problem, such as start=lambda problem: "
            "ts.random_start(problem, N=1000)."
        )
    weights = None
    if start.weights is not None:
        weights = Weights(start.weights.w[:K], start.weights.w_star[:M])
    return OrderParameters(
        Q=start.Q[:K, :K],
        R=start.R[:K, :M],
        T=start.T[:M, :M],
        v=start.v[:K],
        b=start.b[:K],
        weights=weights,
        time=start.time,
    )
