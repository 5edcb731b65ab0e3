"""Averages of a student with biases and its teacher: Monte Carlo, a dense grid, and no biases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from teacherstudent.activations.activation import as_activation
from teacherstudent.averages import averages_for
from teacherstudent.averages.biased import ShiftedFields
from teacherstudent.averages.biased_quadrature import BiasedQuadrature
from teacherstudent.averages.choice import biased_averages_for
from tests.averages.reference import evaluation, random_covariance
from tests.long import mostly_long

CUBIC = (0.3, -0.5, 0.7, 0.2)
# A student and a teacher, and whether their averages are closed forms.
PAIRS = {
    "erf": ("erf", "erf", True),
    "relu": ("relu", "relu", True),
    "polynomials": (CUBIC, (0.2, 0.5, -0.4), True),
    "linear": ("linear", CUBIC, True),
    "quadrature": ("tanh", "erf", False),
    "jump": ("erf", "sign", False),
    "kinks": ("relu", "erf", False),
}
# g, g' written once more, in NumPy.
BY_HAND = {
    "erf": (
        lambda h: special.erf(h / np.sqrt(2)),
        lambda h: np.sqrt(2 / np.pi) * np.exp(-(h**2) / 2),
    ),
    "relu": (lambda h: np.maximum(h, 0), lambda h: (h > 0).astype(float)),
    "tanh": (np.tanh, lambda h: 1 / np.cosh(h) ** 2),
    "linear": (lambda h: h, np.ones_like),
    "sign": (np.sign, np.zeros_like),
}


def by_hand(kind):
    if isinstance(kind, str):
        return BY_HAND[kind]
    polynomial = np.polynomial.Polynomial(kind)
    return polynomial, polynomial.deriv()


def averages_of(student, teacher, b, M):
    activations = as_activation(student), as_activation(teacher)
    mean = jnp.concatenate([jnp.asarray(b), jnp.zeros(M)])
    return biased_averages_for(*activations, mean, len(b))


def found_averages(averages, C, u):
    """I2, S2, J2, Stein's I3 for all fields, and I4."""

    @jax.jit
    def all_of(C, u):
        K = averages.students
        J2, G2 = averages.J2(C), averages.G2(C)
        I3 = C[:K, :, None] * G2[:, None, :] + C[None, :, :] * J2[:, None, :]
        return {
            "I2": averages.I2(C),
            "S2": averages.S2(C),
            "I3": I3,
            "I4": averages.I4(C, u),
        }

    return all_of(C, jnp.asarray(u))


def sampled(student, teacher, b, C, u, samples, seed):
    """Means and standard errors of the same over samples of the fields."""
    K = len(b)
    (g, slope), (g_star, _) = by_hand(student), by_hand(teacher)
    root = np.linalg.cholesky(np.asarray(C))
    random = np.random.default_rng(seed)
    sums: dict = {}
    parts = 20
    for _ in range(parts):
        bare = random.standard_normal((samples // parts, len(C))) @ root.T
        h = bare[:, :K] + b
        values = np.concatenate([g(h), g_star(bare[:, K:])], axis=1)
        slopes = slope(h)
        output = (values @ u) ** 2
        terms = {
            "I2": [values, values],
            "S2": [slopes, values],
            "I3": [slopes, bare, values],
            "I4": [slopes, slopes * output[:, None]],
        }
        letters = {2: "na,nb->ab", 3: "na,nx,nb->axb"}
        for name, factors in terms.items():
            form = letters[len(factors)]
            mean = np.einsum(form, *factors, optimize=True) / len(h)
            square = np.einsum(form, *[factor**2 for factor in factors], optimize=True) / len(h)
            first, second = sums.get(name, (0.0, 0.0))
            sums[name] = (first + mean / parts, second + square / parts)
    return {
        name: (mean, np.sqrt(np.maximum(square - mean**2, 0) / samples))
        for name, (mean, square) in sums.items()
    }


B = np.array([0.7, -0.9, 0.3])


@pytest.mark.parametrize("pair", mostly_long(PAIRS, ("erf", "relu", "polynomials")))
def test_against_samples(pair):
    """Three students and two teachers, all biases different."""
    student, teacher, _ = PAIRS[pair]
    C = random_covariance(5, seed=3)
    u = np.array([0.8, -0.5, 0.4, -1.0, 0.6])
    found = found_averages(averages_of(student, teacher, B, 2), C, u)
    expected = sampled(student, teacher, B, C, u, samples=400_000, seed=1)
    for name, (mean, error) in expected.items():
        z = np.abs(np.asarray(found[name]) - mean) / (error + 1e-12)
        assert z.max() < 4.5, name
        # The biases are seen: without them the averages are others by much more.
        centred = sampled(student, teacher, 0 * B, C, u, samples=20_000, seed=2)[name][0]
        assert (np.abs(np.asarray(found[name]) - centred) / (error + 1e-12)).max() > 20, name


@pytest.mark.parametrize("pair", ["erf", "quadrature", "polynomials"])
def test_against_a_grid(pair):
    """Two students and one teacher, smooth: the trapezoidal rule in three dimensions."""
    student, teacher, _ = PAIRS[pair]
    b, u = B[:2], np.array([0.8, -0.5, -1.0])
    C = random_covariance(3, seed=5)
    line = np.linspace(-9, 9, 91)
    z = np.stack(np.meshgrid(line, line, line), axis=-1).reshape(-1, 3)
    p = np.exp(-(z**2).sum(axis=1) / 2)
    p /= p.sum()
    bare = z @ np.linalg.cholesky(np.asarray(C)).T
    (g, slope), (g_star, _) = by_hand(student), by_hand(teacher)
    h = bare[:, :2] + b
    values = np.concatenate([g(h), g_star(bare[:, 2:])], axis=1)
    weighted = p[:, None] * slope(h)
    found = found_averages(averages_of(student, teacher, b, 1), C, u)
    expected = {
        "I2": (p[:, None] * values).T @ values,
        "S2": weighted.T @ values,
        "I3": np.einsum("na,nx,nb->axb", weighted, bare, values, optimize=True),
        "I4": weighted.T @ (slope(h) * ((values @ u) ** 2)[:, None]),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-7, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("pair", mostly_long(PAIRS, ("erf", "linear")))
def test_without_biases_they_are_those_of_centred_fields(pair):
    student, teacher, closed = PAIRS[pair]
    biased = averages_of(student, teacher, np.zeros(2), 3)
    assert isinstance(biased, ShiftedFields if closed else BiasedQuadrature)
    centred = averages_for(as_activation(student), as_activation(teacher), 2, 3)
    C = random_covariance(5, seed=7)
    u = jnp.array([0.8, -0.5, 0.4, -1.0, 0.6])
    of_biased, of_centred = evaluation(biased)(C, u), evaluation(centred)(C, u)
    for name, expected in of_centred.items():
        np.testing.assert_allclose(of_biased[name], expected, rtol=0, atol=1e-6, err_msg=name)


def test_quadrature_agrees_with_closed_forms_and_knows_its_error():
    erf = as_activation("erf")
    C = random_covariance(4, seed=2)
    u = jnp.array([0.8, -0.5, 0.4, -1.0])
    mean = jnp.concatenate([jnp.asarray(B), jnp.zeros(1)])
    quadrature = BiasedQuadrature(erf, erf, mean, len(B))
    closed = found_averages(averages_of("erf", "erf", B, 1), C, u)
    found = found_averages(quadrature, C, u)
    error = max(float(jnp.abs(found[name] - closed[name]).max()) for name in closed)
    estimate = float(quadrature.error(C, u))
    assert error < max(estimate, 1e-12) < 1e-5
