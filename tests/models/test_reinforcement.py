"""The reinforcement-learning perceptron: theory, networks, limits and fixed points."""

import json
from pathlib import Path

import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long

CASES = json.loads((Path(__file__).parent / "reinforcement_perceptron.json").read_text())


def reward_of(case):
    given = case["reward"]
    if given["kind"] == "subtask":
        return ts.SubtaskBonus(given["T0"], given["eta1"], given["eta2"])
    if given["kind"] == "dense_return_to_go":
        return ts.ReturnToGo(given["r"], given["eta1"])
    return ts.Graded(given["G"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_theory_meets_the_reference(case):
    model = ts.ReinforcementPerceptron(case["T"], reward_of(case))
    start = ts.State(Q=[[case["Q0"]]], R=[[case["R0"]]])
    theory = ts.integrate(model, start, case["t"], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(theory.Q[:, 0, 0], case["Q"], rtol=1e-7)
    np.testing.assert_allclose(theory.R[:, 0, 0], case["R"], rtol=1e-7)
    np.testing.assert_allclose(theory.rho, case["rho"], rtol=1e-7)
    np.testing.assert_allclose(theory.right, case["P"], rtol=1e-7)
    np.testing.assert_allclose(theory.episode, case["accuracy_of_episode"], rtol=1e-7)


def velocity(model, Q, R):
    """dQ/dt and dR/dt of a theory at one state, by short differences."""
    step = 1e-5
    theory = ts.integrate(model, ts.State(Q=[[Q]], R=[[R]]), [0.0, step], curve=False, rtol=1e-12)
    slopes = [(theory[name].values[1] - theory[name].values[0]) / step for name in ("Q", "R")]
    return np.array(slopes).ravel()


EPISODES = 400_000
REWARDS = {
    "all correct with a penalty": ts.AllCorrect(1.3, 0.2),
    "at least two": ts.AtLeast(2, 0.7, 0.1),
    "graded": ts.Graded([0.1, -0.3, 0.5, 0.9]),
    "subtask": ts.SubtaskBonus(2, 1.3, 0.4),
    "return to go": ts.ReturnToGo(0.3, 0.8),
}


@pytest.mark.parametrize("reward", REWARDS.values(), ids=REWARDS)
def test_the_velocity_is_the_average_of_one_update(reward):
    """By samples of the fields: E[G y nu], E[G y u] and E[G^2], with the credits of networks."""
    Q, R, T = 0.7, 0.3, 3
    random = np.random.default_rng(0)
    u = np.sqrt(Q) * random.standard_normal((EPISODES, T))
    nu = R / Q * u + np.sqrt(1 - R**2 / Q) * random.standard_normal((EPISODES, T))
    y = np.sign(u)
    credits = np.stack([np.asarray(reward.credits(row)) for row in patterns(T)])
    codes = ((y * nu > 0) * 2 ** np.arange(T)).sum(axis=1)
    G = credits[codes]
    samples = {
        "R": (G * y * nu).mean(axis=1),
        "Q": 2 * (G * y * u).mean(axis=1) + (G**2).sum(axis=1) / T**2,
    }
    found = dict(zip("QR", velocity(ts.ReinforcementPerceptron(T, reward), Q, R), strict=True))
    for name, values in samples.items():
        error = values.std() / np.sqrt(EPISODES)
        assert abs(values.mean() - found[name]) < 5 * error + 1e-4, name


def patterns(T):
    """All patterns of right actions, by their binary numbers."""
    return np.array([[code >> step & 1 for step in range(T)] for code in range(2**T)], float)


def test_one_action_is_hebbian_learning_of_the_teachers_sign():
    Q, R, eta = 0.7, 0.3, 0.4
    model = ts.ReinforcementPerceptron(1, ts.Graded([-eta, eta]))
    rho = R / np.sqrt(Q)
    expected = [2 * eta * rho * np.sqrt(2 * Q / np.pi) + eta**2, eta * np.sqrt(2 / np.pi)]
    np.testing.assert_allclose(velocity(model, Q, R), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ts.SubtaskBonus(4, 1.0, 0.5), ts.AllCorrect(1.5)),
        (ts.ReturnToGo(0.0, 1.2), ts.AllCorrect(1.2)),
        (ts.AtLeast(4, 1.2, 0.1), ts.AllCorrect(1.2, 0.1)),
        (ts.Graded([-0.1, -0.1, -0.1, -0.1, 1.2]), ts.AllCorrect(1.2, 0.1)),
    ],
    ids=["bonus on all steps", "no dense reward", "all needed", "graded"],
)
def test_rewards_that_are_the_same(one, other):
    start, times = ts.State(Q=[[0.8]], R=[[0.2]]), [0.0, 3.0, 9.0]
    first, second = (
        ts.integrate(ts.ReinforcementPerceptron(4, reward), start, times) for reward in (one, other)
    )
    np.testing.assert_allclose(first.Q, second.Q, rtol=1e-7)
    np.testing.assert_allclose(first.R, second.R, rtol=1e-7)


def test_a_return_that_tells_nothing_unlearns():
    theory = ts.integrate(
        ts.ReinforcementPerceptron(3, ts.Graded(np.full(4, 0.5))),
        ts.State(Q=[[0.8]], R=[[0.4]]),
        [0.0, 1.0, 5.0],
    )
    assert (np.diff(theory.rho) < 0).all()


def test_a_learning_rate_scales_weights_and_nothing_else():
    times = [0.0, 2.0, 8.0]
    model = ts.ReinforcementPerceptron(3, ts.AllCorrect(1.0, 0.05))
    faster = ts.ReinforcementPerceptron(3, ts.AllCorrect(1.0, 0.05), learning_rate=3.0)
    first = ts.integrate(model, ts.State(Q=[[1.0]], R=[[0.2]]), times)
    second = ts.integrate(faster, ts.State(Q=[[9.0]], R=[[0.6]]), times)
    np.testing.assert_allclose(first.rho, second.rho, rtol=1e-7)
    swept = ts.integrate(
        ts.ReinforcementPerceptron(3, ts.AllCorrect(1.0, 0.05), learning_rate=[1.0, 3.0]),
        ts.State(Q=[[1.0]], R=[[0.2]]),
        times,
    )
    np.testing.assert_allclose(swept.R.sel(learning_rate=1.0), first.R, rtol=1e-12)


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["reduced"]))
def test_networks_follow_the_theory(method):
    model = ts.ReinforcementPerceptron(3, ts.ReturnToGo(0.1, 1.0))
    start, times = ts.State(Q=[[0.8]], R=[[0.2]]), [0.0, 2.0, 6.0]
    theory = ts.integrate(model, start, times)
    networks = ts.simulate(model, start, times, N=300, seeds=24, method=method, progress=False)
    report = ts.compare(theory, networks)
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]


