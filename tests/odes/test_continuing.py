"""Theories that go on from a state of another run: the joined curves are those of one run."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.problems import committee, random_overlaps

K, M = 3, 2
FIRST, SECOND = [0.0, 0.4, 1.0], [1.0, 1.7, 3.0]
ALL = sorted({*FIRST, *SECOND})
TIGHT = {"rtol": 1e-12, "atol": 1e-14}
INTERPOLATED = 2e-11
V = [0.5, 1.0, -0.7]


def student(**options) -> ts.Student:
    return ts.Student(K, train_readout=True, **options)


def isotropic(rule) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(M, readout=[1.0, -0.5], noise=0.2), student(), rule)


def manifold(rule=None) -> ts.Problem:
    task = ts.HiddenManifold(M, latent_ratio=0.4, noise=0.1)
    return ts.Problem(task, student(), rule or ts.SGD(0.3))


def anisotropic(rule) -> ts.Problem:
    task = ts.GaussianEquivalent.anisotropic(np.repeat([0.4, 1.6], 10), width=M, noise=0.2)
    return ts.Problem(task, ts.Student(K), rule)


def spiked() -> ts.Problem:
    task = ts.SpikedCumulant(beta=3.0, latent="rademacher")
    return ts.Problem(task, student(train_bias=True), ts.SGD(0.8), loss="logistic")


def unit_rows() -> ts.OrderParameters:
    start = random_overlaps(K, M)
    lengths = np.sqrt(np.diagonal(start.Q))
    Q = start.Q / np.outer(lengths, lengths)
    return ts.OrderParameters((Q + Q.T) / 2, start.R / lengths[:, None], start.T)


def batch_of(*starts) -> ts.OrderParameters:
    return ts.OrderParameters(
        *(np.stack([getattr(one, name) for one in starts]) for name in ("Q", "R", "T", "v"))
    )


def differing(whole, part, names) -> dict[str, float]:
    """The largest differences from the end of another curve.

    Between two steps a recorded time is interpolated, which costs a few 1e-12 at any tolerance.
    """
    found = {}
    for name in names:
        expected = whole[name]
        if "time" in expected.dims:
            expected = expected.isel(time=slice(-part.sizes["time"], None))
        found[name] = float(abs(expected.values - part[name].values).max())
    return found


def assert_continues(problem, start, allowed, names=("Q", "R", "v", "eps_g"), **options):
    """The second part is that of one run, and so is what is kept at its end."""
    whole = ts.integrate(problem, start, ALL, **options)
    first = ts.integrate(problem, start, FIRST, **options)
    second = ts.integrate(problem, ts.last_state(first), SECOND, **options)
    names = [*names, *[one for one in ("q_last", "r_last", "memory_last") if one in whole]]
    for name, difference in differing(whole, second, names).items():
        assert difference < allowed, (name, difference)
    assert float(abs(whole["Q"][-1] - whole["Q"][2]).max()) > 1e-3
    assert description(second)["report"]["continued_at"] == 1.0
    return whole, first, second


CASES = {
    "SGD": (isotropic(ts.SGD(0.5)), random_overlaps(K, M, v=V)),
    "heavy ball": (isotropic(ts.HeavyBall(0.8, gamma=2.0)), random_overlaps(K, M, v=V)),
    "manifold": (manifold(), random_overlaps(K, M, v=V)),
    "manifold, heavy ball": (
        manifold(ts.HeavyBall(0.8, gamma=2.0)),
        random_overlaps(K, M, v=V),
    ),
    "spiked cumulant": (
        spiked(),
        ts.OrderParameters(
            random_overlaps(K, M).Q, m=[[0.1], [-0.2], [0.3]], v=V, b=[0.1, 0.0, -0.1]
        ),
    ),
}


@pytest.mark.parametrize("name", mostly_long(CASES, ["heavy ball"]))
def test_a_theory_that_goes_on_is_that_of_one_run(name):
    problem, start = CASES[name]
    if problem.task.HAS_MODES:
        start = ts.spectral_start(problem, start, nodes=6)
    names = ["Q", "R", "v", "eps_g"]
    if problem.task.HAS_CLASSES:
        names = ["Q", "m", "v", "b", "loss", "accuracy"]
    whole, first, second = assert_continues(problem, start, INTERPOLATED, names, **TIGHT)
    ends = differing(whole.isel(time=[-1]), second.isel(time=[-1]), names)
    assert max(ends.values()) < 1e-12, ends
    state = ts.last_state(first)
    assert isinstance(state, ts.SpectralOverlaps) == problem.task.HAS_MODES
    assert ("memory_last" in second) == isinstance(problem.rule, ts.HeavyBall)


ROUGH = {
    "Nero": (
        ts.Problem(ts.TeacherStudent(M, noise=0.2), ts.Student(K), ts.Nero(0.4, gamma=2.0)),
        unit_rows(),
    ),
    "sign": (anisotropic(ts.SignSGD(0.3)), None),
    "sign, isotropic": (isotropic(ts.SignSGD(0.3)), random_overlaps(K, M, v=V)),
    "Fromage": (
        ts.Problem(ts.TeacherStudent(M, noise=0.2), ts.Student(K), ts.Fromage(0.4)),
        random_overlaps(K, M),
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", ROUGH)
def test_a_theory_with_rough_averages_goes_on_up_to_its_tolerance(name):
    """Of signs on structured inputs the modes are those of the signs, and go on as well."""
    problem, start = ROUGH[name]
    if start is None:
        start = ts.random_start(problem, seed=2, scale=0.6)
    whole, first, second = assert_continues(problem, start, 5e-4)
    if name == "sign":
        assert isinstance(ts.last_state(first), ts.OrderParameters)
        assert whole.sizes["rho"] > 1
    if name == "Nero":
        assert first.sizes["memory_entry"] > K


def test_what_a_rule_remembers_is_needed():
    """A state without its momentum gives another curve: what the tests above would find."""
    problem, start = CASES["heavy ball"]
    whole = ts.integrate(problem, start, ALL, **TIGHT)
    state = ts.last_state(ts.integrate(problem, start, FIRST, **TIGHT))
    forgotten = ts.OrderParameters(state.Q, state.R, state.T, state.v)
    second = ts.integrate(problem, forgotten, np.asarray(SECOND) - 1.0, **TIGHT)
    assert differing(whole, second, ["Q"])["Q"] > 0.01


def test_another_rule_begins_with_nothing_remembered():
    problem, start = CASES["heavy ball"]
    state = ts.last_state(ts.integrate(problem, start, FIRST))
    other = isotropic(ts.SGD(0.5))
    bare = ts.OrderParameters(state.Q, state.R, state.T, state.v)
    expected = ts.integrate(other, bare, np.asarray(SECOND) - 1.0, **TIGHT)
    found = ts.integrate(other, state, SECOND, **TIGHT)
    assert max(differing(expected, found, ["Q", "R", "v", "eps_g"]).values()) < INTERPOLATED
    assert "memory_last" not in found


@pytest.mark.long
def test_it_goes_on_twice_in_a_row():
    """Also through a time at which nothing is done, and over a first time after the state's."""
    problem, start = CASES["heavy ball"]
    whole = ts.integrate(problem, start, ALL, **TIGHT)
    state = start
    for times in ([0.4, 1.0], [1.0], [1.7], [3.0]):
        part = ts.integrate(problem, state, times, **TIGHT)
        state = ts.last_state(part)
        assert state.time == times[-1]
        for name in ("Q", "R", "v", "eps_g"):
            found, expected = part[name].values, whole[name].sel(time=times).values
            np.testing.assert_allclose(found, expected, rtol=0, atol=INTERPOLATED)


