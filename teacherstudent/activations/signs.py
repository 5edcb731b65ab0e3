"""Activations that jump, for teachers that label: a student that jumps has no gradient."""

import jax.numpy as jnp
from jaxtyping import Float

from teacherstudent.activations.base import Activation
from teacherstudent.checking.checks import AnyArray


def step(x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
    """1 above zero, 0 below, and 1/2 at zero."""
    return (1 + jnp.sign(x)) / 2


SIGN = Activation("sign", jnp.sign, kinks=(0.0,))
STEP = Activation("step", step, kinks=(0.0,))
