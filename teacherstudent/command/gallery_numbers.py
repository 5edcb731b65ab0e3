"""Whether the numbers of a file in the gallery are those of a result that was computed anew.

Each function compares one quantity of the file with that of the result, and answers with a sentence
of what differs, or "".  What is allowed is measured by the result, since a wrong number in the file
would widen its own tolerance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

RELATIVE = 1e-6
FLOOR = 1e-8
ERRORS = 5.0
ELSEWHERE = "has finite numbers in other places, or infinite ones of another sign."


def of_theory(one: np.ndarray, other: np.ndarray, rtol: float) -> str:
    """What a deterministic quantity `one` of the file has of other numbers than `other`; or ""."""
    if not _finite_in_the_same_places(one, other):
        return ELSEWHERE
    relative = max(RELATIVE, rtol)
    one, other = (np.asarray(values, np.float64) for values in (one, other))
    finite = np.isfinite(other)
    largest = np.max(np.abs(other), where=finite, initial=0.0)
    excess = np.full(one.shape, -np.inf)
    allowed = relative * np.abs(other[finite]) + FLOOR * largest
    excess[finite] = np.abs(one[finite] - other[finite]) - allowed
    if not np.max(excess, initial=-np.inf) > 0:
        return ""
    where = np.unravel_index(np.argmax(excess), one.shape)
    return (
        f"is {float(other[where]):.10g} at {_index(where)}, in the file {float(one[where]):.10g}: "
        f"more than {relative:g} apart."
    )


def of_networks(one: np.ndarray, other: np.ndarray, seeds: int, exact: bool) -> str:
    """The same of a quantity of networks, of which the axis `seeds` counts the seeds."""
    if np.array_equal(one, other, equal_nan=True):
        return ""
    if not _finite_in_the_same_places(one, other):
        return ELSEWHERE
    if exact:
        where = np.unravel_index(np.argmax(np.isfinite(one) & (one != other)), one.shape)
        return (
            f"is {float(other[where]):.10g} at {_index(where)}, in the file "
            f"{float(one[where]):.10g}: bits differ on the same processor."
        )
    scatter = np.sqrt(2 * _variance(other, seeds))
    error = scatter / np.sqrt(one.shape[seeds])
    means = [_mean(values, seeds) for values in (one, other)]
    rounding = RELATIVE * np.max(np.abs(means[1]), initial=0.0)
    excess = np.abs(means[0] - means[1]) - ERRORS * error - rounding
    apart = np.abs(np.where(np.isfinite(one), one, 0.0) - np.where(np.isfinite(one), other, 0.0))
    single = np.moveaxis(apart, seeds, 0)
    excess = np.maximum(excess, np.max(single, axis=0) - ERRORS * scatter - rounding)
    if not np.max(excess, initial=-np.inf) > 0:
        return ""
    where = np.unravel_index(np.argmax(excess), excess.shape)
    return (
        f"has the mean {means[1][where]:.6g} at {_index(where)}, in the file "
        f"{means[0][where]:.6g}: more than {ERRORS:g} standard errors apart, or a single network "
        f"more than {ERRORS:g} times their scatter."
    )


def of_values(one: np.ndarray, other: np.ndarray) -> str:
    """The same of what is no number, such as whether a unit exists: it must be equal."""
    differ = one != other
    if not np.any(differ):
        return ""
    where = np.unravel_index(np.argmax(differ), one.shape)
    return f"is {str(other[where])!r} at {_index(where)}, in the file {str(one[where])!r}."


def within(one: np.ndarray, other: np.ndarray, error: np.ndarray) -> str:
    """The same of what follows from networks, with a standard error."""
    if not _finite_in_the_same_places(one, other):
        return ELSEWHERE
    finite = np.isfinite(other)
    excess = np.full(one.shape, -np.inf)
    # An error that is not known, as of a single network, allows nothing.
    allowed = ERRORS * np.nan_to_num(error[finite])
    excess[finite] = np.abs(one[finite] - other[finite]) - allowed
    if not np.max(excess, initial=-np.inf) > 0:
        return ""
    where = np.unravel_index(np.argmax(excess), one.shape)
    return (
        f"is {float(other[where]):.6g} at {_index(where)}, in the file {float(one[where]):.6g}: "
        f"more than {ERRORS:g} standard errors apart."
    )


def are_equal(one: Any, other: Any, floor: float) -> bool:
    """Equality of two entries of descriptions, of numbers up to rounding."""
    try:
        same_shape = np.shape(one) == np.shape(other)
        return same_shape and np.allclose(one, other, rtol=RELATIVE, atol=floor, equal_nan=True)
    except (TypeError, ValueError):  # what is no number, or a list of several kinds
        return bool(one == other)


def _finite_in_the_same_places(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays have their numbers in the same places, and elsewhere the same of what is
    no finite number.
    """
    finite = np.isfinite(other)
    if not np.array_equal(np.isfinite(one), finite):
        return False
    return bool(np.array_equal(one[~finite], other[~finite], equal_nan=True))


def _mean(values: np.ndarray, seeds: int) -> np.ndarray:
    """The mean over seeds of what is a number in both files; the others count as zero."""
    return _numbers(values).mean(axis=seeds)


def _variance(values: np.ndarray, seeds: int) -> np.ndarray:
    if values.shape[seeds] < 2:
        return np.zeros(np.delete(values.shape, seeds))
    return _numbers(values).var(axis=seeds, ddof=1)


def _numbers(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0.0).astype(np.float64)


def _index(where: tuple) -> str:
    return f"[{', '.join(str(int(place)) for place in where)}]"
