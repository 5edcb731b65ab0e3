"""The part of Pallas in which the kernels for GPUs are written.

JAX 0.11 calls its Triton backend deprecated: a warning where a kernel is compiled, none at import.
JAX 0.12 still has it, and Python 3.11 gets no later JAX than 0.10.  What is to replace it, Mosaic
GPU, has another interface (`plgpu.kernel`), no masks for entries beyond an array's end, and its
arrays in registers are not made for float64, in which the chain has its rows.  So the kernels stay
as they are; where a later JAX lacks Triton the same steps run as a loop, and a warning says so.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import jax

NAME = "jax.experimental.pallas.triton"


def triton_of_pallas() -> ModuleType:
    """Pallas for Triton.  Raises ImportError that says what is missing."""
    try:
        return import_module(NAME)
    except ImportError as error:
        raise ImportError(
            f"JAX {jax.__version__} has no Triton in Pallas, in which this kernel is written"
        ) from error


@contextmanager
def known_to_be_deprecated() -> Iterator[None]:
    """Without JAX's warning, which is about our kernels and not about what the user does."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "The Pallas Triton backend is deprecated", DeprecationWarning
        )
        yield
