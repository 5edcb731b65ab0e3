"""The band of fluctuations, against hand-made equations, single updates and many networks."""

import numpy as np
import pytest
import scipy.integrate

import teacherstudent as ts
from benchmarks.fluctuations import CASES, chains, overlaps, scatter, shifts
from odes.analysis.sample_points import product_rule, scattered
from odes.inputs.samples import RandomNumbers
from teacherstudent.results.datasets import description
from tests.long import mostly_long

ETA, SIGMA, TEACHER = 0.4, 0.3, 0.8


def line() -> tuple[ts.Problem, ts.OrderParameters]:
    """One linear unit that learns another."""
    task = ts.TeacherStudent(1, "linear", noise=SIGMA)
    problem = ts.Problem(task, ts.Student(1, "linear"), ts.SGD(ETA))
    return problem, ts.OrderParameters(Q=[[0.5]], R=[[0.1]], T=[[TEACHER]])


def rates_of_line(t, now):
    """The equations of one linear unit by Wick's theorem, with e = lambda - nu - sigma zeta:

    F_Q = -2 eta e lambda + eta^2 e^2,   F_R = -eta e nu
    """
    Q, R, S_QQ, S_QR, S_RR = now
    E = Q - 2 * R + TEACHER + SIGMA**2  # E e^2
    p, q = Q - R, R - TEACHER  # E e lambda, E e nu
    a, b, c = -2 * ETA + ETA**2, 2 * ETA - 2 * ETA**2, -ETA
    D_QQ = 4 * ETA**2 * (E * Q + p**2) - 8 * ETA**3 * E * p + 2 * ETA**4 * E**2
    D_QR = 2 * ETA**2 * (E * R + p * q) - 2 * ETA**3 * E * q
    D_RR = ETA**2 * (E * TEACHER + q**2)
    return [
        -2 * ETA * p + ETA**2 * E,
        -ETA * q,
        2 * a * S_QQ + 2 * b * S_QR + D_QQ,
        (a + c) * S_QR + b * S_RR + D_QR,
        2 * c * S_RR + D_RR,
    ]


def test_covariance_of_one_linear_unit_is_that_of_wick():
    times = np.array([0.5, 2.0, 7.0])
    band = ts.fluctuations(*line(), times)
    by_hand = scipy.integrate.solve_ivp(
        rates_of_line, (0, 7), [0.5, 0.1, 0, 0, 0], t_eval=times, rtol=1e-10, atol=1e-12
    ).y[2:]
    S = band.covariance.values
    assert band.entry.values.tolist() == ["Q[0,0]", "R[0,0]"]
    np.testing.assert_allclose([S[:, 0, 0], S[:, 0, 1], S[:, 1, 1]], by_hand, rtol=2e-5)
    np.testing.assert_allclose(band.R_std[:, 0, 0], np.sqrt(by_hand[2]), rtol=1e-5)
    gradient = np.array([0.5, -1.0])  # of eps_g = (Q - 2 R + T) / 2
    np.testing.assert_allclose(
        band.eps_g_std, np.sqrt(np.einsum("i,tij,j->t", gradient, S, gradient)), rtol=1e-9
    )


def test_bias_of_one_linear_unit_is_that_of_its_exact_mean():
    # E e^2 |x|^2 / N = (1 + 2/N) |w - w*|^2 / N + sigma^2, so that the means close at every N.
    N, Q, R = 20_000, 0.5, 0.1
    for _ in range(2 * N):
        square = (1 + 2 / N) * (Q - 2 * R + TEACHER) + SIGMA**2
        Q, R = (
            Q - 2 * ETA / N * (Q - R) + ETA**2 / N * square,
            R - ETA / N * (R - TEACHER),
        )
    band = ts.fluctuations(*line(), [2.0])
    assert float(band.Q_bias[0, 0, 0]) == pytest.approx(N * (Q - float(band.Q[0, 0, 0])), abs=1e-4)
    assert float(band.R_bias[0, 0, 0]) == pytest.approx(N * (R - float(band.R[0, 0, 0])), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_long(CASES, keep=["erf, K = 2, M = 3"]))
