"""The reference in field space against the product averages, which it does not use."""

import numpy as np
import pytest

from tests.faults.plain_activations import STUDENTS
from tests.faults.reference_averages import ReferenceAverages
from tests.faults.reference_fields import field_averages

C = np.array([[1.3, 0.5], [0.5, 0.4]])
ALMOST_ONE = np.array([[2.0, 1.9999], [1.9999, 2.0]])


@pytest.mark.parametrize("covariance", [C, ALMOST_ONE, np.ones((2, 2))])
@pytest.mark.parametrize("name", ["tanh", "relu", "shrink"])
def test_square_loss_without_mean(name, covariance):
    plain, v = STUDENTS[name].plain, np.array([0.7, -1.2])
    of = ReferenceAverages(plain, plain, 2)
    values = field_averages(plain, "square", np.zeros(2), covariance, v, 0.0)
    I2 = of.I2(covariance)
    np.testing.assert_allclose(values.b, I2 @ v, atol=1e-10)
    np.testing.assert_allclose(values.loss, v @ I2 @ v / 2, atol=1e-10)
    np.testing.assert_allclose(values.D, np.outer(v, v) * of.I4(covariance, v), atol=1e-10)
    J = np.outer(v, v) * of.J2(covariance) + np.diag(v * (of.G2(covariance) @ v))
    np.testing.assert_allclose(values.JC, J @ covariance, atol=1e-10)


def test_mean_of_one_linear_unit():
    values = field_averages(
        STUDENTS["linear"].plain,
        "square",
        np.array([0.3]),
        np.array([[2.0]]),
        np.array([1.5]),
        -1.0,
    )
    error = 1.5 * 0.3 + 1.0
    np.testing.assert_allclose(values.a, 1.5 * error)
    np.testing.assert_allclose(values.JC, 1.5 * 1.5 * 2.0)
    np.testing.assert_allclose(values.loss, (error**2 + 1.5**2 * 2.0) / 2)


PLANE = np.array([[1.0, 0.3], [-0.4, 1.2], [0.9, 0.8]])


@pytest.mark.parametrize(
    "three", [np.array([[1.3, 0.5, 0.2], [0.5, 0.4, 0.1], [0.2, 0.1, 0.7]]), PLANE @ PLANE.T]
)
def test_three_units_as_two(three):
    """A unit with readout zero changes nothing but its own b."""
    plain = STUDENTS["relu"].plain
    m, v = np.array([0.3, -0.2, 0.1]), np.array([0.7, -1.2, 0.0])
    all_of_them = field_averages(plain, "logistic", m, three, v, 1.0, accuracy=1e-5)
    two = field_averages(plain, "logistic", m[:2], three[:2, :2], v[:2], 1.0)
    np.testing.assert_allclose(all_of_them.D[:2, :2], two.D, atol=1e-6)
    np.testing.assert_allclose(all_of_them.loss, two.loss, atol=1e-6)