@pytest.mark.long
def test_a_state_at_time_zero_is_the_start():
    problem, start = CASES["heavy ball"]
    state = ts.last_state(ts.integrate(problem, start, [0.0], **TIGHT))
    assert state.time == 0.0
    whole, again = (ts.integrate(problem, one, ALL, **TIGHT) for one in (start, state))
    np.testing.assert_array_equal(again.Q, whole.Q)


@pytest.mark.long
def test_it_goes_on_from_a_saved_file(tmp_path):
    problem, start = CASES["manifold, heavy ball"]
    start = ts.spectral_start(problem, start, nodes=6)
    first = ts.integrate(problem, start, FIRST)
    ts.save(tmp_path / "run.h5", theory=first)
    again = ts.load(tmp_path / "run.h5")["theory"].dataset
    one, other = (ts.integrate(problem, ts.last_state(data), SECOND) for data in (first, again))
    for name in ("Q", "R", "v", "eps_g", "q_last", "r_last", "memory_last"):
        np.testing.assert_array_equal(one[name], other[name])
    ts.save(tmp_path / "more.h5", theory=other)
    whole = ts.integrate(problem, start, ALL)
    later = ts.last_state(ts.load(tmp_path / "more.h5")["theory"].dataset)
    np.testing.assert_allclose(later.q, np.asarray(ts.last_state(whole).q), rtol=0, atol=1e-8)


