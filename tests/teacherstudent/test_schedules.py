"""Numbers that change with time: their values, how they are shown, kept in files and refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import teacherstudent as ts
from teacherstudent.results.description import describe_problem, problem_from
from tests.problems import random_overlaps

K, M = 3, 2
TIMES = [0.0, 1.0, 2.0]


class Wave(ts.Schedule):
    """A class of one's own."""

    mean: float
    period: float

    def __init__(self, mean, period):
        self.mean, self.period = mean, period

    def __call__(self, t):
        return self.mean * (1 + jnp.sin(2 * jnp.pi * t / self.period))


def falling(t):
    return 0.5 / (1 + t)


def learning(rate, **teacher) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(M, **teacher), ts.Student(K), ts.SGD(rate))


def theory(rate, **teacher):
    return ts.integrate(learning(rate, **teacher), random_overlaps(K, M), TIMES)


# ---------------------------------------------------------------- values

AT = np.array([0.0, 0.3, 1.0, 2.5, 4.0, 7.0, 30.0])  # of them 1, 4 and 7 are breaks
VALUES = {
    "constant": (ts.constant(0.3), lambda t: 0.3 + 0 * t),
    "exponential": (
        ts.exponential(0.5, rate=0.7, final=0.1),
        lambda t: 0.1 + 0.4 * np.exp(-0.7 * t),
    ),
    "exponential that grows": (ts.exponential(0.5, rate=-0.1), lambda t: 0.5 * np.exp(0.1 * t)),
    "power": (
        ts.power(0.5, exponent=0.6, scale=3.0),
        lambda t: 0.5 * np.power(1 + t / 3.0, -0.6),
    ),
    "cosine": (
        ts.cosine(0.5, duration=4.0, final=0.1),
        lambda t: np.where(t < 4.0, 0.3 + 0.2 * np.cos(np.pi * t / 4.0), 0.1),
    ),
    "linear": (
        ts.linear(0.5, final=0.1, duration=4.0),
        lambda t: np.where(t < 4.0, 0.5 - 0.1 * t, 0.1),
    ),
    "warm-up": (ts.warm_up(0.5, duration=4.0), lambda t: np.where(t < 4.0, t / 8, 0.5)),
    "piecewise": (
        ts.piecewise([0.1, 0.5, 0.2], [1.0, 7.0]),
        lambda t: np.where(t < 1.0, 0.1, np.where(t < 7.0, 0.5, 0.2)),
    ),
    "interpolated": (
        ts.interpolated([1.0, 4.0, 7.0], [0.1, 0.5, 0.2]),
        lambda t: np.interp(t, [1.0, 4.0, 7.0], [0.1, 0.5, 0.2]),
    ),
    "warm-up of an exponential": (
        ts.warm_up(ts.exponential(0.5, rate=0.2), duration=4.0),
        lambda t: np.where(t < 4.0, t / 4, 1.0) * 0.5 * np.exp(-0.2 * t),
    ),
    "piecewise of schedules": (
        ts.piecewise([ts.power(0.4), 0.2, ts.cosine(0.3, duration=8.0)], [1.0, 7.0]),
        lambda t: np.where(
            t < 1.0,
            0.4 / (1 + t),
            np.where(t < 7.0, 0.2, np.where(t < 8.0, 0.15 * (1 + np.cos(np.pi * t / 8.0)), 0.0)),
        ),
    ),
    "function": (ts.Schedule(falling), lambda t: 0.5 / (1 + t)),
    "class of one's own": (
        Wave(0.2, period=5.0),
        lambda t: 0.2 * (1 + np.sin(2 * np.pi * t / 5.0)),
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_are_those_of_plain_formulas(name):
    schedule, formula = VALUES[name]
    found = [float(learning(schedule).at(t).rule.learning_rate) for t in AT]
    np.testing.assert_allclose(found, formula(AT), rtol=1e-14, atol=1e-16)
    assert len(set(found)) > 1 or name == "constant"


def test_the_solver_is_told_of_jumps_and_kinks():
    nested = ts.piecewise([ts.warm_up(ts.cosine(0.3, duration=6.0), duration=2.0), 0.1], [4.0])
    assert set(nested.jump_times()) == {4.0}
    assert set(nested.kink_times()) == {2.0, 6.0}
    assert ts.Schedule(falling, jumps=[1.0, 3.0]).jump_times() == (1.0, 3.0)
    assert ts.exponential(0.5, rate=0.1).jump_times() == ()
    assert set(ts.warm_up(ts.piecewise([0.1, 0.2], [3.0]), 1.0).jump_times()) == {3.0}


def test_at_gives_every_number_of_the_time_and_leaves_the_others():
    task = ts.TeacherStudent(
        M, readout=[ts.linear(1.0, final=-1.0, duration=2.0), 0.5], noise=ts.power(0.3)
    )
    problem = ts.Problem(task, ts.Student(K), ts.SGD(0.2, weight_decay=ts.constant(0.1)))
    assert problem.changes_with_time
    now = problem.at(2.0)
    assert not now.changes_with_time
    np.testing.assert_allclose(now.task.v_star, [-1.0, 0.5])
    assert float(now.task.noise) == pytest.approx(0.1)
    assert float(now.rule.weight_decay) == pytest.approx(0.1)
    assert now.rule.learning_rate == 0.2
    plain = learning(0.2)
    assert plain.at(2.0) is plain


@pytest.mark.parametrize(
    "readout",
    [
        ts.piecewise([[1.0, 0.5], [0.2, -0.5]], [1.0]),
        [ts.piecewise([1.0, 0.2], [1.0]), ts.piecewise([0.5, -0.5], [1.0])],
        ts.Schedule(
            lambda t: jnp.where(t < 1.0, jnp.array([1.0, 0.5]), jnp.array([0.2, -0.5])), jumps=[1.0]
        ),
    ],
    ids=["piecewise of vectors", "list of schedules", "function"],
)
def test_a_readout_may_change_as_a_whole_or_unit_by_unit(readout):
    problem = learning(0.3, readout=readout)
    np.testing.assert_array_equal(problem.at(0.5).task.v_star, [1.0, 0.5])
    np.testing.assert_array_equal(problem.at(1.0).task.v_star, [0.2, -0.5])


# ---------------------------------------------------------------- how they are shown


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (ts.constant(0.3), "constant(value=0.3)"),
        (ts.exponential(0.5, rate=0.1), "exponential(initial=0.5, rate=0.1)"),
        (
            ts.exponential(0.5, rate=[0.1, 0.2], final=0.1),
            "exponential(initial=0.5, rate=[0.1, 0.2], final=0.1)",
        ),
        (ts.power(0.5), "power(initial=0.5)"),
        (
            ts.linear(0.5, final=0.1, duration=4.0),
            "linear(initial=0.5, final=0.1, duration=4)",
        ),
        (
            ts.warm_up(ts.cosine(0.5, duration=9.0), duration=2.0),
            "warm_up(\n    target=cosine(initial=0.5, duration=9),\n    duration=2,\n)",
        ),
        (ts.piecewise([0.1, 0.5], [3.0]), "piecewise(values=(0.1, 0.5), times=(3.0,))"),
        (ts.Schedule(falling, jumps=[1.0]), "Schedule(function=<function falling>, jumps=(1.0,))"),
        (Wave(0.2, period=5.0), "Wave(mean=0.2, period=5)"),
    ],
)
def test_they_are_shown_as_one_makes_them(schedule, text):
    assert repr(schedule) == text
    assert text.replace("\n", "\n    ") in repr(ts.SGD(schedule))


