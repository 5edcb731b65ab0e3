"""Numbers that are given as sequences of values: those of a sweep.

A number of a rule or a task may be a sequence, and so may a parameter of a schedule that stands for
one: of `learning_rate=ts.exponential(0.5, rate=[0.1, 0.2])` the sweep is `learning_rate_rate`.
"""

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from teacherstudent.checking.contracts import is_ours
from teacherstudent.schedules import Schedule
from teacherstudent.tasks.base import Task, with_fields


class Number(NamedTuple):
    """One number of a rule or a task, or one parameter of a schedule in its place.

    - `value`: a float, or an array with an entry for each value of a sweep.
    - `field`: the name of the field of the rule or the task.
    - `with_value`: what stands in this field with another value of the number.
    """

    value: Any
    field: str
    with_value: Callable[[Any], Any]


def numbers_of(part: Any, fields: Iterable[str]) -> dict[str, Number]:
    """The numbers in some fields of a rule or a task, by name."""
    numbers = {}
    for field in fields:
        value = getattr(part, field)
        if isinstance(value, Schedule):
            numbers.update(_parameters(value, field))
        else:
            numbers[field] = Number(value, field, _itself)
    return numbers


def _itself(value):
    return value


def _parameters(schedule: Schedule, field: str) -> dict[str, Number]:
    """The parameters of a schedule, named after its field."""
    paths, structure = jax.tree_util.tree_flatten_with_path(schedule)
    leaves = [leaf for _, leaf in paths]
    numbers = {}
    for index, (path, leaf) in enumerate(paths):

        def with_value(value, index=index):
            return structure.unflatten([*leaves[:index], value, *leaves[index + 1 :]])

        name = "_".join([field, *map(_word, path)])
        numbers[name] = Number(leaf, field, with_value)
    return numbers


def _word(key: Any) -> str:
    """A step of a path into a pytree as a word of a name."""
    for attribute in ("name", "idx", "key"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def swept(part: Any, fields: Iterable[str]) -> dict[str, np.ndarray]:
    """The numbers in some fields that are given as sequences, by name."""
    values = {name: number.value for name, number in numbers_of(part, fields).items()}
    return {name: np.asarray(value) for name, value in values.items() if np.ndim(value) == 1}


def fields_of(rule: Any) -> list[str]:
    """The fields of a rule that may be numbers."""
    names = [field.name for field in dataclasses.fields(rule)]
    return [name for name in names if name not in rule.VECTORS]


def with_number(part: Any, fields: Iterable[str], name: str, value: Any) -> Any:
    """A rule or a task with another value of one of its numbers."""
    number = numbers_of(part, fields)[name]
    return with_fields(part, {number.field: number.with_value(value)})


def swept_numbers(task: Task) -> dict[str, np.ndarray]:
    """The numbers of a task that are given as sequences, by name."""
    kind = type(task)
    fields = {field.name for field in dataclasses.fields(kind)}
    for name in task.NUMBERS:
        if name not in fields:
            raise ValueError(
                f"{kind.__name__}.NUMBERS names {name}, which is no field of the class; its fields "
                f"are {', '.join(sorted(fields))}."
            )
    return swept(task, task.NUMBERS)


def first_task(task: Task) -> Task:
    """The task at the first value of each sequence."""
    return next(each_task(task))


def first_problem(problem: Any) -> Any:
    """The problem at the first value of each sequence."""
    rule, fields = problem.rule, fields_of(problem.rule)
    for name, values in swept(rule, fields).items():
        rule = with_number(rule, fields, name, float(values[0]))
    return with_fields(problem, {"task": first_task(problem.task), "rule": rule})


def each_task(task: Task) -> Iterator[Task]:
    """The task at every combination of the values of its sequences, the last of them fastest."""
    sequences = swept_numbers(task)
    for values in itertools.product(*sequences.values()):
        yield _with_numbers(task, dict(zip(sequences, values, strict=True)))


def stacked_for_programs(task: Task) -> Task:
    """The task as programs take it, with a leading axis of all its arrays for each sequence.

    What a class computes of its numbers, such as the components of a mixture, it computes for each
    value by itself.
    """
    sequences = swept_numbers(task)
    if not sequences:
        return task.for_programs()
    shape = tuple(len(values) for values in sequences.values())
    single = [one.for_programs() for one in each_task(task)]

    def stacked(*leaves):
        stack = jnp.stack if any(isinstance(leaf, jax.Array) for leaf in leaves) else np.stack
        return stack(leaves).reshape(*shape, *np.shape(leaves[0]))

    return jax.tree.map(stacked, *single)


def _with_numbers(task: Task, values: dict[str, float]) -> Task:
    """The task with other numbers.

    A class of one's own may have computed other fields from them, so that it is made anew.
    """
    changed = task
    for name, value in values.items():
        changed = with_number(changed, task.NUMBERS, name, value)
    if not values or is_ours(type(task)):
        return changed
    first = next(iter(values))
    if not _same_numbers(task, type(task)(**_arguments_of(task, first))):
        raise ValueError(
            f"{type(task).__name__}.{first} is a sequence, but the tasks at its "
            "values cannot be made: __init__ keeps other numbers than it is given, so that making "
            "a task from the fields of this one gives another; keep the arguments as fields and "
            "compute from them in methods, or give one number and call integrate for each."
        )
    return type(task)(**_arguments_of(changed, first))


def _arguments_of(task: Task, swept_number: str) -> dict[str, Any]:
    """The fields of a task of one's own by the names that its __init__ takes."""
    arguments = {}
    for name in inspect.signature(type(task)).parameters:
        if not hasattr(task, name):
            raise ValueError(
                f"{type(task).__name__}.{swept_number} is a sequence, but the tasks at its "
                f"values cannot be made: {name}, which __init__ takes, is no field of the class; "
                "keep it as one, or give one number and call integrate for each."
            )
        arguments[name] = getattr(task, name)
    return arguments


def _same_numbers(one: Task, other: Task) -> bool:
    """Whether all fields of two tasks of one class are equal."""
    leaves, structure = jax.tree.flatten(one)
    others, structure_of_other = jax.tree.flatten(other)
    if str(structure) != str(structure_of_other):
        return False
    return all(np.array_equal(*pair) for pair in zip(leaves, others, strict=True))