@pytest.mark.long
def test_a_batch_of_starts_goes_on():
    """All of it, a part of it, and one: each with its own memory and teacher."""
    problem = isotropic(ts.HeavyBall(0.8, gamma=2.0))
    starts = [random_overlaps(K, M, seed=seed, v=V) for seed in range(4)]
    whole = ts.integrate(problem, batch_of(*starts), ALL, **TIGHT)
    first = ts.integrate(problem, batch_of(*starts), FIRST, **TIGHT)
    names = ["Q", "R", "v", "eps_g", "memory_last", "T"]
    for members in (slice(None), [1, 3], 2):
        state = ts.last_state(first.isel(start=members))
        found = ts.integrate(problem, state, SECOND, **TIGHT)
        differences = differing(whole.isel(start=members), found, names)
        assert max(differences.values()) < INTERPOLATED, (members, differences)


@pytest.mark.long
def test_a_curve_of_a_sweep_goes_on():
    def problem(rate):
        return isotropic(ts.HeavyBall(rate, gamma=2.0))

    start = random_overlaps(K, M, v=V)
    first = ts.integrate(problem([0.4, 0.8]), start, FIRST, **TIGHT)
    state = ts.last_state(first.isel(learning_rate=1))
    found = ts.integrate(problem(0.8), state, SECOND, **TIGHT)
    whole = ts.integrate(problem(0.8), start, ALL, **TIGHT)
    names = ["Q", "R", "v", "eps_g", "memory_last"]
    assert max(differing(whole, found, names).values()) < INTERPOLATED
    swept = ts.integrate(problem([0.4, 0.8]), state, SECOND, **TIGHT)
    assert swept.sizes["learning_rate"] == 2
    assert max(differing(whole, swept.isel(learning_rate=1), names).values()) < INTERPOLATED
    with pytest.raises(ValueError, match="have a state for each learning_rate; select one"):
        ts.last_state(first)


def test_the_map_of_agd_goes_on():
    rule = ts.AGD(gain=ts.exponential(0.8, rate=0.1), first_scale=np.sqrt(K))
    task = ts.TeacherStudent(M, noise=0.2)
    problem = ts.Problem(task, student(), rule, batch_ratio=4.0)
    start = random_overlaps(K, M, v=V)
    whole = ts.integrate(problem, start, [0.0, 3.0, 5.0, 9.0])
    first = ts.integrate(problem, start, [0.0, 3.0])
    second = ts.integrate(problem, ts.last_state(first), [3.0, 5.0, 9.0])
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(second[name], whole[name][1:], rtol=1e-12, atol=1e-14)


# ---------------------------------------------------------------- states at other times