# ---------------------------------------------------------------- files

NAMED = [
    ts.constant(0.3),
    ts.exponential(0.5, rate=0.1),
    ts.exponential(0.5, rate=[0.1, 0.2]),
    ts.power(0.5, exponent=0.7, scale=3.0),
    ts.cosine(0.5, duration=4.0, final=0.1),
    ts.linear(0.5, final=0.1, duration=4.0),
    ts.warm_up(ts.exponential(0.5, rate=0.1), duration=2.0),
    ts.piecewise([0.1, ts.warm_up(ts.power(0.5), duration=4.0), 0.3], [1.0, 5.0]),
    ts.interpolated([0.0, 1.0, 5.0], [0.1, 0.4, 0.3]),
    ts.interpolated([0.0, 1.0, 5.0], [0.1, [0.4, 0.2], 0.3]),
]


@pytest.mark.parametrize("schedule", NAMED, ids=lambda one: type(one).__name__)
def test_named_kinds_are_read_back(schedule):
    problem = ts.Problem(
        ts.TeacherStudent(M, noise=schedule, readout=[schedule, 0.5]),
        ts.Student(K),
        ts.SGD(schedule, weight_decay=0.1),
    )
    again = problem_from(json.loads(json.dumps(describe_problem(problem))))
    assert repr(again) == repr(problem)
    assert type(again.rule.learning_rate) is type(schedule)
    if not problem.sweeps:
        assert float(again.at(1.5).task.noise) == float(problem.at(1.5).task.noise)


