"""Programs that are compiled where they are first called, and in the quickest way."""

import functools
from collections.abc import Callable

import jax

from teacherstudent.programs.compilation import default_platform, options


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
