"""Fixed training sets: the steps against plain NumPy, the order of the samples, and what batch
learning must do.
"""

import itertools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import erf

import teacherstudent as ts
from sims.inputs.training_set import FixedSet, positions, shuffled
from sims.running.loop import TRAINING
from sims.weights import training as weights_training
from sims.weights.steps import sample_keys, train_weights
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.problems import committee, random_overlaps
from tests.processes import quick_compilation
from tests.sims.interruption import interrupted_after

K, M, N, P, B = 3, 2, 17, 23, 5
KEY = jax.random.key(7)
ALL_WEIGHTS = ts.Observable(
    "all_weights", ("student", "input"), "$w$", of_weights=lambda networks: networks.w
)


def given_weights(seed: int = 0):
    """Weights of a student with K units and of a teacher with M."""
    rng = np.random.default_rng(seed)
    v = np.array([0.6, 1.0, -0.4])
    return rng.standard_normal((K, N)), v, rng.standard_normal((M, N))


def inputs(samples: int = P, size: int = N, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((samples, size))


def both_layers(**options) -> ts.Problem:
    return committee(K, M, noise=0.0, learning_rate=0.4, readout_learning_rate=0.2, **options)


def g(field):
    return erf(field / np.sqrt(2))


def slope(field):
    return np.sqrt(2 / np.pi) * np.exp(-(field**2) / 2)


def trained(w, v, x, y, batches, eta: float = 0.4, eta_v: float = 0.2):
    """SGD on both layers with these batches of sample numbers, as on the board."""
    for batch in batches:
        dw, dv = np.zeros_like(w), np.zeros_like(v)
        for p in batch:
            field = w @ x[p] / np.sqrt(N)
            error = v @ g(field) - y[p]
            dw += np.outer(v * slope(field) * error, x[p]) / len(batch)
            dv += g(field) * error / len(batch)
        w, v = w - eta / np.sqrt(N) * dw, v - eta_v / N * dv
    return w, v


def key_of(seed: int):
    return jax.random.fold_in(jax.random.key(np.uint32(seed)), TRAINING)


def numbers_of(order: str, steps: int, per_step: int = B, samples: int = P, key=KEY) -> np.ndarray:
    """Which samples these steps take, (steps, samples of a step)."""
    source = FixedSet(jnp.zeros((samples, 1)), jnp.arange(samples, dtype=jnp.float64), order)
    numbers = jnp.arange(steps, dtype=jnp.uint32)
    drawn = source.draw_steps(numbers, key, sample_keys(key, numbers, per_step))
    return np.asarray(drawn.y).astype(int).reshape(steps, per_step)


@pytest.mark.parametrize("order", ts.Dataset.ORDERS)
def test_steps_equal_plain_numpy(order):
    problem, steps = both_layers(batch_size=B), 300
    w, v, w_star = given_weights()
    x = inputs()
    y = g(x @ w_star.T / np.sqrt(N)).sum(axis=1) + 0.3 * inputs(P, 1, seed=2)[:, 0]
    start = ts.start_from_weights(problem, w, v, w_star)
    data = ts.Dataset(x, y=y, order=order)
    options = {"seeds": [5], "dtype": "float64", "observables": [ALL_WEIGHTS]}
    networks = ts.simulate(problem, start, [0.0, steps / N], data=data, **options)
    batches = np.arange(steps * B).reshape(steps, B) % P
    if order != "in order":
        batches = numbers_of(order, steps, key=key_of(5))
    w, v = trained(w, v, x, y, batches)
    last = networks.isel(seed=0, time=-1)
    np.testing.assert_allclose(last.all_weights, w, atol=1e-10)
    np.testing.assert_allclose(last.v, v, atol=1e-10)
    np.testing.assert_allclose(last.Q, w @ w.T / N, atol=1e-10)
    error = g(x @ w.T / np.sqrt(N)) @ v - y
    np.testing.assert_allclose(last.train_error, 0.5 * (error**2).mean(), rtol=1e-10)
    assert last.train_error < 0.5 * networks.train_error.isel(seed=0, time=0)


def test_labels_of_teachers_are_theirs_with_noise_drawn_once():
    problem, steps, sigma = both_layers(batch_size=B), 60, 0.7
    w, v, w_star = given_weights()
    x = inputs()
    start = ts.start_from_weights(problem, w, v, w_star)
    options = {"seeds": [0], "dtype": "float64", "observables": [ALL_WEIGHTS]}
    data = ts.Dataset(x, noise=sigma, order="in order", seed=3)
    networks = ts.simulate(problem, start, [steps / N], data=data, **options)
    zeta = np.random.default_rng(3).standard_normal(P)
    y = g(x @ w_star.T / np.sqrt(N)).sum(axis=1) + sigma * zeta
    w, v = trained(w, v, x, y, np.arange(steps * B).reshape(steps, B) % P)
    np.testing.assert_allclose(networks.all_weights[0, 0], w, atol=1e-10)
    of_task = committee(K, M, noise=sigma, learning_rate=0.4, readout_learning_rate=0.2)
    again = ts.simulate(
        ts.Problem(of_task.task, problem.student, problem.rule, batch_size=B),
        start,
        [steps / N],
        data=ts.Dataset(x, order="in order", seed=3),
        **options,
    )
    np.testing.assert_allclose(again.all_weights, networks.all_weights, atol=1e-12)


def test_each_network_has_labels_of_its_own_teacher():
    """Half the mean square of labels and output at the start, of every seed's own weights."""
    problem = committee(noise=0.0)
    x = inputs(2345, 40)

    def error(weights):
        clean = output_of(weights.w_star, jnp.ones(2), x)
        residual = output_of(weights.w, weights.v, x) - clean
        return 0.5 * (residual**2).mean()

    known = ts.Observable("known", (), "$e$", of_weights=error)
    options = {"seeds": 3, "dtype": "float64", "observables": [known]}
    networks = ts.simulate(
        problem, random_overlaps(3, 2), [0.0, 2.0], data=ts.Dataset(x), **options
    )
    np.testing.assert_allclose(networks.train_error, networks.known, rtol=1e-10)
    assert len(np.unique(networks.train_error[:, 0])) == 3


def output_of(w, v, x):
    hidden = jax.scipy.special.erf(jnp.asarray(x) @ w.T / np.sqrt(2 * x.shape[1]))
    return hidden @ v


def test_labels_of_ones_own_are_those_of_the_label_method():
    class Signs(ts.TeacherStudent):
        def label(self, fields, noise):
            return jnp.sign(fields.sum(axis=1) + self.noise * noise)

    w, v, w_star = given_weights()
    x = inputs()
    problem = ts.Problem(Signs(M, noise=0.5), ts.Student(K), ts.SGD(0.1))
    start = ts.start_from_weights(problem, w, w_star=w_star)
    data = ts.Dataset(x, seed=8)
    networks = ts.simulate(problem, start, [0.0], seeds=1, dtype="float64", data=data)
    nu = x @ w_star.T / np.sqrt(N)
    y = np.sign(nu.sum(axis=1) + 0.5 * np.random.default_rng(8).standard_normal(P))
    error = g(x @ w.T / np.sqrt(N)).sum(axis=1) - y
    np.testing.assert_allclose(networks.train_error[0, 0], 0.5 * (error**2).mean(), rtol=1e-10)
    with pytest.raises(ValueError, match="Signs makes noisy labels in its own way; leave it out"):
        ts.simulate(problem, start, [0.0], seeds=1, data=ts.Dataset(x, noise=0.3))


@pytest.mark.parametrize("per_step", [1, B, P])
def test_every_sample_is_seen_once_in_each_pass(per_step):
    passes = numbers_of("shuffled", 4 * P, per_step).reshape(-1, P)
    assert (np.sort(passes, axis=1) == np.arange(P)).all()
    assert len(np.unique(passes, axis=0)) == len(passes)
    in_order = numbers_of("in order", 4 * P, per_step).reshape(-1, P)
    assert (in_order == np.arange(P)).all()
    other = numbers_of("shuffled", 4 * P, per_step, key=jax.random.key(8)).reshape(-1, P)
    assert (other != passes).any(axis=1).all()


def permutations(samples: int, passes: int) -> np.ndarray:
    """The orders of so many passes."""
    places = jnp.arange(passes * samples, dtype=jnp.uint64)
    place = (places % samples).astype(jnp.uint32)
    return np.asarray(shuffled(KEY, places // samples, place, samples)).reshape(passes, samples)


def test_all_permutations_are_equally_likely():
    found = permutations(4, 24_000)
    code = found @ np.array([64, 16, 4, 1])
    counts = [
        (code == np.dot(one, [64, 16, 4, 1])).sum() for one in itertools.permutations(range(4))
    ]
    assert sum(counts) == len(found)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_a_shuffle_of_many_remembers_no_places_and_no_neighbours():
    samples, passes = 40, 20_000
    found = permutations(samples, passes)
    places = np.zeros((samples, samples))
    np.add.at(places, (np.broadcast_to(np.arange(samples), found.shape), found), 1)
    freedom = (samples - 1) ** 2
    assert abs(chi_squared(places, passes / samples) - freedom) < 5 * np.sqrt(2 * freedom)
    neighbours = np.zeros((samples, samples))
    np.add.at(neighbours, (found[:, :-1].ravel(), found[:, 1:].ravel()), 1)
    apart = neighbours[~np.eye(samples, dtype=bool)]
    freedom = samples * (samples - 1)
    assert abs(chi_squared(apart, passes / samples) - freedom) < 5 * np.sqrt(2 * freedom)


def chi_squared(counts, expected: float) -> float:
    return ((counts - expected) ** 2 / expected).sum()


def test_with_replacement_all_samples_are_equally_likely():
    counts = np.bincount(numbers_of("with replacement", 2000).ravel(), minlength=P)
    assert stats.chisquare(counts).pvalue > 1e-4
    assert len(np.unique(numbers_of("with replacement", 1, P))) < P


def test_the_longest_runs_count_their_samples():
    steps = jnp.asarray([2**32 - 2], jnp.uint32)
    assert [int(one) for one in positions(steps, 3)] == [3 * (2**32 - 2) + j for j in range(3)]


def test_workers_take_samples_of_their_own():
    """Votes of three workers with two samples each: six samples at every step."""
    problem = ts.Problem(
        ts.TeacherStudent(M), ts.Student(K), ts.MajorityVote(0.1, workers=3), batch_size=2
    )
    w, v, w_star = given_weights()
    start = ts.start_from_weights(problem, w, w_star=w_star)
    x, steps = inputs(), 9
    y = g(x @ w_star.T / np.sqrt(N)).sum(axis=1)
    networks = ts.simulate(
        problem,
        start,
        [steps / N],
        seeds=[0],
        dtype="float64",
        data=ts.Dataset(x, order="in order"),
        observables=[ALL_WEIGHTS],
    )
    for step in range(steps):
        votes = np.zeros_like(w)
        for worker in range(3):
            batch = (6 * step + 2 * worker + np.arange(2)) % P
            field = x[batch] @ w.T / np.sqrt(N)
            error = g(field).sum(axis=1) - y[batch]
            votes += np.sign((slope(field) * error[:, None]).T @ x[batch])
        w = w - 0.1 / np.sqrt(N) * np.sign(votes)
    np.testing.assert_allclose(networks.all_weights[0, 0], w, atol=1e-10)


def linear_problem(**options) -> ts.Problem:
    return ts.Problem(
        ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(**options), batch_size=80
    )


def test_full_batches_of_a_linear_network_find_the_least_squares():
    problem, size, eta, steps = linear_problem(learning_rate=1.0), 12, 1.0, 900
    x = inputs(80, size, seed=4)
    w_star, w = inputs(1, size, seed=5), inputs(1, size, seed=6)
    y = (x @ w_star.T)[:, 0] / np.sqrt(size) + 0.5 * inputs(80, 1, seed=7)[:, 0]
    start = ts.start_from_weights(problem, w, w_star=w_star)
    networks = ts.simulate(
        problem,
        start,
        [0.0, 100 / size, steps / size],
        seeds=1,
        dtype="float64",
        data=ts.Dataset(x, y=y),
        observables=[ts.Observable("w", ("input",), "$w$", of_weights=lambda one: one.w[0])],
    )
    best = np.linalg.lstsq(x / np.sqrt(size), y, rcond=None)[0]
    contraction = np.eye(size) - eta * x.T @ x / (80 * size)
    for index, number in ((0, 0), (1, 100), (2, steps)):
        exact = best + np.linalg.matrix_power(contraction, number) @ (w[0] - best)
        np.testing.assert_allclose(networks.w[0, index], exact, atol=1e-10)
    np.testing.assert_allclose(networks.w[0, 2], best, atol=1e-4)
    least = 0.5 * ((x @ best / np.sqrt(size) - y) ** 2).mean()
    np.testing.assert_allclose(networks.train_error[0, 2], least, rtol=1e-6)


@pytest.mark.long
def test_fewer_samples_than_weights_are_learnt_with_their_noise():
    size, samples = 60, 30
    problem = ts.Problem(
        ts.TeacherStudent(1, "linear", noise=1.0),
        ts.Student(1, "linear"),
        ts.SGD(1.0),
        batch_size=10,
    )
    start = ts.OrderParameters(Q=[[0.1]], R=[[0.0]])
    networks = ts.simulate(
        problem, start, [0.0, 40.0], seeds=4, data=ts.Dataset(inputs(samples, size))
    )
    last = networks.isel(time=-1)
    assert (last.train_error < 1e-3).all()
    assert (last.eps_g > 100 * last.train_error).all() and float(last.eps_g.mean()) > 0.25
    assert (abs(last.test_error - last.eps_g) < 5 * last.test_error_se).all()
    assert (networks.train_error[:, 0] > 0.5).all()


@pytest.mark.long
def test_as_many_samples_as_steps_are_online_learning():
    problem, start, size = committee(noise=0.3), random_overlaps(3, 2), 500
    times = [0.0, 1.0, 4.0]
    data = ts.Dataset(inputs(2000, size), order="in order")
    networks = ts.simulate(problem, start, times, seeds=12, data=data)
    theory = ts.integrate(problem, start, times)
    report = ts.compare(theory, networks)
    verdict = report.attrs["verdict"]
    assert verdict.startswith("AGREE")
    assert verdict.endswith(
        " NOTE: the networks trained on 2000 fixed samples (data, 1 passes), and the theory is "
        "of fresh samples at each update."
    )
    for name in ("Q", "R", "eps_g"):
        assert float(abs(report[f"{name}_z"]).isel(time=slice(1, None)).max()) < 4


@pytest.mark.long
def test_a_theory_of_fresh_samples_is_not_that_of_few():
    problem, start = committee(noise=0.3), random_overlaps(3, 2)
    times = [0.0, 5.0, 20.0]
    theory = ts.integrate(problem, start, times)
    data = ts.Dataset(inputs(200, 100))
    networks = ts.simulate(problem, start, times, seeds=8, data=data)
    verdict = ts.compare(theory, networks).attrs["verdict"]
    assert verdict.startswith("DISAGREE")
    assert "200 fixed samples (data, 10 passes)" in verdict


@pytest.mark.long
def test_seeds_are_streams_of_their_own():
    problem = both_layers()
    w, v, w_star = given_weights()
    start = ts.start_from_weights(problem, w, v, w_star)
    data = ts.Dataset(inputs(), noise=0.1)
    together = ts.simulate(problem, start, [3.0], seeds=[4, 9, 2], data=data)
    alone = ts.simulate(problem, start, [3.0], seeds=[9], data=data)
    np.testing.assert_array_equal(together.Q.sel(seed=9), alone.Q.sel(seed=9))
    np.testing.assert_array_equal(together.train_error.sel(seed=9), alone.train_error.sel(seed=9))
    assert len(np.unique(together.train_error)) == 3


@pytest.mark.parametrize("order", mostly_long(ts.Dataset.ORDERS, ["shuffled"]))
def test_numbers_do_not_depend_on_blocks_and_interruptions(order, tmp_path, monkeypatch):
    problem, path = both_layers(batch_size=B), tmp_path / "run.ckpt"
    data = ts.Dataset(inputs(), noise=0.1, order=order)
    arguments = (problem, random_overlaps(3, 2, v=[0.6, 1.0, -0.4]), [0.0, 7.0, 40.0])
    options = {"seeds": 2, "data": data, "progress": False}
    straight = ts.simulate(*arguments, **options)
    with interrupted_after(200):
        ts.simulate(*arguments, **options, checkpoint=path)
    other = ts.Dataset(inputs(), noise=0.1, order=order, seed=1)
    with pytest.raises(ValueError, match="belongs to a simulation with another problem"):
        ts.simulate(*arguments, **options | {"data": other}, checkpoint=path)
    assert_same(ts.simulate(*arguments, **options, checkpoint=path), straight)
    for size in (2**8, 2**13):
        monkeypatch.setitem(weights_training.BLOCK_BYTES, "cpu", size)
        assert_same(ts.simulate(*arguments, **options), straight)


def assert_same(found, expected) -> None:
    for name in ("Q", "R", "v", "eps_g", "train_error", "test_error"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_two_classes_have_a_training_loss():
    problem = ts.Problem(
        ts.GaussianMixture.xor(0.3),
        ts.Student(2, train_readout=True),
        ts.SGD(0.3, 0.2),
        loss="logistic",
        batch_size=2,
    )
    rng = np.random.default_rng(0)
    u = np.linalg.qr(rng.standard_normal((N, 2)))[0].T * np.sqrt(N)
    w = rng.standard_normal((2, N))
    start = ts.start_from_weights(problem, w, [1.0, -0.5], w_star=u)
    x, y = inputs(), rng.choice([-1.0, 1.0], P)
    networks = ts.simulate(
        problem, start, [0.0, 20.0], seeds=2, dtype="float64", data=ts.Dataset(x, y=y)
    )
    phi = g(x @ w.T / np.sqrt(N)) @ np.array([1.0, -0.5])
    expected = np.log1p(np.exp(-y * phi)).mean()
    np.testing.assert_allclose(networks.train_loss[:, 0], expected, rtol=1e-10)
    assert (networks.train_loss[:, 1] < expected).all()
    assert networks.test_accuracy.shape == (2, 2)


def test_structured_inputs_have_latents():
    problem = ts.Problem(ts.HiddenManifold(M, "erf", "sign", 0.5), ts.Student(K), ts.SGD(0.2))
    start = ts.random_start(problem, N=16, seed=0)
    c = inputs(P, 8)
    F = problem.task.matrices(16)[0]
    x = np.sign(c @ F.T)
    networks = ts.simulate(
        problem, start, [0.0, 1.0], seeds=2, dtype="float64", data=ts.Dataset(x, c, noise=0.0)
    )
    w, w_star = start.network
    y = g(c @ w_star.T / np.sqrt(8)).sum(axis=1)
    error = g(x @ w.T / 4.0) @ np.asarray(start.v) - y
    np.testing.assert_allclose(networks.train_error[:, 0], 0.5 * (error**2).mean(), rtol=1e-10)
    with pytest.raises(ValueError, match="data.c is missing, but the teacher of HiddenManifold"):
        ts.simulate(problem, start, [0.0], data=ts.Dataset(x))
    limit = ts.OrderParameters(np.eye(K), np.full((K, M), 0.1))
    with pytest.raises(ValueError, match="data holds one set of inputs, but this start gives"):
        ts.simulate(problem, limit, [0.0], data=ts.Dataset(x, c))


def test_numbers_of_samples_do_not_recompile():
    problem, start = committee(), random_overlaps(3, 2)
    ts.simulate(problem, start, [1.0], seeds=2, data=ts.Dataset(inputs()))
    before = train_weights._cache_size()
    ts.simulate(problem, start, [1.0], seeds=2, data=ts.Dataset(inputs(seed=9), seed=5, noise=0.2))
    assert train_weights._cache_size() == before


def test_the_report_tells_what_the_samples_were():
    problem, start = committee(noise=0.0), random_overlaps(3, 2)
    data = ts.Dataset(inputs(), noise=0.25)
    networks = ts.simulate(problem, start, [0.0, 23.0], seeds=2, data=data, method="auto")
    report = description(networks)["report"]
    assert report["method"] == "weights" and report["test_samples"] == 4000
    digest = report["data"].pop("sha256")
    assert report["data"] == {
        "samples": P,
        "order": "shuffled",
        "labels": "of each network's teacher",
        "seed": 0,
        "noise": 0.25,
        "passes": 17.0,
    }
    other = ts.simulate(problem, start, [0.0], seeds=1, data=ts.Dataset(inputs(seed=2)))
    assert description(other)["report"]["data"]["sha256"] != digest
    assert "test_error" not in ts.simulate(
        problem, start, [0.0], seeds=1, data=data, test_samples=0
    )


def test_the_training_error_is_drawn():
    networks = ts.simulate(
        committee(), random_overlaps(3, 2), [0.0, 5.0], seeds=2, data=ts.Dataset(inputs())
    )
    axes = ts.plot(networks).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert f"their train error, N = {N}" in labels and f"their test error, N = {N}" in labels


ON_DEVICES = """
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
import teacherstudent as ts
assert len(jax.devices()) == 2
problem = ts.Problem(ts.TeacherStudent(2), ts.Student(3), ts.SGD(0.3), batch_size=2)
start = ts.OrderParameters(0.5 * np.eye(3), 0.1 * np.ones((3, 2)))
data = ts.Dataset(np.random.default_rng(0).standard_normal((23, 17)), noise=0.2)
both, one = (
    ts.simulate(problem, start, [0.0, 9.0], seeds=3, data=data, device=device)
    for device in ("cpu", "cpu:1")
)
for name in ("Q", "R", "eps_g", "train_error", "test_error"):
    np.testing.assert_array_equal(both[name], one[name])
"""


@pytest.mark.long
def test_two_devices_give_the_same_numbers():
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES],
        env=environment | quick_compilation(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_it_shows_itself_and_cannot_be_changed():
    x = inputs()
    data = ts.Dataset(x, noise=0.5, order="in order")
    assert repr(data) == "Dataset(x=<array (23, 17) ...>, noise=0.5, order='in order')"
    assert len(data) == P
    x[:] = 0
    assert (data.x != 0).any()
    with pytest.raises(ValueError, match="read-only"):
        data.x[0] = 1.0
    with pytest.raises(AttributeError):
        data.order = "shuffled"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.ones(5)}, r"data.x has shape \(5,\); give \(samples, N\), one row for each"),
        ({"x": np.ones((0, 5))}, r"data.x has shape \(0, 5\)"),
        ({"x": "data.csv"}, "data.x = 'data.csv' is not an array of real numbers"),
        ({"x": np.full((4, 2), np.inf)}, "data.x has entries that are not finite"),
        ({"c": np.ones((3, 2))}, "data.c has 3 entries but data.x has 4 rows; give one for each"),
        ({"c": np.ones(4)}, r"data.c has shape \(4,\); give \(samples, D\)"),
        ({"y": np.ones((4, 1))}, r"data.y has shape \(4, 1\); give \(samples,\), one label"),
        ({"y": np.ones(3)}, "data.y has 3 entries but data.x has 4 rows"),
        ({"y": [1.0, np.nan, 1.0, 1.0]}, "data.y has entries that are not finite"),
        ({"y": np.ones(4), "noise": 0.1}, "data.noise = 0.1 and data.y are both given, but the"),
        ({"noise": -1.0}, "data.noise = -1.0 is not allowed; give a finite number"),
        ({"noise": [0.1, 0.2]}, r"data.noise = \[0.1, 0.2\] is a sequence; give one number"),
        ({"order": "random"}, "data.order = 'random' is not known; known are 'in order'"),
        ({"seed": -1}, "data.seed = -1 is not allowed"),
    ],
)
def test_bad_arrays_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        ts.Dataset(**{"x": np.ones((4, 2))} | given)


