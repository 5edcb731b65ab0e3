"""Losses l(phi, y) between the student's output and the label, by name."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Loss:
    """A loss and its slope d l / d phi, which is all that SGD needs of it."""

    name: str
    value: Callable
    slope: Callable


def _half_square(
    output: Float[Array, "*shape"], label: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    return 0.5 * (output - label) ** 2


def _difference(
    output: Float[Array, "*shape"], label: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    return output - label


def _logistic(
    output: Float[Array, "*shape"], label: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    return jax.nn.softplus(-label * output)


def _logistic_slope(
    output: Float[Array, "*shape"], label: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    return -label * jax.nn.sigmoid(-label * output)


def _negative_product(
    output: Float[Array, "*shape"], label: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    return -label * output


def _negative_label(
    output: Float[Array, "*shape"], label: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    return -label * jnp.ones_like(output)


# The factor 1/2 is part of the square loss: without it every learning rate here is to be doubled.
LOSSES = {
    loss.name: loss
    for loss in (
        Loss("square", _half_square, _difference),  # (phi - y)^2 / 2
        Loss("logistic", _logistic, _logistic_slope),  # log(1 + exp(-y phi))
        Loss("correlation", _negative_product, _negative_label),  # -y phi
    )
}
