"""Closed forms for ReLU against 16-digit references, and where fields coincide or vanish."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.averages.relu import ReluAverages
from tests.long import mostly_long

from .reference import (
    COVARIANCES,
    KINDS,
    assert_agrees,
    assert_gradient,
    evaluation,
    random_covariance,
    tables,
    weighted_sum,
)


@pytest.mark.parametrize("integral", ["I2", "J2", "I3", "I4"])
def test_reference(integral):
    assert_agrees("relu", integral, rtol=1e-11, atol=1e-11, only=KINDS != "near_student_teacher")


@pytest.mark.parametrize("integral", ["I2", "J2", "I3", "I4"])
def test_reference_with_a_student_near_a_teacher(integral):
    assert_agrees("relu", integral, rtol=0, atol=1e-10, only=KINDS == "near_student_teacher")


@pytest.mark.long
@pytest.mark.parametrize(
    "fields", mostly_long([[0, 1, 3, 4], [2, 0, 4, 3], [1, 2, 3, 4]], [[2, 0, 4, 3]])
)
def test_more_students(fields):
    """An average does not depend on the fields that do not occur in it: K = 3 contains K = 2."""
    C = random_covariance(5, seed=1)
    few, many = tables("relu", 2, 2)(C[np.ix_(fields, fields)]), tables("relu", 3, 2)(C)
    for integral in ("J2", "I3"):
        rest = [fields] * (few[integral].ndim - 1)
        np.testing.assert_allclose(
            few[integral], many[integral][np.ix_(fields[:2], *rest)], atol=1e-15
        )
    np.testing.assert_allclose(
        few["I4"], many["I4"][np.ix_(fields[:2], fields[:2], fields, fields)], atol=1e-13
    )


def test_contraction():
    C, u = random_covariance(5, seed=1), jnp.array([1.0, -0.6, 0.5, -1.2, 0.8])
    expected = jnp.einsum("klab,a,b->kl", tables("relu", 3, 2)(C)["I4"], u, u)
    np.testing.assert_allclose(evaluation(ReluAverages(3, 2))(C, u)["I4"], expected, rtol=1e-12)


def test_fields_that_coincide():
    """Two students equal to teacher 0: every average is one over the two different fields."""
    C = random_covariance(2, seed=2)
    fields = np.array([0, 0, 0, 1])
    found, merged = tables("relu", 2, 2)(C[np.ix_(fields, fields)]), tables("relu", 2, 0)(C)
    for integral, value in found.items():
        indices = np.ix_(*(fields[:size] for size in value.shape))
        np.testing.assert_allclose(
            value, merged[integral][indices], atol=1e-7 if integral == "I3" else 1e-14
        )


@pytest.mark.parametrize("sign", [1, -1])
def test_fields_on_one_line(sign):
    """Fields +-h: every average is E[h^2 theta(h)] = C / 2, or zero where both signs occur."""
    signs = np.array([1, sign, 1, 1])
    I4 = tables("relu", 2, 2)(jnp.asarray(0.8 * np.outer(signs, signs)))["I4"]
    students, fields = [signs[:2] > 0, signs[:2] < 0], [signs > 0, signs < 0]
    expected = sum(
        0.4 * np.einsum("k,l,a,b->klab", s, s, f, f) for s, f in zip(students, fields, strict=True)
    )
    np.testing.assert_allclose(I4, expected, atol=1e-14)


def test_no_error_where_student_equals_teacher():
    C, u = jnp.tile(random_covariance(2, seed=5), (2, 2)), jnp.array([1.0, 1.0, -1.0, -1.0])
    found = tables("relu", 2, 2)(C)
    np.testing.assert_allclose(found["I2"] @ u, 0, atol=1e-15)
    np.testing.assert_allclose(jnp.einsum("klab,a,b->kl", found["I4"], u, u), 0, atol=1e-14)


def test_small_differences_are_resolved():
    """E[(g(h) - g(h + d x))^2] = d^2 / 2 + O(d^3) for independent h and x, far below the rounding
    of asin near 1.
    """
    d = 1e-6
    C, u = jnp.array([[1.0, 1.0], [1.0, 1.0 + d**2]]), jnp.array([1.0, -1.0])
    np.testing.assert_allclose(u @ ReluAverages(1, 1).I2(C) @ u, d**2 / 2, rtol=1e-3)


@functools.cache
def scalar_and_gradient():
    return weighted_sum(ReluAverages(2, 2), seed=3)


@pytest.mark.long
@pytest.mark.parametrize("index", mostly_long([1, 5, 19], [5]))
def test_gradient(index):
    assert_gradient(*scalar_and_gradient(), jnp.asarray(COVARIANCES[index]), seed=4, rtol=1e-6)


@pytest.mark.long
def test_gradient_is_finite_where_fields_coincide_or_vanish():
    _, gradient = scalar_and_gradient()
    coincident = jnp.tile(random_covariance(2, seed=5), (2, 2))
    without_student = jnp.diag(jnp.array([0.0, 1.0, 1.0, 1.0]))
    for C in (coincident, without_student):
        assert jnp.all(jnp.isfinite(gradient(C)))
