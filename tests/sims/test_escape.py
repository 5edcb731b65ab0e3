"""`escape`: how long networks need from random weights, against medians of an exact reduced
simulation.
"""

import equinox as eqx
import numpy as np
import pytest
from scipy import stats

import teacherstudent as ts
from sims.escape import _random_networks, _random_overlaps
from sims.running.devices import Place
from teacherstudent.results.datasets import description
from tests.long import mostly_long

HE_2 = (-0.5, 0.0, 0.5)
HE_3 = (0.0, -0.5, 0.0, 1 / 6)
MINUS_HE_4 = (-3 / 24, 0.0, 6 / 24, 0.0, -1 / 24)
HE_2_MINUS_HE_4 = (-0.75, 0.0, 1.0, 0.0, -1 / 12)  # He_2 / 2 - He_4 / 12


def neuron(task, activation, eta) -> ts.Problem:
    """One unit on the sphere with the correlation loss."""
    return ts.Problem(task, ts.Student(1, activation), ts.SphericalSGD(eta), loss="correlation")


MEAN = neuron(ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0], [0.0]]), "linear", 0.5)
COVARIANCE = neuron(
    ts.GaussianMixture([0.5, 0.5], [1, -1], [[0.0], [0.0]], 1.0, [[[3.0]], [[1.0]]]), HE_2, 0.5
)

CASES = {
    # information exponent: (problem, options, {N: median step of 200 runs of the exact reduced
    # process}, expected slope)
    1: (MEAN, {}, {64: 133.5, 256: 627.5}, 1.0),
    2: (
        COVARIANCE,
        {},
        {64: 341.0, 256: 1524.5},
        1.2,
    ),  # N log N has this slope between these sizes
    3: (
        neuron(ts.SpikedCumulant(10, ("skewed", 0.2)), HE_3, 1.0),
        {"learning_rate_exponent": -0.5, "aligned": True},
        {32: 5351.0, 64: 26098.0},
        2.0,
    ),
    4: (
        neuron(ts.SpikedCumulant(100), MINUS_HE_4, 1.0),
        {"learning_rate_exponent": -1.0},
        {12: 9879.0, 24: 69100.0},
        3.0,
    ),
}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("order", mostly_long(CASES, [1]))
def test_medians_and_exponents_are_those_of_the_exact_reduced_process(order):
    problem, options, medians, slope = CASES[order]
    found = ts.escape(problem, list(medians), seeds=400, progress=False, **options)
    np.testing.assert_allclose(found.median_step[:, 0], list(medians.values()), rtol=0.3)
    error = float(found.exponent_error[0])
    assert 0 < error < 0.5
    assert abs(float(found.exponent[0]) - slope) < 4 * error
    power = options.get("learning_rate_exponent", 0.0)
    rates = float(problem.rule.learning_rate) * np.array(list(medians), float) ** power
    np.testing.assert_allclose(found.learning_rate, rates)


@pytest.fixture(scope="module")
def mixed():
    """A covariance spike u and a cumulant spike v, with independent latents and with latents of one
    sign.
    """
    return {
        coupling: ts.escape(
            neuron(ts.MixedCumulant(2.0, 5.0, coupling=coupling), HE_2_MINUS_HE_4, 0.15),
            100,
            seeds=96,
            max_steps=int(20 * 100 * np.log(100)),
            enough=1.0,
            progress=False,
        )
        for coupling in ("independent", "sign")
    }


@pytest.mark.long
@pytest.mark.slow
def test_the_cumulant_spike_is_seen_in_time_only_with_common_latents(mixed):
    alone, common = mixed["independent"], mixed["sign"]
    unit = 100 * np.log(100)
    # Medians of 3000 runs of the exact chain of the overlaps, written in NumPy: 4.27 for u alone,
    # 3.90 and 7.92 with v.
    assert (
        float(alone.escape_step[0, :, 0].notnull().mean()) > 0.97
        and alone.escape_step[0, :, 1].isnull().all()
    )
    assert (
        float(common.escape_step.notnull().mean()) > 0.97
    )  # the slowest of 96 seeds may need longer
    np.testing.assert_allclose(float(alone.median_step[0, 0]) / unit, 4.27, rtol=0.3)
    np.testing.assert_allclose(common.median_step[0] / unit, [3.90, 7.92], rtol=0.3)


@pytest.mark.long
@pytest.mark.slow
def test_the_answer_says_where_the_networks_are_at_the_end(mixed):
    alone = mixed["independent"]
    assert alone.median_step[0, 1].isnull() and np.isfinite(alone.median_step[0, 0])
    final = alone.final_overlap[0]
    assert float(final[:, 0].median()) > 0.4
    # The same chain, and another one at this N, have 0.86 N^(-1/2) for what is left to chance along
    # v.
    np.testing.assert_allclose(float(np.sqrt((final[:, 1] ** 2).mean())), 0.086, rtol=0.3)
    assert "exponent" not in alone  # one size has no slope
    assert description(alone)["report"]["max_steps"] == 9210


@pytest.mark.long
@pytest.mark.slow
def test_both_methods_escape_at_the_same_steps():
    problem, options = CASES[2][:2]
    given = dict(seeds=300, max_steps=20_000, enough=1.0, **options)
    run = lambda method: ts.escape(problem, 64, method=method, **given).escape_step.values[0, :, 0]
    steps = [run(method) for method in ("weights", "reduced")]
    assert stats.ks_2samp(*steps).pvalue > 1e-3
    with pytest.raises(
        ValueError, match='method = "reduced": SignSGD depends on the coordinate axes'
    ):
        ts.escape(eqx.tree_at(lambda p: p.rule, problem, ts.SignSGD(0.1)), 64, method="reduced")


