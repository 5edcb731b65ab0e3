"""`compare` with the covariance that a band predicts: of made-up paths, and of networks."""

import json

import numpy as np
import pytest
import xarray as xr

import teacherstudent as ts
from teacherstudent.results.bands import at_some_times, whole_covariance
from teacherstudent.results.datasets import description
from teacherstudent.results.whole_path import (
    Path,
    place_of,
    test_of_rate,
    times_positive_inverse,
    whole_of,
)

# pytest collects what begins with test_.
rate_of = test_of_rate
del test_of_rate

NUMBERS, SEEDS = 20, 16
TIMES = np.array([0.0, 0.2, 0.5, 1.0, 1.5, 2.5, 4.0, 6.0])
START = ts.OrderParameters(Q=[[0.5, 0.1], [0.1, 0.4]], R=[[0.2], [0.1]])
N = 400


def made_up(rng, error=0.0, factor=1.0, shift=0.0, seeds=SEEDS, allowed=0.0) -> Path:
    """Gaussian paths around a theory with an error of the rate, of the scatter and of one number.

    The covariance is that of Brownian motion, so that neighbours are strongly correlated.
    """
    steps = np.arange(1, NUMBERS + 1) / NUMBERS
    covariance = 1e-3 * np.minimum(steps[:, None], steps)
    change = np.sin(2 * steps)
    root = np.linalg.cholesky(covariance)
    deviations = factor * rng.standard_normal((seeds, NUMBERS)) @ root.T + error * change
    deviations[:, 0] += shift
    return Path(
        deviations=deviations,
        change=change,
        covariance=covariance,
        allowed=np.full(NUMBERS, allowed),
        rounding=np.full(NUMBERS, 1e-9),
        times=(0.1, 1.0),
        inside=np.ones(NUMBERS, bool),
        variance=1e-3,
    )


def test_the_rate_is_estimated_as_well_as_the_information_allows():
    rng = np.random.default_rng(0)
    tests = [rate_of(made_up(rng, error=0.03), 0.0025) for _ in range(400)]
    estimates = np.array([one.estimate for one in tests])
    path = made_up(rng)
    information = SEEDS * path.change @ np.linalg.solve(path.covariance, path.change)
    least = information**-0.5
    assert abs(estimates.mean() - 0.03) < 4 * least / 20
    assert abs(estimates.std() / least - 1) < 4 / np.sqrt(800)
    # Weights that know only the variances do much worse here.
    plain = path.change / np.diagonal(path.covariance)
    of_plain = np.sqrt(plain @ path.covariance @ plain / SEEDS) / (plain @ path.change)
    assert of_plain > 1.02 * least


def test_students_t_has_its_level_whatever_the_predicted_covariance():
    rng = np.random.default_rng(1)
    level, false, runs = 0.05, 0, 1000
    for _ in range(runs):
        path = made_up(rng, factor=2.0)
        wrong = path.covariance + 1e-3 * np.eye(NUMBERS)
        false += rate_of(path._replace(covariance=wrong), level).excess > 1
    assert abs(false / runs - level) < 4 * np.sqrt(level * (1 - level) / runs)


def test_what_is_allowed_is_no_contradiction():
    rng = np.random.default_rng(2)
    error = 0.05
    assert rate_of(made_up(rng, error), 0.0025).excess > 1
    forgiving = made_up(rng, error, allowed=0.1)
    test = rate_of(forgiving, 0.0025)
    assert test.excess < 1
    assert test.seen > error


def test_mean_and_scatter_of_the_leading_components():
    rng = np.random.default_rng(3)
    right = [whole_of(made_up(rng), 0.01, 0.01) for _ in range(300)]
    count = right[0].components
    misfits = np.array([one.misfit for one in right])
    assert abs(misfits.mean() - count) < 4 * np.sqrt(2 * count / 300)
    assert abs(np.mean([one.scatter**2 for one in right]) - 1) < 4 * np.sqrt(2 / count / 15 / 300)
    assert sum(one.misfits for one in right) <= 8
    assert sum(one.scatters_otherwise for one in right) <= 8
    assert whole_of(made_up(rng, factor=1.5), 0.01, 0.01).scatters_otherwise
    assert whole_of(made_up(rng, factor=0.7), 0.01, 0.01).scatters_otherwise
    assert whole_of(made_up(rng, shift=0.05), 0.01, 0.01).misfits


def problem(rate: float) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(width=1, noise=0.1), ts.Student(width=2), ts.SGD(rate))


@pytest.fixture(scope="module")
def band() -> xr.Dataset:
    return ts.fluctuations(problem(0.8), START, TIMES, points=2**12)


@pytest.fixture(scope="module")
def networks() -> list[xr.Dataset]:
    """Groups of independent networks."""
    options = {"N": N, "seeds": 10 * SEEDS, "method": "reduced", "progress": False}
    runs = ts.simulate(problem(0.8), START, TIMES, **options)
    return [runs.isel(seed=slice(i, i + SEEDS)) for i in range(0, 10 * SEEDS, SEEDS)]


def at_another_rate(band: xr.Dataset, factor: float) -> xr.Dataset:
    """The band around the curve of another learning rate, which claims to be the true one."""
    other = ts.integrate(problem(0.8 * factor), START, TIMES)
    return band.assign({name: band[name].copy(data=other[name].values) for name in "QR"})


