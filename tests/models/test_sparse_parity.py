"""Multitask sparse parity: the closed form, scaling laws, descent, and an ordinary network."""

import jax
import numpy as np
import pytest
import scipy

import teacherstudent as ts
from odes.analysis.scaling_laws import cut_integral
from sims.models.sparse_parity import sample_counts

MODEL = ts.SparseParity(skills=5, exponent=0.6, target=1.5, learning_rate=0.3)
# The numbers at which the laws were checked elsewhere.
PUBLISHED = {"exponent": 0.6, "target": 5.0, "learning_rate": 0.05}


def with_infinitely_many_skills(loss, model):
    """A loss of so many skills as one of all of them: those that are left out are not learnt."""
    k = np.arange(1.0, model.skills + 1)
    share = np.sum(k ** (-model.exponent - 1)) / scipy.special.zeta(model.exponent + 1)
    return loss * share + model.target**2 / 2 * (1 - share)


RNG = np.random.default_rng(0)
STARTS = {
    "any": (RNG.standard_normal(5), RNG.standard_normal(5)),
    "even": (np.full(5, 0.1), np.full(5, 0.1)),
    "opposite": (np.full(5, 0.1), np.full(5, -0.1)),
    "one zero": (np.full(5, 0.1), np.zeros(5)),
    "both zero": (np.zeros(5), np.zeros(5)),
    "nearly even": (np.full(5, 0.1), np.full(5, 0.1) + 1e-9),
}


@pytest.mark.parametrize("name", STARTS)
def test_the_closed_form_solves_the_flow(name):
    """Against SciPy, on the equations as they are written; a^2 - b^2 is conserved."""
    a, b = STARTS[name]
    P = np.arange(1.0, 6.0) ** -1.6
    P /= P.sum()

    def flow(t, y):
        a, b = np.split(y, 2)
        pull = 0.3 * P * (1.5 - a * b)
        return np.concatenate([pull * b, pull * a])

    times = np.array([0.0, 3.0, 30.0])
    solved = scipy.integrate.solve_ivp(
        flow, (0, 30), np.concatenate([a, b]), "DOP853", times, rtol=1e-11, atol=1e-13
    )
    theory = ts.integrate(MODEL, ts.State(first=a, second=b), times)
    np.testing.assert_allclose(theory.first, solved.y.T[:, :5], atol=1e-9)
    np.testing.assert_allclose(theory.second, solved.y.T[:, 5:], atol=1e-9)
    np.testing.assert_allclose(theory.first**2 - theory.second**2, [a**2 - b**2] * 3, atol=1e-12)


def test_a_schedule_takes_the_same_way():
    """The solver of the flow, where the closed form does not hold."""
    scheduled = ts.SparseParity(5, 0.6, 1.5, ts.piecewise([0.3, 0.1], [10.0]))
    start = MODEL.even_start(0.01)
    theory = ts.integrate(scheduled, start, [10.0, 40.0], rtol=1e-10)
    # What has passed of eta t is 3 and 6, that of the constant rate at the times 10 and 20.
    constant = ts.integrate(MODEL, start, [10.0, 20.0])
    np.testing.assert_allclose(theory.strength, constant.strength, atol=1e-7)


def test_even_starts_give_sigmoids_and_the_loss_of_their_sum():
    times = np.array([0.0, 5.0, 50.0])
    theory = ts.integrate(MODEL, MODEL.even_start(0.02), times)
    strengths = ts.skill_curves(MODEL, 0.02, time=times)
    np.testing.assert_allclose(theory.strength, strengths, atol=1e-12)
    np.testing.assert_allclose(theory.loss, ts.excess_loss(MODEL, 0.02, time=times), rtol=1e-10)
    half = np.log(1.5 / 0.02 - 1) / (2 * 0.3 * np.asarray(MODEL.frequencies) * 1.5)
    at_half = ts.skill_curves(MODEL, 0.02, time=half)
    np.testing.assert_allclose(np.diag(at_half), 0.75, rtol=1e-12)


