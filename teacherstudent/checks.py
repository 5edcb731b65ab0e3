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
    if isinstance(value, bool) or not np.issubdtype(np.asarray(value).dtype, np.number):
        return value  # not a number: `number` says so, with the name of the argument
    return float(value) if np.ndim(value) == 0 else np.asarray(value, dtype=np.float64)


def number(name: str, value, *, minimum: float = 0.0, strict: bool = False) -> None:
    """Require a real finite number, or a one-dimensional sequence of them (a sweep), not below `minimum`."""
    if is_traced(value):
        return
    array = np.asarray(value)
    if array.dtype == bool or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ValueError(f"{name} = {value!r} is not a number; give a real number.")
    if array.ndim > 1 or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; give one number, or a one-dimensional sequence to sweep over."
        )
    wrong = ~np.isfinite(array) | (array <= minimum if strict else array < minimum)
    if wrong.any():
        bound = "larger than" if strict else "at least"
        raise ValueError(f"{name} = {array[wrong].flat[0]} is not allowed; give a finite number {bound} {minimum:g}.")


def positive_integer(name: str, value) -> None:
    """Require an integer of at least one."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} = {value!r} is not allowed; give an integer of at least 1.")


def one_of(name: str, value, known) -> None:
    """Require one of the known names."""
    if value not in known:
        raise ValueError(f"{name} = {value!r} is not known; known are {', '.join(map(repr, known))}.")


def times(values) -> np.ndarray:
    """The requested times as a float64 array; they must be finite, not negative and strictly increasing."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"times has shape {array.shape}; give a one-dimensional sequence with at least one time.")
    if not np.isfinite(array).all() or array[0] < 0:
        raise ValueError("times must be finite and not negative (t = updates / N).")
    steps = np.diff(array)
    if (steps <= 0).any():
        first = int(np.argmax(steps <= 0))
        raise ValueError(
            f"times must increase strictly, but times[{first + 1}] = {array[first + 1]:g} follows "
            f"times[{first}] = {array[first]:g}; sort them and drop repetitions."
        )
    return array


def device(name: str | None) -> jax.Device:
    """The first JAX device of a kind, or JAX's default for None; ValueError that lists the kinds there are."""
    if name is None:
        return jax.devices()[0]
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        here = ", ".join(sorted({one.platform for one in jax.devices()} | {"cpu"}))
        raise ValueError(f"device = {name!r} is not on this machine; here are: {here}.") from None
