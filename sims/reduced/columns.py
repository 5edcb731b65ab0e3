"""Small matrices, column by column, for many seeds side by side.

A column has one number per row: an array (rows, seeds), or, in a compiled kernel that keeps its
numbers in registers, a tuple of arrays (1, seeds).  A number that all rows share is an array (1,
seeds).  All algebra is elementwise in the seeds.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.programs.compilation import computed_once

Column = Any  # Float[Array, "rows seeds"], or a tuple of Float[Array, "1 seeds"]
Number = Float[Array, "1 seeds"]


def each(f: Callable, *columns: Column) -> Column:
    """f of every row."""
    if isinstance(columns[0], tuple):
        return tuple(f(*entries) for entries in zip(*columns, strict=True))
    return f(*columns)


def row(column: Column, k: int) -> Number:
    """The number of one row."""
    return column[k] if isinstance(column, tuple) else column[k : k + 1]


def total(column: Column) -> Number:
    """The sum over rows."""
    return (
        functools.reduce(operator.add, column)
        if isinstance(column, tuple)
        else jnp.sum(column, axis=0, keepdims=True)
    )


def joined(upper: Column, lower: Column) -> Column:
    """One column above another."""
    return (*upper, *lower) if isinstance(upper, tuple) else jnp.concatenate([upper, lower])


def settled(columns: Sequence[Column]) -> Sequence[Column]:
    """The same, but computed once for all that reads them (`computed_once`); a kernel's registers
    need no such thing.
    """
    return columns if isinstance(columns[0], tuple) else computed_once(columns)


def padded(column: Column, rows: int) -> Column:
    """A column of this many rows, zeros above."""
    missing = rows - len(column)
    if missing == 0:
        return column
    zero = jnp.zeros_like(row(column, 0))
    return joined(
        (zero,) * missing if isinstance(column, tuple) else jnp.repeat(zero, missing, axis=0),
        column,
    )


def times(column: Column, number: Number) -> Column:
    """The column times a number."""
    return each(lambda entry: entry * number, column)


def combined(columns: Sequence[Column], numbers: Sequence[Number]) -> Column:
    """sum_j columns[j] numbers[j]."""
    return each(lambda *entries: dot(entries, numbers), *columns)


def dot(entries: Sequence[Array], numbers: Sequence[Array]) -> Array:
    """sum_j entries[j] numbers[j]."""
    products = [a * b for a, b in zip(entries, numbers, strict=True)]
    return functools.reduce(operator.add, products)


def squares(columns: Sequence[Column]) -> Number:
    """The squared Frobenius norm."""
    return total(each(lambda *entries: dot(entries, entries), *columns))


def safe(x: Array) -> Array:
    """x, and 1 where it is 0: a divisor."""
    return jnp.where(x > 0, x, jnp.ones_like(x))


def triangular(columns: Sequence[Column]) -> list[Column]:
    """The lower triangle L, diagonal not negative, with L L^T = X X^T, by Householder reflections
    of the columns of X.

    Column j comes without its j zeros.
    """
    rows = len(columns[0])
    columns, found = list(columns), []
    while rows > 0 and columns:
        head, *others = [row(column, 0) for column in columns]
        tail = dot(others, others) if others else jnp.zeros_like(head)
        length = jnp.sqrt(head * head + tail)
        turn = jnp.where(head < 0, jnp.ones_like(head), -jnp.ones_like(head))
        pivot = (
            head - turn * length
        )  # no cancellation; the reflection takes the row to (turn length, 0, ..., 0)
        v = [pivot, *others]
        scale = 1 / safe(length * jnp.abs(pivot))
        below = [column[1:] for column in columns]
        rows -= 1
        if rows == 0:
            found.append((length,) if isinstance(columns[0], tuple) else length)
            break
        shift = combined(below, [scale * x for x in v])
        (shift,) = settled([shift])
        first, *columns = settled(
            [_less(column, shift, x) for column, x in zip(below, v, strict=True)]
        )
        turned = times(first, turn)
        found.append(joined((length,) if isinstance(first, tuple) else length, turned))
    return found


def _less(column: Column, shift: Column, x: Number) -> Column:
    return each(lambda entry, s: entry - s * x, column, shift)
