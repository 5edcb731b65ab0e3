"""Checks of the arguments of a call before anything else happens.

`checked` decorates what users call: it looks at the names of arguments, and at the types that
annotations name.  Numbers, and names out of a list, are checked by the function itself, with
`checks`.
"""

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import numpy as np
import xarray as xr

from teacherstudent.checking import checks

P = ParamSpec("P")
Answer = TypeVar("Answer")

# Annotations with one of these types are checked; a number, a callable or an array says more in
# `checks`.
CHECKED = (eqx.Module, xr.Dataset, xr.DataTree, bool, str, os.PathLike)


def checked(function: Callable[P, Answer], prefix: str = "") -> Callable[P, Answer]:
    """The function, which first looks at the names and types of its arguments.

    Types are looked at where an annotation has a class of ours.  `prefix` stands in front of the
    names where users write them so: "student." in an experiment's file.

    The call raises TypeError for an argument that is unknown (with the nearest known one), missing
    or given twice, and ValueError for one of another type.
    """
    signature = inspect.signature(function)
    types_by_name = {}
    for name, parameter in signature.parameters.items():
        allowed = _types_of(parameter)
        if allowed:
            types_by_name[name] = allowed

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            title = _title(function, args)
            fields = getattr(type(args[0]), "__dataclass_fields__", ()) if args else ()
            raise TypeError(_wrong_names(title, signature, kwargs, error, fields)) from None
        for name, allowed in types_by_name.items():
            if name in given:
                _check_type(prefix + name, given[name], allowed)
        return function(*args, **kwargs)

    return call


def of(prefix: str) -> Callable[[Callable[P, Answer]], Callable[P, Answer]]:
    """`checked` for arguments that users write with a prefix."""
    return functools.partial(checked, prefix=prefix)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    if not near:  # "lr" is close to "learning_rate" by its initials only
        near = [candidate for candidate in names if name and _initials(candidate) == name]
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(names)}."


def _initials(name: str) -> str:
    """The first letter of each word of a name."""
    return "".join(word[:1] for word in name.split("_"))


def _title(function: Callable, args: tuple) -> str:
    """What a user has called: a function, or the class that is being made."""
    if args and function.__name__ == "__init__":
        # While __init__ runs, Equinox gives the object a class of another name.
        return type(args[0]).__name__.removeprefix("_Initable")
    return function.__qualname__.removesuffix(".__init__")


def _wrong_names(
    title: str,
    signature: inspect.Signature,
    keywords: dict[str, Any],
    error: TypeError,
    fields: Iterable[str] = (),
) -> str:
    """What is wrong with the names or the number of the arguments.

    A class of one's own may have `fields` that the constructor it inherits does not know.
    """
    known = [name for name in signature.parameters if name not in ("self", "cls")]
    unknown = [name for name in keywords if name not in known]
    if unknown and unknown[0] in fields:
        return (
            f"{title} has a field {unknown[0]}, but the __init__ that it inherits takes only "
            f"{', '.join(known)}; write an __init__ that takes {unknown[0]} as well."
        )
    if unknown:
        return (
            f"{title} has no argument {checks.shortened(unknown[0])}; "
            f"{suggestion(unknown[0], known)}"
        )
    return f"{title}({', '.join(known)}): {checks.first_line(error)}."


def _types_of(parameter: inspect.Parameter) -> tuple[type, ...]:
    """The types that the annotation of a parameter allows; none if it is not checked here."""
    annotation = parameter.annotation
    is_container = isinstance(annotation, types.GenericAlias)  # such as list[int]
    if is_container or annotation is str or parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return ()
    alternatives = typing.get_args(annotation) or (annotation,)
    plain = tuple(getattr(kind, "__origin__", kind) for kind in alternatives)
    if all(_is_checked(kind) for kind in plain):
        return plain
    return ()


def _is_checked(kind) -> bool:
    """Whether values are compared with a type of an annotation."""
    return isinstance(kind, type) and issubclass(kind, (*CHECKED, types.NoneType))


def _check_type(name: str, value, allowed: tuple[type, ...]) -> None:
    """Raise ValueError unless the value is of one of the types."""
    if isinstance(value, allowed):
        return
    found = checks.kind_of(value)
    if isinstance(value, str | bytes | bool | int | float | complex | np.generic | None):
        found = checks.shortened(value)
    words = dict.fromkeys(_name_of(kind) for kind in allowed)
    raise ValueError(f"{name} is {found}; give {' or '.join(words)}.")


def _name_of(kind: type) -> str:
    """A type in words."""
    words = {bool: "True or False", os.PathLike: "a path", str: "a string", types.NoneType: "None"}
    return words.get(kind) or checks.with_article(kind.__name__)