def test_one_update_scatters_as_the_equations_say(name):
    N, seeds = 10**7, 20_000
    problem, start = CASES[name]()
    if isinstance(problem.rule, ts.HeavyBall):  # whose gradient is spread over several updates
        pytest.skip("one update is not the unit of time here")
    once = np.array([1 / N])
    band = ts.fluctuations(problem, start, once, bias=False)
    networks = chains((problem, start), N, seeds, once)
    for one in scatter(band, networks, N):
        if one.quantity not in ("eps_g", "loss"):
            assert np.abs(one.z).max() < 5
    columns = []
    for quantity in band.entry.values:
        name, _, index = str(quantity).rstrip("]").partition("[")
        values = networks[name].isel(time=0).transpose("seed", ...).values
        columns.append(values[:, *map(int, index.split(","))])
    F = N * (np.stack(columns, axis=1) - np.stack(columns, axis=1).mean(axis=0))
    products = F[:, :, None] * F[:, None, :]
    error = products.std(axis=0) / np.sqrt(seeds)
    D = N * band.covariance.values[0]  # S = D t
    assert np.abs((products.mean(axis=0) - D) / (error + 1e-9)).max() < 5


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_long(CASES, keep=["erf, K = 2, M = 3"]))
def test_networks_scatter_as_the_band_says(name):
    N, seeds = 1000, 2000
    case = CASES[name]()
    times = np.array([1.0, 3.0])
    band = ts.fluctuations(*case, times, bias=False)
    for one in scatter(band, chains(case, N, seeds, times), N):
        assert np.all(
            np.abs(one.measured / one.predicted - 1) < 0.05 + 4 * one.error / one.measured
        )
        assert np.median(np.abs(one.measured / one.predicted - 1)) < 0.05


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("N", [100, 400])
@pytest.mark.parametrize(
    "name", ["erf, K = 2, M = 3", "linear", "ReLU", "batch of 4, decay", "xor, batch of 2"]
)
def test_networks_are_shifted_as_the_bias_says(name, N):
    case = CASES[name]()
    times = np.array([1.0, 3.0])
    band = ts.fluctuations(*case, times)
    for one in shifts(band, chains(case, N, 20_000, times), N):
        # What the next order adds is of order 1 / N of the bias.
        assert np.all(np.abs(one.measured - one.predicted) < 5 * one.error + 20 / N)


@pytest.mark.slow
@pytest.mark.long
def test_networks_correlate_between_times_as_the_band_says():
    N, seeds, times = 1000, 2000, np.array([1.0, 2.0, 4.0])
    case = CASES["erf, K = 2, M = 3"]()
    band = ts.fluctuations(*case, times, bias=False)
    C = ts.band_covariance(band, ["R", "v", "eps_g"])
    assert C.quantity.values.tolist() == [
        *[f"R[{k},{m}]" for k in range(2) for m in range(3)],
        "v[0]",
        "v[1]",
        "eps_g",
    ]
    networks = chains(case, N, seeds, times)
    parts = [networks[name].transpose("seed", "time", ...) for name in ("R", "v", "eps_g")]
    values = np.concatenate([part.values.reshape(seeds, 3, -1) for part in parts], axis=2)
    measured = N * np.cov(values.reshape(seeds, -1), rowvar=False)
    predicted = C.values.reshape(measured.shape)
    scale = np.sqrt(np.outer(np.diag(predicted), np.diag(predicted)))
    assert np.abs((measured - predicted) / scale).max() < 5 / np.sqrt(seeds) * 1.2


