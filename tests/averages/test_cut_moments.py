"""Probabilities that a few normal numbers are positive, and moments cut to where they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.averages import cut_moments as module
from teacherstudent.averages.bivariate_normal import Phi, Phi2, density
from teacherstudent.averages.cut_moments import cut_moments
from teacherstudent.averages.orthants import all_positive
from tests.long import mostly_long

probabilities = jax.jit(jax.vmap(all_positive))


def correlations(rows):
    length = np.sqrt(np.sum(rows**2, axis=-1, keepdims=True))
    unit = rows / length
    return unit @ unit.swapaxes(-1, -2)


def law(n, spread=1.0, count=20, seed=0):
    """Means and correlations of n numbers; all but the last at a distance `spread` of a common one,
    and half of the means as well.
    """
    rng = np.random.default_rng(seed)
    h = rng.standard_normal((count, n))
    rows = rng.standard_normal((count, n, 6))
    if spread < 1:
        rows[:, :-1] = rows[:, :1] + spread * rng.standard_normal((count, n - 1, 6))
        h[::2, :-1] = h[::2, :1] + spread * rng.standard_normal((len(h[::2]), n - 1))
    return h, correlations(rows)


@pytest.mark.parametrize(("spread", "tolerance"), [(1.0, 1e-12), (0.1, 1e-11), (0.01, 2e-9)])
@pytest.mark.parametrize("n", [3, 4])
def test_the_last_number_is_positive_or_negative(n, spread, tolerance):
    h, R = law(n, spread)
    sign = np.where(np.arange(n) < n - 1, 1.0, -1.0)
    both = probabilities(h, R) + probabilities(h * sign, R * np.outer(sign, sign))
    fewer = probabilities(h[:, :-1], R[:, :-1, :-1])
    np.testing.assert_allclose(both, fewer, rtol=0, atol=tolerance)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_numbers_that_coincide_or_are_independent(n):
    h = np.array([0.7, -0.4, 0.0])[:, None] * np.ones(n)
    one = Phi(jnp.asarray(h[:, 0]))
    same = probabilities(h, np.ones((3, n, n)))
    np.testing.assert_allclose(same, one, rtol=0, atol=1e-9)
    apart = probabilities(h, np.tile(np.eye(n), (3, 1, 1)))
    np.testing.assert_allclose(apart, one**n, rtol=0, atol=1e-15)


@pytest.mark.parametrize("R", mostly_long([-1 + 1e-6, -0.3, 0.0, 0.8, 1 - 1e-9], [0.8]))
def test_bivariate_probability_and_its_derivatives(R):
    h, k = 0.3, -0.2
    s = np.sqrt((1 - R) * (1 + R))
    t, weights = np.polynomial.legendre.leggauss(4000)
    # int phi(x) Phi((k - R x) / s) over x < h, the step at k / R resolved by a change of variable.
    middle = np.clip(k / R if R else 0.0, -9.0, h)
    total = 0.0
    for begin, end in ((-9.0, middle), (middle, h)):
        u = (t + 1) / 2
        toward = begin if end == middle else end
        x = jnp.asarray(middle + (toward - middle) * u**4)
        lengths = weights / 2 * 4 * u**3 * abs(toward - middle)
        total += float(lengths @ (density(x) * Phi((k - R * x) / s)))
    arguments = tuple(map(jnp.asarray, (h, k, R)))
    np.testing.assert_allclose(Phi2(*arguments), total, rtol=0, atol=1e-12)
    in_h, in_k, _ = jax.grad(Phi2, argnums=(0, 1, 2))(*arguments)
    below_k = Phi((arguments[1] - R * arguments[0]) / s)
    below_h = Phi((arguments[0] - R * arguments[1]) / s)
    np.testing.assert_allclose(in_h, density(arguments[0]) * below_k, atol=1e-12)
    np.testing.assert_allclose(in_k, density(arguments[1]) * below_h, atol=1e-12)


def test_second_moments_are_symmetric_and_right():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4, 6))
    C = rows @ rows.T / 6
    mean = 0.5 * rng.standard_normal(4)
    found = jax.jit(cut_moments)(mean, C)[4]
    np.testing.assert_allclose(found.M[0], found.M[0].T, rtol=0, atol=1e-13)
    z = mean + rng.standard_normal((400_000, 4)) @ np.linalg.cholesky(C).T
    inside = np.all(z > 0, axis=1)
    for value, samples in (
        (found.P[0], inside),
        (found.m[0], inside[:, None] * z),
        (found.M[0], inside[:, None, None] * z[:, :, None] * z[:, None, :]),
    ):
        error = samples.std(axis=0) / np.sqrt(len(z))
        assert np.all(abs(samples.mean(axis=0) - np.asarray(value)) < 4 * error)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3, 6))
    mean, C = jnp.asarray(rng.standard_normal(3)), jnp.asarray(rows @ rows.T / 6)
    together = jax.jit(lambda *law: cut_moments(*law))(mean, C)
    monkeypatch.setattr(module, "AT_ONCE", {1: 2, 2: 2, 3: 1, 4: 1})
    blocks = jax.jit(lambda *law: cut_moments(*law))(mean, C)
    for one, other in zip(jax.tree.leaves(together), jax.tree.leaves(blocks), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-14)
