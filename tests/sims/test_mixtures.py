"""Networks on inputs of two classes: the literal laws, against the theory, and escape from random
weights.
"""

from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from sims.inputs.mixture import spiked_source
from sims.inputs.spike_laws import spike_law
from sims.running.loop import TRAINING
from sims.weights.steps import train_weights
from teacherstudent.results.datasets import description
from teacherstudent.starts import orthonormal_rows, root
from tests.long import mostly_long
from tests.sims.interruption import interrupted_after

TASKS = {
    "skewed": ts.SpikedCumulant(5.0, ("skewed", 0.2)),
    "uniform": ts.SpikedCumulant(5.0, "uniform"),
    "laplace": ts.SpikedCumulant(3.0, "laplace"),
    "mixed, independent": ts.MixedCumulant(2.0, 5.0),
    "mixed, sign": ts.MixedCumulant(2.0, 5.0, coupling="sign"),
    "mixed, square": ts.MixedCumulant(2.0, 5.0, coupling="square"),
    "xor": ts.GaussianMixture.xor(0.3),
    "boxes": ts.BoxMixture(
        [0.3, 0.7], [1, -1], [[[-1, 1]], [[0, 2]]], [lambda s: s[0] ** 2, lambda s: 1 + 0 * s[0]]
    ),
}


@pytest.mark.long  # two classes are always compared in tests/extending
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "loss", "K"), [("skewed", "square", 1), ("mixed, sign", "logistic", 2)]
)
def test_networks_follow_the_theory(name, loss, K):
    task = TASKS[name]
    problem = ts.Problem(task, ts.Student(K, "erf", True, True), ts.SGD(0.4), loss=loss)
    m = np.array([[0.6, 0.2], [-0.4, 0.3]])[:K, : task.directions]
    start = ts.OrderParameters(m @ m.T + 0.5 * np.eye(K), m=m, v=[0.7, -0.6][:K], b=[0.5, -0.3][:K])
    times = np.linspace(0, 3, 7)
    networks = ts.simulate(problem, start, times, N=500, seeds=16, test_samples=2000)
    report = ts.compare(ts.integrate(problem, start, times), networks)
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("contrast", ["kurtosis", "logcosh", "gauss"])
def test_fast_ica_finds_the_spike(contrast):
    found = ts.fast_ica(
        ts.SpikedCumulant(10.0), 10, 20_000, contrast=contrast, steps=3, overlap=0.4, seeds=32
    )
    assert float(found.overlap.isel(step=0).mean()) == pytest.approx(0.4, abs=1e-3)
    assert float(found.overlap.isel(step=-1).median()) > 0.9


# ---------------------------------------------------------------- laws, class by class

LAWS = TASKS | {
    "rademacher": ts.SpikedCumulant(5.0, class_prior=0.3),
    "explicit nodes": ts.SpikedCumulant(8.0, ([-1.0, 0.5, 2.0], [4 / 9, 4 / 9, 1 / 9])),
    "mixed, uniform": ts.MixedCumulant(1.0, 4.0, "uniform", class_prior=0.6),
    "two clusters": ts.GaussianMixture.two_clusters(0.5),
    "covariances": ts.GaussianMixture(
        [0.2, 0.3, 0.5],
        [1, 1, -1],
        [[1.0, 0.0], [-0.5, 0.3], [0.0, -1.0]],
        [0.5, 1.0, 2.0],
        [[[1.0, 0.6], [0.6, 0.8]], [[0.0, 0.0], [0.0, 0.0]], [[2.0, -0.5], [-0.5, 0.4]]],
    ),
    "uniform boxes": ts.BoxMixture([0.4, 0.6], [1, -1], [[[-1, 1], [0, 2]], [[-2, 0], [-1, 1]]]),
    "densities on boxes": ts.BoxMixture(
        [0.5, 0.5],
        [1, -1],
        [[[-1, 2], [0, 1]], [[-1, 1], [-1, 1]]],
        [lambda s: 1 + s[0] ** 2, lambda s: 1 + s[0] * s[1]],
    ),
}


