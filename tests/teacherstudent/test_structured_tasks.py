"""Hidden manifold and Gaussian equivalence: matrices, covariances, generators, files, and what they
refuse.
"""

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.description import describe_problem, problem_from

A = np.random.default_rng(5).standard_normal((12, 4)) / 2


def linear(c):
    return jnp.asarray(A, c.dtype) @ c + 3.0


def test_rows_of_F_have_unit_mean_square_and_come_from_the_seed():
    task = ts.HiddenManifold(2, "erf", "sign", 0.3, seed=4)
    (F,) = task.matrices(50)
    assert F.shape == (50, 15)
    np.testing.assert_allclose((F**2).mean(axis=1), 1)
    np.testing.assert_array_equal(
        F, ts.HiddenManifold(2, "erf", "tanh", 0.3, seed=4).matrices(50)[0]
    )
    assert np.abs(F - ts.HiddenManifold(2, "erf", "sign", 0.3, seed=5).matrices(50)[0]).max() > 1
    assert np.abs(F - task.matrices(50, network=0)[0]).max() > 1


@pytest.mark.parametrize("nonlinearity", ["sign", "tanh"])
def test_layers_have_the_sampled_covariances(nonlinearity):
    task = ts.HiddenManifold(2, "erf", nonlinearity, 2.0, layers=(3.0,))
    N = 60
    first, second = task.matrices(N)
    assert first.shape == (180, 120) and second.shape == (60, 180)
    f = {"sign": np.sign, "tanh": np.tanh}[nonlinearity]
    c = np.random.default_rng(0).standard_normal((40_000, 120))
    s = f(c @ first.T / np.sqrt(120)) @ second.T / np.sqrt(180)
    np.testing.assert_allclose(s.var(axis=0), 1, atol=0.12)
    x, modes = f(s), task.modes(N)
    Omega = (modes.vectors * modes.rho) @ modes.vectors.T
    allowed = 4.5 / np.sqrt(len(c))
    for sampled, predicted in ((x.T @ x / len(c), Omega), (x.T @ c / len(c), modes.Phi)):
        assert (
            np.abs(sampled - predicted).max() < allowed + 0.03
        )  # the prediction holds for wide layers
        assert np.corrcoef(sampled.ravel(), predicted.ravel())[0, 1] > 0.95


def test_a_linear_generator_is_recovered_exactly():
    task = ts.GaussianEquivalent.from_generator(linear, 4, 800, key=1, width=2)
    np.testing.assert_allclose(task.Phi, A, atol=2e-6)  # the generator computes in float32
    np.testing.assert_allclose(task.Omega, A @ A.T, atol=1e-5)
    np.testing.assert_allclose(task.mean, 3.0, atol=1e-5)


def test_a_nonlinear_generator_has_its_exact_covariances():
    F = ts.HiddenManifold(1, "erf", "erf", 0.5, seed=1).matrices(10)[0]
    rows = jnp.asarray(F / np.sqrt(5), jnp.float32)
    generator = lambda c: jnp.tanh(rows @ c) ** 2 + rows @ c
    task = ts.GaussianEquivalent.from_generator(generator, 5, 200_000, width=1)
    c = np.random.default_rng(0).standard_normal((200_000, 5))
    x = np.tanh(c @ F.T / np.sqrt(5)) ** 2 + c @ F.T / np.sqrt(5)
    np.testing.assert_allclose(task.mean, x.mean(axis=0), atol=0.015)
    np.testing.assert_allclose(task.Omega, np.cov(x.T), atol=0.03)
    np.testing.assert_allclose(task.Phi, (x - x.mean(axis=0)).T @ c / len(c), atol=0.015)
    assert np.linalg.eigvalsh(task.Omega - task.Phi @ task.Phi.T)[0] > -1e-12


