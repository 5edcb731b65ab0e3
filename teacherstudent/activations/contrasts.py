"""Contrast functions of independent component analysis, and their negatives:

    log cosh x    and    -exp(-x^2 / 2).

A unit that descends the correlation loss climbs its contrast with the negative one.
"""

import math

import jax.numpy as jnp
from jaxtyping import Float

from teacherstudent.activations.base import Activation
from teacherstudent.checking.checks import AnyArray


def log_cosh(x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
    """log cosh x, also where cosh x overflows."""
    return jnp.logaddexp(x, -x) - math.log(2)


def minus_log_cosh(x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
    """-log cosh x."""
    return -log_cosh(x)


def gauss(x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
    """-exp(-x^2 / 2)."""
    return -jnp.exp(-(x**2) / 2)


def minus_gauss(x: Float[AnyArray, "*shape"]) -> Float[AnyArray, "*shape"]:
    """exp(-x^2 / 2)."""
    return jnp.exp(-(x**2) / 2)


LOG_COSH = Activation("logcosh", log_cosh)
MINUS_LOG_COSH = Activation("minus-logcosh", minus_log_cosh)
GAUSS = Activation("gauss", gauss)
MINUS_GAUSS = Activation("minus-gauss", minus_gauss)