@pytest.mark.parametrize(
    ("schedule", "kept"),
    [
        (ts.Schedule(falling), "function"),
        (ts.Schedule(optax.exponential_decay(0.1, 10, 0.9)), "function"),
        (Wave(0.2, period=5.0), "tests.teacherstudent.test_schedules.Wave"),
    ],
)
def test_functions_and_own_classes_keep_their_name_alone(schedule, kept):
    described = json.loads(json.dumps(describe_problem(learning(schedule))))
    table = described["rule"]["learning_rate"]
    assert table["schedule"] == kept
    if kept == "function":
        assert table["function"].startswith("function:") and table["function"][9:].count(".") > 1
    else:
        assert (table["mean"], table["period"]) == (0.2, 5.0)
    with pytest.raises(ValueError, match=r"files keep the name only: make the problem with it\."):
        problem_from(described)


@pytest.mark.long
def test_a_dataset_names_a_function_and_does_not_make_it_up():
    data = theory(ts.Schedule(falling))
    with pytest.raises(ValueError, match=r"rule.learning_rate.schedule = 'function' is not known"):
        ts.problem_of(data)


@pytest.mark.long
def test_the_problem_of_a_saved_dataset(tmp_path):
    problem = learning(
        ts.warm_up(ts.exponential(0.5, rate=0.1), duration=1.0), noise=ts.cosine(0.2, duration=2.0)
    )
    ts.save(tmp_path / "run.h5", theory=ts.integrate(problem, random_overlaps(K, M), TIMES))
    again = ts.problem_of(ts.load(tmp_path / "run.h5")["theory"].dataset)
    assert repr(again) == repr(problem)


@pytest.mark.parametrize(
    ("rate", "name", "selected"),
    [
        (
            ts.exponential(0.5, rate=[0.1, 0.2, 0.4]),
            "learning_rate_rate",
            ts.exponential(0.5, rate=0.2),
        ),
        (
            ts.piecewise([0.1, 0.3], [[0.5, 1.0, 1.5]]),
            "learning_rate_times_0",
            ts.piecewise([0.1, 0.3], [1.0]),
        ),
        (
            ts.piecewise([0.1, [0.2, 0.3, 0.4]], [1.0]),
            "learning_rate_values_1",
            ts.piecewise([0.1, 0.3], [1.0]),
        ),
        (
            ts.warm_up(ts.exponential([0.1, 0.2, 0.3], rate=0.1), duration=1.0),
            "learning_rate_target_initial",
            ts.warm_up(ts.exponential(0.2, rate=0.1), duration=1.0),
        ),
    ],
)
def test_the_problem_of_a_selected_curve(rate, name, selected):
    data = theory(rate)
    assert learning(rate).sweeps.keys() == {name}
    assert data.Q.dims[0] == name
    assert repr(ts.problem_of(data)) == repr(learning(rate))
    assert repr(ts.problem_of(data.isel({name: 1}))) == repr(learning(selected))
    with pytest.raises(ValueError, match=f"do not say of which {name} they are"):
        ts.problem_of(data.isel({name: 1}, drop=True))


