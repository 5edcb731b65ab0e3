"""Which formulas belong to which activations, and what all of them have in common."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.activations.activation import Activation, as_activation
from teacherstudent.averages import averages_for
from teacherstudent.averages.erf import ErfAverages
from teacherstudent.averages.polynomial import PolynomialAverages
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.relu import ReluAverages

from .reference import evaluation, random_covariance

PAIRS = [
    ("erf", "erf", ErfAverages),
    ("relu", "relu", ReluAverages),
    ("linear", "quadratic", PolynomialAverages),
    ([0.1, 0.2, 0.3, 0.4], "linear", PolynomialAverages),
    ("tanh", "tanh", QuadratureAverages),
    ("relu", "linear", QuadratureAverages),
    ("erf", "linear", QuadratureAverages),
    (jnp.sin, "erf", QuadratureAverages),
]


@pytest.mark.parametrize(("student", "teacher", "expected"), PAIRS)
def test_choice(student, teacher, expected):
    assert type(averages_for(as_activation(student), as_activation(teacher), 2, 1)) is expected


def test_a_function_of_ones_own_goes_to_quadrature():
    impostor = Activation("my erf", jnp.tanh)
    assert type(averages_for(impostor, impostor, 2, 1)) is QuadratureAverages


@pytest.mark.parametrize(
    ("student", "teacher"),
    [pair[:2] for pair in PAIRS[:4]] + [pytest.param("tanh", "tanh", marks=pytest.mark.long)],
)
def test_contract(student, teacher):
    """Shapes with K = 2, M = 1, vectorisation, symmetries; E[g'(h_k) g'(h_l) e^2] has no negative
    eigenvalue.
    """
    averages = averages_for(as_activation(student), as_activation(teacher), students=2, teachers=1)
    C = jnp.stack([random_covariance(3, seed) for seed in (1, 2)])
    found = jax.vmap(evaluation(averages), (0, None))(C, jnp.array([0.9, -0.6, -1.1]))
    shapes = {name: value.shape for name, value in found.items()}
    assert shapes == {"I2": (2, 3, 3), "J2": (2, 2, 3), "G2": (2, 2, 3), "I4": (2, 2, 2)}
    for symmetric in (found["I2"], found["J2"][:, :, :2], found["I4"]):
        np.testing.assert_allclose(symmetric, symmetric.mT, rtol=1e-12, atol=1e-14)
        assert jnp.min(jnp.linalg.eigvalsh(symmetric)) > -1e-12
