"""The points of a sweep: a problem and a start for each combination of values.

Most values are numbers of the rule or the task.  They are checked once along their whole axis, and
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
from teacherstudent.problem import Problem
from teacherstudent.starts import Start
from teacherstudent.states.order_parameters import OrderParameters, Weights
from teacherstudent.sweeps.axes import Axis, assignments
from teacherstudent.tasks.base import with_fields
from teacherstudent.tasks.sweeping import fields_of, numbers_of, with_number

PROBLEM = ("task", "student", "rule", "loss", "batch_size", "batch_ratio")


@dataclass(frozen=True)
class Point:
    """One point of a sweep; `N` is the input dimension of its networks, if it is given."""

    problem: Problem
    start: Start
    N: int | None


def points_of(
    problem: Problem, start: Start | Callable, N: int | None, axes: Sequence[Axis]
) -> list[Point]:
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

    def __init__(self, problem: Problem):
        self.base = problem
        self.others: dict[tuple, tuple[Problem, list]] = {}
        self.parts: dict[tuple, tuple[Any, Any]] = {}
        self.are_numbers: dict[tuple, bool] = {}

    def problem(self, given: Mapping[str, Any]) -> Problem:
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
            changed[part] = self._with_numbers(getattr(made, part), values)
        return with_fields(made, changed)

    def _is_number(self, path: str, value: Any) -> bool:
        key = (path, type(value))
        if key not in self.are_numbers:
            self.are_numbers[key] = is_number(self.base, path, value)
        return self.are_numbers[key]

    def _with_others(self, others: Mapping[str, Any]) -> Problem:
        """The problem with other objects, made and checked once."""
        key = (*others, *map(id, others.values()))
        if key not in self.others:
            kept = list(others.values())  # so that their ids stay theirs
            self.others[key] = (with_entries(self.base, others), kept)
        return self.others[key][0]

    def _with_numbers(self, owner: Any, values: Mapping[str, float]) -> Any:
        """A rule or a task with other numbers, which have been checked."""
        key = (id(owner), *values.items())
        if key not in self.parts:
            changed = owner
            for entry, value in values.items():
                name = entry.replace(".", "_")
                changed = with_number(changed, _fields_with_numbers(owner), name, float(value))
            self.parts[key] = (changed, owner)
        return self.parts[key][0]


def is_number(problem: Problem, path: str, value: Any) -> bool:
    """Whether a value stands for a number of the rule or the task, which programs take as such."""
    part, _, entry = path.partition(".")
    if part not in ("rule", "task") or type(value) not in (float, int):
        return False
    owner = getattr(problem, part)
    if not is_ours(type(owner)):  # its __init__ may compute other fields from the number
        return False
    number = numbers_of(owner, _fields_with_numbers(owner)).get(entry.replace(".", "_"))
    return number is not None and isinstance(number.value, float | np.ndarray | jax.Array)


def _fields_with_numbers(owner: Any) -> Sequence[str]:
    """The fields of a rule or a task that may be numbers; a static one is part of the program."""
    static = {one.name for one in dataclasses.fields(owner) if one.metadata.get("static")}
    names = getattr(owner, "NUMBERS", None) or fields_of(owner)
    return [name for name in names if name not in static]


def _check_numbers(problem: Problem, axes: Sequence[Axis]) -> None:
    """Raise ValueError for numbers along an axis that their place does not allow."""
    for axis in axes:
        for path in axis.paths:
            values = [entries[path] for entries in axis.entries]
            if all(is_number(problem, path, value) for value in values):
                _check_along(problem, path, values)


def _check_along(problem: Problem, path: str, values: list) -> None:
    """Set a number to all its values at once, as a sequence, or one by one where that is not
    possible.
    """
    part, _, entry = path.partition(".")
    owner = getattr(problem, part)
    if "." not in entry and is_ours(type(owner)) and entry in arguments_of(owner):
        with_entries(problem, {path: np.asarray(values, float)})
        return
    for value in dict.fromkeys(values):
        with_entries(problem, {path: value})


def with_entries(problem: Problem, values: Mapping[str, Any]) -> Problem:
    """The problem with other values in some places, made and checked anew.

    Raises ValueError for a place that it does not have, or a value that is not allowed there.
    """
    parts = {name: getattr(problem, name) for name in PROBLEM}
    for name in PROBLEM:
        if name in values:
            parts[name] = values[name]
    for path, value in values.items():
        part, dot, entry = path.partition(".")
        if dot:
            parts[part] = _with_entry(parts[part], part, entry, value)
    if parts["batch_ratio"] is not None and "batch_size" not in values:
        parts["batch_size"] = 1
    return Problem(**parts)


def _with_entry(owner: Any, part: str, entry: str, value: Any) -> Any:
    """A task, student or rule with another value of one of its arguments."""
    given = arguments_of(owner)
    name, _, inner = entry.partition(".")
    if inner and name in given:
        return _with_inner(owner, part, name, inner, value)
    if entry not in given:
        raise ValueError(
            f"over has {part}.{entry}, but {type(owner).__name__} has no {entry}; its arguments "
            f"are {', '.join(given)}."
        )
    if not is_ours(type(owner)):
        _check_made_again(owner, given, part)
    return type(owner)(**{**given, entry: value})


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
    """The arguments that make a task, a student or a rule once more."""
    given = {}
    for name, parameter in inspect.signature(type(owner)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if not hasattr(owner, name):
            raise ValueError(
                f"{type(owner).__name__} cannot be made with another value, since its argument "
                f"{name} is no field of it; sweep the whole object, "
                '"task" or "rule", over a list of them.'
            )
        given[name] = getattr(owner, name)
    return given


def start_at(start: Any, problem: Problem, N: int | None) -> Start:
    """The start of one point: what a function answers for its problem, or the one start that all
    share, cut to as many units as the point has.

    Raises ValueError if it has fewer.
    """
    if callable(start):
        made = _called(start, problem, N)
        problem.check_start(made)
        return made
    K, M = problem.student.width, problem.task.directions
    has = getattr(start, "students", None), getattr(start, "teachers", None)
    if has != (K, M) and isinstance(start, OrderParameters) and not start.batch:
        return _cut(start, K, M)
    return start


def _called(start: Callable, problem: Problem, N: int | None) -> Start:
    if "N" in inspect.signature(start).parameters:
        return start(problem, N=N)
    return start(problem)


def _cut(start: OrderParameters, K: int, M: int) -> OrderParameters:
    """A start with the first K students and M teachers of one that has more."""
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
