"""`compare` on answers whose statistics are known because they are made up."""

import json

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import dataset, description
from tests.problems import committee, random_overlaps

PROBLEM, START = committee(), random_overlaps(3, 2)
TIMES = np.linspace(0, 10, 21)


@pytest.fixture(scope="module")
def theory():
    return ts.integrate(PROBLEM, START, TIMES)


def made_up(theory, N=1000, seeds=12, scatter=1.0, bias=0.0, times=None, rng=0):
    """Simulations that scatter by scatter / sqrt N around the theory, longer by bias / N, with
    overlaps that weights can have.
    """
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
        "simulation",
        PROBLEM,
        START,
        coordinates={"seed": np.arange(seeds), "time": kept.time.values},
        variables=variables,
        leading=("seed",),
        report={"N": N, "dtype": "float64"},
    )


def test_deviation_error_and_z_are_what_they_say(theory):
    simulation = made_up(theory)
    report = ts.compare(theory, simulation)
    np.testing.assert_allclose(report.Q_deviation, theory.Q - simulation.Q.mean("seed"))
    np.testing.assert_allclose(
        report.Q_standard_error, simulation.Q.std("seed", ddof=1) / np.sqrt(12)
    )
    np.testing.assert_allclose(report.Q_z, report.Q_deviation / report.Q_standard_error)
    assert report.Q_deviation.dims == ("time", "student", "student_")
    assert "v_deviation" not in report  # frozen


def test_verdicts(theory):
    def verdict(**options):
        return ts.compare(theory, made_up(theory, **options)).attrs["verdict"]

    assert verdict().startswith(
        "AGREE at N = 1000 within the statistical error of 12 seeds: largest z = "
    )
    biased = verdict(scatter=0.01, bias=0.2)
    assert biased.startswith("AGREE") and "plus a finite-size bias of" in biased
    assert verdict(scatter=0.01, bias=200.0).startswith("DISAGREE")
    assert verdict(seeds=1).startswith("UNDECIDED at N = 1000: one seed has no standard error")
    assert verdict(seeds=3).startswith(
        "UNDECIDED at N = 1000: with 3 seeds chance alone reaches z = "
    )


def test_a_true_theory_is_rarely_called_wrong(theory):
    verdicts = [ts.compare(theory, made_up(theory, rng=s)).attrs["verdict"] for s in range(30)]
    assert sum("statistical error of 12 seeds:" in verdict for verdict in verdicts) >= 29


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
    with pytest.raises(
        ValueError, match="the theory is a sweep over learning_rate; select one curve"
    ):
        ts.compare(swept, made_up(theory))
    assert (
        description(ts.compare(swept.sel(learning_rate=0.3), made_up(theory)))["differences"] == []
    )
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
        simulation.assign(
            test_error=(simulation.eps_g + gap + noise).assign_attrs(simulation.eps_g.attrs)
        )
        for gap in (0.0, 0.1)
    )
    report = ts.compare(theory, agrees)
    assert report.attrs["verdict"].startswith("AGREE")
    np.testing.assert_allclose(report.test_error_deviation, -noise.mean(), atol=1e-12)
    np.testing.assert_allclose(
        report.test_error_standard_error, noise.std(ddof=1) / np.sqrt(12), rtol=1e-6
    )
    verdict = ts.compare(theory, differs).attrs["verdict"]
    assert (
        verdict.startswith("DISAGREE")
        and "GAUSSIAN EQUIVALENCE FAILS: the test error differs" in verdict
    )
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


def changed(data, variable, index, value):
    values = data[variable].values.copy()
    values[index] = value
    return data.assign({variable: (data[variable].dims, values, data[variable].attrs)})


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 1e10])
@pytest.mark.parametrize("variable", ["Q", "R", "eps_g"])
def test_a_number_that_is_none_is_named_with_seed_and_time(theory, variable, value):
    simulation = made_up(theory)
    index = (5, 8, 0, 0)[: simulation[variable].ndim]
    verdict = ts.compare(theory, changed(simulation, variable, index, value)).attrs["verdict"]
    assert verdict.startswith("INVALID at N = 1000: the simulation has ")
    if np.isnan(value):
        assert f"{variable} = nan for seed 5 at t = 4;" in verdict
    wrong = ts.compare(changed(theory, variable, index[1:], value), simulation).attrs["verdict"]
    assert wrong.startswith(("INVALID", "DISAGREE"))


def test_a_standard_error_beyond_its_mean_is_named_with_seed_and_time(theory):
    simulation = made_up(theory)
    about = simulation.eps_g.attrs
    simulation = simulation.assign(
        test_error=simulation.eps_g.assign_attrs(about),
        test_error_se=(0.1 * simulation.eps_g).assign_attrs(about),
    )
    assert not ts.compare(theory, simulation).attrs["verdict"].startswith("INVALID")
    wrong = changed(simulation, "test_error_se", (5, 8), 2 * float(simulation.eps_g[5, 8]))
    verdict = ts.compare(theory, wrong).attrs["verdict"]
    assert "for seed 5 at t = 4, which is more than its test_error" in verdict