@pytest.mark.parametrize(
    "name", mostly_long(LAWS, ["skewed", "mixed, sign", "covariances", "boxes"])
)
def test_each_class_has_its_frequency_and_its_moments_up_to_the_fourth(name):
    # A draw from a density in two dimensions copies all 256^2 cells for each sample: few at once,
    # and fewer of them.
    task = LAWS[name]
    count, at_once = (10_000, 250) if name == "densities on boxes" else (100_000, 5000)
    law, keys = (
        jax.tree.map(jnp.asarray, spike_law(task)),
        jax.random.split(jax.random.key(7), count),
    )
    of_keys = jax.jit(
        lambda keys: jax.lax.map(lambda key: law.draw(key, jnp.float64), keys, batch_size=at_once)
    )
    y, s, sigma = map(np.asarray, of_keys(keys))
    p, label, A, S, sigma2 = task.components()
    z, w = np.polynomial.hermite_e.hermegauss(5)
    axes, weights = (
        np.stack(np.meshgrid(*[z] * task.directions)),
        np.stack(np.meshgrid(*[w] * task.directions)),
    )
    grid, weight = axes.reshape(task.directions, -1), weights.reshape(task.directions, -1).prod(0)
    nodes = A[:, :, None] + np.stack([root(one) for one in S]) @ grid  # component, direction, node
    weight = weight / weight.sum()
    for one in (1.0, -1.0):
        prior, chosen = p[label == one].sum(), s[y == one]
        assert abs(np.mean(y == one) - prior) < 5 * np.sqrt(prior * (1 - prior) / count)
        share = p[label == one] / prior
        for order in range(1, 5):
            for which in combinations_with_replacement(range(task.directions), order):
                product = chosen[:, which].prod(1)
                expected = share @ nodes[label == one][:, which].prod(1) @ weight
                assert (
                    abs(product.mean() - expected)
                    < 5 * product.std() / np.sqrt(len(product)) + 1e-4
                ), (one, which)
        of_noise, expected = sigma[y == one] ** 2, share @ sigma2[label == one]
        assert abs(of_noise.mean() - expected) < 5 * of_noise.std() / np.sqrt(len(of_noise)) + 1e-9


# ---------------------------------------------------------------- inputs

SPIKED = ts.SpikedCumulant(10.0, ("skewed", 0.2))


def draws(task, directions, count):
    """Inputs (samples, N) and classes along given directions (r, N), and the fields that the law
    draws for them.
    """
    source = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), spiked_source(task, directions[None]))
    keys = jax.random.split(jax.random.key(1), count)
    inputs = jax.jit(lambda keys: source.draw(keys))(keys)
    spike = jax.jit(jax.vmap(lambda key: source.law.draw(jax.random.fold_in(key, 1), jnp.float64)))(
        keys
    )
    return np.asarray(inputs.x), np.asarray(inputs.zeta), spike


def directions_of(r, N):
    return np.sqrt(N) * orthonormal_rows(np.random.default_rng(2).standard_normal((r, N)))


def test_spiked_inputs_are_white_in_each_class():
    x, y, _ = draws(SPIKED, directions_of(1, 8), 20_000)
    for label in (1.0, -1.0):
        chosen = x[y == label]
        products = chosen[:, :, None] * chosen[:, None, :]
        for part, expected in ((chosen, np.zeros(8)), (products, np.eye(8))):
            assert (np.abs(part.mean(0) - expected) < 5 * part.std(0) / np.sqrt(len(chosen))).all()


@pytest.mark.parametrize(
    "name",
    mostly_long(["rademacher", "mixed, sign", "covariances", "uniform boxes"], ["mixed, sign"]),
)
def test_fields_along_the_directions_are_those_of_the_law(name):
    task, N, count = LAWS[name], 8, 20_000
    U = directions_of(task.directions, N) / np.sqrt(N)
    x, y, spike = draws(task, np.sqrt(N) * U, count)
    np.testing.assert_allclose(x @ U.T, spike.s, atol=1e-12)
    np.testing.assert_array_equal(y, spike.y)
    beside = (x - x @ U.T @ U) / np.asarray(spike.sigma)[:, None]
    products = beside[:, :, None] * beside[:, None, :]
    gap = np.abs(products.mean(0) - (np.eye(N) - U.T @ U))
    assert (gap < 5 * products.std(0) / np.sqrt(count) + 1e-12).all()