def test_batches_change_nothing_but_the_stream(monkeypatch):
    from teacherstudent.tasks import gaussian_equivalent

    monkeypatch.setattr(gaussian_equivalent, "BATCH_BYTES", 4 * 16 * 64)
    task = ts.GaussianEquivalent.from_generator(linear, 4, 777, width=2)
    np.testing.assert_allclose(task.Phi, A, atol=2e-6)


def test_few_samples_are_warned_of():
    with pytest.warns(
        UserWarning,
        match=r"samples = 100 is few for N = 12 inputs .* by about 12%; give at least .* = 600",
    ):
        ts.GaussianEquivalent.from_generator(linear, 4, 100)


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (
            lambda c: jnp.outer(c, c),
            r"returns the shape \(4, 4\) of float32 for one latent of shape \(4,\)",
        ),
        (lambda c: c.sum(), r"returns the shape \(\)"),
        (lambda c: jnp.log(c), "returns values that are not finite"),
        (lambda c: (c, c), "returns a tuple; it is to return one input"),
        (lambda c: jax.lax.complex(c, c), "of complex64 for one latent"),
        (lambda c: np.asarray(c), "cannot be traced by JAX on one latent"),
        (lambda c: jnp.ones((3, 9)) @ c, "cannot be traced by JAX on one latent"),
    ],
)
def test_bad_generators_are_refused(generator, message):
    with pytest.raises(ValueError, match=message):
        ts.GaussianEquivalent.from_generator(generator, 4, 1000)


def test_samples_must_outnumber_latents_too():
    with pytest.raises(
        ValueError,
        match="samples = 500 cannot tell the covariances of N = 10 inputs and D = 1000 latents",
    ):
        ts.GaussianEquivalent.from_generator(lambda c: jnp.sign(c[:10] * c[10:20]), 1000, 500)
    with pytest.raises(ValueError, match="key = 1.5 is not a random key"):
        ts.GaussianEquivalent.from_generator(linear, 4, 1000, key=1.5)


def test_covariances_from_files(tmp_path):
    Omega = A @ A.T + np.eye(12)
    np.savez(tmp_path / "cov.npz", Omega=Omega, Phi=A, mean=np.ones(12))
    with h5py.File(tmp_path / "cov.h5", "w") as file:
        file["covariance"], file["mixed"] = Omega, A
    task = ts.GaussianEquivalent.from_file(tmp_path / "cov.npz", width=2, noise=0.1)
    np.testing.assert_array_equal(task.Omega, Omega)
    np.testing.assert_array_equal(task.mean, np.ones(12))
    other = ts.GaussianEquivalent.from_file(tmp_path / "cov.h5", Omega="covariance", Phi="mixed")
    np.testing.assert_array_equal(other.Phi, A)
    assert other.mean is None
    with pytest.raises(
        ValueError,
        match=r"cov.h5 has no array 'Omega' and no array 'Phi'; it has covariance, mixed",
    ):
        ts.GaussianEquivalent.from_file(tmp_path / "cov.h5")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ts.GaussianEquivalent.from_file(tmp_path / "none.h5")
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cov.npz").read_bytes()[:900])
    np.save(tmp_path / "one.npy", Omega)
    for name in ("text.npz", "cut.npz", "one.npy"):
        with pytest.raises(ValueError, match="is neither an HDF5 nor an .npz file with arrays"):
            ts.GaussianEquivalent.from_file(tmp_path / name)


