"""The contract of a task in the simulators: drawing inputs and labelling them.

One file per task registers its `draw` and its `label`.  Inputs are drawn for a block of steps at once; labels are formed
step by step, so that no number depends on the length of the block.
"""

from functools import singledispatch
from typing import NamedTuple

from jaxtyping import Array, Float, Key


class Inputs(NamedTuple):
    """Inputs and a standard normal number each, for the label noise."""

    x: Float[Array, "samples inputs"]
    zeta: Float[Array, " samples"]


class Labels(NamedTuple):
    """What the teacher says of the inputs, and the same with label noise."""

    clean: Float[Array, " samples"]
    noisy: Float[Array, " samples"]


@singledispatch
def draw(task, keys: Key[Array, " samples"], like: Float[Array, "teachers inputs"]) -> Inputs:
    """One independent input for each key, with the dimension and the float type of the teacher's weights `like`."""
    raise ValueError(f"the simulator cannot draw inputs of the task {type(task).__name__}.")


@singledispatch
def label(task, inputs: Inputs, w_star: Float[Array, "teachers inputs"]) -> Labels:
    """The labels of the inputs under a teacher with weights w*."""
    raise ValueError(f"the simulator cannot label inputs of the task {type(task).__name__}.")
