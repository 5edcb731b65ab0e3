"""What a class of one's own changes of a class of ours, and functions of which it inherits nothing
that it changes.

A theory, a closed form or a law of inputs is derived for the methods of one class.  Python hands it
on to every subclass, also to one with another `update` or other labels, for which it is wrong.  A
function made by `for_each_class` has one part for each registered class; a subclass that changes
methods of that class has none of its own until it registers one.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import jax

PACKAGES = ("teacherstudent", "odes", "sims")
SPECIAL = (
    "__call__",
    "__getattr__",
    "__getattribute__",
)  # other names with underscores are Python's own affair
# A task that brings such a method means it to be used, which it is not: averages of one's own are
# an `InputTheory`.
ADDED = ("gradient",)
# None of these moves a weight, or labels an input.
HARMLESS = (
    "BINARY_LABELS",
    "KNOWS_BIASES",
    "NUMBERS",
    "TIME",
    "_abc_impl",
    "check_fixed_overlaps",
    "error",
    "for_programs",
    "optax",
    "rotation_invariant",
    "shown",
    "warn_theory",
    "why_not_rotation_invariant",
)

_registered: dict[
    type, set[str]
] = {}  # which parts each class has brought, by the names of the functions


def changes(kind: type, base: type, honoured: Iterable[str] = ()) -> list[str]:
    """Names of the attributes of `base` that its subclass `kind` defines anew, without those that
    are `honoured`.

    To define what is abstract in `base` is no change.
    """
    if kind is base:
        return []
    names = {name for name in dir(base) if not name.startswith("__") or name in SPECIAL}
    names |= (
        {field.name for field in dataclasses.fields(base)}
        if dataclasses.is_dataclass(base)
        else set()
    )
    names |= {*SPECIAL, *ADDED}
    names -= {*HARMLESS, *honoured, *getattr(base, "__abstractmethods__", ())}
    definition = functools.partial(inspect.getattr_static, default=None)
    return sorted(name for name in names if definition(kind, name) is not definition(base, name))


def nearest(kind: type, known: Iterable[type]) -> type | None:
    """The first of the known classes among a class and its bases."""
    known = set(known)
    return next((one for one in kind.__mro__ if one in known), None)


def registered_parts(kind: type, base: type) -> set[str]:
    """The functions that a class, or one between it and `base`, has registered parts of."""
    between = kind.__mro__[: kind.__mro__.index(base)]
    return set().union(*(_registered.get(one, ()) for one in between))


def is_ours(kind: type | Callable) -> bool:
    """Whether a class or a function is defined in this package."""
    return kind.__module__.split(".")[0] in PACKAGES


def sentence(kind: type, base: type, names: Iterable[str]) -> str:
    """What a class changes, in words."""
    return f"class {kind.__name__} changes {', '.join(f'{base.__name__}.{name}' for name in names)}"


def require_unchanged(one: Any, base: type, honoured: Iterable[str] = (), remedy: str = "") -> None:
    """Raise ValueError if the class of an object changes `base`, apart from what is `honoured`."""
    changed = changes(type(one), base, honoured)
    if changed:
        raise ValueError(
            f"{sentence(type(one), base, changed)}; {remedy or f'give a {base.__name__}'}."
        )


class ForEachClass:
    """A function with one part for each class of its first argument.

    `strict`: a subclass that changes what the registered class defines does not inherit its part: a
    call raises ValueError with the `remedy` or, where there is none, takes the default.  Otherwise
    a part is for all subclasses.
    """

    def __init__(self, default: Callable, strict: bool, remedy: str):
        functools.update_wrapper(self, default)
        self.default, self.strict, self.remedy = default, strict, remedy
        self.registry: dict[type, Callable] = {}

    def register(self, kind: Any, part: Callable | None = None) -> Callable:
        """Give a class its part: as a decorator, the class being the annotation of the first
        argument, or with the class.
        """
        if not isinstance(kind, type):
            return self.register(_first_annotation(kind), kind)
        if part is None:
            return functools.partial(self.register, kind)
        if not (is_ours(kind) and is_ours(part)):
            jax.clear_caches()  # programs of this class may have been compiled with another part
        self.registry[kind] = part
        _registered.setdefault(kind, set()).add(self.default.__name__)
        return part

    def owner(self, kind: type) -> type | None:
        """The registered class whose part a class has; None if there is none that it could
        inherit.
        """
        owner = nearest(kind, self.registry)
        return None if owner is None or self.contradicted(kind) else owner

    def contradicted(self, kind: type) -> list[str]:
        """What a class changes of the registered class whose part it would inherit."""
        owner = nearest(kind, self.registry)
        return changes(kind, owner) if self.strict and owner is not None else []

    def refusal(self, kind: type) -> str | None:
        """Why a class does not inherit a part; None if it does, or if there is none to inherit."""
        owner, changed = nearest(kind, self.registry), self.contradicted(kind)
        return (
            f"{sentence(kind, owner, changed)}; {self.remedy}"
            if owner is not None and changed
            else None
        )

    def part(self, kind: type) -> Callable:
        """The part of a class, or the default; ValueError if the class changes what its part is
        derived from.
        """
        refusal = self.refusal(kind)
        if refusal is not None and self.remedy:
            raise ValueError(f"{refusal}.")
        owner = self.owner(kind)
        return self.default if owner is None else self.registry[owner]

    def __call__(self, first: Any, *rest: Any, **named: Any) -> Any:
        return self.part(type(first))(first, *rest, **named)


def for_each_class(strict: bool = False, remedy: str = "") -> Callable[[Callable], ForEachClass]:
    """Make the decorated function the default of a `ForEachClass`."""
    return lambda default: ForEachClass(default, strict, remedy)


def _first_annotation(part: Callable) -> type:
    first = next(iter(inspect.signature(part, eval_str=True).parameters.values()))
    if first.annotation is inspect.Parameter.empty or not isinstance(first.annotation, type):
        raise TypeError(
            f"{part.__name__} does not say the class of its first argument; annotate it, or use "
            "register(CLASS)."
        )
    return first.annotation


def check_registration(
    cls: type, base: type, keyword: str, method: str, owner: Any, unknown: dict[str, Any]
) -> None:
    """Raise ValueError if a theory of one's own names nothing that it is the theory of.

    A class without `method` only shares code with others; one that has it is meant to be used.
    """
    title = f"class {cls.__name__}({base.__name__})"
    way = f"write class {cls.__name__}(ts.{base.__name__}, {keyword}=...)"
    if unknown:
        raise ValueError(f"{title} has no argument {next(iter(unknown))!r}; {way}.")
    if owner is not None and getattr(cls, method) is getattr(base, method):
        raise ValueError(
            f"{title} has no method {method}; write it, as help(ts.{base.__name__}) says."
        )
    written = method in vars(cls)
    if owner is None and written and not is_ours(cls):
        raise ValueError(
            f"{title} has a method {method}, but says of no {keyword} that it is its theory, and "
            f"would never be asked; {way}, with a class for {keyword}."
        )
