"""The activations that have a name: to add one, write its file and register it here."""

import jax.numpy as jnp

from teacherstudent.activations.base import Activation, register
from teacherstudent.activations.contrasts import GAUSS, LOG_COSH, MINUS_GAUSS, MINUS_LOG_COSH
from teacherstudent.activations.erf import ERF, GELU
from teacherstudent.activations.linear import LINEAR
from teacherstudent.activations.polynomial import Polynomial
from teacherstudent.activations.relu import RELU
from teacherstudent.activations.signs import SIGN, STEP
from teacherstudent.activations.singularities import Singularities

register(ERF)
register(LINEAR)
register(Activation("quadratic", Polynomial((0.0, 0.0, 1.0))))
register(RELU, Singularities(points=(0.0,), heights=(0.0,), slopes=(1.0,)))
register(SIGN, Singularities(points=(0.0,), heights=(2.0,), slopes=(0.0,)))
register(STEP, Singularities(points=(0.0,), heights=(1.0,), slopes=(0.0,)))
register(Activation("tanh", jnp.tanh))
register(GELU)
register(LOG_COSH)
register(MINUS_LOG_COSH)
register(GAUSS)
register(MINUS_GAUSS)
