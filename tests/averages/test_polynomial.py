"""Sums over links for polynomials against references, moments known by hand, and quadrature."""

import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.activations.activation import Polynomial, as_activation
from teacherstudent.averages.polynomial import PolynomialAverages
from tests.long import mostly_long

from .nested_quadrature import NestedQuadrature
from .nested_rule import NestedRule
from .reference import assert_agrees, assert_gradient, evaluation, random_covariance, weighted_sum

CUBIC, MIXED = (0.3, -0.7, 0.2, 0.5), (-0.4, 0.8, 0.6)
WIDE = NestedRule(radius=11.0, smooth_nodes=(65, 65, 49, 45))


@pytest.mark.parametrize("integral", ["I2", "J2", "I3", "I4"])
@pytest.mark.parametrize(("name", "rtol"), [("linear", 1e-13), ("quadratic", 1e-12)])
def test_reference(name, rtol, integral):
    assert_agrees(name, integral, rtol=rtol, atol=1e-15)


@pytest.mark.parametrize(
    ("student", "teacher", "students", "teachers"),
    mostly_long(
        [
            (CUBIC, MIXED, 3, 2),
            (MIXED, CUBIC, 2, 1),
            ((0.0, 1.0), CUBIC, 2, 1),
            (CUBIC, (2.0,), 1, 2),
        ],
        [(MIXED, CUBIC, 2, 1)],
    ),
)
def test_different_degrees_against_quadrature(student, teacher, students, teachers):
    student, teacher = as_activation(student), as_activation(teacher)
    closed = PolynomialAverages(student.function, teacher.function, students, teachers)
    numerical = NestedQuadrature(student, teacher, students, teachers, WIDE)
    C, u = (
        random_covariance(students + teachers, seed=1),
        jnp.array([1.0, -0.6, 0.5, -1.2, 0.8])[: students + teachers],
    )
    expected = evaluation(numerical)(C, u)
    for name, found in evaluation(closed)(C, u).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-11, atol=1e-12)


def test_quintic_moments():
    """E[h^10] = 9!! C^5 and E[(5 h^4)^2 h^10] = 25 * 17!! C^9."""
    quintic = Polynomial((0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    found = evaluation(PolynomialAverages(quintic, quintic, 1, 1))(
        jnp.full((2, 2), 1.7), jnp.array([1.0, 0.0])
    )
    np.testing.assert_allclose(found["I2"], 945 * 1.7**5, rtol=1e-14)
    np.testing.assert_allclose(found["I4"], 25 * 34459425 * 1.7**9, rtol=1e-14)


def test_scaled_activation():
    """A factor s in g multiplies I2, J2 and G2 by s^2 and I4 by s^4."""
    C, u = random_covariance(3, seed=2), jnp.array([1.0, -0.6, 0.5])
    once, thrice = (Polynomial((0.0, 0.0, s)) for s in (1.0, 3.0))
    once, thrice = (evaluation(PolynomialAverages(g, g, 2, 1))(C, u) for g in (once, thrice))
    for name, factor in {"I2": 9, "J2": 9, "G2": 9, "I4": 81}.items():
        np.testing.assert_allclose(thrice[name], factor * once[name], rtol=1e-13)


def test_constant_student():
    """A student with g' = 0 neither moves nor feels the teacher, but has an output."""
    C = random_covariance(3, seed=3)
    averages = PolynomialAverages(Polynomial((2.0,)), Polynomial((0.0, 1.0)), 2, 1)
    found = evaluation(averages)(C, jnp.ones(3))
    np.testing.assert_allclose(found["I2"], [[4, 4, 0], [4, 4, 0], [0, 0, C[2, 2]]], atol=1e-15)
    for name in ("J2", "G2", "I4"):
        np.testing.assert_array_equal(found[name], 0)


def test_gradient():
    averages = PolynomialAverages(Polynomial(CUBIC), Polynomial(MIXED), 3, 2)
    assert_gradient(
        *weighted_sum(averages, seed=4), random_covariance(5, seed=5), seed=6, rtol=1e-8
    )