def test_anisotropic_inputs():
    rho = ts.power_law(20, 1.0)
    task = ts.GaussianEquivalent.anisotropic(rho, width=2)
    np.testing.assert_allclose(task.Omega, task.Phi @ task.Phi.T)
    w = np.random.default_rng(0).standard_normal((3, 20))
    on_inputs = np.random.default_rng(1).standard_normal((2, 20))  # a teacher that sees x
    start = ts.start_from_weights(
        ts.Problem(task, ts.Student(3), ts.SGD(0.1)), w, w_star=np.sqrt(rho) * on_inputs
    )
    np.testing.assert_allclose(start.R, (w * rho) @ on_inputs.T / 20)
    np.testing.assert_allclose(start.T, (on_inputs * rho) @ on_inputs.T / 20)
    assert len(start.rho) == 20
    with pytest.raises(ValueError, match="eigenvalues = "):
        ts.GaussianEquivalent.anisotropic([1.0, -1.0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ts.HiddenManifold(2), "task.latent_ratio is missing"),
        (lambda: ts.HiddenManifold(2, latent_ratio=0.0), "task.latent_ratio = 0.0 is not allowed"),
        (lambda: ts.HiddenManifold(2, latent_ratio=-1), "task.latent_ratio = -1"),
        (
            lambda: ts.HiddenManifold(2, latent_ratio=[0.1, 0.2]),
            ("task.latent_ratio = .* is a sequence"),
        ),
        (lambda: ts.HiddenManifold(2, latent_ratio=0.5, layers=(0.0,)), r"task.layers\[0\] = 0.0"),
        (
            lambda: ts.HiddenManifold(2, latent_ratio=0.5, layers=(1.0,), centre=False),
            ("possible for one layer only"),
        ),
        (
            lambda: ts.HiddenManifold(2, F=np.ones((6, 3)) * 2),
            r"task.F has a row of mean square 4 .*give F / np.sqrt",
        ),
        (
            lambda: ts.HiddenManifold(2, F=np.ones((6, 3)), latent_ratio=1.0),
            r"task.F has shape \(6, 3\); leave one",
        ),
        (lambda: ts.HiddenManifold(2, F=np.ones(6)), r"task.F has shape \(6,\)"),
        (lambda: ts.HiddenManifold(2, F=np.ones((0, 3))), r"task.F has shape \(0, 3\)"),
        (
            lambda: ts.HiddenManifold(2, nonlinearity=(2.0,), latent_ratio=0.5),
            ("is constant; the inputs would all be zero"),
        ),
        (
            lambda: ts.HiddenManifold(
                2, nonlinearity=ts.Activation("sign", jnp.tanh), latent_ratio=0.5
            ),
            ("mistaken for ours"),
        ),
        (
            lambda: ts.GaussianEquivalent(np.eye(2), np.eye(2), mean=[0.0, np.nan]),
            ("task.mean has entries that are not finite"),
        ),
        (lambda: ts.HiddenManifold(2, latent_ratio=0.5, seed=-1), "task.seed = -1"),
        (lambda: ts.GaussianEquivalent(np.eye(3)), "task.Phi is missing beside task.Omega"),
        (
            lambda: ts.GaussianEquivalent(np.ones((3, 2)), np.eye(3)),
            r"task.Omega has shape \(3, 2\); give \(N, N\)",
        ),
        (
            lambda: ts.GaussianEquivalent(np.eye(3), np.eye(2)),
            r"task.Phi has shape \(2, 2\); give \(3, D\)",
        ),
        (
            lambda: ts.GaussianEquivalent(np.triu(np.ones((3, 3))), np.eye(3)),
            ("task.Omega is not symmetric"),
        ),
        (
            lambda: ts.GaussianEquivalent(np.diag([1.0, -0.5]), np.zeros((2, 1))),
            ("its smallest eigenvalue is -0.5"),
        ),
        (
            lambda: ts.GaussianEquivalent(np.eye(2), 1.5 * np.eye(2)),
            r"eigenvalue of Omega - Phi Phi\^T is -1.25",
        ),
        (
            lambda: ts.GaussianEquivalent(np.full((2, 2), np.nan), np.eye(2)),
            ("task.Omega has entries that are not finite"),
        ),
        (
            lambda: ts.GaussianEquivalent(np.eye(2), np.eye(2), mean=np.ones(3)),
            r"task.mean has shape \(3,\)",
        ),
        (lambda: ts.GaussianEquivalent(generator=linear), "use GaussianEquivalent.from_generator"),
    ],
)
def test_bad_values_are_refused_with_their_names(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("exponent", [2.0, 3.0, 4.5])
def test_covariances_rounded_to_float32_are_accepted(exponent):
    rng = np.random.default_rng(0)
    U, rho = np.linalg.qr(rng.standard_normal((100, 100)))[0], ts.power_law(100, exponent)
    Omega, Phi = ((U * values @ U.T).astype(np.float32) for values in (rho, np.sqrt(rho)))
    Omega = (Omega + Omega.T) / 2
    problem = ts.Problem(ts.GaussianEquivalent(Omega, Phi, width=2), ts.Student(2), ts.SGD(0.1))
    assert ts.random_start(problem).weights.sum() == pytest.approx(1)


def test_dimensions_must_fit_the_task():
    task = ts.GaussianEquivalent(np.eye(12), A[:, :1] / 10, width=2)
    problem = ts.Problem(task, ts.Student(2), ts.SGD(0.1))
    with pytest.raises(ValueError, match="N = 13, but task.Omega has shape"):
        ts.random_start(problem, N=13)
    with pytest.raises(ValueError, match="D = 1 latents, fewer than M = 2"):
        ts.random_start(problem, N=12)
    with pytest.raises(ValueError, match="gives D = 1 < M = 2"):
        ts.random_start(
            ts.Problem(ts.HiddenManifold(2, latent_ratio=0.05), ts.Student(2), ts.SGD(0.1)), N=20
        )
    manifold = ts.Problem(ts.HiddenManifold(2, latent_ratio=0.5), ts.Student(2), ts.SGD(0.1))
    with pytest.raises(
        ValueError,
        match=r"w_star has shape \(2, 20\); beside w of shape \(2, 20\) this task needs \(2, 10\)",
    ):
        ts.start_from_weights(manifold, np.ones((2, 20)), w_star=np.ones((2, 20)))
    bare = ts.Problem(ts.GaussianEquivalent(width=2), ts.Student(2), ts.SGD(0.1))
    with pytest.raises(
        ValueError, match="task.Omega and task.Phi are missing; give them, or a start that carries"
    ):
        ts.integrate(bare, ts.OrderParameters(np.eye(2), np.zeros((2, 2))), [1.0])
    layers = ts.Problem(
        ts.HiddenManifold(2, latent_ratio=0.5, layers=(1.0,)), ts.Student(2), ts.SGD(0.1)
    )
    with pytest.raises(ValueError, match="not for several layers; start from weights"):
        ts.integrate(layers, ts.OrderParameters(np.eye(2), np.zeros((2, 2))), [1.0])


@pytest.mark.parametrize(
    "task",
    [
        ts.HiddenManifold(2, "relu", "tanh", 0.4, [1.0, 2.0], 0.1, layers=(0.5, 2.0), seed=3),
        ts.HiddenManifold(2, "erf", "relu", 0.4, centre=False),
        ts.HiddenManifold(2, "erf", (0.0, 1.0, 0.3), 0.4),
        ts.GaussianEquivalent(width=3, activation="linear"),
    ],
)
def test_description_restores_the_task(task):
    problem = ts.Problem(task, ts.Student(2), ts.SGD(0.1))
    described = describe_problem(problem)
    assert describe_problem(problem_from(described)) == described
    assert problem_from(described).task.activation == task.activation


def test_a_mean_that_is_kept_is_warned_of():
    problem = ts.Problem(
        ts.HiddenManifold(1, "erf", "relu", 0.5, centre=False), ts.Student(1), ts.SGD(0.1)
    )
    with pytest.warns(
        UserWarning,
        match="leaves the inputs with the mean a = 0.3989, which the theory does not describe",
    ):
        ts.integrate(problem, ts.OrderParameters([[1.0]], [[0.0]]), [0.1])
    centred = ts.HiddenManifold(1, "erf", "relu", 0.5)
    assert centred.shift == pytest.approx(1 / np.sqrt(2 * np.pi))
