"""Fields that have an entry for each task or unit: how they are given, and their checks."""

import numpy as np

from teacherstudent.checking import checks
from teacherstudent.schedules import Schedule


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
        if np.ndim(checks.parameter(one)) if not isinstance(one, Schedule) else 0:
            raise ValueError(f"{title} = {checks.shortened(one)} is a sequence; give one number.")
        entries.append(checks.parameter(one))
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
    """Raise ValueError if all tasks have the frequency zero for ever."""
    if all(not isinstance(one, Schedule) and np.all(one == 0) for one in frequencies):
        raise ValueError(f"{name} are all 0; give at least one task a positive frequency.")