@pytest.mark.slow
def test_times_in_between_change_nothing():
    case = CASES["erf, K = 2, M = 3"]()
    often = ts.fluctuations(*case, [0.0, 1.0, 1.7, 3.0], bias=False)
    once = ts.fluctuations(*case, [3.0], bias=False)
    U = often.propagator.values
    np.testing.assert_allclose(often.covariance[-1], once.covariance[-1], rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(U[3] @ U[2] @ U[1], once.propagator[0], atol=1e-5)
    assert np.all(often.covariance[0] == 0)
    assert np.all(once.propagated_from == 0)


@pytest.mark.long
@pytest.mark.slow
def test_a_frozen_unit_does_not_fluctuate():
    problem, start = CASES["frozen unit, schedule"]()
    band = ts.fluctuations(problem, start, [2.0], bias=False)
    assert float(band.Q_std[0, 1, 1]) == 0.0
    assert float(band.v_std[0, 1]) == 0.0
    assert np.all(band.R_std[0, 1] == 0)
    assert np.all(band.R_std[0, [0, 2]] > 0.01)


def test_a_schedule_that_jumps_is_one_problem_after_the_other():
    task, student = ts.TeacherStudent(1, "linear", noise=SIGMA), ts.Student(1, "linear")
    rate = ts.piecewise([0.4, 0.1], [1.0])
    start = line()[1]
    both = ts.fluctuations(ts.Problem(task, student, ts.SGD(rate)), start, [1.0, 3.0])
    first = ts.fluctuations(ts.Problem(task, student, ts.SGD(0.4)), start, [1.0])
    middle = ts.OrderParameters(first.Q[0], first.R[0], start.T)
    then = ts.fluctuations(ts.Problem(task, student, ts.SGD(0.1)), middle, [2.0])
    U = then.propagator.values[0]
    expected = U @ first.covariance.values[0] @ U.T + then.covariance.values[0]
    np.testing.assert_allclose(both.covariance[0], first.covariance[0], rtol=1e-6)
    np.testing.assert_allclose(both.covariance[1], expected, rtol=1e-5)


def test_products_of_rules_and_scattered_points_average_alike():
    wanted = RandomNumbers(numbers=3, components=1, smooth=True)
    averages = []
    for points in (product_rule(wanted, 12), scattered(wanted, 2**14, 0)):
        z, weights = points.z[0], points.weights[0]
        averages.append(weights @ np.cos(z @ [0.5, -0.3, 0.8]) / weights.sum())
    exact = np.exp(-(0.25 + 0.09 + 0.64) / 2)
    assert averages[0] == pytest.approx(exact, abs=1e-9)
    assert averages[1] == pytest.approx(exact, abs=1e-3)


def test_observables_fluctuate_by_their_gradient():
    problem, start = line()
    twice = ts.Observable("twice", ("student", "teacher"), "2 R", of=lambda o: 2 * o.R)
    product = ts.Observable("product", (), "Q R", of=lambda o: o.Q[0, 0] * o.R[0, 0])
    band = ts.fluctuations(problem, start, [1.0], observables=[twice, product])
    np.testing.assert_allclose(band.twice_std, 2 * band.R_std.values, rtol=1e-12)
    gradient = np.array([float(band.R[0, 0, 0]), float(band.Q[0, 0, 0])])
    variance = gradient @ band.covariance.values[0] @ gradient
    assert float(band.product_std[0]) == pytest.approx(np.sqrt(variance), rel=1e-9)
    C = ts.band_covariance(band, ["product"])
    assert float(C[0, 0, 0, 0]) == pytest.approx(variance, rel=1e-9)


def test_a_band_is_a_theory(tmp_path):
    problem, start = line()
    band = ts.fluctuations(problem, start, [0.0, 1.0])
    theory = ts.integrate(problem, start, [0.0, 1.0])
    for name in theory.variables:
        np.testing.assert_array_equal(band[name], theory[name])
    ts.save(tmp_path / "band.h5", theory=band)
    read = ts.load(tmp_path / "band.h5")["theory"].to_dataset()
    assert read.entry.values.tolist() == band.entry.values.tolist()
    np.testing.assert_array_equal(ts.band_covariance(read), ts.band_covariance(band))
    networks = chains((problem, start), 200, 4, np.array([0.0, 1.0]))
    assert "verdict" in ts.compare(band, networks).attrs
    assert ts.validate(tmp_path / "band.h5").ok
    assert ts.problem_of(read) == problem
    facts = description(band)["report"]["fluctuations"]
    assert facts["relative_error"] < 1e-6


@pytest.mark.long
@pytest.mark.slow
def test_the_escape_from_a_plateau_ends_the_linear_theory():
    # S grows by the factor exp(2 lambda t), so that ten times the N holds log 10 / (2 lambda)
    # longer; 19.6 with the lambda of late times here.
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(1.0))
    R = 0.3 * np.ones((2, 2)) + 1e-12 * np.eye(2)
    start = ts.OrderParameters(0.4 * np.eye(2) + 0.1, R)
    band = ts.fluctuations(problem, start, np.linspace(0, 200, 101), bias=False)
    growth = np.log(float(band.R_std[-1, 0, 0] / band.R_std[-11, 0, 0])) / 20
    until = [ts.valid_until(band, 10**k) for k in (4, 6, 8)]
    assert np.diff(until) == pytest.approx(2 * np.log(10) / (2 * growth), abs=2.0)
    assert ts.valid_until(band, 10**15) == np.inf