def test_fixed_points_are_where_the_theory_stays():
    model = ts.ReinforcementPerceptron(8, ts.AllCorrect(1.0, 0.1))
    points = ts.policy_fixed_points(model)
    assert [point.stable for point in points].count(True) >= 1
    for point in points:
        moves = velocity(model, point.Q, point.rho * np.sqrt(point.Q))
        np.testing.assert_allclose(moves, 0.0, atol=1e-4)
    assert ts.policy_fixed_points(ts.ReinforcementPerceptron(4)) == []


def test_the_best_rate_beats_others_at_every_time():
    """d rho/dt at the best rate and at rates beside it, from the theory itself."""
    model, times = ts.ReinforcementPerceptron(3), np.linspace(0.0, 10.0, 6)
    best = ts.best_policy_schedule(model, ts.State(Q=[[1.0]], R=[[0.3]]), times)

    def growth(rate, rho, Q):
        moved = velocity(ts.ReinforcementPerceptron(3, learning_rate=rate), Q, rho * np.sqrt(Q))
        return moved[1] / np.sqrt(Q) - rho * moved[0] / (2 * Q)

    for rate, rho, Q in zip(best.learning_rate, best.rho, best.Q, strict=True):
        assert growth(rate, rho, Q) > max(growth(0.9 * rate, rho, Q), growth(1.1 * rate, rho, Q))
    dense = np.linspace(0.0, 10.0, 101)
    best = ts.best_policy_schedule(model, ts.State(Q=[[1.0]], R=[[0.3]]), dense)
    schedule = ts.interpolated(best.time, best.learning_rate)
    theory = ts.integrate(
        ts.ReinforcementPerceptron(3, learning_rate=schedule),
        ts.State(Q=[[1.0]], R=[[0.3]]),
        [0.0, 10.0],
    )
    assert abs(float(theory.rho[-1]) - best.rho[-1]) < 1e-3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ts.ReinforcementPerceptron(0), "model.episode_length = 0"),
        (lambda: ts.ReinforcementPerceptron(3, "all"), "model.reward = 'all' is no reward"),
        (lambda: ts.ReinforcementPerceptron(3, ts.Graded([1.0, 2.0])), "has 4 returns"),
        (lambda: ts.ReinforcementPerceptron(2, ts.AtLeast(3)), "reward.needed = 3"),
        (lambda: ts.ReinforcementPerceptron(2, ts.SubtaskBonus(3)), "reward.steps = 3"),
        (lambda: ts.ReinforcementPerceptron(2, learning_rate=-1.0), "model.learning_rate = -1"),
    ],
)
def test_bad_input(make, says):
    with pytest.raises(ValueError, match=says.replace("[", r"\[")):
        make()
