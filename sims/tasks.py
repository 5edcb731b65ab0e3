"""The contract of a task in the simulators: drawing samples.  One file per task registers its way with `sample`."""

from functools import singledispatch
from typing import NamedTuple

from jaxtyping import Array, Float, Key


class Samples(NamedTuple):
    """Inputs, what the teacher says of them, and the labels with their noise."""

    x: Float[Array, "samples inputs"]
    clean: Float[Array, " samples"]
    y: Float[Array, " samples"]


@singledispatch
def sample(task, keys: Key[Array, " samples"], w_star: Float[Array, "teachers inputs"]) -> Samples:
    """One independent sample for each key; a sample depends on its own key only."""
    raise ValueError(f"the simulator cannot draw samples of the task {type(task).__name__}.")
