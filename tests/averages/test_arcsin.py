"""asin from a polynomial, and the fourth average of erf in parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.averages import erf
from teacherstudent.averages.arcsin import arcsin
from teacherstudent.averages.erf import ErfAverages

R = np.concatenate(
    [
        np.linspace(-1, 1, 20_001),
        1 - np.logspace(-16, -1, 300),
        np.logspace(-300, -1, 300),
        [0.5, -0.5],
    ]
)


def test_arcsin_is_exact_to_rounding():
    np.testing.assert_allclose(arcsin(jnp.asarray(R)), np.arcsin(R), rtol=1e-15, atol=0)
    np.testing.assert_allclose(jax.jit(arcsin)(jnp.asarray(R)), np.arcsin(R), rtol=1e-15, atol=0)
    assert np.isnan(arcsin(jnp.asarray(1.1))) and np.signbit(arcsin(jnp.asarray(-1e-300)))


def test_arcsin_has_its_derivatives():
    r = jnp.array([-0.999, -0.5, -1e-9, 0.0, 0.3, 0.7])
    slopes, curvatures = jax.vmap(jax.grad(arcsin))(r), jax.vmap(jax.grad(jax.grad(arcsin)))(r)
    np.testing.assert_allclose(slopes, 1 / np.sqrt(1 - r**2), rtol=1e-13)
    np.testing.assert_allclose(curvatures, r / (1 - r**2) ** 1.5, rtol=1e-11, atol=1e-14)


@pytest.mark.long
@pytest.mark.parametrize("entries", [1, 50, 333])
def test_the_fourth_average_in_parts(entries, monkeypatch):
    K, M = 5, 2
    rows = np.random.default_rng(0).standard_normal((K + M, 9)) / 3
    C, u = jnp.asarray(rows @ rows.T), jnp.linspace(1.0, -0.7, K + M)
    whole = ErfAverages(K, M).I4(C, u)
    slope = jax.grad(lambda C: jnp.sum(ErfAverages(K, M).I4(C, u)))(C)
    monkeypatch.setattr(erf, "ENTRIES_AT_ONCE", entries)
    np.testing.assert_allclose(ErfAverages(K, M).I4(C, u), whole, rtol=1e-13)
    np.testing.assert_allclose(
        jax.grad(lambda C: jnp.sum(ErfAverages(K, M).I4(C, u)))(C), slope, rtol=1e-11, atol=1e-14
    )
