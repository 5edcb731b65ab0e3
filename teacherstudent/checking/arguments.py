"""Checks of the arguments of a call before anything else happens: their names, and the types that
annotations name.

`checked` decorates what users call.  Numbers, and names out of a list, are checked by the function
itself, with `checks`.
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
    """The function, which first looks at the names of its arguments and at the types of those that
    have a class of ours.

    `prefix` stands in front of the names where users write them so: "student." in an experiment's
    file.

    The call raises TypeError for an argument that is unknown (with the nearest known one), missing
    or given twice, and ValueError for one of another type.
    """
    signature = inspect.signature(function)
    wanted = {name: _types_of(one) for name, one in signature.parameters.items()}
    wanted = {name: kinds for name, kinds in wanted.items() if kinds}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            title = function.__qualname__.removesuffix(".__init__")
            if args and function.__name__ == "__init__":
                title = type(args[0]).__name__.removeprefix(
                    "_Initable"
                )  # of a class that inherits it
            raise TypeError(_wrong_names(title, signature, kwargs, error)) from None
        for name, kinds in wanted.items():
            if name in given:
                _check_type(prefix + name, given[name], kinds)
        return function(*args, **kwargs)

    return call


def of(prefix: str) -> Callable[[Callable[P, Answer]], Callable[P, Answer]]:
    """`checked` for arguments that users write with a prefix."""
    return functools.partial(checked, prefix=prefix)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    if not near:  # "lr" and "learning_rate": the initials, or the beginning of a word
        near = [
            one for one in names if name and "".join(word[:1] for word in one.split("_")) == name
        ]
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}."


def _wrong_names(
    title: str, signature: inspect.Signature, keywords: dict[str, Any], error: TypeError
) -> str:
    """What is wrong with the names or the number of the arguments."""
    known = [name for name in signature.parameters if name not in ("self", "cls")]
    unknown = [name for name in keywords if name not in known]
    if unknown:
        return (
            f"{title} has no argument {checks.shortened(unknown[0])}; "
            f"{suggestion(unknown[0], known)}"
        )
    return f"{title}({', '.join(known)}): {checks.first_line(error)}."


def _types_of(parameter: inspect.Parameter) -> tuple[type, ...]:
    """The types that the annotation of a parameter allows, or none if they are not all checked
    here.
    """
    kinds = typing.get_args(parameter.annotation) or (parameter.annotation,)
    if (
        isinstance(parameter.annotation, types.GenericAlias)
        or parameter.kind is inspect.Parameter.VAR_KEYWORD
    ):
        return ()
    plain = tuple(getattr(kind, "__origin__", kind) for kind in kinds)
    classes = all(
        isinstance(kind, type) and issubclass(kind, (*CHECKED, types.NoneType)) for kind in plain
    )
    return plain if classes and parameter.annotation is not str else ()


def _check_type(name: str, value, kinds: tuple[type, ...]) -> None:
    if isinstance(value, kinds):
        return
    plain = isinstance(value, str | bytes | bool | int | float | complex | np.generic | None)
    shown = checks.shortened(value) if plain else checks.kind_of(value)
    names = " or ".join(dict.fromkeys(_name_of(kind) for kind in kinds))
    raise ValueError(f"{name} is {shown}; give {names}.")


def _name_of(kind: type) -> str:
    words = {bool: "True or False", os.PathLike: "a path", str: "a string", types.NoneType: "None"}
    return words.get(kind) or f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"
