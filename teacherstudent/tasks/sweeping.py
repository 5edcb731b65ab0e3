"""A task with a sequence of values for one or several of its numbers: the tasks of a sweep."""

import dataclasses
import inspect
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from teacherstudent.checking.contracts import is_ours
from teacherstudent.tasks.base import Task, with_fields


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
    numbers = {name: getattr(task, name) for name in task.NUMBERS}
    return {name: np.asarray(value) for name, value in numbers.items() if np.ndim(value) == 1}


def first_task(task: Task) -> Task:
    """The task at the first value of each sequence."""
    return next(each_task(task))


def each_task(task: Task) -> Iterator[Task]:
    """The task at every combination of the values of its sequences, the last of them fastest."""
    swept = swept_numbers(task)
    for values in itertools.product(*swept.values()):
        yield _with_numbers(task, dict(zip(swept, values, strict=True)))


def stacked_for_programs(task: Task) -> Task:
    """The task as programs take it, with a leading axis of all its arrays for each sequence.

    What a class computes of its numbers, such as the components of a mixture, it computes for each
    value by itself.
    """
    swept = swept_numbers(task)
    if not swept:
        return task.for_programs()
    shape = tuple(len(values) for values in swept.values())
    single = [one.for_programs() for one in each_task(task)]

    def stacked(*leaves):
        stack = jnp.stack if any(isinstance(leaf, jax.Array) for leaf in leaves) else np.stack
        return stack(leaves).reshape(*shape, *np.shape(leaves[0]))

    return jax.tree.map(stacked, *single)


def _with_numbers(task: Task, values: dict[str, float]) -> Task:
    """The task with other numbers.

    A class of one's own may have computed other fields from them, so that it is made anew.
    """
    if not values or is_ours(type(task)):
        return with_fields(task, values)
    arguments = {}
    for name in inspect.signature(type(task)).parameters:
        if not hasattr(task, name):
            raise ValueError(
                f"{type(task).__name__}.{next(iter(values))} is a sequence, but the tasks at its "
                f"values cannot be made: {name}, which __init__ takes, is no field of the class; "
                "keep it as one, or give one number and call integrate for each."
            )
        arguments[name] = getattr(task, name)
    again = type(task)(**arguments)
    if not _same_numbers(task, again):
        raise ValueError(
            f"{type(task).__name__}.{next(iter(values))} is a sequence, but the tasks at its "
            "values cannot be made: __init__ keeps other numbers than it is given, so that making "
            "a task from the fields of this one gives another; keep the arguments as fields and "
            "compute from them in methods, or give one number and call integrate for each."
        )
    return type(task)(**arguments | values)


def _same_numbers(one: Task, other: Task) -> bool:
    """Whether all fields of two tasks of one class are equal."""
    leaves, structure = jax.tree.flatten(one)
    others, structure_of_other = jax.tree.flatten(other)
    if str(structure) != str(structure_of_other):
        return False
    return all(np.array_equal(*pair) for pair in zip(leaves, others, strict=True))
