"""Averages by quadrature: against closed forms, known integrals, an integral over each field, Monte
Carlo, and themselves with more nodes.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from teacherstudent.activations.activation import Activation, as_activation
from teacherstudent.averages.erf import ErfAverages
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.relu import ReluAverages
from teacherstudent.averages.resolution import Resolution
from tests.long import mostly_long

from .nested_quadrature import NestedQuadrature
from .reference import (
    COVARIANCES,
    KINDS,
    assert_gradient,
    evaluation,
    random_covariance,
    weighted_sum,
)

FINE = Resolution(0.15, 7.4, 0.2, 11.0, terms=90, piece_nodes=28)
U = jnp.array([1.0, -0.6, 0.5, -1.2, 0.8])
CLOSED = {"erf": ErfAverages, "relu": ReluAverages}
MIXED = [("relu", "erf"), ("gelu", "tanh")]


@functools.cache
def quadrature(student, teacher, students=2, teachers=2, **options):
    averages = QuadratureAverages(
        as_activation(student), as_activation(teacher), students, teachers, **options
    )
    return averages, evaluation(averages)


@functools.cache
def closed(name, students, teachers):
    return evaluation(CLOSED[name](students, teachers))


def largest_difference(first, second):
    return max(float(jnp.max(jnp.abs(first[name] - second[name]))) for name in first)


def error(name, C, students=2, teachers=2):
    """The largest error where g = g* has closed forms."""
    u = U[: students + teachers]
    _, evaluate = quadrature(name, name, students, teachers, resolution=FINE)
    return largest_difference(evaluate(C, u), closed(name, students, teachers)(C, u))


@pytest.mark.parametrize("index", [0, 5, 13, 19, 24, 28, 31])
def test_erf(index):
    assert error("erf", jnp.asarray(COVARIANCES[index])) < 1e-11


@pytest.mark.long
def test_erf_with_more_students_than_teachers():
    assert error("erf", random_covariance(5, seed=1), students=3) < 1e-11


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "tolerance"),
    mostly_long([(0, 5e-9), (5, 2e-10), (24, 2e-10), (30, 1e-6)], [(0, 5e-9)]),
)
def test_relu(index, tolerance):
    """In generic position and, less precise, with a student near a teacher (index 30)."""
    assert error("relu", jnp.asarray(COVARIANCES[index])) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tolerance"), mostly_long([("erf", 1e-11), ("relu", 1e-7)], [("erf", 1e-11)])
)
@pytest.mark.parametrize(
    "fields", [[0, 1, 0, 1], [0, 0, 0, 1], [0, 1, 2, 1]], ids=["both", "three", "one"]
)
def test_coincident_fields(name, tolerance, fields):
    C = random_covariance(3, seed=2)
    assert error(name, C[np.ix_(fields, fields)]) < tolerance


def test_vanishing_student():
    assert error("erf", jnp.diag(jnp.array([1.0, 0.0, 0.5, 2.0]))) < 1e-11


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(("student", "teacher"), mostly_long(MIXED, [("gelu", "tanh")]))
def test_more_nodes_change_nothing(student, teacher):
    """Variances up to 1.6; a pair with correlation 0.9999 (index 30)."""
    (_, coarse), (_, fine) = (
        quadrature(student, teacher),
        quadrature(student, teacher, resolution=FINE),
    )
    for index in (0, 30):
        C = jnp.asarray(COVARIANCES[index])
        assert largest_difference(coarse(C, U[:4]), fine(C, U[:4])) < 1e-9


@pytest.mark.long
@pytest.mark.slow
def test_error_estimate_bounds_the_error():
    """For erf, where the error is known, on a covariance of ordinary size and on a large one."""
    averages, evaluate = quadrature("erf", "erf")
    exact = closed("erf", 2, 2)
    estimate = jax.jit(averages.error)
    for index, kind in ((0, "generic"), (34, "large")):
        assert KINDS[index] == kind
        C = jnp.asarray(COVARIANCES[index])
        true = largest_difference(evaluate(C, U[:4]), exact(C, U[:4]))
        assert true < estimate(C, U[:4]) < 300 * true


def test_leaky_relu():
    """For g(x) = s x + (1 - s) max(x, 0), I2 is s C plus (1 - s)^2 times that of ReLU, for E[h
    max(h', 0)] = C / 2.
    """
    slope = 0.3
    leaky = Activation("leaky", lambda x: jnp.where(x > 0, x, slope * x), kinks=(0.0,))
    C = random_covariance(3, seed=3)
    expected = slope * C + (1 - slope) ** 2 * ReluAverages(2, 1).I2(C)
    np.testing.assert_allclose(
        jax.jit(QuadratureAverages(leaky, leaky, 2, 1).I2)(C), expected, atol=1e-10
    )


def test_kinks_away_from_zero():
    """E[max(h - c, 0)^2] = (c^2 + C) P(h > c) - c sqrt(C) phi(c / sqrt C); and with two kinks, at
    +-c.
    """
    c, variance = 0.7, 1.3
    shifted = Activation("shifted", lambda x: jax.nn.relu(x - c), kinks=(c,))
    shrunk = Activation("shrunk", lambda x: jax.nn.relu(x - c) - jax.nn.relu(-x - c), kinks=(-c, c))
    threshold = c / math.sqrt(variance)
    normal = scipy.stats.norm
    square = (c**2 + variance) * normal.sf(threshold) - c * math.sqrt(variance) * normal.pdf(
        threshold
    )
    I2 = jax.jit(QuadratureAverages(shrunk, shifted, 1, 1).I2)(
        jnp.diag(jnp.array([variance, variance]))
    )
    np.testing.assert_allclose(I2, [[2 * square, 0], [0, square]], atol=1e-10)


def test_kink_of_a_field_that_coincides_with_a_smooth_one():
    """E[h max(h - c, 0)] = C P(h > c): the kink is met although the second field adds no axis of
    its own.
    """
    c, variance = 0.7, 1.3
    shifted = Activation("shifted", lambda x: jax.nn.relu(x - c), kinks=(c,))
    I2 = jax.jit(QuadratureAverages(as_activation("linear"), shifted, 1, 1).I2)(
        jnp.full((2, 2), variance)
    )
    np.testing.assert_allclose(
        I2[0, 1], variance * scipy.stats.norm.sf(c / math.sqrt(variance)), atol=1e-10
    )


def test_stein():
    """E[g'(h_k) h_x g_c(h_c)] = C_kx G2(k, c) + C_xc J2(k, c), the left side as an integral over
    three fields.
    """
    _, evaluate = quadrature("gelu", "tanh")
    nested = NestedQuadrature(as_activation("gelu"), as_activation("tanh"), 2, 2)
    C = random_covariance(4, seed=4)
    k, x, c = np.ix_([0], range(4), [0, 2])
    direct = jax.jit(lambda C: nested._averages(C, slope=(k,), field=(x,), value=(c,)))(C)
    found = evaluate(C, U[:4])
    by_parts = C[k, x] * found["G2"][k, c] + C[x, c] * found["J2"][k, c]
    np.testing.assert_allclose(by_parts, direct, atol=1e-10)


@pytest.mark.parametrize(("student", "teacher"), mostly_long(MIXED, [("gelu", "tanh")]))
def test_monte_carlo(student, teacher):
    """Different activations of student and teacher, within five standard errors of 400 000
    draws.
    """
    g, teacher_g = as_activation(student), as_activation(teacher)
    C, u = random_covariance(4, seed=6), np.asarray(U[:4])
    h = np.random.default_rng(7).multivariate_normal(
        np.zeros(4), np.asarray(C), size=400_000, method="cholesky"
    )
    values = np.concatenate([g(jnp.asarray(h[:, :2])), teacher_g(jnp.asarray(h[:, 2:]))], axis=1)
    slopes = np.asarray(g.derivative(jnp.asarray(h[:, :2])))
    found = quadrature(student, teacher)[1](C, U[:4])
    pairs = [
        (values[:, 1] * values[:, 2], found["I2"][1, 2]),
        (
            slopes[:, 0] * h[:, 3] * values[:, 2],
            C[0, 3] * found["G2"][0, 2] + C[3, 2] * found["J2"][0, 2],
        ),
        (slopes[:, 0] * slopes[:, 1] * (values @ u) ** 2, found["I4"][0, 1]),
    ]
    for samples, theory in pairs:
        assert abs(samples.mean() - theory) < 5 * samples.std() / math.sqrt(len(samples))


@pytest.mark.parametrize("student", mostly_long(["tanh", "relu"], ["tanh"]))
def test_gradient(student):
    averages, _ = quadrature(student, "erf", 1, 1)
    assert_gradient(
        *weighted_sum(averages, seed=8), random_covariance(2, seed=9), seed=10, rtol=1e-7
    )
