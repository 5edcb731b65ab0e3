"""Programs that are compiled where they are first called, and in the quickest way."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from teacherstudent.programs.compilation import default_platform, options

AT_ONCE = 8  # entries that one call of a program takes


def compiled(function: Callable, static_argnums: tuple[int, ...] = ()) -> Callable:
    """`jax.jit` of a function, without much work of the compiler on it: it runs a few times."""

    @functools.cache
    def program(platform: str) -> Callable:
        quick = options(platform, quick=True)
        return jax.jit(function, static_argnums=static_argnums, compiler_options=quick)

    @functools.wraps(function)
    def call(*arguments):
        return program(default_platform())(*arguments)

    return call


def in_batches(function: Callable, *arrays: np.ndarray) -> list[np.ndarray]:
    """The answers of a program that takes always as many entries, for all entries of arrays."""
    count = len(arrays[0])
    answers = []
    for begin in range(0, count, AT_ONCE):
        chosen = np.minimum(np.arange(begin, begin + AT_ONCE), count - 1)
        answers.append(function(*(array[chosen] for array in arrays)))
    return [np.concatenate(parts)[:count] for parts in zip(*answers, strict=True)]