def test_the_state_at_a_recorded_time():
    problem, start = committee(), random_overlaps(K, M)
    theory = ts.integrate(problem, start, ALL, **TIGHT)
    for index, t in enumerate(ALL):
        state = ts.state_at(theory, t)
        assert state.time == t
        np.testing.assert_allclose(state.Q, theory.Q[index], rtol=0, atol=1e-15)
        np.testing.assert_array_equal(state.R, theory.R[index])
        if t < ALL[-1]:
            later = ts.integrate(problem, state, ALL[index:], **TIGHT)
            assert max(differing(theory, later, ["Q", "R", "v", "eps_g"]).values()) < INTERPOLATED
    close = ts.state_at(theory, 0.4 + 1e-12)
    assert close.time == 0.4
    last = ts.state_at(theory, 3.0)
    assert last.kept is not None and ts.state_at(theory, 1.0).kept is None


@pytest.mark.long
def test_the_state_at_a_time_by_mode():
    problem = manifold()
    start = ts.spectral_start(problem, random_overlaps(K, M, v=V), nodes=6)
    theory = ts.integrate(problem, start, ALL, spectral=True, **TIGHT)
    state = ts.state_at(theory, 1.0)
    assert isinstance(state, ts.SpectralOverlaps) and state.time == 1.0
    later = ts.integrate(problem, state, SECOND, **TIGHT)
    assert max(differing(theory, later, ["Q", "R", "v", "eps_g"]).values()) < INTERPOLATED
    bare = theory.drop_vars(["q", "r"])
    with pytest.raises(ValueError, match=r"no overlaps by mode at t = 1, .*spectral=True"):
        ts.state_at(bare, 1.0)


def test_the_states_of_a_batch():
    starts = [random_overlaps(K, M, seed=seed) for seed in (1, 2)]
    theory = ts.integrate(committee(), batch_of(*starts), FIRST)
    state = ts.state_at(theory, 0.4)
    assert state.batch == (2,) and state.time == 0.4
    np.testing.assert_array_equal(state.R, theory.R[:, 1])
    one = ts.state_at(theory.isel(start=1), 0.4)
    np.testing.assert_array_equal(one.T, starts[1].T)


def test_the_time_is_shown_and_kept_in_files():
    state = ts.last_state(ts.integrate(committee(), random_overlaps(K, M), FIRST))
    assert "time=1," in repr(state)
    assert "time" not in repr(random_overlaps(K, M))
    data = ts.integrate(
        committee(), ts.state_at(ts.integrate(committee(), state, SECOND), 1.7), [3.0]
    )
    assert description(data)["start"]["time"] == 1.7


@pytest.mark.long
def test_a_curve_selected_from_a_batch_is_compared_by_its_own_start():
    """Of `compare`: no word of other starts where the curve is that of the simulation's."""
    starts = [random_overlaps(K, M, seed=seed) for seed in (1, 2)]
    theory = ts.integrate(committee(), batch_of(*starts), FIRST)
    networks = ts.simulate(committee(), starts[1], FIRST, N=50, seeds=2, method="reduced")
    assert "differ in" not in ts.compare(theory.isel(start=1), networks).attrs["verdict"]


@pytest.mark.long
def test_a_curve_selected_from_a_sweep_of_schedules_is_compared_by_its_own_number():
    def problem(rate):
        return committee(learning_rate=ts.piecewise([ts.exponential(0.3, rate=rate), 0.1], [0.5]))

    start = random_overlaps(K, M)
    theory = ts.integrate(problem([0.1, 0.4]), start, FIRST)
    networks = ts.simulate(problem(0.4), start, FIRST, N=50, seeds=2, method="reduced")
    name = "learning_rate_values_0_rate"
    assert "differ in" not in ts.compare(theory.isel({name: 1}), networks).attrs["verdict"]
    verdict = ts.compare(theory.isel({name: 0}), networks).attrs["verdict"]
    assert "differ in problem.rule.learning_rate.values.0.rate" in verdict