class Copy(ts.SGD):
    """A rule of one's own, of which no single update is known."""


class TheoryOfCopy(ts.RuleTheory, rule=Copy):
    """That of SGD without diffusion."""

    def velocity(self, rule, problem, fixed, state, replica):
        mean = self.gradient(problem, fixed, state)
        return state._replace(q=-mean.q - mean.q.swapaxes(0, 1), r=-mean.r, v=-mean.v, b=-mean.b)


def test_what_has_no_band_says_why():
    problem, start = line()
    two = ts.OrderParameters(np.ones((2, 1, 1)), np.zeros((2, 1, 1)), np.ones((2, 1, 1)))
    with pytest.raises(ValueError, match="learning_rate is a sequence, but a band"):
        ts.fluctuations(_with_rule(ts.SGD([0.1, 0.2])), start, [1.0])
    with pytest.raises(ValueError, match="batch of 2 starts"):
        ts.fluctuations(problem, two, [1.0])
    with pytest.raises(ValueError, match="no band of fluctuations for GradientFlow"):
        ts.fluctuations(_with_rule(ts.GradientFlow()), start, [1.0])
    with pytest.raises(ValueError, match="one_update is not written"):
        ts.fluctuations(_with_rule(ts.SignSGD(0.1)), start, [1.0])
    with pytest.raises(ValueError, match="momentum fluctuates"):
        ts.fluctuations(_with_rule(ts.HeavyBall(0.1, gamma=1.0)), start, [1.0])
    with pytest.raises(ValueError, match="rule Copy"):
        ts.fluctuations(_with_rule(Copy(0.1)), start, [1.0])
    structured = ts.Problem(ts.HiddenManifold(1, latent_ratio=0.5), ts.Student(1), ts.SGD(0.1))
    with pytest.raises(ValueError, match="covariance between modes is not known"):
        ts.fluctuations(structured, start, [1.0])
    with pytest.raises(ValueError, match="points = 0"):
        ts.fluctuations(problem, start, [1.0], points=0)
    taken = ts.Observable("R_std", (), "x", of=lambda o: o.Q[0, 0])
    with pytest.raises(ValueError, match="a band has a R_std of its own"):
        ts.fluctuations(problem, start, [1.0], observables=[taken])


def _with_rule(rule) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), rule)


def test_what_is_no_band_is_refused():
    problem, start = line()
    theory = ts.integrate(problem, start, [0.0, 1.0])
    with pytest.raises(ValueError, match="band has no band of fluctuations"):
        ts.valid_until(theory, 100)
    with pytest.raises(ValueError, match="band has no band of fluctuations"):
        ts.band_covariance(theory)
    band = ts.fluctuations(problem, start, [0.0, 1.0, 2.0], bias=False)
    with pytest.raises(ValueError, match="its propagator to there begins at 1"):
        ts.band_covariance(band.isel(time=[0, 2]))
    with pytest.raises(ValueError, match="quantities has 'W'"):
        ts.band_covariance(band, ["W"])
    with pytest.raises(ValueError, match="give a list of names"):
        ts.band_covariance(band, "Q")
    assert "Q_bias" not in band
    assert overlaps(2, 3).R.shape == (2, 3)


def test_some_entries_of_a_band_are_no_band():
    band = ts.fluctuations(*line(), [0.0, 1.0, 2.0])
    some = band.sel(entry=["R[0,0]"], entry_=["R[0,0]"])
    with pytest.raises(ValueError, match="give the whole band"):
        ts.band_covariance(some, ["R"])
