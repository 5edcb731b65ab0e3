"""Networks on inputs of two classes: the literal laws, against the theory, and escape from random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from sims.mixture import spiked_source
from sims.spike_laws import spike_law

TASKS = {
    "skewed": ts.SpikedCumulant(5.0, ("skewed", 0.2)),
    "uniform": ts.SpikedCumulant(5.0, "uniform"),
    "laplace": ts.SpikedCumulant(3.0, "laplace"),
    "mixed, independent": ts.MixedCumulant(2.0, 5.0),
    "mixed, sign": ts.MixedCumulant(2.0, 5.0, coupling="sign"),
    "mixed, square": ts.MixedCumulant(2.0, 5.0, coupling="square"),
    "xor": ts.GaussianMixture.xor(0.3),
    "boxes": ts.BoxMixture([0.3, 0.7], [1, -1], [[[-1, 1]], [[0, 2]]], [lambda s: s[0] ** 2, lambda s: 1 + 0 * s[0]]),
}


@pytest.mark.parametrize("name", list(TASKS))
def test_draws_have_the_moments_of_the_components(name):
    task, count = TASKS[name], 100_000
    law, keys = jax.tree.map(jnp.asarray, spike_law(task)), jax.random.split(jax.random.key(0), count)
    y, s, _ = jax.jit(jax.vmap(lambda key: law.draw(key, jnp.float64)))(keys)
    p, label, A, S, _ = task.components()
    z, w = np.polynomial.hermite_e.hermegauss(8)
    direction = np.linspace(1.0, 0.6, task.directions)
    mean, scale = A @ direction, np.sqrt(np.einsum("a,cab,b->c", direction, S, direction))
    fields = mean[:, None] + scale[:, None] * z
    for power in range(1, 5):
        for weight in (np.ones_like(label), label):
            expected = np.einsum("c,n,cn->", p * weight, w / w.sum(), fields**power)
            samples = (np.asarray(s) @ direction) ** power * (np.asarray(y) if weight is label else 1.0)
            assert abs(samples.mean() - expected) < 5 * samples.std() / np.sqrt(count) + 1e-4


def test_inputs_are_white_beside_the_spike():
    N, u = 8, np.linspace(1.0, 2.0, 8)
    u *= np.sqrt(N) / np.linalg.norm(u)
    source = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), spiked_source(TASKS["uniform"], u[None, None]))
    x, _, y = source.draw(jax.random.split(jax.random.key(1), 40_000))
    for label in (1.0, -1.0):
        of_class = np.asarray(x)[np.asarray(y) == label]
        np.testing.assert_allclose(of_class.T @ of_class / len(of_class), np.eye(N), atol=0.06)
        np.testing.assert_allclose(of_class.mean(0), 0, atol=0.04)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "loss", "K"), [("skewed", "square", 1), ("mixed, sign", "logistic", 2)])
def test_networks_follow_the_theory(name, loss, K):
    task = TASKS[name]
    problem = ts.Problem(task, ts.Student(K, "erf", True, True), ts.SGD(0.4), loss=loss)
    m = np.array([[0.6, 0.2], [-0.4, 0.3]])[:K, : task.directions]
    start = ts.OrderParameters(m @ m.T + 0.5 * np.eye(K), m=m, v=[0.7, -0.6][:K], b=[0.5, -0.3][:K])
    times = np.linspace(0, 3, 7)
    networks = ts.simulate(problem, start, times, N=500, seeds=16, test_samples=2000)
    report = ts.compare(ts.integrate(problem, start, times), networks)
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]


@pytest.mark.slow
def test_escape_steps_grow_with_the_dimension():
    student, rule = ts.Student(1, "linear"), ts.SphericalSGD(0.5)
    problem = ts.Problem(ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0], [0.0]]), student, rule, loss="correlation")
    found = ts.escape(problem, [64, 256], seeds=96, progress=False)
    np.testing.assert_allclose(found.median_step[:, 0], [133.5, 627.5], rtol=0.3)
    assert abs(float(found.exponent[0]) - 1.0) < 4 * float(found.exponent_error[0])
    stuck = ts.escape(problem, 64, seeds=4, max_steps=3, progress=False)
    assert np.isnan(stuck.median_step).all()
    with pytest.raises(ValueError, match="threshold = 2 is not allowed"):
        ts.escape(problem, 64, threshold=2)


@pytest.mark.slow
@pytest.mark.parametrize("contrast", ["kurtosis", "logcosh", "gauss"])
def test_fast_ica_finds_the_spike(contrast):
    found = ts.fast_ica(ts.SpikedCumulant(10.0), 10, 20_000, contrast=contrast, steps=3, overlap=0.4, seeds=8)
    assert float(found.overlap.isel(step=0).mean()) == pytest.approx(0.4, abs=1e-3)
    assert float(found.overlap.isel(step=-1).median()) > 0.9
