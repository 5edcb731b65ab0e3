"""The simulator's steps against the same steps in plain NumPy, on the same inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

import teacherstudent as ts
from sims.inputs.teacher_student import StandardNormal
from sims.running.loop import TRAINING
from sims.weights.steps import sample_keys
from tests.long import mostly_long
from tests.problems import committee

K, M, N, STEPS = 3, 2, 17, 40

ACTIVATIONS = {
    "erf": (lambda x: erf(x / np.sqrt(2)), lambda x: np.sqrt(2 / np.pi) * np.exp(-(x**2) / 2)),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float)),
    "quadratic": (lambda x: x**2, lambda x: 2 * x),
    "linear": (lambda x: x, lambda x: np.ones_like(x)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
}


def drawn_inputs(problem, seed, w_star):
    """The inputs and noises that the simulator gives to one seed."""
    key = jax.random.fold_in(jax.random.key(np.uint32(seed)), TRAINING)
    keys = sample_keys(key, jnp.arange(STEPS, dtype=jnp.uint32), problem.batch_size)
    inputs = StandardNormal(jnp.asarray(w_star[0])).draw(keys)
    shape = (STEPS, problem.batch_size)
    return np.asarray(inputs.x).reshape(*shape, N), np.asarray(inputs.zeta).reshape(shape)


def numpy_training(
    w, v, w_star, x, zeta, activation, eta, eta_v, sigma, kappa, spherical=False, latents=None
):
    """Online SGD, sample by sample, as one would write it on the board; the teacher sees the
    latents, or the inputs.
    """
    g, slope = ACTIVATIONS[activation]
    w, v = w.copy(), v.copy()
    for batch, seen, noises in zip(x, x if latents is None else latents, zeta, strict=True):
        dw, dv = np.zeros_like(w), np.zeros_like(v)
        for sample, latent, noise in zip(batch, seen, noises, strict=True):
            field = w @ sample / np.sqrt(N)
            y = g(w_star @ latent / np.sqrt(latent.size)).sum() + sigma * noise
            error = v @ g(field) - y
            dw += np.outer(v * slope(field) * error, sample) / len(batch)
            dv += g(field) * error / len(batch)
        w = w - eta / np.sqrt(N) * dw - kappa / N * w
        v = v - eta_v / N * dv - kappa / N * v if eta_v else v
        if spherical:
            w = w * np.sqrt(N) / np.linalg.norm(w, axis=1, keepdims=True)
    return w, v


def weights(seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((K, N)), np.array([0.6, 1.0, -0.4]), rng.standard_normal((M, N))


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize(
    ("eta_v", "batch_size", "kappa"),
    mostly_long([(0.0, 1, 0.0), (0.2, 3, 0.1)], [(0.2, 3, 0.1)]),
)
def test_steps_equal_plain_numpy(activation, eta_v, batch_size, kappa):
    eta = 0.02 if activation == "quadratic" else 0.4
    options = {"learning_rate": eta, "weight_decay": kappa, "batch_size": batch_size}
    if eta_v:
        options["readout_learning_rate"] = eta_v
    problem = committee(K, M, activation=activation, noise=0.3, **options)
    w, v, w_star = weights(1)
    start = ts.start_from_weights(problem, w, v, w_star)
    simulation = ts.simulate(problem, start, [STEPS / N], seeds=[5], dtype="float64")
    x, zeta = drawn_inputs(problem, 5, w_star)
    w, v = numpy_training(w, v, w_star, x, zeta, activation, eta, eta_v, 0.3, kappa)
    last = simulation.isel(seed=0, time=0)
    np.testing.assert_allclose(last.Q, w @ w.T / N, atol=1e-12)
    np.testing.assert_allclose(last.R, w @ w_star.T / N, atol=1e-12)
    np.testing.assert_allclose(last.v, v, atol=1e-12)


def test_spherical_steps_equal_plain_numpy():
    problem = ts.Problem(ts.TeacherStudent(M, noise=0.3), ts.Student(K), ts.SphericalSGD(0.4))
    w, _, w_star = weights(2)
    w *= np.sqrt(N) / np.linalg.norm(w, axis=1, keepdims=True)
    start = ts.start_from_weights(problem, w, w_star=w_star)
    simulation = ts.simulate(problem, start, [STEPS / N], seeds=[0], dtype="float64")
    x, zeta = drawn_inputs(problem, 0, w_star)
    w, _ = numpy_training(w, np.ones(K), w_star, x, zeta, "erf", 0.4, 0.0, 0.3, 0.0, spherical=True)
    np.testing.assert_allclose(simulation.Q.isel(seed=0, time=0), w @ w.T / N, atol=1e-12)
    np.testing.assert_allclose(np.diag(simulation.Q.isel(seed=0, time=0)), 1, atol=1e-12)


def test_inputs_are_standard_normal_and_independent():
    x, zeta = drawn_inputs(committee(K, M, batch_size=7), 3, np.zeros((M, N)))
    for values in (x.ravel(), zeta.ravel()):
        assert abs(values.mean()) < 5 / np.sqrt(values.size)
        assert abs(values.var() - 1) < 5 * np.sqrt(2 / values.size)
    flat = x.reshape(-1, N)
    correlation = flat[:-1].ravel() @ flat[1:].ravel() / flat[1:].size
    assert abs(correlation) < 5 / np.sqrt(flat[1:].size)
    assert abs((flat[:, 0] * zeta.ravel()).mean()) < 5 / np.sqrt(zeta.size)