def test_inputs_have_the_law_of_the_literal_construction():
    N, count, rng = 8, 100_000, np.random.default_rng(4)
    u, beside = directions_of(2, N)
    S = np.linalg.inv(root(np.eye(N) + SPIKED.beta * np.outer(u, u) / N))
    g = rng.choice(np.asarray(SPIKED.latent.nodes), count, p=np.asarray(SPIKED.latent.weights))
    literal = (np.sqrt(SPIKED.beta / N) * g[:, None] * u + rng.standard_normal((count, N))) @ S
    x, y, _ = draws(SPIKED, u[None], 2 * count)
    for direction, third in ((u + beside, SPIKED.rho**3 * 1.5 / 2**1.5), (beside, 0.0)):
        unit = direction / np.linalg.norm(direction)
        ours, theirs = x[y > 0] @ unit, literal @ unit
        for power in range(1, 5):
            error = np.hypot(*((one**power).std() / np.sqrt(len(one)) for one in (ours, theirs)))
            assert abs((ours**power).mean() - (theirs**power).mean()) < 5 * error, power
        assert abs((ours**3).mean() - third) < 0.05  # what tells the class from the other is there


# ---------------------------------------------------------------- simulations

WIDTH_2 = ts.OrderParameters(
    [[0.9, -0.1], [-0.1, 0.8]], m=[[0.6, 0.2], [-0.4, 0.3]], v=[0.7, -0.6], b=[0.5, -0.3]
)  # of two units along two directions
TIMES = [0.0, 0.5, 1.5, 3.0]


def committee(task=None, *, learning_rate=0.3, loss="logistic", bias=True, batch_size=1, **rates):
    """Two units; all parts that a simulation with classes can train."""
    task = ts.MixedCumulant(2.0, 5.0, coupling="sign") if task is None else task
    rule = ts.SGD(learning_rate, **rates)
    return ts.Problem(
        task, ts.Student(2, "erf", True, bias), rule, loss=loss, batch_size=batch_size
    )


@pytest.fixture(scope="module")
def usual():
    """Five seeds of the committee, with held-out samples."""
    return ts.simulate(committee(), WIDTH_2, TIMES, N=100, seeds=5, test_samples=20_000)


@pytest.mark.long
def test_a_seed_does_not_depend_on_what_runs_beside_it(usual):
    alone = ts.simulate(committee(), WIDTH_2, TIMES, N=100, seeds=[3], test_samples=20_000)
    for name in ("Q", "m", "v", "b", "loss", "test_loss", "test_accuracy"):
        # Not bit by bit: the products z U^T of the source are rounded in another order for another
        # number of seeds.
        np.testing.assert_allclose(alone[name].sel(seed=3), usual[name].sel(seed=3), atol=1e-5)
    assert len(np.unique(usual.loss.isel(time=-1))) == 5


def test_starts_have_the_prescribed_overlaps_and_biases(usual):
    first = usual.isel(time=0)
    for seed in range(5):
        for name in ("Q", "m", "v", "b"):
            np.testing.assert_allclose(
                first[name].isel(seed=seed), getattr(WIDTH_2, name), atol=1e-6
            )
    np.testing.assert_allclose(first.loss, float(ts.expected_loss(committee(), WIDTH_2)), rtol=1e-5)


def test_rates_and_parameters_of_the_law_do_not_recompile(usual):
    before = train_weights._cache_size()
    changed = ts.MixedCumulant(1.0, 3.0, coupling="sign", class_prior=0.3)
    ts.simulate(committee(changed, learning_rate=0.1), WIDTH_2, TIMES, N=100, seeds=5)
    assert train_weights._cache_size() == before


def test_biases_move_only_if_the_student_trains_them(usual):
    assert (abs(usual.b.isel(time=-1) - usual.b.isel(time=0)) > 1e-3).all()
    frozen = ts.simulate(committee(bias=False), WIDTH_2, [0.0, 1.0], N=100, seeds=5)
    np.testing.assert_array_equal(frozen.b, np.tile(np.float32(WIDTH_2.b), (5, 2, 1)))
    assert (abs(frozen.v.isel(time=-1) - frozen.v.isel(time=0)) > 1e-3).all()


