"""The theory of a protocol: that of its problems, each from where the one before it ended; and
thresholds, at the time at which they are crossed.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.errors import DivergenceError, ThresholdError
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.protocols import (
    READOUTS,
    K,
    M,
    assert_same,
    begin,
    begin_of_classes,
    manifold,
    on_teacher,
    two_classes,
)

FIRST = np.array([0.0, 0.4, 1.0])  # the times of the first phase, and its duration
SECOND = np.array([1.0, 1.3, 2.0])
EXACT = {"rtol": 1e-11, "atol": 1e-12}


def joined_times(*phases):
    return np.unique(np.concatenate(phases))


def fresh(data, index: int) -> ts.OrderParameters:
    """The numbers at a time as a start of their own, at t = 0."""
    at = data.isel(time=index)
    fixed = {name: at[name].values for name in ("R", "m", "b") if name in at}
    Q = (at.Q.values + at.Q.values.T) / 2
    T = data["T"].values if "T" in data else None
    return ts.OrderParameters(Q, T=T, v=at.v.values, **fixed)


XOR = ts.GaussianMixture([0.5, 0.5], [1, -1], means=[[0.9], [-0.4]])
CHANGES = {
    # name: the two problems and their start
    "teacher": (on_teacher(0), on_teacher(1), begin()),
    "learning rate": (on_teacher(0), on_teacher(0, ts.SGD(0.1)), begin()),
    "trained layers": (on_teacher(0), on_teacher(0, both_layers=True), begin()),
    "rule": (on_teacher(0), on_teacher(0, ts.HeavyBall(0.4, gamma=1.5)), begin()),
    "batch": (on_teacher(0), on_teacher(0, batch_size=5), begin()),
    "loss": (two_classes(loss="correlation"), two_classes(), begin_of_classes()),
    "law": (two_classes(), two_classes(ts.SpikedCumulant(20.0)), begin_of_classes()),
    "mixture": (two_classes(), two_classes(XOR), begin_of_classes()),
}


@pytest.mark.parametrize("change", mostly_long(CHANGES, ["rule"]))
def test_each_phase_begins_where_the_one_before_it_ended(change):
    """The second phase by itself, from the numbers at its begin as a start at t = 0."""
    first, second, start = CHANGES[change]
    protocol = ts.Protocol((first, 1.0), (second, 1.0))
    theory = ts.integrate(protocol, start, joined_times(FIRST, SECOND), **EXACT)
    one = ts.integrate(first, start, FIRST, **EXACT)
    two = ts.integrate(second, fresh(one, -1), SECOND - 1, **EXACT)
    assert_same(theory.isel(time=slice(0, 3)), one, 1e-10)
    later = theory.isel(time=slice(3, None))
    assert_same(later, two.isel(time=slice(1, None)), 1e-9)
    assert theory.phase.values.tolist() == [0, 0, 0, 1, 1]
    assert theory.switch_time.values.tolist() == [1.0]
    stays = ts.integrate(first, start, joined_times(FIRST, SECOND), **EXACT)
    assert float(abs(theory.Q[-1] - stays.Q[-1]).max()) > 1e-4  # it is no change of nothing


@pytest.mark.long
def test_momentum_goes_on_in_the_same_rule_and_begins_anew_after_another_one():
    ball = on_teacher(0, ts.HeavyBall(0.4, gamma=1.5))
    times = joined_times(FIRST, SECOND)
    once = ts.integrate(ball, begin(), times, **EXACT)
    twice = ts.integrate(ts.Protocol((ball, 1.0), (ball, 1.0)), begin(), times, **EXACT)
    assert_same(twice, once, 1e-9)
    between = ts.Protocol((ball, 1.0), (on_teacher(0), 0.5), (ball, 1.0))
    theory = ts.integrate(between, begin(), [*FIRST, 1.5, 2.0, 2.5], **EXACT)
    alone = ts.integrate(ball, fresh(theory, 3), [0.0, 0.5, 1.0], **EXACT)
    assert_same(theory.isel(time=slice(4, None)), alone.isel(time=slice(1, None)), 1e-9)
    other = ts.Protocol((ball, 1.0), (on_teacher(1, ball.rule), 1.0))
    switched = ts.integrate(other, begin(), times, **EXACT)
    state = ts.last_state(ts.integrate(ball, begin(), FIRST, **EXACT))
    gone_on = ts.integrate(on_teacher(1, ball.rule), state, SECOND, **EXACT)
    assert_same(switched.isel(time=slice(3, None)), gone_on.isel(time=slice(1, None)), 1e-10)


@pytest.mark.long
def test_a_protocol_is_a_piecewise_schedule():
    rates = ts.piecewise([0.5, 0.1, 0.8], [1.0, 1.5])
    phases = [(0.5, 1.0), (0.1, 0.5), (0.8, 0.5)]
    protocol = ts.Protocol(*[(on_teacher(0, ts.SGD(rate)), length) for rate, length in phases])
    times = joined_times(FIRST, SECOND)
    in_phases = ts.integrate(protocol, begin(), times, **EXACT)
    at_once = ts.integrate(on_teacher(0, ts.SGD(rates)), begin(), times, **EXACT)
    assert_same(in_phases, at_once, 1e-9)


def test_a_teacher_that_switches_is_a_schedule_of_its_readout():
    def readout(t):
        return jnp.where(t < 1.0, jnp.asarray(READOUTS[0]), jnp.asarray(READOUTS[1]))

    task = ts.TeacherStudent(M, readout=ts.Schedule(readout, jumps=(1.0,)), noise=0.1)
    times = joined_times(FIRST, SECOND)
    at_once = ts.integrate(ts.Problem(task, ts.Student(K), ts.SGD(0.5)), begin(), times, **EXACT)
    protocol = ts.Protocol((on_teacher(0), 1.0), (on_teacher(1), 1.0))
    in_phases = ts.integrate(protocol, begin(), times, **EXACT)
    assert_same(in_phases.drop_vars("eps_g"), at_once.drop_vars("eps_g"), 1e-9)
    # At the time of the jump a schedule is behind it, and a phase before it.
    np.testing.assert_allclose(
        in_phases.eps_g[[0, 1, 3, 4]], at_once.eps_g[[0, 1, 3, 4]], atol=1e-9
    )
    assert abs(float(in_phases.eps_g[2] - at_once.eps_g[2])) > 1e-3


@pytest.mark.long
def test_schedules_are_functions_of_the_one_time_axis():
    rate = ts.exponential(0.5, rate=1.0)
    times = joined_times(FIRST, SECOND)
    once = ts.integrate(on_teacher(0, ts.SGD(rate)), begin(), times, **EXACT)
    phases = [(on_teacher(0, ts.SGD(rate)), 1.0)] * 2
    assert_same(ts.integrate(ts.Protocol(*phases), begin(), times, **EXACT), once, 1e-9)


@pytest.mark.long
def test_every_mode_of_a_hidden_manifold_goes_on():
    start = ts.OrderParameters(Q=np.eye(2), R=[[0.2, 0.0], [0.1, 0.3]])
    times = joined_times(FIRST, SECOND)
    protocol = ts.Protocol((manifold(0), 1.0), (manifold(1), 1.0))
    theory = ts.integrate(protocol, start, times, spectral=True)
    one = ts.integrate(manifold(0), start, FIRST, spectral=True)
    two = ts.integrate(manifold(1), ts.last_state(one), SECOND, spectral=True)
    later = theory.isel(time=slice(3, None))
    assert_same(later, two.isel(time=slice(1, None)), 1e-10)
    np.testing.assert_allclose(later.r, two.r[1:], atol=1e-10)
    shifted = ts.integrate(manifold(1), ts.start_of(one.isel(time=-1)), SECOND - 1)
    assert_same(later, shifted.isel(time=slice(1, None)), 1e-7)


AT_LEVEL = ts.until("eps_g", below=0.2)


def several_starts() -> ts.OrderParameters:
    starts = [begin(seed) for seed in (0, 1)]
    return ts.OrderParameters(
        *(np.stack([getattr(one, name) for one in starts]) for name in ("Q", "R", "T", "v"))
    )


@pytest.mark.long
@pytest.mark.parametrize("end", mostly_long([AT_LEVEL, 1.0], [AT_LEVEL]))
def test_each_start_of_a_batch_goes_through_the_phases(end):
    times = [0.0, 0.5, 1.0, 3.0, 6.0]
    protocol = ts.Protocol((on_teacher(0), end), (on_teacher(1), 10.0))
    together = ts.integrate(protocol, several_starts(), times)
    assert together.Q.sizes["start"] == 2
    switches = []
    for seed in (0, 1):
        alone = ts.integrate(protocol, begin(seed), times)
        one = together.isel(start=seed)
        assert_same(one, alone, 1e-7)
        switches.append(float(alone.switch_time[0]))
        if end != 1.0:
            assert float(one.switch_time[0]) == pytest.approx(switches[-1], abs=1e-9)
            np.testing.assert_array_equal(one.phase, alone.phase)
    assert (switches[0] == switches[1]) == (end == 1.0)


# ---- thresholds ----

LONG = [0.0, 1.0, 5.0, 20.0, 40.0]


def switched(until, solver="auto", first=None, **options):
    """A theory whose first phase ends at a threshold, and the time at which it does."""
    protocol = ts.Protocol((first or on_teacher(0), until), (on_teacher(1), 100.0))
    theory = ts.integrate(protocol, begin(), LONG, solver=solver, **options)
    return theory, float(theory.switch_time[0])


def total(at):
    return (at.R**2).sum()


TOTAL = ts.Observable("total", (), "$r^2$", of=total)
RANK = "effective_rank"


@pytest.mark.parametrize(
    ("quantity", "threshold"),
    [
        pytest.param("eps_g", {"below": 0.1}, marks=pytest.mark.long),
        pytest.param("eps_g", {"below": 0.1, "within": 30.0}, marks=pytest.mark.long),
        (TOTAL, {"above": 0.6}),
        pytest.param(RANK, {"above": 2.6}, marks=pytest.mark.long),
    ],
)
def test_a_threshold_is_located(quantity, threshold):
    """At the switch the quantity is at the level, by an integration of its own to that time."""
    until = ts.until(quantity, **threshold)
    theory, time = switched(until, rtol=1e-10)
    recorded = [] if quantity == "eps_g" else [quantity]
    alone = ts.integrate(
        on_teacher(0), begin(), [0.0, 0.5 * time, time], observables=recorded, rtol=1e-10
    )
    values = alone[until.name].values
    assert 0 < time < 30 and theory.phase.values.tolist()[-1] == 1
    assert values[-1] == pytest.approx(until.level, abs=1e-7)
    assert not until.is_met(values[:-1]).any()


@pytest.mark.long
def test_the_velocity_is_a_threshold_of_the_theory():
    until = ts.until("velocity", below=0.1)
    _, time = switched(until)
    observables = ["drift_Q", "drift_R"]
    alone = ts.integrate(on_teacher(0), begin(), [0.0, time], observables=observables)
    fastest = max(float(abs(alone[name][-1]).max()) for name in observables)
    assert fastest == pytest.approx(0.1, abs=1e-7)


@pytest.mark.parametrize("solver", mostly_long(["tsit5", "kvaerno5"], []))
def test_solvers_agree_on_the_time_of_a_threshold(solver):
    until = ts.until("eps_g", below=0.1)
    assert switched(until, solver)[1] == pytest.approx(switched(until, "dopri8")[1], rel=1e-6)


def test_what_follows_a_threshold_is_that_of_a_duration():
    theory, time = switched(ts.until("eps_g", below=0.1))
    protocol = ts.Protocol((on_teacher(0), time), (on_teacher(1), 100.0))
    assert_same(theory, ts.integrate(protocol, begin(), LONG), 1e-8)


def test_a_phase_lasts_at_most_within():
    theory, time = switched(ts.until("eps_g", below=1e-9, within=3.0))
    assert time == 3.0
    protocol = ts.Protocol((on_teacher(0), 3.0), (on_teacher(1), 100.0))
    assert_same(theory, ts.integrate(protocol, begin(), LONG), 1e-9)


def test_a_threshold_that_is_met_at_the_begin_ends_the_phase_there():
    theory, time = switched(ts.until("eps_g", below=1e3))
    assert time == 0.0
    assert theory.phase.values.tolist() == [0, 1, 1, 1, 1]  # t = 0 is the end of the first phase
    assert_same(
        theory.isel(time=slice(1, None)),
        ts.integrate(on_teacher(1), begin(), LONG)[{"time": slice(1, None)}],
        1e-9,
    )


def test_a_threshold_that_is_not_reached_says_how_near_it_came():
    protocol = ts.Protocol((on_teacher(0), ts.until("eps_g", below=1e-9)), (on_teacher(1), 1.0))
    with pytest.raises(ThresholdError, match=r"phase 0 of the protocol, until\('eps_g'") as caught:
        ts.integrate(protocol, begin(), LONG)
    alone = ts.integrate(on_teacher(0), begin(), LONG)
    assert f"(the smallest eps_g is {float(alone.eps_g.min()):.6g})" in str(caught.value)
    assert caught.value.time == 40.0
    assert_same(caught.value.partial, alone, 1e-10)
    assert caught.value.partial.phase.values.tolist() == [0] * 5


def test_the_last_phase_may_end_at_a_threshold():
    protocol = ts.Protocol((on_teacher(0), 1.0), (on_teacher(1), ts.until("eps_g", below=0.1)))
    with pytest.warns(UserWarning, match="the protocol ends at t = .*, before the last time"):
        theory = ts.integrate(protocol, begin(), LONG, rtol=1e-10)
    end = float(theory.time[-1])
    assert 1 < end < 40 and set(theory.time.values[:-1]) <= set(LONG)
    assert float(theory.eps_g[-1]) == pytest.approx(0.1, abs=1e-7)
    assert ts.last_state(theory).time == end
    never = ts.Protocol((on_teacher(0), 1.0), (on_teacher(1), ts.until("eps_g", below=1e-9)))
    assert ts.integrate(never, begin(), LONG).time.values.tolist() == LONG


@pytest.mark.long
def test_thresholds_of_two_classes_are_of_the_loss():
    first, second, start = CHANGES["law"]
    protocol = ts.Protocol((first, ts.until("loss", below=0.56)), (second, 100.0))
    theory = ts.integrate(protocol, start, [0.0, 1.0, 5.0])
    alone = ts.integrate(first, start, [0.0, float(theory.switch_time[0])])
    assert float(alone.loss[-1]) == pytest.approx(0.56, abs=1e-7)


@pytest.mark.long
def test_a_quantity_without_derivative_is_refused():
    """The accuracy is of frozen points: a step function in the last digits."""
    first, second, start = CHANGES["law"]
    protocol = ts.Protocol((first, ts.until("accuracy", above=0.53)), (second, 100.0))
    with pytest.raises(ValueError, match="'accuracy' has no derivative.* give 'loss'"):
        ts.integrate(protocol, start, [0.0, 5.0, 40.0])


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        ("alignment", "until.quantity = 'alignment' is not one number .* give 'eps_g', or"),
        ("drift_Q", "until.quantity = 'drift_Q' is not one number"),
        ("densities", "until.quantity = 'densities' is not one number"),
        ("epsg", "until.quantity = 'epsg' is none of the built-in observables"),
    ],
)
def test_a_quantity_of_a_threshold_is_one_number(quantity, message):
    with pytest.raises(ValueError, match=message):
        switched(ts.until(quantity, below=0.1))


def test_a_batch_ratio_has_durations():
    problem = on_teacher(0, ts.AGD(first_scale=1.0), batch_ratio=2.0)
    protocol = ts.Protocol((problem, ts.until("eps_g", below=0.1)), (problem, 5.0))
    with pytest.raises(ValueError, match="with batch_ratio time counts updates.*give a duration"):
        ts.integrate(protocol, begin(), [0.0, 5.0])


# ---- the rest of a run ----


def test_a_divergence_keeps_the_phases_before_it():
    wild = ts.Problem(ts.TeacherStudent(M, "quadratic"), ts.Student(K, "quadratic"), ts.SGD(5.0))
    calm = ts.Problem(wild.task, wild.student, ts.SGD(0.01))
    with pytest.raises(DivergenceError) as caught:
        ts.integrate(ts.Protocol((calm, 1.0), (wild, 99.0)), begin(), [*FIRST, 50.0])
    assert caught.value.time > 1.0
    assert_same(caught.value.partial, ts.integrate(calm, begin(), FIRST), 1e-10)
    assert caught.value.partial.switch_time.values.tolist() == [1.0]


@pytest.mark.long
def test_a_state_at_the_end_of_a_protocol_goes_on():
    ball = on_teacher(1, ts.HeavyBall(0.4, gamma=1.5))
    times = joined_times(FIRST, SECOND)
    longer = ts.integrate(ts.Protocol((on_teacher(0), 1.0), (ball, 3.0)), begin(), [*times, 4.0])
    theory = ts.integrate(ts.Protocol((on_teacher(0), 1.0), (ball, 1.0)), begin(), times)
    more = ts.integrate(ball, ts.last_state(theory), [2.0, 4.0])
    assert_same(more.isel(time=-1), longer.isel(time=-1), 1e-7)
    protocol = ts.Protocol((ball, 1.0), (on_teacher(0), 1.0))  # from the state, another protocol
    again = ts.integrate(protocol, ts.last_state(theory), [2.0, 3.0, 4.0])
    assert again.phase.values.tolist() == [0, 0, 1]
    assert_same(
        again.isel(time=1), ts.integrate(ball, ts.last_state(theory), [2.0, 3.0])[{"time": 1}], 1e-9
    )
    assert again.switch_time.values.tolist() == [3.0]


def test_forgetting_is_the_error_on_the_first_teacher():
    """eps_g of a problem on that teacher, at the same order parameters."""
    protocol = ts.Protocol((on_teacher(0), 4.0), (on_teacher(1), 4.0))
    first = on_teacher(0)
    theory = ts.integrate(
        protocol, begin(), [0.0, 2.0, 4.0, 6.0, 8.0], observables=[ts.error_on(first.task)]
    )
    states = ts.OrderParameters(
        theory.Q.values, theory.R.values, np.broadcast_to(theory.T, (5, M, M)), theory.v.values
    )
    errors = np.asarray(ts.generalisation_error(first, states))
    np.testing.assert_allclose(theory.eps_g_other, errors, atol=1e-12)
    np.testing.assert_allclose(theory.eps_g_other[:3], theory.eps_g[:3], atol=1e-12)
    assert float(theory.eps_g_other[-1]) > float(theory.eps_g_other[2]) > 0


def test_the_report_is_of_all_phases():
    times = joined_times(FIRST, SECOND)
    theory = ts.integrate(ts.Protocol((on_teacher(0), 1.0), (on_teacher(1), 1.0)), begin(), times)
    alone = ts.integrate(on_teacher(0), begin(), FIRST)
    report = description(theory)["report"]
    assert report["steps"] > description(alone)["report"]["steps"]
    assert report["last_time"] == 2.0


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, 0.5], r"times\[-1\] = 0.5, but phase 1 of the protocol begins at t = 1"),
        ([0.0, 3.0], r"times\[-1\] = 3 is after t = 2, where the protocol ends"),
    ],
)
def test_the_times_fit_the_phases(times, message):
    protocol = ts.Protocol((on_teacher(0), 1.0), (on_teacher(1), 1.0))
    with pytest.raises(ValueError, match=message):
        ts.integrate(protocol, begin(), times)


@pytest.mark.long
def test_solve_follows_schedules():
    """The pure function behind `integrate`, with numbers that change with time."""
    problem = on_teacher(0, ts.SGD(ts.piecewise([0.5, ts.exponential(0.3, 0.5)], [1.0])))
    times = joined_times(FIRST, SECOND)
    solved = ts.solve(problem, begin(), times)
    theory = ts.integrate(problem, begin(), times)
    np.testing.assert_allclose(solved.Q, theory.Q, atol=1e-9)
    np.testing.assert_allclose(solved.eps_g, theory.eps_g, atol=1e-9)
    with pytest.raises(ValueError, match="problem is a Protocol; give a Problem"):
        ts.solve(ts.Protocol((problem, 1.0)), begin(), times)


@pytest.mark.parametrize(("first", "last"), mostly_long([(0, 1), (1, 0)], [(0, 1)]))
def test_rules_of_other_modes_cannot_go_on(first, last):
    """SignSGD is solved in the modes of the signs of the inputs, SGD in those of the inputs."""
    Omega = np.diag(np.linspace(0.5, 1.5, 12))
    task = ts.GaussianEquivalent(Omega, Omega[:, :6] * 0.4, width=2)
    rules = [ts.SGD(0.2), ts.SignSGD(0.2)]
    problems = [ts.Problem(task, ts.Student(width=3), rule) for rule in rules]
    start = ts.random_start(problems[0], seed=0)
    protocol = ts.Protocol((problems[first], 1.0), (problems[last], 1.0))
    with pytest.raises(ValueError, match="SignSGD has other modes of these inputs"):
        ts.integrate(protocol, start, [0.0, 2.0])