def test_the_laws_are_the_limits_of_the_sums():
    """Ratios as an independent computation has them: 1.0000 in time, .9997 of 1000 samples, .971
    and .9997 at sizes 10 and 1000.
    """
    model = ts.SparseParity(skills=10**6, **PUBLISHED)
    laws = ts.scaling_laws(model, 0.01)

    def ratio(law, resource, **given):
        loss = ts.excess_loss(model, given.pop("initial", 0.01), **given)
        return with_infinitely_many_skills(loss, model) / law(resource)

    for tau in (1e3, 1e4, 1e5):
        assert abs(ratio(laws.time, tau, time=tau) - 1) < 2e-4
    assert abs(ratio(laws.samples, 1e3, samples=1000, initial=1e-9) - 0.9997) < 1e-4
    assert abs(ratio(laws.size, 10, size=10) - 0.9708) < 1e-4
    assert abs(ratio(laws.size, 1000, size=1000) - 0.9997) < 1e-4


def test_the_compute_frontier_tends_to_its_law():
    """The fitted exponents are -.2300 and .381 where the law has -.2308 and .385."""
    model = ts.SparseParity(skills=10**4, **PUBLISHED)
    laws = ts.scaling_laws(model, 0.01)
    frontier = ts.compute_frontier(model, 0.01, np.geomspace(1e4, 1e7, 7))
    loss = with_infinitely_many_skills(frontier.loss, model)
    np.testing.assert_allclose(loss, laws.compute(frontier.compute), rtol=0.015)
    np.testing.assert_allclose(frontier.size, laws.best_size(frontier.compute), rtol=0.05)
    np.testing.assert_allclose(frontier.size * frontier.time, frontier.compute, rtol=1e-12)
    fitted = np.polyfit(np.log(frontier.compute), np.log(loss), 1)[0]
    assert abs(fitted - laws.compute.exponent) < 2e-3
    assert abs(frontier.exponents["size"] - laws.best_size.exponent) < 1e-2
    # No other size is better: the loss of every size, from the sums alone.
    sizes = np.arange(1, 100)
    budget = frontier.compute[0]
    others = [ts.excess_loss(model, 0.01, time=budget / N, size=N) for N in sizes]
    np.testing.assert_allclose(frontier.loss[0], min(others), rtol=1e-12)
    assert sizes[np.argmin(others)] == frontier.size[0]


def test_the_cut_integral_is_what_is_written():
    """Against a sum over x itself, whose integrand has a pole at 0."""
    alpha, ratio, u = 0.6, 499.0, 3.0
    x = np.linspace(u, 80.0, 400_001)
    tail = np.trapezoid(x ** (-1 / (alpha + 1)) * (1 + np.exp(x) / ratio) ** -2, x)
    head = u ** (alpha / (alpha + 1)) * (alpha + 1) / alpha
    np.testing.assert_allclose(cut_integral(u, alpha, ratio), head + tail, rtol=1e-8)


def test_training_sets_have_the_loss_of_their_missing_skills():
    """Of 400 training sets of 2000 samples, within 4 standard errors; of one and of two shots."""
    model = ts.SparseParity(skills=5000, **PUBLISHED)
    P = np.asarray(model.frequencies)
    counts = np.random.default_rng(3).multinomial(2000, P / P.sum(), size=400)
    for shots in (1, 2):
        strengths = np.where(counts >= shots, 5.0, 0.01)
        losses = (5.0 - strengths) ** 2 @ P / 2
        expected = ts.excess_loss(model, 0.01, samples=2000, shots=shots)
        error = losses.std() / np.sqrt(len(losses))
        assert abs(losses.mean() - expected) < 4 * error
        mean = ts.skill_curves(model, 0.01, samples=2000, shots=shots)
        np.testing.assert_allclose(strengths.mean(0)[:20], mean[:20], atol=0.5)
    assert abs(ts.excess_loss(model, 0.01, samples=2000) - 0.585) < 0.01


