"""Optimal learning rates against a closed form, brute force, and perturbations."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

import teacherstudent as ts
from tests.problems import random_overlaps

NOISE, STOP = 0.5, 10.0


def linear_unit(rate=0.3, noise=NOISE) -> ts.Problem:
    task, student = ts.TeacherStudent(1, "linear", noise=noise), ts.Student(1, "linear")
    return ts.Problem(task, student, ts.SGD(rate))


def begin() -> ts.OrderParameters:
    return ts.OrderParameters([[0.0]], [[0.0]])


def exact_optimum(times):
    """eps_g and eta of a linear unit under the optimal rate, eps_g(0) = 1/2.

        d eps / dt = -2 eta eps + eta^2 (eps + sigma^2 / 2)

    The right-hand side depends on eps alone, so that the smallest slope at each time is the best:
    eta = eps / (eps + sigma^2 / 2), d eps / dt = -eps^2 / (eps + sigma^2 / 2).
    """
    half = NOISE**2 / 2
    solution = solve_ivp(
        lambda t, eps: -(eps**2) / (eps + half),
        (0, times[-1]),
        [0.5],
        t_eval=times,
        rtol=1e-11,
        atol=1e-13,
    )
    eps = solution.y[0]
    return eps, eps / (eps + half)


@pytest.fixture(scope="module")
def best():
    return ts.optimal_schedule(linear_unit(), begin(), STOP, nodes=15)


def test_a_linear_unit_against_its_closed_form(best):
    eps, eta = exact_optimum(best.time.values)
    # Straight lines between 15 nodes are no better than the optimum, and hardly worse.
    assert 0 <= float(best.eps_g[-1]) / eps[-1] - 1 < 1e-5
    np.testing.assert_allclose(best.rate, eta, rtol=0.02)
    np.testing.assert_allclose(best.eps_g, eps, rtol=0.005)


def constant_error(eta):
    """eps_g(STOP) under a constant rate, in closed form."""
    slope, drive = -2 * eta + eta**2, eta**2 * NOISE**2 / 2
    return 0.5 * np.exp(slope * STOP) + drive * np.expm1(slope * STOP) / slope


@pytest.mark.long
def test_the_best_constant_and_the_best_decay(best):
    exact = minimize_scalar(constant_error, bounds=(0.01, 1.0), options={"xatol": 1e-9})
    assert best.best_constant == pytest.approx(exact.x, rel=1e-3)
    assert float(best.eps_g_constant[-1]) == pytest.approx(exact.fun, rel=1e-6)
    gain = float(best.eps_g_constant[-1] / best.eps_g[-1])
    assert best.gain_over_constant == pytest.approx(gain, rel=1e-6)
    assert gain > 1.3
    rates = ts.power(*best.best_decay[:1], 1.0, best.best_decay[1])
    np.testing.assert_allclose(best.rate_decay, [float(rates(t)) for t in best.time], rtol=1e-6)
    for factors in ((1.1, 1.0), (0.9, 1.0), (1.0, 1.1), (1.0, 0.9)):
        eta, scale = np.array(best.best_decay) * factors
        other = ts.integrate(linear_unit(ts.power(eta, 1.0, scale)), begin(), [0.0, STOP])
        assert float(other.eps_g[-1]) > float(best.eps_g_decay[-1])


def test_nothing_near_is_better(best):
    schedule = ts.problem_of(best).rule.learning_rate
    random = np.random.default_rng(3)
    for _ in range(8):
        values = np.array(schedule.values) * np.exp(0.05 * random.normal(size=15))
        moved = linear_unit(ts.interpolated(schedule.times, values))
        other = ts.integrate(moved, begin(), [0.0, STOP], rtol=1e-8, atol=1e-11)
        assert float(other.eps_g[-1]) > float(best.eps_g[-1])


def test_the_answer_is_the_theory_of_its_problem(best, tmp_path):
    problem = ts.problem_of(best)
    again = ts.integrate(problem, begin(), [0.0, STOP], rtol=1e-8, atol=1e-11)
    assert float(again.eps_g[-1]) == pytest.approx(float(best.eps_g[-1]), rel=1e-7)
    ts.save(tmp_path / "best.h5", theory=best)
    read = ts.load(tmp_path / "best.h5")["theory"].to_dataset()
    assert repr(ts.problem_of(read)) == repr(problem)
    np.testing.assert_array_equal(read.rate, best.rate)
    assert read.attrs["summary"] == best.attrs["summary"]
    assert "times smaller than with the best constant rate" in best.summary


@pytest.mark.long
def test_constant_and_piecewise_forms(best):
    flat = ts.optimal_schedule(linear_unit(), begin(), STOP, form="constant")
    assert ts.problem_of(flat).rule.learning_rate == pytest.approx(best.best_constant, rel=1e-9)
    assert flat.gain_over_constant == 1.0
    pieces = ts.optimal_schedule(linear_unit(), begin(), STOP, form="piecewise", nodes=4)
    assert len(ts.problem_of(pieces).rule.learning_rate.values) == 4
    assert float(best.eps_g[-1]) < float(pieces.eps_g[-1]) < float(pieces.eps_g_constant[-1])


@pytest.mark.long
def test_bounds_bind_where_they_must():
    found = ts.optimal_schedule(linear_unit(), begin(), STOP, nodes=5, bounds=(0.2, 0.4))
    assert found.at_bounds >= 2
    assert (
        0.2 * (1 - 1e-9) <= float(found.rate.min()) <= float(found.rate.max()) <= 0.4 * (1 + 1e-9)
    )


@pytest.mark.long
def test_other_quantities_are_minimised():
    options = {"nodes": 5, "rtol": 1e-7}
    final = ts.optimal_schedule(linear_unit(), begin(), STOP, **options)
    whole = ts.optimal_schedule(linear_unit(), begin(), STOP, minimise="integral", **options)
    assert float(whole.eps_g.integrate("time")) < float(final.eps_g.integrate("time"))
    assert float(whole.eps_g[-1]) > float(final.eps_g[-1])
    missing = ts.Observable("missing", (), "$1-R$", of=lambda o: 1 - o.R[0, 0])
    aligned = ts.optimal_schedule(linear_unit(), begin(), STOP, minimise=missing, **options)
    # 1 - R = exp(-integral of eta) is smallest at the largest rates.
    assert float(aligned.rate.mean()) > 2 * float(final.rate.mean())


@pytest.mark.long
@pytest.mark.slow
def test_a_committee_on_its_plateau_and_behind_it():
    """Saad & Rattray (1997): nearly constant on the plateau, then, with noise, a decay like 1/t."""
    task, student = ts.TeacherStudent(2, noise=0.1), ts.Student(2)
    start = ts.OrderParameters([[0.2, 0.0], [0.0, 0.3]], [[1e-3, 0.0], [0.0, 1e-3]])
    found = ts.optimal_schedule(ts.Problem(task, student, ts.SGD(1.0)), start, 200.0)
    plateau = found.rate.sel(time=slice(10.0, 80.0))
    assert float(plateau.max() / plateau.min()) < 1.1
    assert float(found.rate.sel(time=195.0, method="nearest")) < 0.05 * float(plateau.mean())
    assert found.gain_over_constant > 5 and found.gain_over_decay > 3


@pytest.mark.long
@pytest.mark.slow
def test_leaving_the_plateau_is_found_where_staying_is_a_minimum_too():
    """With more noise, a small rate that makes the best of the plateau is another local minimum:
    eps_g(200) = 0.0125 there, less than half of that behind the plateau.
    """
    task, student = ts.TeacherStudent(2, noise=0.3), ts.Student(2)
    start = ts.OrderParameters([[0.2, 0.0], [0.0, 0.3]], [[1e-3, 0.0], [0.0, 1e-3]])
    found = ts.optimal_schedule(ts.Problem(task, student, ts.SGD(1.0)), start, 200.0)
    assert float(found.eps_g[-1]) < 0.006
    assert found.gain_over_constant > 2.3


@pytest.mark.long
def test_a_solve_that_diverges_does_not_end_the_search():
    """Above eta = 2 the linear unit diverges; the bounds reach to 60."""
    found = ts.optimal_schedule(linear_unit(2.0), begin(), 40.0, nodes=4, bounds=(0.01, 60.0))
    assert float(found.rate.min()) > 0.01
    assert float(found.rate.max()) < 2.0
    with pytest.raises(ts.DivergenceError, match="at every constant learning_rate within bounds"):
        ts.optimal_schedule(linear_unit(), begin(), 40.0, nodes=4, bounds=(20.0, 60.0))


def committee(rule) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(2), ts.Student(3), rule)


@pytest.mark.parametrize(
    ("rule", "options", "sentence"),
    [
        (ts.GradientFlow(), {}, "is no learning rate of the rule GradientFlow; give a rule with"),
        (ts.SGD(ts.power(0.3)), {}, "rule.learning_rate = .* changes with time already"),
        (ts.SGD([0.1, 0.2]), {}, "takes one problem and one start"),
        (ts.SGD(0.0), {}, "rule.learning_rate = 0 says nothing of the size of good rates"),
        (ts.SGD(0.1), {"rate": "readout_learning_rate"}, "is not given and follows learning_rate"),
        (ts.SGD(0.1), {"rate": "gain"}, "rate = 'gain' is no learning rate of the rule SGD; its"),
        (ts.SGD(0.1), {"bounds": (0.2, 0.2)}, "leave no freedom"),
        (ts.SGD(0.1), {"bounds": 0.2}, "give two rates"),
        (ts.SGD(0.1), {"nodes": 0}, "nodes = 0"),
        (ts.SGD(0.1), {"form": "smooth"}, "form = 'smooth' is not known"),
        (ts.SGD(0.1), {"minimise": "loss"}, "minimise = 'loss' is not known"),
        (ts.SGD(0.1), {"stop": 0.0}, "stop"),
        (ts.Madam(0.1), {}, "theory"),
    ],
)
def test_bad_input_is_told_before_long_work(rule, options, sentence):
    given = {"stop": 1.0} | options
    with pytest.raises(ValueError, match=sentence):
        ts.optimal_schedule(committee(rule), random_overlaps(3, 2), **given)


def test_a_stop_before_the_start():
    theory = ts.integrate(linear_unit(), begin(), [0.0, 5.0])
    with pytest.raises(ValueError, match="stop = 4 is not after the time of the start, t = 5"):
        ts.optimal_schedule(linear_unit(), ts.last_state(theory), 4.0)


def test_errors_that_rounding_makes_are_said_to_mean_nothing():
    start = ts.OrderParameters([[0.2]], [[0.0]])
    with pytest.warns(UserWarning, match="below"):
        best = ts.optimal_schedule(
            linear_unit(0.5, noise=0.0), start, 60.0, form="constant", nodes=2, restarts=1
        )
    assert "cannot be told from zero" in best.attrs["summary"]


def test_the_decay_of_a_run_that_begins_late_is_bounded_at_its_begin():
    state = ts.last_state(ts.integrate(linear_unit(), begin(), [0.0, 20.0]))
    best = ts.optimal_schedule(linear_unit(), state, 40.0, form="constant", bounds=(0.01, 1.0))
    eta_0, t_0 = best.attrs["best_decay"]
    assert eta_0 > 1.0  # which is no rate of this run
    assert float(best.rate_decay[0]) == pytest.approx(eta_0 / (1 + 20 / t_0))
    assert float(best.rate_decay.max()) <= 1.0 + 1e-9