def test_held_out_samples_give_the_expected_loss_and_accuracy(usual):
    assert (abs(usual.test_loss - usual.loss) < 4 * usual.test_loss_se).all()
    first, exact = usual.isel(time=0), float(ts.accuracy(committee(), WIDTH_2))
    assert (abs(first.test_accuracy - exact) < 4 * first.test_accuracy_se + 3e-4).all()
    np.testing.assert_allclose(
        first.test_accuracy_se, np.sqrt(exact * (1 - exact) / 20_000), rtol=0.02
    )
    last = usual.isel(time=-1)
    end = ts.OrderParameters(last.Q.values, m=last.m.values, v=last.v.values, b=last.b.values)
    gap = abs(last.test_accuracy - np.asarray(ts.accuracy(committee(), end)))
    assert (
        gap < 4 * last.test_accuracy_se + 3e-4
    ).all()  # exact at any N, at the networks' own overlaps


@pytest.mark.long
def test_an_interrupted_run_goes_on_from_its_checkpoint(usual, tmp_path):
    path = tmp_path / "run.ckpt"
    arguments = {"N": 100, "seeds": 5, "test_samples": 20_000, "checkpoint": str(path)}
    with interrupted_after(100):
        ts.simulate(committee(), WIDTH_2, TIMES, **arguments)
    assert path.exists()
    with pytest.raises(ValueError, match="belongs to a simulation with another problem"):
        ts.simulate(
            committee(ts.MixedCumulant(2.0, 5.0, coupling="square")), WIDTH_2, TIMES, **arguments
        )
    resumed = ts.simulate(committee(), WIDTH_2, TIMES, **arguments)
    for name in ("Q", "m", "v", "b", "loss", "test_loss", "test_accuracy"):
        np.testing.assert_array_equal(resumed[name], usual[name])
    assert not list(tmp_path.iterdir())


LOSS_OF = {
    "square": lambda phi, y: (phi - y) ** 2 / 2,
    "logistic": lambda phi, y: jnp.log(1 + jnp.exp(-y * phi)),
    "correlation": lambda phi, y: -y * phi,
}


