"""Checks of numbers that users give.

Each failure is one sentence with the argument, the value and the way out.  Values inside a JAX
transformation have no number to look at and pass.
"""

import itertools
import os
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    AnyArray = Any  # a union would have to be narrowed at every use
else:
    AnyArray = jax.Array | np.ndarray  # what users give may be either
LARGEST = 2**53  # beyond which not every integer is a float
MOST_ENTRIES = 10**8  # of a range that becomes an array
TEXT = (str, bytes, bytearray, memoryview)
Parameter = float | Float[AnyArray, "..."]  # one number, or one for each value of a sweep


class ChangesWithTime:
    """What stands for a number and is none: a `Schedule`, of which numbers are known at a time."""


def is_traced(value) -> bool:
    """Whether the value is an abstract array of a running JAX transformation."""
    return isinstance(value, jax.core.Tracer)


def real_numbers(value) -> np.ndarray | None:
    """The value as an array, if it holds nothing but real numbers; None otherwise.

    Text, truth values, complex numbers, dates, masked entries and rows of different lengths are no
    numbers.
    """
    if isinstance(value, bytes | bytearray | memoryview) or np.ma.is_masked(value):
        return None
    try:
        if isinstance(value, range) and len(value) > MOST_ENTRIES:
            return None
        given = np.asarray(value)
    except Exception:  # whatever the code of a stranger's class raises: it is no array
        return None
    if given.dtype.kind not in "iuf":
        return None
    if isinstance(value, list | tuple) and _holds_truth_value(value):
        return None
    return given


def is_numeric(value) -> bool:
    """Whether the value holds nothing but real numbers."""
    return is_traced(value) or real_numbers(value) is not None


def _holds_truth_value(values) -> bool:
    """Whether a nested sequence holds True or False, which NumPy takes for 1 or 0."""
    for value in values:
        if isinstance(value, bool | np.bool_):
            return True
        if isinstance(value, list | tuple) and _holds_truth_value(value):
            return True
    return False


def parameter(value):
    """The value of a parameter: a float, or a float64 array with an entry per value of a sweep.

    None stays None.  What is no number stays as it is: `number` refuses it, with the name of the
    argument.
    """
    if value is None or is_traced(value) or isinstance(value, jax.Array):
        return value
    given = real_numbers(value)
    if given is None:
        return value
    if given.ndim == 0:
        return float(given)
    return given.astype(np.float64)


def number(name: str, value, *, minimum: float = 0.0, strict: bool = False) -> None:
    """Require a real finite number, or a sequence of them (a sweep), not below `minimum`.

    What changes with time passes: its numbers are looked at when the times are known.
    """
    if is_traced(value) or isinstance(value, ChangesWithTime):
        return
    array = real_numbers(value)
    if array is None:
        way = "give a real number"
        if callable(value) and not isinstance(value, type):
            way = "give a real number, or ts.Schedule(function) for a function of the time t"
        raise ValueError(f"{name} = {shortened(value)} is not a number; {way}.")
    if array.ndim > 1 or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; give one number, or a one-dimensional sequence to "
            "sweep over."
        )
    values = array.astype(np.float64)
    if strict:
        bound, too_small = "larger than", values <= minimum
    else:
        bound, too_small = "at least", values < minimum
    wrong = ~np.isfinite(values) | too_small
    if wrong.any():
        allowed = "a finite number"
        if np.isfinite(minimum):
            allowed = f"a finite number {bound} {minimum:g}"
        raise ValueError(f"{name} = {array[wrong].flat[0]} is not allowed; give {allowed}.")


def optional_number(name: str, value, *, strict: bool = False) -> None:
    """The same, for a value that may be left out (None)."""
    if value is not None:
        number(name, value, strict=strict)


def fraction(name: str, value) -> None:
    """Require a number, or a sequence of them, in [0, 1)."""
    number(name, value)
    if is_traced(value) or isinstance(value, ChangesWithTime):
        return
    if np.max(value) >= 1:
        raise ValueError(
            f"{name} = {np.max(value):g} is not allowed; give a number from 0 to below 1."
        )


