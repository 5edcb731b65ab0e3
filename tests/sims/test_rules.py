"""Update rules in the simulator: against their theory, across interruptions, and with samples of
their own.
"""

import itertools

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.sims import rule_cases
from tests.sims.interruption import interrupted_after


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_long(rule_cases.CASES, ["vote, W = 3, B = 1"]))
def test_networks_follow_the_theory(name):
    N, seeds = 500, 12
    problem, start, times = rule_cases.CASES[name](N)
    times = (
        times[::5] if name.startswith("AGD map, s_1") else times[::4]
    )  # which amplifies fluctuations, later on
    theory = ts.integrate(problem, start, times, rtol=1e-5, atol=1e-6)
    networks = ts.simulate(problem, start, times, N=N, seeds=seeds, progress=False)
    for x in ("Q", "R", "v"):
        scatter = networks[x].std("seed", ddof=1) / np.sqrt(seeds)
        gap = abs(networks[x].mean("seed") - theory[x].values)
        bias = (
            6 / N * max(1.0, float(abs(theory[x]).max())) + 1e-3
        )  # O(1 / N), and the quadrature of the theory
        assert (gap < 5 * scatter + bias).all(), (x, float((gap - 5 * scatter).max()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    mostly_long(
        [
            "sign, B = 4",
            "vote, W = 3, B = 1",
            "AGD, B = 1, v frozen",
            "Fromage, B = 1",
            "Nero, B = 1",
        ],
        [],
    ),
)
def test_deviations_shrink_with_the_root_of_the_dimension(name):
    rms = {}
    for N, seeds in ((250, 24), (2000, 12)):
        problem, start, times = rule_cases.CASES[name](N)
        theory = ts.integrate(problem, start, times[::4], rtol=1e-5, atol=1e-6)
        networks = ts.simulate(problem, start, times[::4], N=N, seeds=seeds, progress=False)
        gaps = [np.ravel(networks[x] - theory[x].values[None]) for x in ("Q", "R")]
        rms[N] = np.sqrt(np.mean(np.concatenate(gaps) ** 2))
    assert 0.3 < np.log(rms[250] / rms[2000]) / np.log(8) < 0.7, rms


RESUMED = {
    "Signum": ts.Signum(0.3, beta=0.8),
    "votes that remember": ts.MajorityVote(0.3, workers=3, beta=0.5),
    "heavy ball": ts.HeavyBall(0.05, beta=0.9),
    "Nero": ts.Nero(0.3, gamma=5.0),
    "Madam": ts.Madam(0.3),
    "Fromage with a bound": ts.Fromage(0.3, p_bound=1.1),
}


@pytest.mark.parametrize("name", list(RESUMED))
def test_an_interrupted_run_goes_on_with_its_memory(name, tmp_path):
    problem, start, _ = rule_cases.committee(RESUMED[name], trained=True, unit=True)(60)
    arguments = {"times": [0.0, 2.0, 4.0], "N": 60, "seeds": 2, "progress": False}
    straight = ts.simulate(problem, start, **arguments)
    path = tmp_path / "run.ckpt"
    with interrupted_after(130):
        ts.simulate(problem, start, **arguments, checkpoint=path)
    resumed = ts.simulate(problem, start, **arguments, checkpoint=path)
    for x in ("Q", "R", "v"):
        np.testing.assert_array_equal(resumed[x], straight[x])


def test_seeds_do_not_depend_on_each_other():
    problem, start, _ = rule_cases.committee(ts.MajorityVote(0.3, workers=3), batch_size=2)(50)
    run = lambda seeds: ts.simulate(problem, start, [1.0], N=50, seeds=seeds, progress=False)
    np.testing.assert_array_equal(run([3]).Q.sel(seed=3), run([1, 3, 5]).Q.sel(seed=3))


@pytest.mark.long
def test_a_vote_draws_for_every_worker():
    # with signs of the same samples, three workers would be one: their vote is less noisy than a
    # single sign
    run = lambda rule: ts.simulate(
        *rule_cases.committee(rule)(200)[:2],
        [0.5],
        N=200,
        seeds=64,
        dtype="float64",
        progress=False,
    )
    one, three = run(ts.SignSGD(0.3)), run(ts.MajorityVote(0.3, workers=3))
    assert (
        float(three.R[:, 0, 0, 0].mean()) > float(one.R[:, 0, 0, 0].mean()) + 0.02
    )  # a drift of 3 / 2


def test_nero_begins_on_its_constraints():
    problem, start, _ = rule_cases.committee(ts.Nero(0.3, gamma=5.0), unit=True)(100)
    first = ts.simulate(problem, start, [0.0, 1.0], N=100, seeds=3, dtype="float64", progress=False)
    np.testing.assert_allclose(np.diagonal(first.Q, axis1=-2, axis2=-1), 1.0, rtol=1e-12)
    with pytest.raises(ValueError, match="Nero keeps"):
        ts.simulate(problem, rule_cases.committee(ts.SGD(0.1))(100).start, [0.0], N=100, seeds=1)


def test_batches_in_proportion_to_the_dimension():
    problem, start, _ = rule_cases.CASES["AGD map, s_1 = sqrt K, alpha = 4"](100)
    assert (problem.samples(100), problem.samples(33), problem.updates_per_time(100)) == (
        400,
        132,
        1,
    )
    found = ts.simulate(problem, start, [0, 1, 3], N=100, seeds=2, progress=False)
    assert found.time.values.tolist() == [0, 1, 3] and found.time.attrs["units"] == "updates"
    again = ts.problem_of(found)
    assert again.batch_ratio == 4.0 and again.rule.first_scale == problem.rule.first_scale
    report = ts.compare(ts.integrate(problem, start, [0, 1, 3]), found)
    assert description(report)["times_compared"] == 3


def test_the_orthogonal_start():
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(3, train_readout=True), ts.AGD())
    start = ts.orthogonal_start(problem, 40, seed=4)
    np.testing.assert_allclose(start.Q, 3 / 40 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(start.v), 1 / np.sqrt(3), rtol=1e-12)
    assert start.weights.w.shape == (3, 40) and not np.allclose(start.R, 0)
    unit = ts.orthogonal_start(problem, 40, seed=4, T=np.eye(2))
    np.testing.assert_allclose(unit.T, np.eye(2), atol=1e-12)
    with pytest.raises(ValueError, match="orthogonal_start is for isotropic inputs"):
        ts.orthogonal_start(ts.Problem(ts.SpikedCumulant(5.0), ts.Student(1), ts.AGD()), 40)