def verdict(theory: xr.Dataset, simulation: xr.Dataset) -> str:
    return ts.compare(theory, simulation).attrs["verdict"]


def without_band(band: xr.Dataset) -> xr.Dataset:
    added = [name for name in band.data_vars if "band_of" in band[name].attrs]
    return band.drop_vars([*added, "entry", "entry_"])


def test_true_theories_agree_and_the_sight_is_sharper(band, networks):
    for one in networks:
        report = ts.compare(band, one)
        assert report.attrs["verdict"].startswith("AGREE at")
        assert "times as much as predicted" in report.attrs["verdict"]
        seen = description(report)["directions"][0][0]["seen"]
        plain = description(ts.compare(without_band(band), one))
        assert seen < 0.75 * plain["directions"][0][0]["seen"]
        assert plain["whole_path"] == [None]


def test_what_would_have_been_seen_is_seen(band, networks):
    faster = ts.integrate(problem(0.8 * 1.02), START, TIMES)
    report = description(ts.compare(band, networks[0], faster=faster))
    seen = report["directions"][0][0]["seen"]
    for factor in (1 + seen, 1 / (1 + seen)):
        wrong = at_another_rate(band, factor)
        larger = ts.integrate(problem(0.8 * 1.02 * factor), START, TIMES)
        larger = larger.assign_attrs(faster.attrs)
        found = 0
        for one in networks:
            line = ts.compare(wrong, one, faster=larger).attrs["verdict"]
            found += line.startswith("DISAGREE")
        assert found >= 8


def test_networks_of_another_size_do_not_scatter_as_predicted(band, networks):
    said = description(networks[0])
    said["report"]["N"] = 4 * N
    claimed = networks[0].assign_attrs(teacherstudent=json.dumps(said))
    assert "DISAGREE at N = 1600: the networks do not scatter as predicted" in verdict(
        band, claimed
    )
    facts = description(ts.compare(band, claimed))["whole_path"][0]
    assert abs(facts["scatter"] - 2) < 0.4


def test_the_deviations_of_the_answer_are_those_from_the_limit(band, networks):
    report = ts.compare(band, networks[0])
    expected = band.Q - networks[0].Q.mean("seed")
    np.testing.assert_allclose(report.Q_deviation, expected)


def test_beyond_its_validity_a_band_is_not_used(band, networks):
    growing = np.where(TIMES < 2, 1.0, 1e5)
    wide = band.assign(Q_std=band.Q_std * growing[:, None, None])
    until = float(ts.valid_until(wide, N))
    assert until == 2.5
    report = ts.compare(wide, networks[0])
    assert "holds until t = 1.5; later times are compared without it" in report.attrs["verdict"]
    spans = [one["times"] for one in description(report)["directions"][0]]
    kinds = [one["direction"] for one in description(report)["directions"][0]]
    assert kinds[:2] == ["time", "time"]
    assert spans[0] == [0.2, 1.5]
    never = band.assign(Q_std=band.Q_std * 1e5)
    assert "its linear theory holds at no time compared" in verdict(never, networks[0])


def test_a_band_without_some_of_its_times_is_not_used(band, networks):
    gaps = band.isel(time=[0, 1, 3, 4, 6, 7])
    line = verdict(gaps, networks[0])
    assert line.startswith("AGREE at")
    assert "the theory's band was not used, since some of its times were left out" in line


def test_networks_at_some_of_the_times_are_compared_by_the_band(band, networks):
    report = ts.compare(band, networks[0].isel(time=[0, 2, 3, 5, 7]))
    assert description(report)["whole_path"][0]["until"] == 6.0
    assert "band was not used" not in report.attrs["verdict"]


def test_propagators_between_some_times_are_composed(band):
    index, entries = np.array([2, 3, 6]), [0, 2, 4]
    names = [str(band.entry.values[one]) for one in entries]
    whole = ts.band_covariance(band, names).values
    found = whole_covariance(band, index, entries)
    np.testing.assert_allclose(found, whole[index][:, :, index], rtol=1e-12)
    chosen = ts.band_covariance(at_some_times(band, index), names).values
    np.testing.assert_allclose(chosen, found, rtol=1e-12)


def test_entries_are_found_among_the_variables(band):
    for name in band.entry.values:
        variable, place = place_of(str(name), band)
        index = tuple(json.loads(str(name).removeprefix(variable)))
        flat = band[variable].values.reshape(len(TIMES), -1)[:, place]
        np.testing.assert_array_equal(flat, band[variable].values[(slice(None), *index)])


def test_a_covariance_that_errors_made_indefinite_is_inverted_all_the_same():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 4))  # of rank four: two directions do not fluctuate
    exact = root @ root.T
    change = exact @ rng.standard_normal(6)
    spoiled = exact - 1e-6 * np.diag([1.0, 2.0, 1.0, 2.0, 1.0, 2.0])
    assert np.linalg.eigvalsh(spoiled)[0] < 0
    weights = times_positive_inverse(spoiled, change)
    np.testing.assert_allclose(exact @ weights, change, atol=1e-4 * np.abs(change).max())
    assert np.abs(weights).max() < 100 * np.abs(np.linalg.pinv(exact, rcond=1e-9) @ change).max()