# ---------------------------------------------------------------- what is refused


@pytest.fixture(scope="module")
def theory():
    return ts.integrate(committee(), random_overlaps(K, M), FIRST)


@pytest.fixture(scope="module")
def with_memory():
    problem, start = CASES["heavy ball"]
    return ts.integrate(problem, start, FIRST)


def test_times_before_the_state_are_refused(theory):
    with pytest.raises(ValueError, match=r"times\[0\] = 0.5 is before t = 1, the time of the st"):
        ts.integrate(committee(), ts.last_state(theory), [0.5, 2.0])


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (committee(K=2), "start has 3 student units, but the problem has 2"),
        (committee(M=1), "start has 2 teacher units, but the problem has 1"),
        (
            ts.Problem(ts.SpikedCumulant(2.0), ts.Student(K), ts.SGD(0.1)),
            "start has 2 fixed directions, but the problem has 1",
        ),
        (
            ts.Problem(ts.HiddenManifold(M, latent_ratio=0.4), ts.Student(K), ts.SGD(0.1)),
            r"overlaps by mode have the shape \(3, 3, 1\), but those of this problem have "
            r"\(3, 3, 25\); go on with a problem on the same inputs",
        ),
    ],
)
def test_the_state_of_another_problem_is_refused(problem, message, theory):
    with pytest.raises(ValueError, match=message):
        ts.integrate(problem, ts.last_state(theory), SECOND)


def test_times_that_were_not_recorded_are_refused(theory):
    with pytest.raises(
        ValueError, match="t = 0.7 was not recorded; the nearest time is 0.4|is 1: give that"
    ):
        ts.state_at(theory, 0.7)
    with pytest.raises(ValueError, match="t = 5 was not recorded; the nearest time is 1: give "):
        ts.state_at(theory, 5.0)
    with pytest.raises(ValueError, match="t = -1.0 is not allowed"):
        ts.state_at(theory, -1.0)


def test_a_part_of_a_run_has_no_last_state(theory):
    part = theory.isel(time=slice(0, 2))
    with pytest.raises(
        ValueError,
        match=r"the data end at t = 0.4, but their run at t = 1.0; .* take state_at\(data, 0.4\)",
    ):
        ts.last_state(part)
    assert ts.state_at(part, 0.4).kept is None
    for function in (ts.last_state, lambda data: ts.state_at(data, 1.0)):
        with pytest.raises(ValueError, match="the data have no dimension time"):
            function(theory.isel(time=-1))


def test_a_memory_at_an_earlier_time_is_not_known(with_memory):
    with pytest.raises(ValueError, match="what the rule remembers is not known at t = 0.4, only"):
        ts.state_at(with_memory, 0.4)
    assert ts.state_at(with_memory, 1.0).kept.memory.size


def test_a_run_that_went_on_has_no_start_of_its_own(theory):
    more = ts.integrate(committee(), ts.last_state(theory), SECOND)
    with pytest.raises(ValueError, match=r"went on from t = 1 of another one, and have no start"):
        ts.start_of(more)
    np.testing.assert_allclose(ts.start_of(more.isel(time=0)).Q, theory.Q[-1], atol=1e-15)
    later = ts.integrate(committee(), ts.last_state(theory), SECOND[1:])
    with pytest.raises(ValueError, match="went on from t = 1|begin at t = 1.7"):
        ts.start_of(later)


def test_what_is_no_run_has_no_state(theory):
    networks = ts.simulate(committee(), random_overlaps(K, M), FIRST, N=50, seeds=2)
    report = ts.compare(theory, networks)
    for data, message in (
        (report, "the data are a comparison, which has no start"),
        (theory.drop_attrs(), "do not say how they were made"),
    ):
        with pytest.raises(ValueError, match=message):
            ts.last_state(data)
    with pytest.raises(ValueError, match="data is an? .*; give"):
        ts.last_state(theory.Q)