def fraction_of_one(name: str, value) -> float:
    """One number in [0, 1), as a float."""
    fraction(name, value)
    return single(name, value)


def positive(name: str, value) -> float:
    """One positive number, as a float."""
    return single(name, value, strict=True)


def single(name: str, value, *, minimum: float = 0.0, strict: bool = False) -> float:
    """One number, not below `minimum`, as a float."""
    if isinstance(value, ChangesWithTime):
        raise ValueError(f"{name} = {shortened(value)} cannot change with time; give one number.")
    number(name, value, minimum=minimum, strict=strict)
    if np.ndim(value):
        raise ValueError(f"{name} = {shortened(value)} is a sequence; give one number.")
    return float(value)


def listed(value) -> list:
    """The entries of a sequence; one number is a sequence of one."""
    if isinstance(value, list | tuple | np.ndarray):
        return list(value)
    return [value]


def array(name: str, value):
    """A float64 array of real numbers; arrays of a running JAX transformation stay as they are."""
    if is_traced(value):
        return value
    numbers = real_numbers(value)
    if numbers is None:
        raise ValueError(
            f"{name} = {shortened(value)} is not an array of real numbers with rows of one length."
        )
    return numbers.astype(np.float64)


def finite_array(name: str, value):
    """The same, for numbers that must be finite."""
    numbers = array(name, value)
    if not is_traced(numbers) and not np.isfinite(numbers).all():
        raise ValueError(f"{name} has entries that are not finite; give numbers everywhere.")
    return numbers


def shortened(value) -> str:
    """A value as it is shown in a sentence."""
    try:
        return shortened_text(repr(value))
    except Exception:  # whatever the code of a stranger's class raises, or an int too long for text
        return kind_of(value)


def hint(name, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: a known one that is near to it, if any."""
    near = get_close_matches(str(name), list(known), n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return "."


def kind_of(value) -> str:
    """What a value is, by its class: "a Student", "the class Student"."""
    if isinstance(value, type):
        return f"the class {value.__name__}, not an object of it"
    return with_article(type(value).__name__)


def with_article(name: str) -> str:
    """A name with "a" or "an" in front."""
    if name[0] in "AEIOUaeiou":
        return f"an {name}"
    return f"a {name}"


def shortened_text(text: str, most: int = 60) -> str:
    """A text on one line of at most so many characters."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    start, _, cut = text[: most - 3].rpartition(" ")
    if not start or len(cut) > most // 2:  # one long word
        return f"{text[: most - 3]}..."
    return f"{start} ..."


def first_line(error: BaseException) -> str:
    """The first line of an error's message, shortened."""
    return shortened_text(str(error).split("\n")[0], 120)


def integer(name: str, value, minimum: int = 1, maximum: int = LARGEST) -> int:
    """The value as an int; it must be an integer from `minimum` to `maximum`."""
    if not _is_integer(value) or value < minimum:
        raise ValueError(
            f"{name} = {shortened(value)} is not allowed; give an integer of at least {minimum}."
        )
    if value > maximum:
        raise ValueError(
            f"{name} = {shortened(value)} is too large; give an integer of at most {maximum}."
        )
    return int(value)


def _is_integer(value) -> bool:
    """Whether the value is an integer; a truth value or a duration is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def text(name: str, value) -> str:
    """The value, which must be a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} = {shortened(value)} is not a name; give a string.")
    return value