TASKS = {
    "hidden manifold": (ts.HiddenManifold(1, latent_ratio=0.5), {"R": [[0.2]]}),
    "two classes": (ts.SpikedCumulant(5.0), {"m": [[0.2]]}),
}
RULES = {
    "SignSGD": ts.SignSGD(0.1),
    "MajorityVote": ts.MajorityVote(0.1, workers=2),
    "AGD": ts.AGD(),
    "Fromage": ts.Fromage(0.1),
    "Nero": ts.Nero(0.1),
    "Madam": ts.Madam(0.1),
}
EVERYWHERE = [
    (task, rule, trained)
    for task, rule, trained in itertools.product(TASKS, RULES, (False, True))
    if (task, rule) != ("hidden manifold", "Nero")  # its rows have length 1
]


@pytest.mark.parametrize(
    ("task", "rule", "trained"),
    mostly_long(EVERYWHERE, [("hidden manifold", "SignSGD", False), ("two classes", "Nero", True)]),
)
def test_every_rule_runs_on_every_task(task, rule, trained):
    inputs, overlaps = TASKS[task]
    problem = ts.Problem(inputs, ts.Student(1, train_readout=trained), RULES[rule])
    start = ts.OrderParameters([[1.0]], **overlaps)
    found = ts.simulate(problem, start, [0.0, 0.5], N=24, seeds=1, progress=False)
    assert np.isfinite(found.Q).all()
