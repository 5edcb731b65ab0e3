"""Simulations on hidden manifolds and Gaussian-equivalent inputs: sources, steps, starts,
measurements, banks.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from sims.inputs.gaussian_equivalent import _jointly_gaussian
from sims.inputs.hidden_manifold import covariances
from sims.inputs.source import as_arrays, set_up
from sims.running.loop import TRAINING
from sims.weights.steps import sample_keys
from teacherstudent.results.datasets import description
from tests.sims.test_weights import numpy_training

K, M, N, D = 3, 2, 17, 11


def drawn(task, start, seed, steps, batch_size=1):
    """The inputs, latents and noises that the simulator gives to one seed."""
    source = as_arrays(set_up(task, start, N, [seed]).source, jnp.float64)
    key = jax.random.fold_in(jax.random.key(np.uint32(seed)), TRAINING)
    inputs = source.draw(sample_keys(key, jnp.arange(steps, dtype=jnp.uint32), batch_size))
    return (np.asarray(part).reshape(steps, batch_size, *part.shape[1:]) for part in inputs)


def weights(seed=0):
    rng = np.random.default_rng(seed)
    return {"w": rng.standard_normal((K, N)), "w_star": rng.standard_normal((M, D))}


def manifold(nonlinearity="sign", **options):
    return ts.HiddenManifold(M, "erf", nonlinearity, D / N, noise=0.3, seed=2, **options)


def problem_with(task, **rule):
    return ts.Problem(
        task,
        ts.Student(K, train_readout="readout_learning_rate" in rule),
        ts.SGD(**({"learning_rate": 0.4} | rule)),
    )


@pytest.mark.parametrize("nonlinearity", ["sign", "relu", "tanh"])
def test_inputs_of_a_manifold(nonlinearity):
    task = manifold(nonlinearity)
    start = ts.start_from_weights(problem_with(task), **weights())
    x, c, _ = drawn(task, start, 3, 5)
    f = {
        "sign": np.sign,
        "relu": lambda s: np.maximum(s, 0) - 1 / np.sqrt(2 * np.pi),
        "tanh": np.tanh,
    }[nonlinearity]
    np.testing.assert_allclose(x[:, 0], f(c[:, 0] @ task.matrices(N)[0].T / np.sqrt(D)), atol=1e-12)


def test_inputs_of_two_layers():
    task = manifold("tanh", layers=(2.0,))
    start = ts.start_from_weights(problem_with(task), **weights())
    x, c, _ = drawn(task, start, 3, 5)
    first, second = task.matrices(N)
    hidden = np.tanh(c[:, 0] @ first.T / np.sqrt(D))
    np.testing.assert_allclose(x[:, 0], np.tanh(hidden @ second.T / np.sqrt(2 * N)), atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_steps_equal_plain_numpy(batch_size):
    task, steps = manifold(), 30
    problem = ts.Problem(
        task, ts.Student(K, train_readout=True), ts.SGD(0.4, 0.2), batch_size=batch_size
    )
    v = np.array([0.6, 1.0, -0.4])
    start = ts.start_from_weights(problem, v=v, **weights())
    last = ts.simulate(problem, start, [steps / N], seeds=[5], dtype="float64").isel(seed=0, time=0)
    x, c, zeta = drawn(task, start, 5, steps, batch_size)
    w, w_star = start.network
    w, v = numpy_training(w, v, w_star, x, zeta, "erf", 0.4, 0.2, 0.3, 0.0, latents=c)
    Omega, Phi = exact(task)
    np.testing.assert_allclose(last.Q, w @ Omega @ w.T / N, atol=1e-12)
    np.testing.assert_allclose(last.R, w @ Phi @ w_star.T / np.sqrt(N * D), atol=1e-12)
    np.testing.assert_allclose(last["T"], w_star @ w_star.T / D, atol=1e-12)
    np.testing.assert_allclose(last.v, v, atol=1e-12)


def exact(task):
    found = covariances(task, task.matrices(N)[0])
    return found.Omega, found.Phi


@pytest.mark.parametrize(
    ("nonlinearity", "centre"), [("sign", True), ("relu", True), ("relu", False), ("tanh", True)]
)
def test_exact_covariances_are_those_of_the_inputs(nonlinearity, centre):
    task = manifold(nonlinearity, centre=centre)
    start = ts.start_from_weights(problem_with(task), **weights())
    x, c, _ = (part.reshape(len(part), -1) for part in drawn(task, start, 0, 100_000))
    for sampled, known in zip((x.T @ x / len(x), x.T @ c / len(x)), exact(task), strict=True):
        assert np.abs(sampled - known).max() < 8 * (x**2).mean() / np.sqrt(len(x))


def test_jointly_gaussian_inputs_have_the_given_covariances():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((6, 4))
    Phi, Omega = rows / 3, rows @ rows.T / 9 + np.diag([0, 0, 1, 2, 0, 3.0])
    source = _jointly_gaussian(Omega, Phi)
    assert source.A.shape == (6, 4 + 3)
    np.testing.assert_allclose(source.A @ source.A.T, Omega, atol=1e-12)
    np.testing.assert_allclose(source.A[:, :4], Phi)


STARTS = {
    "manifold": (manifold("tanh"), N),
    "relu manifold": (ts.HiddenManifold(M, "erf", "relu", 1.5), 40),
    "explicit": (ts.GaussianEquivalent.anisotropic(ts.power_law(30, 0.7), width=M), None),
}


@pytest.mark.parametrize("name", list(STARTS))
def test_order_parameters_become_weights_with_exactly_these_overlaps(name):
    task, size = STARTS[name]
    problem = problem_with(task)
    start = ts.OrderParameters(
        [[1.0, 0.2, 0.1], [0.2, 0.8, 0.0], [0.1, 0.0, 0.5]],
        [[0.1, 0.0], [0.0, -0.1], [0.05, 0.02]],
        [[1.0, 0.3], [0.3, 2.0]],
    )
    first = ts.simulate(problem, start, [0.0], N=size, seeds=3, dtype="float64").isel(time=0)
    for variable in ("Q", "R", "T"):
        expected = np.broadcast_to(getattr(start, variable), first[variable].shape)
        np.testing.assert_allclose(first[variable], expected, atol=1e-10)


def test_a_seed_does_not_depend_on_what_runs_beside_it():
    problem, times = problem_with(manifold("tanh")), [0.0, 1.0, 4.0]
    for start in (
        ts.start_from_weights(problem, **weights()),
        ts.OrderParameters(np.eye(K), np.full((K, M), 0.01)),
    ):
        many = ts.simulate(problem, start, times, N=N, seeds=9)
        few = ts.simulate(problem, start, times, N=N, seeds=[7, 12])
        for name in (
            "Q",
            "R",
            "eps_g",
        ):  # equal up to the rounding of a matrix product over other numbers of rows
            np.testing.assert_allclose(
                few[name].sel(seed=7), many[name].sel(seed=7), rtol=1e-4, atol=1e-5
            )
        assert len(np.unique(many.Q.isel(time=-1, student=0, student_=0))) == 9


@pytest.mark.long
def test_a_generator_equals_the_manifold_that_it_is():
    task = manifold("tanh")
    rows = jnp.asarray(task.matrices(N)[0] / np.sqrt(D))
    generator = lambda c: jnp.tanh(rows.astype(c.dtype) @ c)
    own = ts.GaussianEquivalent.from_generator(generator, D, 200_000, width=M, noise=0.3)
    start, other = (ts.start_from_weights(problem_with(one), **weights()) for one in (task, own))
    np.testing.assert_allclose(other.Q, start.Q, rtol=0.1)
    first, second = (
        ts.simulate(problem_with(one), begin, [0.0, 6.0], seeds=24, test_samples=4000)
        for one, begin in ((task, start), (own, other))
    )
    told = description(second)["report"]
    assert (
        told["overlaps"] == "held-out samples"
        and description(first)["report"]["overlaps"] == "exact covariances"
    )
    for name in (
        "Q",
        "R",
        "test_error",
    ):  # the same networks: they differ by the noise of measuring, and the sampled mean
        gap = (first[name] - second[name]).mean("seed")
        error = (first[name] - second[name]).std("seed") / np.sqrt(24)
        assert float((abs(gap) / (error + 2e-3)).max()) < 4.5, name


@pytest.mark.long
def test_held_out_overlaps_and_error_are_sample_means():
    task = manifold("sign", layers=(3.0,))
    problem = problem_with(task)
    start = ts.start_from_weights(problem, **weights())
    first = ts.simulate(problem, start, [0.0], seeds=6, dtype="float64").isel(time=0)
    assert description(first)["report"]["test_samples"] == 4000
    w, w_star = start.network
    x, c, _ = (part.reshape(len(part), -1) for part in drawn(task, start, 99, 200_000))
    lam, nu = x @ w.T / np.sqrt(N), c @ w_star.T / np.sqrt(D)
    from scipy.special import erf

    error = 0.5 * (erf(lam / np.sqrt(2)).sum(1) - erf(nu / np.sqrt(2)).sum(1)) ** 2
    for found, known in (
        (first.Q, lam.T @ lam / len(x)),
        (first.R, lam.T @ nu / len(x)),
        (first.test_error, error.mean()),
    ):
        assert np.abs(found.mean("seed") - known).max() < 0.1
    np.testing.assert_allclose(first.test_error_se, error.std() / np.sqrt(4000), rtol=0.1)


@pytest.mark.long
def test_a_bank_of_samples():
    task = manifold("tanh")
    problem = problem_with(task)
    start = ts.start_from_weights(problem, **weights())
    x, c, _ = (part.reshape(len(part), -1) for part in drawn(task, start, 50, 30_000))
    fresh = ts.simulate(problem, start, [0.0, 5.0], seeds=24)
    banked = ts.simulate(problem, start, [0.0, 5.0], seeds=24, bank=(x, c), test_samples=1000)
    assert description(banked)["report"]["bank"]["samples"] == 30_000
    scatter = np.hypot(fresh.Q.std("seed"), banked.Q.std("seed")) / np.sqrt(24)
    assert float((abs(fresh.Q.mean("seed") - banked.Q.mean("seed")) / (scatter + 1e-6)).max()) < 4.5
    w, w_star = start.network
    lam, nu = x[-1000:] @ w.T / np.sqrt(N), c[-1000:] @ w_star.T / np.sqrt(D)
    from scipy.special import erf

    error = 0.5 * (erf(lam / np.sqrt(2)).sum(1) - erf(nu / np.sqrt(2)).sum(1)) ** 2
    np.testing.assert_allclose(banked.test_error.isel(time=0), error.mean(), rtol=1e-5)
    single = ts.simulate(
        problem, start, [5.0], seeds=2, bank=(x[:2], c[:2])
    )  # one may overfit two samples
    assert float(abs(single.Q - fresh.Q.isel(time=-1, seed=slice(2))).max()) > 0.01


@pytest.mark.parametrize(
    ("bank", "message"),
    [
        (np.ones((5, N)), "bank is to be a pair"),
        (
            (np.ones((5, N)), np.ones((4, D))),
            r"bank\[1\] has shape \(4, 11\); give \(samples, 11\)",
        ),
        (
            (np.ones((5, N + 1)), np.ones((5, D))),
            r"bank\[0\] has shape \(5, 18\); give \(samples, 17\)",
        ),
        ((np.full((5, N), np.nan), np.ones((5, D))), r"bank\[0\] has entries that are not finite"),
        (
            (np.ones((5, N)), np.ones((5, D))),
            "test_samples = 1000 leaves none of the bank's 5 samples",
        ),
    ],
)
def test_bad_banks_are_refused(bank, message):
    problem = problem_with(manifold())
    with pytest.raises(ValueError, match=message):
        ts.simulate(
            problem,
            ts.start_from_weights(problem, **weights()),
            [1.0],
            bank=bank,
            test_samples=1000,
        )


def test_what_cannot_be_simulated_says_so():
    problem = problem_with(manifold())
    spectrum_only = ts.spectral_start(problem, ts.OrderParameters(np.eye(K), np.zeros((K, M))))
    with pytest.raises(ValueError, match="start has overlaps for each eigenvalue but no weights"):
        ts.simulate(problem, spectrum_only, [1.0], N=N)
    start = ts.start_from_weights(problem, **weights())
    with pytest.raises(ValueError, match="N = 18, but the start has weights with N = 17"):
        ts.simulate(problem, start, [1.0], N=18)
    explicit = problem_with(ts.GaussianEquivalent(np.eye(9), np.eye(9), width=M))
    with pytest.raises(ValueError, match="N = 10, but the task has inputs with N = 9"):
        ts.simulate(explicit, ts.OrderParameters(np.eye(K), np.zeros((K, M))), [1.0], N=10)
    with pytest.raises(ValueError, match="task.Omega and task.Phi are missing"):
        ts.simulate(problem_with(ts.GaussianEquivalent(width=M)), spectrum_only, [1.0], N=N)
    with pytest.raises(ValueError, match="start.R is too large for start.Q on these inputs"):
        ts.simulate(problem, ts.OrderParameters(np.eye(K), 0.99 * np.eye(K)[:, :M]), [1.0], N=N)


def test_starts_of_other_inputs_are_refused():
    problem = problem_with(manifold())
    start = ts.start_from_weights(problem, **weights())
    other = problem_with(ts.HiddenManifold(M, "erf", "sign", D / N, noise=0.3, seed=3))
    with pytest.raises(
        ValueError,
        match="the start is one for other inputs: here its weights have an R that differs by",
    ):
        ts.simulate(other, start, [1.0])
    wider = problem_with(ts.HiddenManifold(M, "erf", "sign", 1.0))
    for task in (wider, problem_with(ts.TeacherStudent(M))):
        with pytest.raises(
            ValueError, match=r"w_star has shape \(2, 11\), but these inputs have D = 17 latents"
        ):
            ts.simulate(task, start, [1.0])
    square = {"w": np.ones((K, N)), "w_star": np.ones((M, N))}
    isotropic = ts.start_from_weights(problem_with(ts.TeacherStudent(M)), **square)
    for call in (ts.simulate, ts.integrate):
        with pytest.raises(
            ValueError,
            match="start has weights for isotropic inputs, but the task is a HiddenManifold",
        ):
            call(wider, isotropic, [1.0])


def test_rules_check_starts_on_the_inputs():
    problem = ts.Problem(manifold(), ts.Student(K), ts.SphericalSGD(0.1))
    with pytest.raises(ValueError, match="SphericalSGD keeps"):
        ts.simulate(problem, ts.OrderParameters(4 * np.eye(K), np.zeros((K, M))), [1.0], N=N)


def test_inputs_of_low_rank_are_refused_where_no_weights_fit():
    task = ts.GaussianEquivalent.anisotropic([1.0, 1.0, 1.0] + [0.0] * 17, width=1)
    problem = ts.Problem(task, ts.Student(2), ts.SGD(0.1))
    with pytest.raises(ValueError, match="these inputs vary in too few directions"):
        ts.simulate(problem, ts.OrderParameters(np.eye(2), np.zeros((2, 1))), [0.0])
    assert ts.simulate(problem, ts.random_start(problem), [0.0], seeds=1).sizes["seed"] == 1


def test_nearly_parallel_features_are_measured_on_samples():
    step = ts.Activation("step at 0.3", lambda s: jnp.where(s > 0.3, 1.0, -0.2), kinks=(0.3,))
    told = {}
    for count, size in ((1, 4), (11, N)):
        task = ts.HiddenManifold(1, "erf", step, count / size)
        problem = ts.Problem(task, ts.Student(1), ts.SGD(0.1))
        start = ts.random_start(problem, N=size)
        told[count] = description(ts.simulate(problem, start, [0.0], seeds=1))["report"]["overlaps"]
    assert told == {1: "held-out samples", 11: "exact covariances"}


def test_a_batch_is_not_larger_than_the_bank():
    problem = ts.Problem(
        ts.HiddenManifold(2, latent_ratio=D / N), ts.Student(3), ts.SGD(0.1), batch_size=6
    )
    start = ts.start_from_weights(problem, **weights())
    bank = (np.ones((9, N)), np.ones((9, D)))
    assert ts.simulate(problem, start, [0.0], seeds=1, bank=bank).sizes["seed"] == 1
    with pytest.raises(
        ValueError,
        match="batch_size: a step of all workers takes 6 samples, but the bank has 5 to train on",
    ):
        ts.simulate(problem, start, [0.0], bank=bank, test_samples=4)


@pytest.mark.long
def test_a_shared_bank_counts_as_one_sample_in_comparisons():
    task = ts.HiddenManifold(M, "erf", "sign", 0.5, seed=2)
    problem = ts.Problem(task, ts.Student(K), ts.SGD(0.2))
    start = ts.random_start(problem, N=200)
    (F,) = task.matrices(200)
    theory = ts.integrate(problem, start, [0.0, 1.0])
    for seed in range(4):
        c = np.random.default_rng(seed).standard_normal((6000, 100))
        bank = (np.sign(c @ F.T), c)
        networks = ts.simulate(problem, start, [0.0, 1.0], seeds=8, bank=bank, test_samples=500)
        assert networks.attrs and description(networks)["report"]["test_samples"] == 500
        assert "FAILS" not in ts.compare(theory, networks).attrs["verdict"]
    limit = ts.OrderParameters(np.eye(K), np.zeros((K, M)))
    with pytest.raises(
        ValueError, match="bank holds one set of inputs, but this start gives every seed its own"
    ):
        ts.simulate(problem, limit, [1.0], N=200, bank=bank)


@pytest.mark.long
def test_covariances_that_differ_are_told():
    one, other = (
        ts.GaussianEquivalent.anisotropic(ts.power_law(30, exponent), width=M)
        for exponent in (0.2, 1.5)
    )
    start = ts.OrderParameters(np.eye(K), np.zeros((K, M)))
    theory = ts.integrate(problem_with(one), start, [0.0, 0.5])
    verdict = ts.compare(
        theory, ts.simulate(problem_with(other), start, [0.0, 0.5], seeds=8)
    ).attrs["verdict"]
    assert "theory and simulation differ in problem.task.Omega, problem.task.Phi" in verdict


def test_a_run_can_be_repeated_from_its_file(tmp_path):
    for task in (manifold("tanh"), ts.HiddenManifold(M, F=manifold().matrices(N)[0])):
        problem = problem_with(task)
        start = ts.start_from_weights(problem, **weights())
        theory, networks = (
            ts.integrate(problem, start, [0.0, 1.0]),
            ts.simulate(problem, start, [0.0, 1.0], seeds=2),
        )
        ts.save(tmp_path / "run.h5", theory=theory, simulation=networks, force=True)
        tree = ts.load(tmp_path / "run.h5")
        one, other = (tree[name].to_dataset() for name in ("theory", "simulation"))
        again = ts.simulate(ts.problem_of(other), ts.start_of(other), [0.0, 1.0], seeds=2)
        np.testing.assert_array_equal(again.Q, networks.Q)
        np.testing.assert_allclose(
            ts.integrate(ts.problem_of(one), ts.start_of(one), [0.0, 1.0]).Q, theory.Q, atol=1e-12
        )


@pytest.mark.long
def test_a_theory_on_a_generator_can_be_repeated_from_its_file():
    task = ts.GaussianEquivalent.from_generator(lambda c: jnp.tanh(c), D, 60 * D, width=M)
    problem = problem_with(task)
    start = ts.random_start(problem)
    theory = ts.integrate(problem, start, [0.0, 1.0])
    again = ts.integrate(ts.problem_of(theory), ts.start_of(theory), [0.0, 1.0])
    np.testing.assert_allclose(again.Q, theory.Q, atol=1e-12)
    with pytest.raises(
        ValueError,
        match="task.generator was the Python function .*lambda.*; files keep only its name",
    ):
        ts.problem_of(ts.simulate(problem, start, [0.0], seeds=1))


def test_checkpoints_know_the_inputs(tmp_path, monkeypatch):
    from teacherstudent.results import checkpoint_files

    monkeypatch.setattr(checkpoint_files, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint_files, "drop", lambda path: None)
    problem = problem_with(manifold("tanh"))
    start = ts.start_from_weights(problem, **weights())
    straight = ts.simulate(problem, start, [0.0, 2.0], seeds=2, checkpoint=tmp_path / "run.ckpt")
    again = ts.simulate(problem, start, [0.0, 2.0], seeds=2, checkpoint=tmp_path / "run.ckpt")
    np.testing.assert_array_equal(straight.Q, again.Q)
    other = problem_with(ts.HiddenManifold(M, "erf", "tanh", D / N, noise=0.3, seed=3))
    with pytest.raises(ValueError, match="belongs to a simulation with another problem"):
        ts.simulate(
            other,
            ts.start_from_weights(other, **weights()),
            [0.0, 2.0],
            seeds=2,
            checkpoint=tmp_path / "run.ckpt",
        )
