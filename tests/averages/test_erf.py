"""Closed forms for erf against 16-digit references and finite differences."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.averages.erf import ErfAverages

from .reference import (
    assert_agrees,
    assert_gradient,
    evaluation,
    random_covariance,
    tables,
    weighted_sum,
)


@pytest.mark.parametrize("integral", ["I2", "J2", "I3", "I4"])
def test_reference(integral):
    assert_agrees("erf", integral, rtol=1e-12, atol=1e-14)


@functools.cache
def scalar_and_gradient():
    return weighted_sum(ErfAverages(3, 2), seed=3)


@pytest.mark.parametrize(
    "fields", [[0, 1, 2, 3, 4], [3, 3, 2, 3, 4]], ids=["generic", "coincident"]
)
def test_gradient(fields):
    """Also where students 0 and 1 both equal teacher 0."""
    C = random_covariance(5, seed=1)[np.ix_(fields, fields)]
    assert_gradient(*scalar_and_gradient(), C, seed=4, rtol=1e-8)


def test_contraction():
    """I4 is the quadratic form in u of the average over four fields."""
    C, u = random_covariance(5, seed=1), jnp.array([1.0, -0.6, 0.5, -1.2, 0.8])
    expected = jnp.einsum("klab,a,b->kl", tables("erf", 3, 2)(C)["I4"], u, u)
    np.testing.assert_allclose(evaluation(ErfAverages(3, 2))(C, u)["I4"], expected, rtol=1e-13)


def test_no_error_where_student_equals_teacher():
    """At e = 0 all averages with e vanish to rounding, the fourth-order ones included."""
    C, u = jnp.tile(random_covariance(2, seed=5), (2, 2)), jnp.array([1.0, 1.0, -1.0, -1.0])
    found = evaluation(ErfAverages(2, 2))(C, u)
    np.testing.assert_allclose(found["I2"] @ u, 0, atol=1e-15)
    np.testing.assert_allclose(found["I4"], 0, atol=1e-15)


def test_vanishing_fields():
    """g(0) = 0 and g'(0)^2 = 2 / pi."""
    found = evaluation(ErfAverages(2, 1))(jnp.zeros((3, 3)), jnp.ones(3))
    np.testing.assert_allclose(found["J2"], 2 / np.pi, rtol=1e-15)
    np.testing.assert_array_equal(found["I4"], 0)