def test_seeds_that_are_not_independent_are_named(theory):
    simulation = made_up(theory)

    def verdict(index, seeds=None):
        other = simulation.isel(seed=index)
        return ts.compare(
            theory, other if seeds is None else other.assign_coords(seed=seeds)
        ).attrs["verdict"]

    assert "INVALID at N = 1000: the simulation has seed 3 more than once" in verdict(
        [*range(12), 3]
    )
    assert "the same Q in seeds 3 and 12, which are no independent networks" in verdict(
        [*range(12), 3], np.arange(13)
    )
    assert "the same Q in seeds 0 and 1" in verdict([4] * 8, np.arange(8))
    assert verdict([]).startswith("INVALID at N = 1000: the simulation has no seeds")


def test_only_the_start_decides_nothing(theory):
    verdict = ts.compare(theory, made_up(theory, times=[0.0])).attrs["verdict"]
    assert verdict.startswith("UNDECIDED at N = 1000: only t = 0 was compared")


def test_overlaps_of_no_weights_are_named(theory):
    simulation = made_up(theory)
    larger = lambda data: data.assign(R=(3 * data.R).assign_attrs(data.R.attrs))
    assert (
        "INVALID at N = 1000: the simulation has overlaps of no weights: "
        in (ts.compare(theory, larger(simulation)).attrs["verdict"])
    )
    assert (
        ts.compare(larger(theory), simulation)
        .attrs["verdict"]
        .startswith("DISAGREE at N = 1000: the theory has overlaps")
    )
    skew = changed(simulation, "Q", (2, 3, 0, 1), 0.9)
    assert "is not symmetric for seed 2 at t = 1.5" in ts.compare(theory, skew).attrs["verdict"]
    negative = changed(simulation, "eps_g", (2, 3), -0.1)
    assert (
        "eps_g = -0.1 for seed 2 at t = 1.5, which nothing can have"
        in ts.compare(theory, negative).attrs["verdict"]
    )


def test_what_is_rounding_is_not_compared(theory):
    simulation = made_up(theory)
    told = description(theory)
    told["report"]["eps_g_floor"] = float(theory.eps_g.sel(time=7.0)) * 1.05
    marked = theory.assign_attrs(teacherstudent=json.dumps(told))
    verdict = ts.compare(marked, simulation).attrs["verdict"]
    assert "eps_g is below its floor of rounding after t = " in verdict


def test_other_data_are_refused_with_one_sentence(theory):
    simulation = made_up(theory)
    for wrong, message in (
        ((simulation, theory), "theory and simulation are swapped"),
        ((theory, simulation.drop_vars("Q")), "simulation has no Q"),
        ((theory.drop_attrs(), simulation), "theory does not say what it is"),
        ((theory.rename(student="k"), simulation), "the theory is a sweep over k"),
        ((theory, simulation.assign(Q=simulation.Q.astype(str))), "simulation.Q has the type <U"),
    ):
        with pytest.raises(ValueError, match=message):
            ts.compare(*wrong)


@pytest.fixture(scope="module")
def networks():
    return ts.simulate(PROBLEM, START, TIMES, N=1000, seeds=16, method="reduced")


def other_theory(true, rate=1.0, times=TIMES):
    """A theory at another learning rate, which claims to be the true one."""
    return (
        ts.integrate(committee(learning_rate=0.3 * rate), START, times)
        .assign_coords(time=TIMES)
        .assign_attrs(true.attrs)
    )


def test_what_the_verdict_says_would_have_been_seen_is_seen(theory, networks):
    faster = ts.integrate(committee(learning_rate=0.306), START, TIMES)
    report = ts.compare(theory, networks, faster=faster)
    assert report.attrs["verdict"].startswith("AGREE at N = 1000")
    assert (
        "would have seen an error of " in report.attrs["verdict"]
        and " % in the learning rate." in report.attrs["verdict"]
    )
    seen = description(report)["directions"][0][0]["seen"]
    assert 0.01 < seen < 0.1
    for rate in (1 + 1.5 * seen, 1 - 1.5 * seen):
        assert (
            ts.compare(other_theory(theory, rate), networks).attrs["verdict"].startswith("DISAGREE")
        )
    for rate in (1 + 0.1 * seen, 1 - 0.1 * seen):
        assert ts.compare(other_theory(theory, rate), networks).attrs["verdict"].startswith("AGREE")


def test_a_missing_second_order_and_a_swapped_teacher_are_found(theory, networks):
    flow = other_theory(theory, 1e-3, 1000 * TIMES)
    assert ts.compare(flow, networks).attrs["verdict"].startswith("DISAGREE")
    swapped = theory.assign(R=theory.R.isel(teacher=[1, 0]))
    assert ts.compare(swapped, networks).attrs["verdict"].startswith("DISAGREE")


def test_another_theory_is_not_a_faster_one(theory):
    with pytest.raises(
        ValueError, match="faster is not this theory at learning rates that are all larger"
    ):
        ts.compare(theory, made_up(theory), faster=theory)


def test_a_bias_that_falls_with_the_size_is_measured(theory):
    sims = [made_up(theory, N=N, scatter=0.02, bias=5.0, rng=N) for N in (250, 1000, 4000)]
    assert ts.compare(theory, sims[-1]).attrs["verdict"].startswith("DISAGREE")
    assert "which falls as 1/N as the sizes show" in ts.compare(theory, sims).attrs["verdict"]
    stays = [made_up(theory, N=N, scatter=0.02, bias=5e-3 * N, rng=N) for N in (250, 1000, 4000)]
    assert ts.compare(theory, stays).attrs["verdict"].startswith("DISAGREE")
