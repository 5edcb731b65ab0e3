"""What the user's own classes and functions in a problem compute, as texts.

A class that was edited keeps its name, and goes on in another way; so does a function in which a
number that it takes from outside has changed.  A text has the source, and the numbers, arrays and
functions that the source takes from around it.  Of what was typed at a prompt there is no source:
its bytecode stands for it.
"""

import hashlib
import inspect
from collections.abc import Iterator
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from teacherstudent.checking import contracts
from teacherstudent.schedules import all_schedules

DEEPEST = 8  # functions that call each other


def own_sources(problem: Any) -> list[str]:
    """The texts of the user's own classes and functions in a problem."""
    student = problem.student
    teacher = getattr(problem.task, "activation", None)
    schedules = all_schedules((problem.task, problem.rule))
    parts = (problem.task, problem.rule, problem.loss, student.activation, teacher, *schedules)
    texts = []
    for part in parts:
        for base in type(part).__mro__:
            if contracts.is_ours(base):
                break
            texts.append(text_of(base))
        for function in _functions_of(part):
            texts.append(text_of(function))
    return [text for text in texts if text]


def _functions_of(part: Any) -> Iterator[Any]:
    """The functions that an object of ours holds for its user, such as that of an activation."""
    for value in getattr(part, "__dict__", {}).values():
        several = value if isinstance(value, tuple | list) else (value,)
        for one in several:
            if isinstance(one, FunctionType) and not contracts.is_ours(one):
                yield one


def text_of(owner: Any) -> str:
    """The text of one class or function of the user's; "" for what is not the user's own."""
    return _text_of(owner, DEEPEST)


def _text_of(owner: Any, depth: int) -> str:
    if not isinstance(owner, type | FunctionType) or not _is_own(owner):
        return ""
    parts = [_source(owner)]
    functions = [owner] if isinstance(owner, FunctionType) else _methods(owner)
    for function in functions:
        for name, value in _taken_from_outside(function):
            parts.append(f"{name} = {_value(value, depth)}")
    return "\n".join(parts)


def _is_own(owner: Any) -> bool:
    """Whether a class or function was written by the user: not by us, nor in a library."""
    if contracts.is_ours(owner):
        return False
    package = str(getattr(owner, "__module__", "")).partition(".")[0]
    return package not in LIBRARIES


LIBRARIES = {"builtins", "jax", "jaxlib", "numpy", "scipy", "equinox", "optax", "diffrax", "abc"}


def _source(owner: Any) -> str:
    with suppress(OSError, TypeError):
        return inspect.getsource(owner)
    if isinstance(owner, FunctionType):
        return f"{owner.__qualname__} {_code(owner.__code__)}"
    return "\n".join(f"{one.__qualname__} {_code(one.__code__)}" for one in _methods(owner))


def _code(code: Any) -> str:
    """What a function without source does."""
    constants = [_code(one) if hasattr(one, "co_code") else repr(one) for one in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _methods(owner: type) -> list[FunctionType]:
    """The functions that a class defines."""
    found = []
    for value in vars(owner).values():
        inner = getattr(value, "__func__", getattr(value, "fget", value))
        inner = inspect.unwrap(inner) if callable(inner) else inner
        if isinstance(inner, FunctionType):
            found.append(inner)
    return found


def _taken_from_outside(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Names and values of what a function finds around it: in its closure, its module, and its
    defaults.
    """
    with suppress(TypeError, ValueError):
        found = inspect.getclosurevars(function)
        yield from sorted({**found.globals, **found.nonlocals}.items())
    yield "defaults", function.__defaults__
    yield "keyword defaults", function.__kwdefaults__


def _value(value: Any, depth: int) -> str:
    """A value as a text that changes with it, as far as that can be told."""
    if isinstance(value, type | FunctionType):
        inner = _text_of(value, depth - 1) if depth else ""
        return f"{value.__module__}.{value.__qualname__} {inner}"
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, dict):
        return str(
            {str(key): _value(one, depth - 1) for key, one in value.items()} if depth else ""
        )
    if isinstance(value, tuple | list):
        return str([_value(one, depth - 1) for one in value] if depth else "")
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    with suppress(Exception):  # whatever the object of a stranger does not allow
        array = np.asarray(value)
        if array.dtype.kind in "biufc":
            content = np.ascontiguousarray(array).tobytes()
            return f"{array.dtype}{array.shape} {hashlib.sha256(content).hexdigest()}"
    return f"{type(value).__module__}.{type(value).__qualname__}"
