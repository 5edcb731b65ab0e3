"""Fields that have an entry for each task or unit: how they are given, and their checks."""

import jax
import numpy as np

from teacherstudent.checking import checks
from teacherstudent.schedules import break_times, value_at


def widths(name: str, given) -> tuple[int, ...]:
    """The numbers of units of each teacher."""
    if isinstance(given, int) or not isinstance(given, list | tuple | np.ndarray):
        raise ValueError(
            f"{name} = {checks.shortened(given)}; give the number of units of each teacher, such "
            "as [1, 1]."
        )
    if len(given) == 0:
        raise ValueError(f"{name} is empty; give the number of units of one teacher or more.")
    return tuple(checks.integer(f"{name}[{a}]", width) for a, width in enumerate(given))


def numbers(name: str, given, count: int) -> tuple:
    """One number or schedule for each task or unit; a single one is that of all."""
    if not isinstance(given, list | tuple | np.ndarray):
        given = [given] * count
    if len(given) != count:
        raise ValueError(f"{name} has {len(given)} entries, but {count} are needed; give as many.")
    entries = []
    for index, one in enumerate(given):
        title = f"{name}[{index}]"
        checks.number(title, one)
        entry = checks.parameter(one)
        if any(np.ndim(leaf) for leaf in jax.tree.leaves(entry)):  # of a schedule its parameters
            raise ValueError(
                f"{title} = {checks.shortened(one)} has a sequence of values; give one number "
                "(such numbers cannot be swept)."
            )
        entries.append(entry)
    return tuple(entries)


def readouts(name: str, given, units: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """The readout of each teacher as an array with one entry per unit."""
    if not isinstance(given, list | tuple | np.ndarray):
        given = [given] * len(units)
    if len(given) != len(units):
        raise ValueError(
            f"{name} has {len(given)} entries, but there are {len(units)} teachers; give one "
            "number or list for each."
        )
    arrays = []
    for a, (one, width) in enumerate(zip(given, units, strict=True)):
        readout = checks.finite_array(f"{name}[{a}]", one)
        if np.shape(readout) not in ((), (width,)):
            raise ValueError(
                f"{name}[{a}] has the shape {np.shape(readout)}, but teacher {a} has {width} "
                "units; give one number, or one per unit."
            )
        arrays.append(np.broadcast_to(readout, (width,)))
    return tuple(arrays)


def matrix(name: str, given, shape: tuple[int, ...]):
    """An array of numbers that are not negative; a single one is that of all entries."""
    values = checks.finite_array(name, given)
    if checks.is_traced(values):
        return values
    if values.shape not in ((), shape):
        raise ValueError(f"{name} has the shape {values.shape}, but {shape} is needed.")
    if (values < 0).any():
        raise ValueError(f"{name} has the entry {values.min():g}; give numbers of at least 0.")
    return np.broadcast_to(values, shape)


def task(name: str, given, count: int) -> int:
    """The number of a task, from 0."""
    return checks.integer(name, given, minimum=0, maximum=count - 1)


def check_frequencies(name: str, frequencies: tuple) -> None:
    """Raise ValueError if at the beginning, or where one of them jumps, a frequency is negative or
    all are zero.
    """
    times = [0.0, *break_times(frequencies)]
    if any(checks.is_traced(leaf) for leaf in [*jax.tree.leaves(frequencies), *times]):
        return
    for t in sorted(map(float, times)):
        found = np.array([float(value_at(one, t)) for one in frequencies])
        if found.min() < 0:
            raise ValueError(f"{name} has {found.min():g} at t = {t:g}; give numbers from 0 on.")
        if not found.any():
            raise ValueError(
                f"{name} are all 0 at t = {t:g}, where no task is drawn; give at least one of them "
                "a positive number at every time."
            )
