"""How problems, starts and their parts show themselves: at the prompt, in notebooks and in `help`.

A `Described` object is written as one would make it, without what is at its default:

    Problem(
        task=TeacherStudent(width=2),
        student=Student(width=3),
        rule=SGD(learning_rate=0.3),
    )
"""

import html
import inspect
import re
import textwrap
from typing import Any

import equinox as eqx
import numpy as np

from teacherstudent.checking import checks

LINE = 88  # columns of an object that is shown on one line
MOST_SHOWN = 36  # entries of an array that is written out
DIGITS = 4  # of the entries of an array
INDENT = "    "


class DescribedClass(type(eqx.Module)):  # type: ignore[misc]
    """The class of `Described` classes: `help` shows the names a user writes.

    Names such as __init__ are left out: `help` would print what Python and Equinox say of them.
    """

    def __call__(cls, *args, **kwargs):
        """An object of the class; what its author forgot is said in one sentence."""
        try:
            return super().__call__(*args, **kwargs)
        except (AttributeError, TypeError) as error:
            why = _what_is_missing(cls, str(error))
            if why is None:
                raise
            raise TypeError(why) from error

    def __dir__(cls) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("__")]


def _what_is_missing(cls: type, message: str) -> str | None:
    """What a class of one's own lacks, if that is why no object of it can be made."""
    undeclared = re.match(r"cannot assign to field '(\w+)'", message)
    if undeclared:
        name = undeclared[1]
        return (
            f"class {cls.__name__} sets {name}, which is no field of it; declare it in the class, "
            f"{name}: float, or {name}: object = equinox.field(static=True) if it is no number."
        )
    unset = re.match(r"Field '(\w+)' was not initialized", message)
    if unset:
        return (
            f"class {cls.__name__} has a field {unset[1]} that nothing sets; write __init__ with "
            f"super().__init__(...) and self.{unset[1]} = ... in it."
        )
    if message.startswith("Can't instantiate abstract class"):
        methods = ", ".join(sorted(cls.__abstractmethods__))  # type: ignore[attr-defined]
        return (
            f"class {cls.__name__} has no {methods} yet; help({cls.__mro__[1].__name__}) says how."
        )
    return None


class Described(eqx.Module, metaclass=DescribedClass):
    """A base class of what users make and look at."""

    def shown(self) -> dict[str, Any]:
        """The arguments that make this object, without those at their defaults."""
        arguments = {}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            if shown_value(value) != shown_value(parameter.default):
                arguments[name] = value
        return arguments

    def __repr__(self) -> str:
        parts = [f"{name}={shown_value(value)}" for name, value in self.shown().items()]
        return _called(type(self).__name__, parts)

    def _repr_html_(self) -> str:
        """A table of two columns, for notebooks."""
        rows = []
        for name, value in self.shown().items():
            text = html.escape(shown_value(value))
            rows.append(
                f"<tr><th>{name}</th><td style='text-align: left'><pre>{text}</pre></td></tr>"
            )
        title = html.escape(type(self).__name__)
        return f"<table><caption>{title}</caption>{''.join(rows)}</table>"


def differs_from_default(array: Any, default: np.ndarray) -> bool:
    """Whether an argument is to be shown; one of a running JAX transformation has no values."""
    if checks.is_traced(array):
        return True
    return not np.array_equal(np.asarray(array), np.broadcast_to(default, np.shape(array)))


def shown_value(value: Any) -> str:
    """A value as one would write it; of a large array only its shape."""
    if checks.is_traced(value):
        return f"<traced array {np.shape(value)} ...>"
    if isinstance(value, bool | str | None):
        return repr(value)
    if isinstance(value, int | float | np.number):
        return repr(float(value)).removesuffix(".0")
    if hasattr(value, "shape"):
        return _shown_array(np.asarray(value))
    fields = getattr(value, "_fields", None)
    if isinstance(value, tuple) and fields is not None:
        parts = [f"{name}={shown_value(part)}" for name, part in zip(fields, value, strict=True)]
        return _called(type(value).__name__, parts)
    if hasattr(value, "given"):  # a latent law keeps what its user gave
        return repr(value.given)
    if isinstance(getattr(value, "name", None), str):  # an activation
        return _shown_activation(value.name)
    if inspect.isfunction(value):
        return f"<function {value.__qualname__}>"
    return repr(value)


def _shown_activation(name: str) -> str:
    """A name in quotes, the coefficients of a polynomial as a list."""
    if name.startswith("polynomial["):
        return name.removeprefix("polynomial")
    return repr(name)


def _shown_array(array: np.ndarray) -> str:
    if array.ndim == 0 and array.dtype.kind in "iuf":
        return shown_value(float(array))
    if array.size > MOST_SHOWN or array.ndim > 2:
        return f"<array {array.shape} ...>"
    text = np.array2string(array, precision=DIGITS, separator=", ", suppress_small=True)
    return text.replace(".,", ",").replace(".]", "]")


def _called(name: str, parts: list[str]) -> str:
    """A call with these arguments, on one line if there is room."""
    line = f"{name}({', '.join(parts)})"
    if len(line) <= LINE and "\n" not in line and not (name and _is_nested(parts)):
        return line
    lines = [textwrap.indent(_aligned(part), INDENT) + "," for part in parts]
    return "\n".join([f"{name}(", *lines, ")"])


def _is_nested(parts: list[str]) -> bool:
    """Whether an argument is itself a call with arguments."""
    return any("=" in part.partition("=")[2] for part in parts)


def _aligned(part: str) -> str:
    """An argument whose later lines stand below the first, if it is a matrix."""
    name, _, value = part.partition("=")
    if not value.startswith("["):
        return part
    return part.replace("\n", "\n" + " " * (len(name) + 1))