def path(name: str, value) -> Path:
    """The path of a file, "~" being the user's home; it need not exist.

    Raises ValueError for what no file can be called.
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ValueError(
            f"{name} = {shortened(value)} is not a path; give a string or a pathlib.Path."
        )
    try:
        found = Path(value).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(found)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        # The text is too long, holds a null byte, is of a user without a home, or is no text.
        raise ValueError(
            f"{name} = {shortened(value)} cannot be the path of a file ({first_line(error)})."
        ) from None
    return found


def memory(cause: str, entries: int | float) -> None:
    """Raise ValueError if this many float64 numbers are more than half of this machine's memory.

    `cause` is what asks for them, such as "N = 10000000000".
    """
    total = 2**36  # where the system does not say
    if hasattr(os, "sysconf"):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if 8 * entries > total / 2:
        raise ValueError(
            f"{shortened_text(cause)} needs {8 * entries / 2**30:.3g} GiB of memory, more than "
            f"half of the {total / 2**30:.3g} GiB of this machine; give a smaller one."
        )


def entries(name: str, value, most: int = 10**6) -> list:
    """The entries of anything that can be looped over, at most so many.

    One number is a sequence of one.
    """
    is_scalar = isinstance(value, np.ndarray | jax.Array) and value.ndim == 0
    if is_scalar or not _is_list(value):
        return [value]
    try:
        found = list(itertools.islice(value, most + 1))
    except Exception:  # whatever the code of a stranger's class raises
        raise ValueError(
            f"{name} = {shortened(value)} cannot be looped over; give a list of integers."
        ) from None
    if len(found) > most:
        raise ValueError(f"{name} = {shortened(value)} has more than {most} entries; give fewer.")
    return found


def _is_list(value) -> bool:
    """Whether a value can be looped over, and is not text."""
    return isinstance(value, Iterable) and not isinstance(value, TEXT)


def seeds(given) -> list[int]:
    """The seeds meant by a number of them, or the seeds themselves.

    They are different integers from 0 to 2^32 - 1.
    """
    if not _is_list(given):
        return list(range(integer("seeds", given, maximum=10**6)))
    numbers = entries("seeds", given)
    good = all(_is_seed(one) for one in numbers)
    if not good or not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"seeds = {shortened(numbers)}: give a number of seeds, or different integers from 0 "
            "to 2^32 - 1."
        )
    return [int(one) for one in numbers]


def _is_seed(one) -> bool:
    return _is_integer(one) and 0 <= int(one) < 2**32


def one_of(name: str, value, known) -> None:
    """Require one of the known names."""
    if not isinstance(value, str | bool) or value not in known:
        raise ValueError(
            f"{name} = {shortened(value)} is not known; known are {', '.join(map(repr, known))}."
        )


def times(values) -> np.ndarray:
    """The requested times as a float64 array.

    They must be finite, not negative and strictly increasing.
    """
    given = array("times", values)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(
            f"times has shape {given.shape}; give a one-dimensional sequence with at least one "
            "time."
        )
    if not np.isfinite(given).all() or given[0] < 0:
        wrong = given[~np.isfinite(given) | (given < 0)][0]
        raise ValueError(
            f"times has the entry {wrong:g}; times must be finite and not negative (t = updates / "
            "N)."
        )
    steps = np.diff(given)
    if (steps <= 0).any():
        first = int(np.argmax(steps <= 0))
        raise ValueError(
            f"times must increase strictly, but times[{first + 1}] = {given[first + 1]:g} follows "
            f"times[{first}] = {given[first]:g}; sort them and drop repetitions."
        )
    return given


def devices(name: str | None) -> list[jax.Device]:
    """The JAX devices of this process that a name means.

    "gpu" is all of a kind, "gpu:1" one of them, None those of JAX's default kind.  Raises
    ValueError that lists the devices there are.
    """
    if name is None:
        return jax.local_devices()
    if not isinstance(name, str):
        raise ValueError(
            f'device = {shortened(name)} is not a name; give one such as "cpu" or "gpu:1".'
        )
    kind, _, number = name.partition(":")
    try:
        found = jax.local_devices(backend=kind)
        if not kind or number.startswith("-"):
            raise ValueError
        if not number:
            return found
        return [found[int(number)]]
    except (RuntimeError, ValueError, IndexError):
        raise ValueError(
            f"device = {shortened(name)} is not on this machine; here are: "
            f"{', '.join(_names_of_devices())}."
        ) from None


def _names_of_devices() -> list[str]:
    """The devices of this process by name: "cpu:0", "gpu:0", ..."""
    names = []
    for kind in sorted({device.platform for device in jax.local_devices()} | {"cpu"}):
        count = len(jax.local_devices(backend=kind))
        names += [f"{kind}:{index}" for index in range(count)]
    return names


def device(name: str | None) -> jax.Device:
    """The first of `devices`."""
    return devices(name)[0]
