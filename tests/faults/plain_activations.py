"""The same activations twice: in plain NumPy, with their derivatives written out, and as users give
them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf, expit

from teacherstudent.activations.activation import ACTIVATIONS, Activation
from tests.faults.reference_averages import FINE, Plain

ROOT_2 = np.sqrt(2)


class Pair(NamedTuple):
    """An activation in NumPy and in JAX."""

    plain: Plain
    jax: Activation


def normal(x: np.ndarray) -> np.ndarray:
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def zero(x: np.ndarray) -> np.ndarray:
    return np.zeros_like(x)


def one(x: np.ndarray) -> np.ndarray:
    return np.ones_like(x)


def known(name: str, plain: Plain) -> Pair:
    return Pair(plain, ACTIVATIONS[name])


def named(name: str, function: Callable, plain: Plain) -> Pair:
    return Pair(plain, Activation(f"trial-{name}", function))  # kinks and jumps are to be found


def _tanh(scale: float) -> Plain:
    def slope(x):
        return scale / np.cosh(np.clip(scale * x, -300, 300)) ** 2

    return Plain(
        lambda x: np.tanh(scale * x),
        slope,
        lambda x: -2 * scale * np.tanh(scale * x) * slope(x),
        grid=tuple(c / scale for c in Plain.grid),
    )


def _erf_curvature(x: np.ndarray) -> np.ndarray:
    return -2 * x * normal(x)


def _stairs(x: np.ndarray) -> np.ndarray:
    return 0.5 * (np.sign(x + 1.0) + np.sign(x) + np.sign(x - 1.5))


def _jax_stairs(x):
    return 0.5 * (jnp.sign(x + 1.0) + jnp.sign(x) + jnp.sign(x - 1.5))


SMOOTH = {
    "tanh": known("tanh", _tanh(1.0)),
    "erf": known("erf", Plain(lambda x: erf(x / ROOT_2), lambda x: 2 * normal(x), _erf_curvature)),
    "gelu": known(
        "gelu",
        Plain(
            lambda x: x * (1 + erf(x / ROOT_2)) / 2,
            lambda x: (1 + erf(x / ROOT_2)) / 2 + x * normal(x),
            lambda x: (2 - x**2) * normal(x),
        ),
    ),
    "linear": known("linear", Plain(lambda x: x, one, zero)),
    "quadratic": known("quadratic", Plain(lambda x: x**2, lambda x: 2 * x, lambda x: 2 * one(x))),
    "cubic": Pair(
        Plain(lambda x: x**3 / 6 - x / 2, lambda x: x**2 / 2 - 0.5, lambda x: x),
        Activation("trial-cubic", lambda x: x**3 / 6 - x / 2),
    ),
    "softplus": named(
        "softplus",
        jax.nn.softplus,
        Plain(lambda x: np.logaddexp(0, x), expit, lambda x: expit(x) * expit(-x)),
    ),
    "sin": named("sin", jnp.sin, Plain(np.sin, np.cos, lambda x: -np.sin(x), grid=FINE)),
    "sharp tanh": named("sharp-tanh", lambda x: jnp.tanh(3 * x), _tanh(3.0)),
}
KINKED = {
    "relu": known(
        "relu",
        Plain(lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0), zero, slope_jumps={0.0: 1.0}),
    ),
    "leaky relu": named(
        "leaky",
        lambda x: jax.nn.leaky_relu(x, 0.1),
        Plain(
            lambda x: np.where(x > 0, x, 0.1 * x),
            lambda x: np.where(x > 0, 1, 0.1),
            zero,
            slope_jumps={0.0: 0.9},
        ),
    ),
    "abs": named("abs", jnp.abs, Plain(np.abs, np.sign, zero, slope_jumps={0.0: 2.0})),
    "clip": named(
        "clip",
        lambda x: jnp.clip(x, -1.0, 1.0),
        Plain(
            lambda x: np.clip(x, -1, 1),
            lambda x: 1.0 * (np.abs(x) < 1),
            zero,
            slope_jumps={-1.0: 1.0, 1.0: -1.0},
        ),
    ),
    "shrink": named(
        "shrink",
        lambda x: jnp.sign(x) * jnp.maximum(jnp.abs(x) - 0.5, 0.0),
        Plain(
            lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
            lambda x: 1.0 * (np.abs(x) > 0.5),
            zero,
            slope_jumps={-0.5: -1.0, 0.5: 1.0},
        ),
    ),
    "elu": named(
        "elu",
        lambda x: jax.nn.elu(x, 0.5),
        Plain(
            lambda x: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0))),
            lambda x: np.where(x > 0, 1, 0.5 * np.exp(np.minimum(x, 0))),
            lambda x: np.where(x > 0, 0, 0.5 * np.exp(np.minimum(x, 0))),
            slope_jumps={0.0: 0.5},
        ),
    ),
}
JUMPING = {
    "sign": named("sign", jnp.sign, Plain(np.sign, zero, zero, jumps={0.0: 2.0})),
    "step": named(
        "step",
        lambda x: jnp.heaviside(x, 0.5),
        Plain(lambda x: 1.0 * (x > 0), zero, zero, jumps={0.0: 1.0}),
    ),
    "shifted step": named(
        "shifted-step",
        lambda x: jnp.where(x > 0.7, 1.0, 0.0),
        Plain(lambda x: 1.0 * (x > 0.7), zero, zero, jumps={0.7: 1.0}),
    ),
    "x + sign": named(
        "x+sign",
        lambda x: x + jnp.sign(x),
        Plain(lambda x: x + np.sign(x), one, zero, jumps={0.0: 2.0}),
    ),
    "stairs": named(
        "stairs", _jax_stairs, Plain(_stairs, zero, zero, jumps={-1.0: 1.0, 0.0: 1.0, 1.5: 1.0})
    ),
    "cut sine": named(
        "cut-sine",
        lambda x: jnp.where(x > 0.3, jnp.sin(x), 0.0),
        Plain(
            lambda x: np.where(x > 0.3, np.sin(x), 0),
            lambda x: np.where(x > 0.3, np.cos(x), 0),
            lambda x: np.where(x > 0.3, -np.sin(x), 0),
            jumps={0.3: float(np.sin(0.3))},
            slope_jumps={0.3: float(np.cos(0.3))},
            grid=FINE,
        ),
    ),
}
STUDENTS = SMOOTH | KINKED
TEACHERS = SMOOTH | KINKED | JUMPING
