"""Quadrature over the student's fields, against other rules, closed forms, Monte Carlo, and its own
error estimate.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from teacherstudent.activations.activation import as_activation
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.fields import field_averages_for
from teacherstudent.averages.quasi_random import CAUTION
from teacherstudent.losses import LOSSES
from tests.averages.test_shifted import state
from tests.long import mostly_long

LOGISTIC = LOSSES["logistic"]


def expectations(activation, loss, mean, v, y, shift, W):
    """a, J C = Cov(delta, lambda), D, b and the loss, at lambda = mean + shift with weights W."""
    lam = jnp.asarray(np.asarray(mean) + shift)
    g, v = np.asarray(activation(lam)), np.asarray(v)
    phi = jnp.asarray(g @ v)
    label = jnp.full_like(phi, y)
    slope = np.asarray(loss.slope(phi, label))
    delta = v * np.asarray(activation.derivative(lam)) * slope[:, None]
    weighted = W[:, None] * delta
    return (
        W @ delta,
        weighted.T @ shift,
        weighted.T @ delta,
        (W * slope) @ g,
        W @ np.asarray(loss.value(phi, label)),
    )


def in_principal_axes(C, x, w):
    """The tensor rule of nodes x, weights w for N(0, 1), in other coordinates than the code's: the
    principal axes of C.
    """
    K = len(C)
    xi = np.stack([axis.ravel() for axis in np.meshgrid(*[x] * K, indexing="ij")], axis=1)
    W = np.prod([axis.ravel() for axis in np.meshgrid(*[w] * K, indexing="ij")], axis=0)
    values, vectors = np.linalg.eigh(C)
    return xi @ (vectors * np.sqrt(values)).T, W


def by_gauss_hermite(activation, loss, mean, C, v, y, nodes):
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    return expectations(activation, loss, mean, v, y, *in_principal_axes(C, x, w / w.sum()))


def by_fine_grid(activation, loss, mean, C, v, y):
    x = np.linspace(-8, 8, 501)
    return expectations(
        activation, loss, mean, v, y, *in_principal_axes(C, x, 16 / 500 * stats.norm.pdf(x))
    )


def panels(ends):
    """Gauss-Legendre nodes and weights for N(0, 1) between neighbours in `ends`, within [-8.5,
    8.5].
    """
    t, w = np.polynomial.legendre.leggauss(24)
    ends = np.clip(np.sort(ends), -8.5, 8.5)
    half = np.diff(ends)[:, None] / 2
    x = ((ends[:-1] + ends[1:])[:, None] / 2 + half * t).ravel()
    return x, (half * w).ravel() * stats.norm.pdf(x)


def in_nested_panels(mean, C):
    """lambda_1 - mean_1 first, in panels that shrink towards both kinks at 0, then lambda_2 given
    it, cut at its kink.
    """
    L = np.linalg.cholesky(C)
    closer = np.concatenate([[0.0], np.geomspace(1e-5, 1, 20)])
    kinks = [-m / scale for m, scale in zip(np.asarray(mean), L[:, 0], strict=True)]
    x, w = panels(
        np.concatenate(
            [np.linspace(-8.5, 8.5, 18), *(k + sign * closer for k in kinks for sign in (1, -1))]
        )
    )
    if len(mean) == 1:
        return x[:, None] * L[0], w
    second = [
        panels(np.array([-8.5, -4, 0, 4, 8.5, -(mean[1] + L[1, 0] * one) / L[1, 1]])) for one in x
    ]
    xi = np.concatenate(
        [
            np.stack([np.full_like(x2, one), x2], axis=1)
            for one, (x2, _) in zip(x, second, strict=True)
        ]
    )
    return xi @ L.T, np.concatenate(
        [weight * w2 for weight, (_, w2) in zip(w, second, strict=True)]
    )


def compared(found, C):
    return found.a, found.J @ C, found.D, found.b, found.loss


@pytest.mark.parametrize(
    ("kind", "K", "tolerance"),
    mostly_long(
        [
            ("erf", 1, 1e-11),
            ("erf", 2, 1e-11),
            ("erf", 3, 1e-6),
            ("tanh", 1, 1e-8),
            ("tanh", 2, 1e-6),
        ],
        [("erf", 2, 1e-11), ("tanh", 1, 1e-8)],
    ),
)
def test_smooth_activations_with_the_logistic_loss(kind, K, tolerance):
    activation = as_activation(kind)
    mean, C, v, y = state(K)
    found = FieldSpace(activation, LOGISTIC, K).averages(mean, C, v, y)
    expected = by_gauss_hermite(activation, LOGISTIC, mean, C, v, y, {1: 150, 2: 100, 3: 50}[K])
    for one, other in zip(compared(found, C), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("kind", "K"),
    mostly_long(
        [("relu", 1), ("relu", 2), ("erf", 3), ("relu", 3), ("erf", 4)],
        [("relu", 2), ("erf", 3)],
    ),
)
def test_the_estimate_bounds_the_error(kind, K):
    # of the square loss, where closed forms know the answer
    activation = as_activation(kind)
    rule, closed = (
        FieldSpace(activation, LOSSES["square"], K),
        field_averages_for(activation, "square", K),
    )
    mean, C, v, y = state(K)
    both = (jax.jit(one.averages)(mean, C, v, y) for one in (rule, closed))
    pairs = zip(*(compared(one, C) for one in both), strict=True)
    error = max(float(jnp.max(jnp.abs(one - other))) for one, other in pairs)
    estimate = float(jax.jit(rule.error)(mean, C, v, y))
    assert error < estimate
    assert estimate < CAUTION * (1e-9 if K < 3 else 1e-4 if (kind, K) == ("erf", 3) else 1e-2)


@pytest.mark.parametrize(("kind", "tolerance"), [("erf", 1e-10), ("tanh", 1e-6)])
def test_large_variances(kind, tolerance):
    activation = as_activation(kind)
    mean, C, v, y = state(2)
    C = 10 * C / jnp.sqrt(jnp.outer(jnp.diag(C), jnp.diag(C)))
    for K in (1, 2):
        part = mean[:K], C[:K, :K], v[:K], y
        found = FieldSpace(activation, LOGISTIC, K).averages(*part)
        for one, other in zip(
            compared(found, part[1]), by_fine_grid(activation, LOGISTIC, *part), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.long
@pytest.mark.parametrize("correlation", mostly_long([None, 0.3, -0.99, 0.9999], [None]))
def test_relu_with_the_logistic_loss(correlation):
    # one field, and two that are far from parallel or almost parallel
    activation, K = as_activation("relu"), 2 if correlation else 1
    mean, C, v, y = state(K)
    if correlation:
        C = jnp.sqrt(jnp.outer(jnp.diag(C), jnp.diag(C))) * jnp.array(
            [[1.0, correlation], [correlation, 1.0]]
        )
    rule = FieldSpace(activation, LOGISTIC, K)
    found = rule.averages(mean, C, v, y)
    expected = expectations(activation, LOGISTIC, mean, v, y, *in_nested_panels(mean, C))
    pairs = zip(compared(found, C), expected, strict=True)
    error = max(float(np.max(np.abs(one - other))) for one, other in pairs)
    assert error < 1e-10
    assert error < rule.error(mean, C, v, y) < CAUTION * 1e-8


@pytest.mark.parametrize(
    ("kind", "K"), mostly_long([("tanh", 2), ("relu", 1), ("relu", 2), ("erf", 3)], [("relu", 1)])
)
def test_slopes_of_the_expected_loss(kind, K):
    # by Price's theorem d E[l] / d mean = a and d E[l] / d C = J / 2, a symmetric matrix
    rule, (mean, C, v, y) = FieldSpace(as_activation(kind), LOGISTIC, K), state(K, seed=1)
    found = rule.averages(mean, C, v, y)
    by_mean, by_C = jax.jit(
        jax.grad(lambda mean, C: rule.averages(mean, C, v, y).loss, argnums=(0, 1))
    )(mean, C)
    tolerance = 1e-9 if K < 3 else 1e-4
    np.testing.assert_allclose(by_mean, found.a, rtol=0, atol=tolerance)
    np.testing.assert_allclose(by_C + by_C.T, found.J, rtol=0, atol=tolerance)


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "K"), mostly_long([("erf", 2), ("relu", 2), ("tanh", 4)], [("relu", 2)])
)
def test_fields_that_coincide_or_do_not_vary(kind, K):
    rule = FieldSpace(as_activation(kind), LOGISTIC, K)
    v, y = jnp.linspace(0.3, 0.7, K), jnp.array(1.0)
    merged = FieldSpace(as_activation(kind), LOGISTIC, 1)
    found = rule.averages(jnp.full(K, 0.4), jnp.full((K, K), 0.8), v, y)
    alone = merged.averages(jnp.array([0.4]), jnp.array([[0.8]]), jnp.sum(v)[None], y)
    tolerance = 1e-9 if K == 2 else 2e-3
    assert found.loss == pytest.approx(float(alone.loss), abs=tolerance)
    np.testing.assert_allclose(
        found.D, jnp.outer(v, v) / jnp.sum(v) ** 2 * alone.D, rtol=0, atol=tolerance
    )
    covariance = (alone.J * 0.8)[0, 0] * v / jnp.sum(v)
    np.testing.assert_allclose(
        found.J @ jnp.full((K, K), 0.8), jnp.tile(covariance[:, None], (1, K)), atol=tolerance
    )
    fixed = rule.averages(jnp.full(K, 0.4), jnp.zeros((K, K)), v, y)
    phi = as_activation(kind)(jnp.array(0.4)) * jnp.sum(v)
    assert fixed.loss == pytest.approx(float(LOGISTIC.value(phi, y)), abs=1e-10)
    total = lambda mean, C, v: sum(jnp.sum(part) for part in rule.averages(mean, C, v, y))
    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2)))
    for C in (jnp.ones((K, K)), jnp.zeros((K, K))):
        for gradient in slopes(jnp.zeros(K), C, jnp.zeros(K)):
            assert jnp.isfinite(gradient).all()


def test_it_says_which_rule_it_is():
    assert (
        "97 nodes an axis (equidistant"
        in FieldSpace(as_activation("tanh"), LOGISTIC, 2).description
    )
    assert "32 nodes an axis (pieces" in FieldSpace(as_activation("relu"), LOGISTIC, 2).description
    assert (
        FieldSpace(as_activation("relu"), LOGISTIC, 3).description
        == "16384 frozen Sobol points in field space"
    )
