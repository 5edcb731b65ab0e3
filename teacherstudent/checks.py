"""Checks of numbers that users give; each failure is one sentence with the argument, the value and the way out.

Values inside a JAX transformation have no number to look at and pass.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    AnyArray = Any  # a union would have to be narrowed at every use
else:
    AnyArray = jax.Array | np.ndarray  # what users give may be either
Parameter = float | Float[AnyArray, "..."]  # one number, or one for each value of a sweep


def is_traced(value) -> bool:
    """Whether the value is an abstract array of a running JAX transformation."""
    return isinstance(value, jax.core.Tracer)


def parameter(value):
    """A number stays a float, a sequence becomes a float64 array (one entry per value of a sweep), None stays None."""
    if value is None or is_traced(value) or isinstance(value, jax.Array):
        return value
    try:
        given = np.asarray(value)
    except ValueError:
        return value  # ragged: `number` says so, with the name of the argument
    if given.dtype == bool or not np.issubdtype(given.dtype, np.number) or np.iscomplexobj(given):
        return value
    return float(value) if np.ndim(value) == 0 else np.asarray(value, dtype=np.float64)


def number(name: str, value, *, minimum: float = 0.0, strict: bool = False) -> None:
    """Require a real finite number, or a one-dimensional sequence of them (a sweep), not below `minimum`."""
    if is_traced(value):
        return
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} = {shortened(value)} is not a number; give a real number.") from None
    if array.dtype == bool or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ValueError(f"{name} = {shortened(value)} is not a number; give a real number.")
    if array.ndim > 1 or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; give one number, or a one-dimensional sequence to sweep over."
        )
    wrong = ~np.isfinite(array) | (array <= minimum if strict else array < minimum)
    if wrong.any():
        bound = "larger than" if strict else "at least"
        raise ValueError(f"{name} = {array[wrong].flat[0]} is not allowed; give a finite number {bound} {minimum:g}.")


def optional_number(name: str, value, *, strict: bool = False) -> None:
    """The same, for a value that may be left out (None)."""
    if value is not None:
        number(name, value, strict=strict)


def fraction(name: str, value) -> None:
    """Require a number, or a sequence of them, in [0, 1)."""
    number(name, value)
    if not is_traced(value) and np.max(value) >= 1:
        raise ValueError(f"{name} = {np.max(value):g} is not allowed; give a number from 0 to below 1.")


def fraction_of_one(name: str, value) -> float:
    """One number in [0, 1), as a float."""
    fraction(name, value)
    return single(name, value)


def positive(name: str, value) -> float:
    """One positive number, as a float."""
    return single(name, value, strict=True)


def single(name: str, value, *, minimum: float = 0.0, strict: bool = False) -> float:
    """One number, not below `minimum`, as a float."""
    number(name, value, minimum=minimum, strict=strict)
    if np.ndim(value):
        raise ValueError(f"{name} = {shortened(value)} is a sequence; give one number.")
    return float(value)


def listed(value) -> list:
    """The entries of a sequence; one number is a sequence of one."""
    return list(value) if isinstance(value, list | tuple | np.ndarray) else [value]


def array(name: str, value):
    """A float64 array of real numbers; arrays of a running JAX transformation stay as they are."""
    if is_traced(value):
        return value
    try:
        numbers = np.asarray(value)
        if numbers.dtype == bool or not (numbers.size == 0 or np.issubdtype(numbers.dtype, np.number)):
            raise TypeError
        if np.iscomplexobj(numbers):
            raise TypeError
        return numbers.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} = {shortened(value)} is not an array of real numbers with rows of one length."
        ) from None


def shortened(value) -> str:
    """A value as it is shown in a sentence."""
    return shortened_text(repr(value))


def shortened_text(text: str) -> str:
    """A text of at most 60 characters."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def first_line(error: BaseException) -> str:
    """The first line of an error's message, shortened."""
    return shortened_text(str(error).split("\n")[0])


def integer(name: str, value, minimum: int = 1) -> int:
    """The value as an int; it must be an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name} = {shortened(value)} is not allowed; give an integer of at least {minimum}.")
    return int(value)


def seeds(numbers: list) -> list[int]:
    """Different integers from 0 to 2^32 - 1."""
    good = all(isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < 2**32 for one in numbers)
    if not good or not numbers or len(set(numbers)) < len(numbers):
        given = shortened(numbers)
        raise ValueError(f"seeds = {given}: give a number of seeds, or different integers from 0 to 2^32 - 1.")
    return [int(one) for one in numbers]


def one_of(name: str, value, known) -> None:
    """Require one of the known names."""
    if not isinstance(value, str | bool) or value not in known:
        raise ValueError(f"{name} = {value!r} is not known; known are {', '.join(map(repr, known))}.")


def times(values) -> np.ndarray:
    """The requested times as a float64 array; they must be finite, not negative and strictly increasing."""
    given = array("times", values)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"times has shape {given.shape}; give a one-dimensional sequence with at least one time.")
    if not np.isfinite(given).all() or given[0] < 0:
        wrong = given[~np.isfinite(given) | (given < 0)][0]
        raise ValueError(f"times has the entry {wrong:g}; times must be finite and not negative (t = updates / N).")
    steps = np.diff(given)
    if (steps <= 0).any():
        first = int(np.argmax(steps <= 0))
        raise ValueError(
            f"times must increase strictly, but times[{first + 1}] = {given[first + 1]:g} follows "
            f"times[{first}] = {given[first]:g}; sort them and drop repetitions."
        )
    return given


def devices(name: str | None) -> list[jax.Device]:
    """All of this process's JAX devices of a kind, "gpu", or the one named "gpu:1", or those of JAX's default kind for None.

    Raises ValueError that lists the devices there are.
    """
    if name is None:
        return jax.local_devices()
    kind, _, number = str(name).partition(":")
    try:
        found = jax.local_devices(backend=kind)
        return found if not number else [found[int(number)]]
    except (RuntimeError, ValueError, IndexError):
        kinds = sorted({one.platform for one in jax.local_devices()} | {"cpu"})
        here = ", ".join(f"{kind}:{index}" for kind in kinds for index in range(len(jax.local_devices(backend=kind))))
        raise ValueError(f"device = {name!r} is not on this machine; here are: {here}.") from None


def device(name: str | None) -> jax.Device:
    """The first of `devices`."""
    return devices(name)[0]