SPIKE = ts.Problem(ts.SpikedCumulant(5.0), ts.Student(1), ts.SGD(0.3))
SPIKE_START = ts.OrderParameters([[1.0]], m=[[0.1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": inputs()}, "data is a ndarray; give a Dataset or None"),
        ({"bank": (inputs(), inputs())}, "bank and data are both given"),
        ({"N": 18}, r"data.x has shape \(23, 17\), but the networks have N = 18 inputs; give"),
        (
            {"problem": committee(batch_size=24)},
            "a step of all workers takes 24 samples, but data has 23; give a smaller batch",
        ),
        ({"data": ts.Dataset(inputs(), inputs(P, 9))}, r"sees D = 17 latents; give \(samples, 17"),
        (
            {"data": ts.Dataset(inputs(), inputs(seed=3))},
            "data.c is not data.x, but the teacher of TeacherStudent sees the inputs themselves",
        ),
        (
            {"data": ts.Dataset(inputs(), noise=0.5)},
            "data.noise = 0.5 and task.noise = 0.2 are both given and differ; leave one of them",
        ),
        (
            {"data": ts.Dataset(inputs(), y=np.ones(P))},
            "data.y are labels of one teacher, but this start gives every seed a teacher of its",
        ),
        ({"method": "reduced"}, 'method = "reduced": data is for whole inputs and weights'),
        (
            {"problem": SPIKE, "start": SPIKE_START},
            "data.y is missing, but SpikedCumulant has no teacher that labels inputs; give the",
        ),
        (
            {"problem": SPIKE, "start": SPIKE_START, "data": ts.Dataset(inputs(), noise=0.1)},
            "data.noise is for a teacher, but the task SpikedCumulant has none; leave it out",
        ),
        (
            {"problem": SPIKE, "start": SPIKE_START, "data": ts.Dataset(inputs(), y=np.zeros(P))},
            r"data.y has the entry 0, but the labels of SpikedCumulant are \+1 and -1; give these",
        ),
    ],
)
def test_a_training_set_that_does_not_fit_is_refused(options, message):
    arguments = {
        "problem": committee(),
        "start": random_overlaps(3, 2),
        "times": [0.0, 1.0],
        "seeds": 2,
        "data": ts.Dataset(inputs()),
    } | options
    with pytest.raises(ValueError, match=message):
        ts.simulate(**arguments)


def test_networks_that_are_all_the_same_are_told():
    problem = both_layers()
    start = ts.start_from_weights(problem, *given_weights())
    with pytest.warns(UserWarning, match="all 2 seeds are one network: they begin from the same"):
        ts.simulate(problem, start, [0.0], seeds=2, data=ts.Dataset(inputs(), order="in order"))
