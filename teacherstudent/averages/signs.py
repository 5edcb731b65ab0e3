"""Averages of signs of Gaussian fields, which teachers with labels +-1 share."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.arcsin import arcsin


def inverse_deviations(C: Float[Array, "fields fields"]) -> Float[Array, " fields"]:
    """1 / sqrt(C_aa), and zero for a field that vanishes."""
    variance = jnp.diag(C)
    return jnp.where(variance > 0, 1 / jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)


def correlations_of_signs(C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
    """The correlations of the signs of fields,

        E[sign(h_a) sign(h_b)] = (2/pi) asin( C_ab / sqrt(C_aa C_bb) ),

    and 1 for a = b unless the field vanishes.
    """
    scale = inverse_deviations(C)
    same = np.eye(len(C), dtype=bool)
    sine = jnp.where(same, 0.0, jnp.clip(C * scale[:, None] * scale[None, :], -1.0, 1.0))
    square = (jnp.diag(C) > 0).astype(C.dtype)[:, None]
    return jnp.where(same, square, (2 / math.pi) * arcsin(sine))