def test_a_readout_of_vectors_is_no_sweep():
    problem = learning(0.3, readout=ts.piecewise([[1.0, 0.5], [0.2, -0.5]], [1.0]))
    assert not problem.sweeps
    data = ts.integrate(problem, random_overlaps(K, M), TIMES)
    assert repr(ts.problem_of(data)) == repr(problem)


TOML = """
title = "decay"
task = {type = "TeacherStudent", width = 2, noise = {schedule = "power", initial = 0.3}}
student = {width = 3}
start = {random = {N = 100}}
times = {stop = 5.0, points = 6}

[rule]
type = "SGD"
learning_rate = RATE
"""


def read(tmp_path, rate: str, changes=None) -> ts.Problem:
    path = tmp_path / "decay.toml"
    path.write_text(TOML.replace("RATE", rate))
    return ts.Experiment.read(path, changes).plan.problem


def test_tables_of_a_file_make_schedules(tmp_path):
    problem = read(tmp_path, '{schedule = "exponential", initial = 0.5, rate = 0.1}')
    assert repr(problem.rule) == repr(ts.SGD(ts.exponential(0.5, rate=0.1)))
    assert repr(problem.task.noise) == repr(ts.power(0.3))
    nested = '{schedule = "warm_up", duration = 2.0, target = {schedule = "power", initial = 0.5}}'
    problem = read(tmp_path, nested, {"rule.learning_rate.target.initial": 0.7})
    assert repr(problem.rule) == repr(ts.SGD(ts.warm_up(ts.power(0.7), duration=2.0)))


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (
            '{schedule = "exponentia", initial = 0.5, rate = 0.1}',
            "rule.learning_rate.schedule = 'exponentia' is not known; known are constant, .*"
            "did you mean 'exponential'",
        ),
        (
            '{schedule = "exponential", initial = 0.5, rat = 0.1}',
            "unknown key rule.learning_rate.rat: did you mean rule.learning_rate.rate",
        ),
        (
            '{schedule = "exponential", initial = 0.5}',
            "rule.learning_rate.rate is missing",
        ),
        ("{initial = 0.5, rate = 0.1}", "rule.learning_rate = .* is not a number"),
        ("{schedule = 3, initial = 0.5}", "rule.learning_rate.schedule = 3 is not known"),
        (
            '{schedule = "warm_up", duration = 1.0, target = {schedule = "powr", initial = 0.5}}',
            "rule.learning_rate.target.schedule = 'powr' is not known.*did you mean 'power'",
        ),
        (
            '{schedule = "power", initial = 0.5, scale = -1.0}',
            "schedule.scale = -1.0 is not allowed; give a finite number larger than 0",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told(tmp_path, rate, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, rate)


# ---------------------------------------------------------------- schedules of optax


@pytest.mark.long
def test_schedules_of_optax_count_updates():
    N = 200
    decay = optax.exponential_decay(0.5, transition_steps=N, decay_rate=np.exp(-0.7))
    theirs = ts.Schedule(decay, updates_per_time=N)
    ours = ts.exponential(0.5, rate=0.7)
    for t in AT:
        assert float(theirs(t)) == pytest.approx(float(ours(t)), rel=1e-12)
    for name in ("Q", "R", "eps_g"):
        np.testing.assert_allclose(theory(theirs)[name], theory(ours)[name], rtol=0, atol=1e-9)
    counted = ts.Schedule(optax.piecewise_constant_schedule(0.1, {N: 3.0}), updates_per_time=N)
    assert float(counted(0.9)) == pytest.approx(0.1)
    assert float(counted(1.1)) == pytest.approx(0.3)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ts.Schedule(0.3), r"schedule.function = 0.3 is no function of t; .*ts.constant"),
        (
            lambda: ts.Schedule(ts.constant(0.3)),
            r"schedule.function = constant\(value=0.3\) is no function of t",
        ),
        (lambda: ts.Schedule(falling, jumps="a"), "schedule.jumps = 'a' is not a number"),
        (
            lambda: ts.Schedule(falling, jumps=[np.nan]),
            "schedule.jumps = nan is not allowed; give a finite number",
        ),
        (
            lambda: ts.Schedule(falling, updates_per_time=0),
            "schedule.updates_per_time = 0 is not allowed; give a finite number larger than 0",
        ),
        (
            lambda: ts.Schedule(falling, updates_per_time=ts.constant(1.0)),
            "schedule.updates_per_time = constant.* cannot change with time",
        ),
        (
            lambda: ts.exponential(np.inf, rate=0.1),
            "schedule.initial = inf is not allowed; give a finite number",
        ),
        (lambda: ts.exponential(0.5, rate="fast"), "schedule.rate = 'fast' is not a number"),
        (
            lambda: ts.exponential(ts.constant(0.5), rate=0.1),
            r"schedule.initial = constant\(value=0.5\) cannot change with time; give one number",
        ),
        (lambda: ts.power(0.5, scale=0.0), "schedule.scale = 0.0 .* larger than 0"),
        (lambda: ts.cosine(0.5, duration=-1.0), "schedule.duration = -1.0 .* larger than 0"),
        (lambda: ts.linear(0.5, 0.1, duration=0.0), "schedule.duration = 0.0 .* larger than 0"),
        (lambda: ts.warm_up("a", duration=1.0), "schedule.target = 'a' is not a number"),
        (
            lambda: ts.piecewise([0.1, 0.2, 0.3], [2.0, 1.0]),
            "schedule.times has 1 after 2; give increasing times",
        ),
        (lambda: ts.piecewise([0.1, 0.2, 0.3], [1.0, 1.0]), "schedule.times has 1 after 1"),
        (
            lambda: ts.piecewise([0.1, 0.2, 0.3], [[1.0, 2.0], 1.5]),
            "schedule.times has 1.5 after 2",
        ),
        (
            lambda: ts.piecewise([0.1, 0.2, 0.3], [1.0]),
            "schedule.values has 3 entries and schedule.times 1; give one value more",
        ),
        (
            lambda: ts.interpolated([1.0], [0.1]),
            "schedule.times has 1 entries and schedule.values 1",
        ),
        (lambda: ts.interpolated([0.0, 1.0], [0.1]), "give two times or more, and a value at each"),
        (lambda: ts.interpolated([1.0, 1.0], [0.1, 0.2]), "schedule.times has 1 after 1"),
        (lambda: ts.piecewise([0.1], []), "schedule.values has 1 entries and schedule.times 0"),
        (
            lambda: ts.Signum(0.1, beta=ts.constant(0.5)),
            r"rule.beta = constant\(value=0.5\) cannot change with time; give one number",
        ),
        (
            lambda: ts.SpikedCumulant(beta=ts.constant(0.5)),
            r"task.beta = constant\(value=0.5\) cannot change with time; give one number",
        ),
        (
            lambda: ts.SGD(falling),
            r"rule.learning_rate = .* is not a number; .* ts.Schedule\(function\) for a function",
        ),
        (
            lambda: ts.TeacherStudent(M, noise=falling),
            r"task.noise = .* ts.Schedule\(function\) for a function of the time t",
        ),
        (
            lambda: ts.TeacherStudent(M, readout=falling),
            r"task.readout = .* ts.Schedule\(function\) for a function of the time t",
        ),
        (
            lambda: ts.SGD(ts.constant(0.1)).optax(),
            r"rule.learning_rate changes with time, which the networks of optax\(\) do not know",
        ),
        (
            lambda: ts.Nero(0.1, beta=ts.constant(0.9)).optax(),
            r"rule.beta changes with time, which the networks of optax\(\) do not know",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


OVER_TIME = [
    (
        ts.linear(0.5, final=-0.5, duration=2.0),
        r"rule.learning_rate = -0.0005\d* is not allowed; give a finite number at least 0, at "
        r"every time of the run: that is linear\(.*\) at t = 1.001\.",
    ),
    (
        ts.piecewise([0.1, -0.2], [1.3]),
        r"rule.learning_rate = -0.2 is not allowed.* at t = 1.3\.",
    ),
    (
        ts.exponential([0.1, -0.1], rate=1.0),
        r"rule.learning_rate = -0.1 is not allowed.* at t = 0\.",
    ),
    (
        ts.Schedule(lambda t: jnp.where(t > 1.5, jnp.nan, 0.1)),
        r"rule.learning_rate = Schedule\(.* is nan at t = 1.501\d*; give a schedule that is "
        "finite at every time of the run",
    ),
    (
        ts.Schedule(lambda t: 1 / t),
        "is inf at t = 0; give a schedule that is finite at every time of the run",
    ),
    (
        ts.piecewise([0.1, 0.2], [3.0]),
        r"piecewise\(values=\(0.1, 0.2\), times=\(3.0,\)\) jumps at t = 3, outside the run from "
        "t = 0 to 2; leave that jump out, or give times that reach it",
    ),
    (ts.piecewise([0.1, 0.2], [-1.0]), "jumps at t = -1, outside the run from t = 0 to 2"),
    (ts.Schedule(falling, jumps=[0.0]), "jumps at t = 0, outside the run from t = 0 to 2"),
    (ts.piecewise([0.1, 0.2], [[1.0, 3.0]]), "jumps at t = 3, outside the run"),
    (
        ts.Schedule(lambda t: 0.1 if t < 1 else 0.2),
        r"fails when it is traced by JAX \(TracerBoolConversionError: .*\); write it with "
        "jax.numpy, with jnp.where for its cases",
    ),
    (
        ts.Schedule(lambda t: jnp.array([0.1, 0.2])),
        r"answers an array of shape \(2,\) at one time; it is to answer one number",
    ),
    (
        ts.Schedule(lambda t: jax.lax.complex(t, t)),
        "answers values of the type complex128; it is to answer a real number",
    ),
    (ts.Schedule(lambda t: t > 1), "answers values of the type bool; it is to answer a real"),
    (ts.Schedule(lambda t: None), "fails when it is traced by JAX"),
]


@pytest.mark.parametrize(("rate", "message"), OVER_TIME)
def test_what_is_not_allowed_at_some_time_is_refused_before_the_run(rate, message):
    with pytest.raises(ValueError, match=message):
        theory(rate)
    if learning(rate).sweeps:
        return
    with pytest.raises(ValueError, match=message):
        ts.simulate(learning(rate), random_overlaps(K, M), TIMES, N=40, seeds=1)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            learning(0.1, readout=ts.Schedule(lambda t: jnp.array([1.0, t, 0.0]))),
            r"task.readout = .* answers an array of shape \(3,\) at one time",
        ),
        (
            learning(0.1, readout=ts.Schedule(lambda t: jnp.stack([1.0 + 0 * t, 1 / (t - 1)]))),
            r"task.readout = .* is inf at t = 1;",
        ),
        (
            learning(0.1, noise=ts.linear(0.1, final=-0.1, duration=2.0)),
            r"task.noise = -.* is not allowed.* at t = 1.001\.",
        ),
        (
            ts.Problem(
                ts.TeacherStudent(M),
                ts.Student(K),
                ts.HeavyBall(0.1, beta=ts.linear(0.5, final=1.5, duration=2.0)),
            ),
            r"rule.beta = 1 is not allowed; give a number from 0 to below 1, .* at t = 1\.",
        ),
        (
            ts.Problem(
                ts.TeacherStudent(M), ts.Student(K), ts.AGD(gain=ts.piecewise([1.0, 0.0], [1.0]))
            ),
            r"rule.gain = 0.0 is not allowed; .* larger than 0, .* at t = 1\.",
        ),
    ],
)
def test_the_range_is_that_of_the_number_that_changes(problem, message):
    with pytest.raises(ValueError, match=message):
        ts.integrate(problem, random_overlaps(K, M), TIMES)


@pytest.mark.long
def test_numbers_that_changed_before_a_run_went_on_are_not_looked_at():
    """A state at t = 1 begins after the jump, and after the times at which the rate is no rate."""
    start = ts.state_at(theory(0.3), 1.0)
    rate = ts.Schedule(lambda t: jnp.where(t < 1.0, -1.0, 0.2), jumps=[0.5])
    later = ts.integrate(learning(rate), start, [1.0, 2.0])
    expected = ts.integrate(learning(0.2), start, [1.0, 2.0])
    np.testing.assert_allclose(later.Q, expected.Q, rtol=1e-9)
