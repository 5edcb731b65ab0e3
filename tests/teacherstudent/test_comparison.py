"""`compare` on answers whose statistics are known because they are made up."""

import json

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results import dataset, description
from tests.problems import committee, random_overlaps

PROBLEM, START = committee(), random_overlaps(3, 2)
TIMES = np.linspace(0, 10, 21)


@pytest.fixture(scope="module")
def theory():
    return ts.integrate(PROBLEM, START, TIMES)


def made_up(theory, N=1000, seeds=12, scatter=1.0, bias=0.0, times=None, rng=0):
    """Simulations that scatter by scatter / sqrt N around the theory, longer by bias / N, with overlaps that weights can have."""
    rng = np.random.default_rng(rng)
    kept = theory if times is None else theory.sel(time=times)
    variance = scatter**2 / N
    lengths = rng.normal(
        -variance, np.sqrt(variance), (seeds, *kept.v.shape)
    )  # so that the mean of Q_kk is that of the theory
    factor = np.exp(lengths) * (1 + bias / N)
    variables = {
        "T": START.T,
        "Q": kept.Q.values * factor[..., :, None] * factor[..., None, :],
        "R": kept.R.values * factor[..., None],
        "v": kept.v.values * np.ones((seeds, 1, 1)),
        "eps_g": kept.eps_g.values
        * (1 + bias / N)
        * (1 + np.sqrt(variance) * rng.standard_normal((seeds, kept.sizes["time"]))),
    }
    return dataset(
        "simulation", PROBLEM, START, coordinates={"seed": np.arange(seeds), "time": kept.time.values},
        variables=variables, leading=("seed",), report={"N": N, "dtype": "float64"},
    )  # fmt: skip


def test_deviation_error_and_z_are_what_they_say(theory):
    simulation = made_up(theory)
    report = ts.compare(theory, simulation)
    np.testing.assert_allclose(report.Q_deviation, theory.Q - simulation.Q.mean("seed"))
    np.testing.assert_allclose(report.Q_standard_error, simulation.Q.std("seed", ddof=1) / np.sqrt(12))
    np.testing.assert_allclose(report.Q_z, report.Q_deviation / report.Q_standard_error)
    assert report.Q_deviation.dims == ("time", "student", "student_")
    assert "v_deviation" not in report  # frozen


def test_verdicts(theory):
    def verdict(**options):
        return ts.compare(theory, made_up(theory, **options)).attrs["verdict"]

    assert verdict().startswith("AGREE at N = 1000 within the statistical error of 12 seeds: largest z = ")
    biased = verdict(scatter=0.01, bias=0.2)
    assert biased.startswith("AGREE") and "plus a finite-size bias of" in biased
    assert verdict(scatter=0.01, bias=200.0).startswith("DISAGREE")
    assert verdict(seeds=1).startswith("UNDECIDED at N = 1000: one seed has no standard error")
    assert verdict(seeds=3).startswith("UNDECIDED at N = 1000: with 3 seeds chance alone reaches z = ")


def test_a_true_theory_is_rarely_called_wrong(theory):
    verdicts = [ts.compare(theory, made_up(theory, rng=s)).attrs["verdict"] for s in range(60)]
    assert sum("statistical error of 12 seeds:" in verdict for verdict in verdicts) >= 58


def test_exponent_of_the_decay(theory):
    sims = [made_up(theory, N=N, rng=N) for N in (4000, 250, 1000)]
    report = ts.compare(theory, sims)
    np.testing.assert_array_equal(report.N, [250, 1000, 4000])
    for exponent, error in description(report)["exponents"].values():
        assert abs(exponent + 0.5) < 4 * error < 0.2
    assert "falls as N to the power" in report.attrs["verdict"]


def test_times_are_matched_openly(theory):
    half = made_up(theory, times=TIMES[::2])
    report = ts.compare(theory, half)
    np.testing.assert_array_equal(report.time, TIMES[::2])
    assert "Only 11 of the theory's 21 times were simulated" in report.attrs["verdict"]
    shifted = half.assign_coords(time=half.time + 0.4 / 1000)  # less than half an update
    np.testing.assert_array_equal(ts.compare(theory, shifted).time, TIMES[::2])
    with pytest.raises(ValueError, match="no time in common"):
        ts.compare(theory, half.assign_coords(time=half.time + 0.1))


def test_one_curve_of_a_sweep_can_be_compared(theory):
    swept = ts.integrate(committee(learning_rate=[0.1, 0.3]), START, TIMES)
    with pytest.raises(ValueError, match="the theory is a sweep over learning_rate; select one curve"):
        ts.compare(swept, made_up(theory))
    assert description(ts.compare(swept.sel(learning_rate=0.3), made_up(theory)))["differences"] == []
    other = ts.compare(swept.sel(learning_rate=0.1), made_up(theory)).attrs["verdict"]
    assert not other.startswith("AGREE at")
    assert "NOTE: theory and simulation differ in problem.rule.learning_rate" in other


def test_other_widths_are_refused(theory):
    other = ts.integrate(committee(4, 2), random_overlaps(4, 2), TIMES)
    with pytest.raises(ValueError, match="the theory has 4 student units but the simulation 3"):
        ts.compare(other, made_up(theory))


def test_a_test_error_that_is_not_the_gaussian_prediction_is_noticed(theory):
    simulation = made_up(theory)
    rng = np.random.default_rng(1)
    noise = 0.01 * rng.standard_normal((12, 1))
    agrees, differs = (
        simulation.assign(test_error=(simulation.eps_g + gap + noise).assign_attrs(simulation.eps_g.attrs))
        for gap in (0.0, 0.1)
    )
    report = ts.compare(theory, agrees)
    assert report.attrs["verdict"].startswith("AGREE")
    np.testing.assert_allclose(report.test_error_deviation, -noise.mean(), atol=1e-12)
    np.testing.assert_allclose(report.test_error_standard_error, noise.std(ddof=1) / np.sqrt(12), rtol=1e-6)
    verdict = ts.compare(theory, differs).attrs["verdict"]
    assert verdict.startswith("DISAGREE") and "GAUSSIAN EQUIVALENCE FAILS: the test error differs" in verdict
    assert "by 0.1 +- 0.00" in verdict


def test_rounding_is_no_difference_between_problems(theory):
    moved = ts.OrderParameters(START.Q * (1 + 1e-14), START.R, START.T)
    simulation = made_up(theory)
    simulation.attrs = dict(simulation.attrs)
    told = description(simulation) | {
        "start": {name: np.asarray(getattr(moved, name)).tolist() for name in ("Q", "R", "T", "v")}
    }
    simulation.attrs["teacherstudent"] = json.dumps(told)
    assert description(ts.compare(theory, simulation))["differences"] == []
