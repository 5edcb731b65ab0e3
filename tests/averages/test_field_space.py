"""Quadrature over the student's fields, against Gauss-Hermite rules, closed forms, Monte Carlo, and its own error estimate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.activations import as_activation
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.fields import field_averages_for
from teacherstudent.losses import LOSSES
from tests.averages.test_shifted import state

LOGISTIC = LOSSES["logistic"]


def by_gauss_hermite(activation, loss, mean, C, v, y, nodes):
    """a, J C, D, b and the loss by a tensor Gauss-Hermite rule in other coordinates: the symmetric root of C."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    K = len(mean)
    xi = np.stack([axis.ravel() for axis in np.meshgrid(*[x] * K, indexing="ij")], axis=1)
    W = np.prod([axis.ravel() for axis in np.meshgrid(*[w / w.sum()] * K, indexing="ij")], axis=0)
    values, vectors = np.linalg.eigh(C)
    lam = np.asarray(mean) + xi @ (vectors * np.sqrt(values)) @ vectors.T
    g = np.asarray(activation(jnp.asarray(lam)))
    phi = jnp.asarray(g @ np.asarray(v))
    label = jnp.full_like(phi, y)
    slope = np.asarray(loss.slope(phi, label))
    delta = np.asarray(v) * np.asarray(activation.derivative(jnp.asarray(lam))) * slope[:, None]
    a = W @ delta
    covariance = (W[:, None] * delta).T @ (lam - np.asarray(mean))
    return a, covariance, (W[:, None] * delta).T @ delta, (W * slope) @ g, W @ np.asarray(loss.value(phi, label))


def compared(found, C):
    return found.a, found.J @ C, found.D, found.b, found.loss


@pytest.mark.parametrize(
    ("kind", "K", "tolerance"),
    [("erf", 1, 1e-10), ("erf", 2, 1e-10), ("erf", 3, 1e-5), ("tanh", 1, 1e-8), ("tanh", 2, 1e-6)],
)
def test_smooth_activations_with_the_logistic_loss(kind, K, tolerance):
    activation = as_activation(kind)
    mean, C, v, y = state(K)
    found = FieldSpace(activation, LOGISTIC, K).averages(mean, C, v, y)
    expected = by_gauss_hermite(activation, LOGISTIC, mean, C, v, y, {1: 150, 2: 100, 3: 50}[K])
    for one, other in zip(compared(found, C), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("kind", "K"), [("relu", 1), ("relu", 2), ("erf", 3), ("relu", 3), ("erf", 4)])
def test_the_estimate_bounds_the_error(kind, K):
    # of the square loss, where closed forms know the answer
    activation = as_activation(kind)
    rule, closed = FieldSpace(activation, LOSSES["square"], K), field_averages_for(activation, "square", K)
    mean, C, v, y = state(K)
    both = (jax.jit(one.averages)(mean, C, v, y) for one in (rule, closed))
    pairs = zip(*(compared(one, C) for one in both), strict=True)
    error = max(float(jnp.max(jnp.abs(one - other))) for one, other in pairs)
    estimate = float(jax.jit(rule.error)(mean, C, v, y))
    assert error < 3 * estimate + 1e-10
    assert estimate < (1e-9 if K < 3 else 1e-4 if (kind, K) == ("erf", 3) else 1e-2)


def test_relu_with_the_logistic_loss_against_monte_carlo():
    activation, (mean, C, v, y), count = as_activation("relu"), state(2), 1_000_000
    found = FieldSpace(activation, LOGISTIC, 2).averages(mean, C, v, y)
    lam = jnp.asarray(np.random.default_rng(0).standard_normal((count, 2)) @ np.linalg.cholesky(C).T + np.asarray(mean))
    phi = activation(lam) @ v
    loss = np.asarray(LOGISTIC.value(phi, jnp.full_like(phi, y)))
    delta = np.asarray(v[None, :] * activation.derivative(lam) * LOGISTIC.slope(phi, jnp.full_like(phi, y))[:, None])
    assert abs(loss.mean() - found.loss) < 4 * loss.std() / np.sqrt(count)
    assert (np.abs(delta.mean(0) - found.a) < 4 * delta.std(0) / np.sqrt(count)).all()


@pytest.mark.parametrize(("kind", "K"), [("erf", 2), ("relu", 2), ("tanh", 4)])
def test_fields_that_coincide_or_do_not_vary(kind, K):
    rule = FieldSpace(as_activation(kind), LOGISTIC, K)
    v, y = jnp.linspace(0.3, 0.7, K), jnp.array(1.0)
    merged = FieldSpace(as_activation(kind), LOGISTIC, 1)
    found = rule.averages(jnp.full(K, 0.4), jnp.full((K, K), 0.8), v, y)
    alone = merged.averages(jnp.array([0.4]), jnp.array([[0.8]]), jnp.sum(v)[None], y)
    tolerance = 1e-9 if K == 2 else 2e-3
    assert found.loss == pytest.approx(float(alone.loss), abs=tolerance)
    np.testing.assert_allclose(found.D, jnp.outer(v, v) / jnp.sum(v) ** 2 * alone.D, rtol=0, atol=tolerance)
    covariance = (alone.J * 0.8)[0, 0] * v / jnp.sum(v)
    np.testing.assert_allclose(found.J @ jnp.full((K, K), 0.8), jnp.tile(covariance[:, None], (1, K)), atol=tolerance)
    fixed = rule.averages(jnp.full(K, 0.4), jnp.zeros((K, K)), v, y)
    phi = as_activation(kind)(jnp.array(0.4)) * jnp.sum(v)
    assert fixed.loss == pytest.approx(float(LOGISTIC.value(phi, y)), abs=1e-10)
    total = lambda mean, C, v: sum(jnp.sum(part) for part in rule.averages(mean, C, v, y))
    for gradient in jax.jit(jax.grad(total, argnums=(0, 1, 2)))(jnp.zeros(K), jnp.ones((K, K)), jnp.zeros(K)):
        assert jnp.isfinite(gradient).all()


def test_it_says_which_rule_it_is():
    assert "81 nodes an axis (equidistant" in FieldSpace(as_activation("tanh"), LOGISTIC, 2).description
    assert "32 nodes an axis (pieces" in FieldSpace(as_activation("relu"), LOGISTIC, 2).description
    assert FieldSpace(as_activation("relu"), LOGISTIC, 3).description == "16384 frozen Sobol points in field space"
