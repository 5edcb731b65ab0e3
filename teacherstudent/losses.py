"""Losses l(phi, y) between the student's output and the label, by name."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Array, Float


@dataclass(frozen=True)
class Loss:
    """A loss and its slope d l / d phi, which is all that SGD needs of it."""

    name: str
    value: Callable
    slope: Callable


def _half_square(output: Float[Array, "*shape"], label: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return 0.5 * (output - label) ** 2


def _difference(output: Float[Array, "*shape"], label: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return output - label


# The factor 1/2 is part of the loss: without it every learning rate here is to be doubled.
LOSSES = {loss.name: loss for loss in (Loss("square", _half_square, _difference),)}
