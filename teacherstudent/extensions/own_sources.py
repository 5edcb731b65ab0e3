"""What the user's own classes and functions in a problem compute, as texts.

A class that was edited keeps its name, and goes on in another way; so does a function in which a
number that it takes from outside has changed.  A text has the source, and the numbers, arrays and
functions that the source takes from around it.  Of what was typed at a prompt there is no source:
its bytecode stands for it.
"""

import dataclasses
import functools
import hashlib
import inspect
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from teacherstudent.activations.activation import ACTIVATIONS
from teacherstudent.checking import contracts
from teacherstudent.schedules import all_schedules

DEEPEST = 12  # levels of objects in each other, and of functions that call each other


def own_sources(problem: Any) -> list[str]:
    """The texts of the user's own classes and functions in a problem."""
    texts = []
    for part in (*problem.parts, *all_schedules(problem.parts)):
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
    return _text_of(owner, DEEPEST, frozenset())


def _text_of(owner: Any, depth: int, seen: frozenset[int]) -> str:
    if not isinstance(owner, type | FunctionType) or not _is_own(owner) or depth <= 0:
        return ""
    parts = [_source(owner)]
    functions = [owner] if isinstance(owner, FunctionType) else _methods(owner)
    for function in functions:
        for name, value in _taken_from_outside(function):
            parts.append(f"{name} = {content_of(value, depth - 1, seen | {id(owner)})}")
    return "\n".join(parts)


def _is_own(owner: Any) -> bool:
    """Whether a class or function was written by the user: not by us, nor in a library."""
    module = getattr(owner, "__module__", None)
    if not isinstance(module, str) or contracts.is_ours(owner):
        return False
    return module.partition(".")[0] not in LIBRARIES


LIBRARIES = {"builtins", "jax", "jaxlib", "numpy", "scipy", "equinox", "optax", "diffrax", "abc"}


def _source(owner: Any) -> str:
    """What a class or a function does: its text, and of a function its bytecode as well, since two
    functions may stand on one line.
    """
    text = ""
    with suppress(OSError, TypeError):
        text = inspect.getsource(owner)
    if isinstance(owner, FunctionType):
        return f"{text} {_code(owner.__code__)}"
    if text:
        return text
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


def content_of(value: Any, depth: int = DEEPEST, seen: frozenset[int] = frozenset()) -> str:
    """A text that two values have in common if they are the same, whatever they are made of.

    `seen` are classes and functions inside of which this value was found.  Of what nobody can tell
    that it is the same, the text is a new one each time.
    """
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, type | FunctionType):
        return _content_of_code(value, depth, seen)
    if isinstance(value, ModuleType):
        return value.__name__
    if not depth:
        return _nobody_knows(value)

    def inside(part: Any) -> str:
        return content_of(part, depth - 1, seen)

    if isinstance(value, Mapping):
        return f"{type(value).__name__} {sorted((str(k), inside(v)) for k, v in value.items())}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} {[inside(one) for one in value]}"
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} {sorted(inside(one) for one in value)}"
    with suppress(Exception):  # whatever the object of a stranger does not allow
        array = np.asarray(value)
        if array.dtype.kind in "biufcUS":
            content = np.ascontiguousarray(array).tobytes()
            return f"{array.dtype}{array.shape} {hashlib.sha256(content).hexdigest()}"
    return _content_of_object(value, inside)


def _content_of_code(owner: Any, depth: int, seen: frozenset[int]) -> str:
    """A class or a function: by name, and by what the user's own does.

    Of a function of a library what it has captured counts, such as the numbers of a schedule.
    """
    name = f"{owner.__module__}.{owner.__qualname__}"
    if id(owner) in seen or depth <= 0:
        return name
    if _is_own(owner):
        return f"{name} {_text_of(owner, depth, seen)}"
    captured = []
    cells = getattr(owner, "__closure__", None) or ()
    if "<locals>" not in owner.__qualname__:  # what a decorator of the library has captured
        cells = ()
    for cell in cells:
        with suppress(ValueError):  # it is empty
            captured.append(content_of(cell.cell_contents, depth - 1, seen | {id(owner)}))
    return f"{name} {captured}"


def _content_of_object(value: Any, inside: Callable[[Any], str]) -> str:
    """An object: its class, and what it holds; `inside` is the content of a part."""
    kind = inside(type(value))
    if getattr(value, "name", None) in ACTIVATIONS and ACTIVATIONS[value.name] == value:
        return f"activation {value.name}"
    if isinstance(value, functools.partial):
        return f"partial {inside((value.func, value.args, value.keywords))}"
    inner = getattr(value, "__wrapped__", None) or getattr(value, "__func__", None)
    if inner is not None:  # a function that JAX has compiled, or a method of an object
        return f"{kind} {inside((inner, getattr(value, '__self__', None)))}"
    if dataclasses.is_dataclass(value):
        fields = {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
        return f"{kind} {inside(fields)}"
    if getattr(value, "__dict__", None):
        return f"{kind} {inside(vars(value))}"
    if hasattr(value, "__name__"):  # what is built in, or a function of NumPy
        return f"{kind} {value.__name__}"
    return _nobody_knows(value)


def _nobody_knows(value: Any) -> str:
    return f"{type(value).__qualname__} {uuid.uuid4()}"