@pytest.mark.long
def test_seeds_do_not_depend_on_each_other():
    many = ts.escape(MEAN, 40, seeds=[1, 3, 5], enough=1.0, progress=False)
    alone = ts.escape(MEAN, 40, seeds=[3], enough=1.0, progress=False)
    assert many.escape_step.sel(seed=3) == alone.escape_step.sel(seed=3)
    assert len(np.unique(many.escape_step)) == 3 and (many.escape_step > 0).all()


def test_seeds_that_have_not_escaped_are_nan():
    found = ts.escape(MEAN, [40, 50], seeds=3, max_steps=2, threshold=0.95, progress=False)
    for name in ("escape_step", "median_step", "exponent"):
        assert np.isnan(found[name]).all()
    assert (found.final_overlap < 0.95).all()


@pytest.mark.long
def test_a_median_counts_seeds_that_have_not_escaped_as_late():
    found = ts.escape(MEAN, 40, seeds=16, enough=0.3, progress=False)
    escaped = np.isfinite(found.escape_step[0, :, 0])
    assert 0.3 <= escaped.mean() < 0.5 and np.isnan(found.median_step[0, 0])
    wider = ts.escape(MEAN, 40, seeds=16, enough=0.6, progress=False)
    steps = wider.escape_step[0, :, 0].values
    assert wider.median_step[0, 0] == np.median(np.where(np.isnan(steps), np.inf, steps))
    np.testing.assert_array_equal(steps[escaped], found.escape_step[0, escaped, 0])


def test_aligned_starts_are_on_the_positive_side():
    for aligned in (True, False):
        begin = _random_networks(MEAN, 30, list(range(20)), aligned).begin
        overlap = np.einsum("skn,sn->sk", begin.w, begin.w_star[:, 0])
        assert (overlap > 0).all() == aligned
        np.testing.assert_allclose((begin.w**2).mean(-1), 1.0)
        np.testing.assert_allclose((begin.w_star**2).mean(-1), 1.0)


@pytest.mark.long
@pytest.mark.parametrize("aligned", [True, False])
def test_overlaps_drawn_alone_have_the_law_of_those_of_weights(aligned):
    problem, N, seeds = (
        ts.Problem(ts.MixedCumulant(2.0, 5.0), ts.Student(3), ts.SGD(0.1)),
        12,
        list(range(4000)),
    )
    w, _, u, _ = _random_networks(problem, N, seeds, aligned).begin
    alone = [_random_overlaps(problem, N, seed, aligned) for seed in seeds]
    for drawn, whole in (
        (np.stack([one.Q for one in alone]), np.einsum("skn,sln->skl", w, w) / N),
        (np.stack([one.R for one in alone]), np.einsum("skn,san->ska", w, u) / N),
    ):
        for k, l in ((0, 1), (2, 0), (2, 1)):
            assert stats.ks_2samp(drawn[:, k, l], whole[:, k, l]).pvalue > 1e-4
        np.testing.assert_allclose(
            np.diagonal(np.stack([one.Q for one in alone]), axis1=1, axis2=2), 1
        )


def test_weights_that_do_not_fit_the_memory(monkeypatch):
    monkeypatch.setattr(Place, "free_bytes", lambda self: 2 * 10**6)
    given = {"seeds": 100, "max_steps": 2, "progress": False}
    with pytest.raises(
        ValueError,
        match="seeds: the weights of 100 networks with N = 40 do not fit .* give at most",
    ):
        ts.escape(MEAN, 40, method="weights", **given)
    assert description(ts.escape(MEAN, 40, **given))["report"]["method"] == "reduced"


def test_the_answer_can_be_saved_and_loaded(tmp_path):
    found = ts.escape(MEAN, [40, 50], seeds=3, max_steps=20, progress=False)
    path = tmp_path / "escape.h5"
    ts.save(path, escape=found)
    loaded = ts.load(path)["escape"].to_dataset()
    for name in found.data_vars:
        np.testing.assert_array_equal(loaded[name], found[name])
    assert loaded.N.values.tolist() == [40, 50] and loaded.seed.values.tolist() == [0, 1, 2]
    assert description(loaded) == description(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"N": 1}, r"N = \[1\]: give different sizes of at least K \+ r = 2"),
        ({"N": [40, 40]}, r"N = \[40, 40\]: give different sizes"),
        ({"seeds": 0}, "seeds = 0 is not allowed"),
        ({"seeds": [2, 2]}, "different integers"),
        ({"threshold": 1.5}, "threshold = 1.5 is not allowed; give a number above 0, at most 1"),
        ({"threshold": 0}, "threshold = 0"),
        ({"enough": 2}, "enough = 2 is not allowed"),
        ({"max_steps": 0}, "max_steps = 0 is not allowed"),
        ({"max_steps": 2**32}, "max_steps = 4294967296 is not possible"),
        ({"learning_rate_exponent": [0.0, 1.0]}, "is a sequence; give one number"),
        ({"dtype": "float16"}, "known are 'float32', 'float64'"),
        ({"device": "abacus"}, "device = 'abacus' is not on this machine"),
        (
            {"problem": neuron(MEAN.task, "linear", [0.1, 0.2])},
            "escape takes one problem, but learning_rate is a sequence",
        ),
        (
            {"problem": ts.Problem(ts.TeacherStudent(1), ts.Student(1), ts.SphericalSGD(0.1))},
            "the task TeacherStudent has no classes",
        ),
    ],
)
def test_bad_input_is_refused_before_any_work(change, message):
    arguments = {"problem": MEAN, "N": 40, "seeds": 2, "max_steps": 5, "progress": False} | change
    with pytest.raises(ValueError, match=message):
        ts.escape(**arguments)