def test_counts_are_those_of_the_frequencies():
    model = ts.SparseParity(skills=4, exponent=1.0, batch_size=40_000)
    counts = np.asarray(sample_counts(model, jax.random.key(0)))
    assert counts.sum() == 40_000
    P = np.asarray(model.frequencies)
    assert np.all(np.abs(counts / 40_000 - P) < 4 * np.sqrt(P / 40_000))


@pytest.mark.slow
def test_descent_follows_the_flow():
    """Means of 32 runs within 4 standard errors and O(1 / N); the scatter falls as 1 / sqrt N."""
    model = ts.SparseParity(skills=4, exponent=0.8, learning_rate=1.0, batch_size=3)
    start, times = (
        ts.State(first=[0.2, 0.3, 0.1, 0.4], second=[0.3, 0.1, 0.2, 0.2]),
        [0.0, 4.0, 12.0],
    )
    theory = ts.integrate(model, start, times)
    scatter = []
    for N in (100, 400):
        runs = ts.simulate(model, start, times, N=N, seeds=32)
        away = np.abs(runs.strength.mean("seed") - theory.strength).values
        error = runs.strength.std("seed", ddof=1).values / np.sqrt(32)
        assert np.all(away <= 4 * error + 0.5 / N)
        scatter.append(float(runs.strength.std("seed").max()))
    assert 1.5 < scatter[0] / scatter[1] < 2.7


@pytest.mark.slow
def test_a_network_learns_skills_one_after_the_other():
    """One constant is fitted to the first skill; it predicts when the second is learnt."""
    model = ts.SparseParity(2, exponent=0.6, target=5.0, learning_rate=0.05, batch_size=64)
    updates = np.arange(0, 3001, 60)
    networks = ts.train_parity_network(model, updates, bits=8, width=128, seeds=[1])
    strengths = networks.strength[0].values / 5.0
    first, second = (updates[np.argmax(of_skill > 0.5)] for of_skill in strengths.T)
    assert 0 < first < second
    assert np.all(np.abs(strengths[0]) < 0.1)
    assert np.all(np.abs(strengths[-1] - 1) < 0.2)
    scale = ts.fit_time_scale(model, 0.01, updates, 5 * strengths[:, 0])
    predicted = ts.skill_curves(model, 0.01, time=scale * updates)[:, 1] / 5
    assert 0.5 < updates[np.argmax(predicted > 0.5)] / second < 2


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ts.SparseParity(skills=0), "model.skills = 0"),
        (lambda: ts.SparseParity(exponent=0.0), "model.exponent = 0"),
        (lambda: ts.SparseParity(target=-1.0), "model.target = -1"),
        (lambda: ts.SparseParity(batch_size=1.5), "model.batch_size = 1.5"),
        (lambda: ts.skill_curves(MODEL, 2.0), "initial = 2 is not below the target 1.5"),
        (lambda: ts.skill_curves(MODEL, 0.1, time=1.0, samples=3), "time and samples are both"),
        (lambda: ts.excess_loss(MODEL, 0.1, time=-1.0), "time = -1.0 is not allowed"),
        (lambda: ts.scaling_laws(ts.SparseParity(exponent=[1.0, 2.0]), 0.1), "sequences"),
        (lambda: ts.compute_frontier(MODEL, 0.1, [0.0, 1.0]), "compute has the entry 0"),
        (lambda: ts.fit_time_scale(MODEL, 0.1, [0.0, 1.0], [0.1, 0.2]), "no emergence to fit"),
        (lambda: ts.train_parity_network(MODEL, [0.5]), "updates has the entry 0.5"),
        (lambda: ts.train_parity_network(MODEL, [1], bits=2), "order = 3 is too large"),
        (lambda: ts.integrate(MODEL, ts.State(first=np.ones(5)), [1.0]), "start.second is missing"),
    ],
)
def test_what_cannot_be_asked_is_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
