"""Processes of their own, which some tests start."""

import os


def quick_compilation() -> dict[str, str]:
    """Environment variables by which a process compiles as the tests do, and takes the programs
    that they have compiled.
    """
    return {
        "JAX_COMPILATION_CACHE_DIR": os.environ["TEACHERSTUDENT_TESTS_COMPILED"],
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.03",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