@pytest.mark.parametrize("loss", mostly_long(LOSS_OF, ["logistic"]))
def test_a_step_follows_the_gradient_of_the_loss(loss):
    N, seed, rates = 12, 5, {"w": 0.8, "v": 0.4, "b": 0.6}
    problem = committee(
        loss=loss,
        batch_size=2,
        learning_rate=0.8,
        readout_learning_rate=0.4,
        bias_learning_rate=0.6,
    )
    directions, w = directions_of(2, N), np.random.default_rng(3).standard_normal((2, N))
    start = ts.start_from_weights(problem, w, [0.7, -0.6], directions, b=[0.5, -0.3])
    after = ts.simulate(problem, start, [1 / N], N=N, seeds=[seed], dtype="float64").isel(
        seed=0, time=0
    )
    key = jax.random.fold_in(jax.random.key(jnp.asarray(seed, jnp.uint32)), TRAINING)
    keys = jax.random.split(jax.random.fold_in(key, jnp.uint32(0)), 2)
    source = jax.tree.map(
        lambda leaf: jnp.asarray(leaf[0]), spiked_source(problem.task, directions[None])
    )
    x, _, y = source.draw(keys)

    def mean_loss(parts):
        hidden = jax.scipy.special.erf(
            (x @ parts["w"].T / np.sqrt(N) + parts["b"][None]) / np.sqrt(2)
        )
        return jnp.mean(LOSS_OF[loss](hidden @ parts["v"], y))

    before = {"w": jnp.asarray(w), "v": jnp.array([0.7, -0.6]), "b": jnp.array([0.5, -0.3])}
    slope = jax.grad(mean_loss)(before)
    # In these units w moves by eta times its gradient, v and b, with gradients of order one, by eta
    # / N.
    moved = {
        name: np.asarray(before[name] - rates[name] / (1 if name == "w" else N) * slope[name])
        for name in before
    }
    np.testing.assert_allclose(after.Q, moved["w"] @ moved["w"].T / N, rtol=1e-11)
    np.testing.assert_allclose(after.m, moved["w"] @ directions.T / N, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(after.v, moved["v"], rtol=1e-11)
    np.testing.assert_allclose(after.b, moved["b"], rtol=1e-11)
    assert max(abs(moved["w"] - w).max(), abs(moved["b"] - before["b"]).max()) > 1e-3


# ---------------------------------------------------------------- given weights


def test_given_weights_and_directions_are_those_of_every_seed():
    N, problem = 20, committee()
    w, directions = np.random.default_rng(8).standard_normal((2, N)), directions_of(2, N)
    start = ts.start_from_weights(problem, w, [0.7, -0.6], directions, b=[0.2, -0.1])
    first = ts.simulate(problem, start, [0.0], seeds=3, dtype="float64").isel(time=0)
    for seed in range(3):
        np.testing.assert_allclose(first.Q[seed], w @ w.T / N, atol=1e-13)
        np.testing.assert_allclose(first.m[seed], w @ directions.T / N, atol=1e-13)
        np.testing.assert_array_equal(first.v[seed], [0.7, -0.6])
        np.testing.assert_array_equal(first.b[seed], [0.2, -0.1])
    np.testing.assert_array_equal(first.w_start, w)
    np.testing.assert_array_equal(first.directions, directions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w_star": np.ones((2, 20))}, "the fixed directions of the start are not orthogonal"),
        (
            {"w_star": 2 * directions_of(2, 20)},
            "the fixed directions of the start are not orthogonal",
        ),
        (
            {"w_star": directions_of(1, 20)},
            r"w_star has shape \(1, 20\); beside w of shape \(2, 20\)",
        ),
        ({"w_star": directions_of(2, 21)}, r"w_star has shape \(2, 21\)"),
        ({"w_star": None}, "w_star is missing"),
        ({"w": np.ones((3, 20))}, r"w has shape \(3, 20\); give \(2, N\)"),
        ({"b": [0.1]}, r"start.b has shape \(1,\)"),
        ({"v": [0.1, 0.2, 0.3]}, r"start.v has shape \(3,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message):
    arguments = {"w": np.ones((2, 20)), "w_star": directions_of(2, 20)} | change
    with pytest.raises(ValueError, match=message):
        ts.start_from_weights(committee(), **arguments)


def test_a_bank_of_inputs_is_refused():
    x = np.random.default_rng(0).standard_normal((50, 20))
    with pytest.raises(
        ValueError, match="bank holds inputs with latents for a teacher, but MixedCumulant has none"
    ):
        ts.simulate(committee(), WIDTH_2, [0.0], N=20, seeds=1, bank=(x, x))


# ---------------------------------------------------------------- against the theory

AGREEMENT = {
    # name: (task, K, activation, loss, train readout, train bias, batch size)
    "laplace, relu, logistic, K = 1": (LAWS["laplace"], 1, "relu", "logistic", False, True, 1),
    "rademacher, erf, K = 4": (ts.SpikedCumulant(10.0), 4, "erf", "square", True, True, 1),
    "mixed sign, relu, K = 2": (LAWS["mixed, sign"], 2, "relu", "square", True, True, 1),
    "xor, erf, logistic, K = 2": (LAWS["xor"], 2, "erf", "logistic", True, False, 1),
    "covariances, erf, batch, K = 2": (LAWS["covariances"], 2, "erf", "square", False, True, 3),
    "boxes, erf, K = 2": (LAWS["uniform boxes"], 2, "erf", "square", False, False, 1),
}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", AGREEMENT)
def test_means_over_seeds_are_those_of_the_theory(name):
    task, K, activation, loss, readout, bias, batch_size = AGREEMENT[name]
    student = ts.Student(K, activation, readout, bias)
    problem = ts.Problem(
        task,
        student,
        ts.SGD(0.2 if activation == "relu" else 0.4),
        loss=loss,
        batch_size=batch_size,
    )
    rows = np.array([[0.6, 0.2], [-0.4, 0.3], [0.3, -0.6], [0.1, 0.5]])[:K]
    m = rows[:, : task.directions]
    mixing = np.linspace(-0.3, 0.3, K * K).reshape(K, K) + np.diag(np.linspace(0.8, 0.6, K))
    v, b = np.linspace(0.7, -0.6, K), np.linspace(0.5, -0.3, K)
    start = ts.OrderParameters(m @ m.T + mixing @ mixing.T, m=m, v=v, b=b)
    times = np.linspace(0, 3, 7)
    networks = ts.simulate(problem, start, times, N=500, seeds=16)
    report = ts.compare(ts.integrate(problem, start, times), networks)
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]
    largest = description(report)["largest"][0]
    assert set(largest) == {"loss", "Q", "m"} | ({"v"} if readout else set()) | (
        {"b"} if bias else set()
    )
    for quantity, values in largest.items():
        assert values["bias_coefficient"] < 4, (quantity, values)
