"""Protocols as objects, in files, in experiments, in verdicts and in pictures."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.command.experiment import Experiment
from teacherstudent.protocol import Protocol
from teacherstudent.results.comparison import factor_of_rates
from teacherstudent.results.datasets import description
from teacherstudent.results.description import describe_protocol
from teacherstudent.schedules import scaled
from tests.protocols import begin, begin_of_classes, on_teacher, two_classes

TWO = ts.Protocol((on_teacher(0), 1.0), (on_teacher(1), 1.0))
UNTIL = ts.until("eps_g", below=0.25, within=10.0)
AT_THRESHOLD = ts.Protocol((on_teacher(0), UNTIL), (on_teacher(1), 10.0))
TIMES = np.arange(9) / 4


def total(at):
    return (at.R**2).sum()


# ---- what a protocol says of itself ----


def test_its_representation_makes_it_again():
    shown = repr(AT_THRESHOLD)
    assert shown.startswith("Protocol(\n    (Problem(\n")
    assert "until('eps_g', below=0.25, within=10)" in shown
    names = {name: getattr(ts, name) for name in ts.__all__}
    again = eval(shown, names)
    assert repr(again) == shown


def test_a_threshold_says_what_it_waits_for():
    assert repr(ts.until("effective_rank", above=1.5)) == "until('effective_rank', above=1.5)"
    one = ts.until(ts.Observable("total", (), "$r^2$", of=total), below=2.0)
    assert repr(one) == "until('total', below=2)" and one.level == 2.0 and one.falling
    assert one.is_met(np.array([1.0, 2.0, 3.0])).tolist() == [True, False, False]
    assert one.nearest([3.0, np.nan, 2.5]) == 2.5


WEIGHTS = ts.sparsity(0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ts.until("eps_g"), "until has neither of below and above; give one threshold"),
        (lambda: ts.until("eps_g", below=1.0, above=2.0), "until has both of below and above"),
        (lambda: ts.until("eps_g", below=np.nan), "until.below = nan"),
        (lambda: ts.until("eps_g", below=1.0, within=0.0), "until.within = 0"),
        (lambda: ts.until(3, below=1.0), "until.quantity = 3; give the name"),
        (lambda: ts.until(WEIGHTS, below=1.0), "is not one number of the order"),
        (lambda: ts.until(ts.alignment(on_teacher(0).task), below=1.0), "not one number"),
    ],
)
def test_what_is_no_threshold_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


OTHER_WIDTH = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.1))
OTHER_TEACHER = ts.Problem(ts.TeacherStudent(3), ts.Student(3), ts.SGD(0.1))
MANIFOLDS = [
    ts.Problem(ts.HiddenManifold(2, latent_ratio=ratio), ts.Student(3), ts.SGD(0.1))
    for ratio in (0.5, 1.0)
]
COUNTED = on_teacher(0, ts.AGD(first_scale=1.0), batch_ratio=2.0)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([], "a protocol has no phases; give pairs"),
        ([on_teacher(0)], "phase 0 of the protocol is .*; give a pair"),
        ([(on_teacher(0), 1.0, 2.0)], "phase 0 of the protocol is .*; give a pair"),
        ([(on_teacher(0), 0.0)], "phase 0 of the protocol: duration = 0"),
        ([(on_teacher(0), "long")], "phase 0 of the protocol: duration = 'long'"),
        ([(on_teacher(0, ts.SGD([0.1, 0.2])), 1.0)], "phase 0 .* a sequence for learning_rate"),
        ([(on_teacher(0), 1.0), (OTHER_WIDTH, 1.0)], "phase 1 .* another student than phase 0"),
        ([(on_teacher(0), 1.0), (OTHER_TEACHER, 1.0)], "phase 1 .* has 3 teacher.*phase 0 2"),
        ([(MANIFOLDS[0], 1.0), (MANIFOLDS[1], 1.0)], "phase 1 .* has other inputs than phase 0"),
        ([(on_teacher(0), 1.0), (COUNTED, 1.0)], "count time in different units"),
    ],
)
def test_what_cannot_follow_is_refused(phases, message):
    with pytest.raises(ValueError, match=message):
        ts.Protocol(*phases)


# ---- files ----


@pytest.fixture(scope="module")
def theory():
    return ts.integrate(AT_THRESHOLD, begin(), TIMES)


@pytest.fixture(scope="module")
def networks():
    return ts.simulate(AT_THRESHOLD, begin(), TIMES, N=64, seeds=6, progress=False)


def test_a_description_has_every_phase():
    first, second = describe_protocol(AT_THRESHOLD)
    assert first["until"] == {"quantity": "eps_g", "below": 0.25, "within": 10.0}
    assert second["duration"] == 10.0
    assert [one["task"]["readout"] for one in (first, second)] == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.long
def test_files_give_the_protocol_back(theory, networks, tmp_path):
    report = ts.compare(theory, networks)
    tree = ts.save(tmp_path / "both.h5", theory=theory, simulation=networks, comparison=report)
    loaded = ts.load(tmp_path / "both.h5")
    for name, data in (("theory", theory), ("simulation", networks)):
        read = loaded[name].to_dataset()
        assert repr(ts.problem_of(read)) == repr(AT_THRESHOLD)
        np.testing.assert_array_equal(read.phase, data.phase)
        np.testing.assert_array_equal(read.switch_time, data.switch_time)
        again = tree[name].to_dataset()
        assert description(again)["protocol"] == description(data)["protocol"]
    read = loaded["theory"].to_dataset()
    state = ts.last_state(read)
    more = ts.integrate(on_teacher(1), state, [state.time, 3.0])
    once = ts.integrate(AT_THRESHOLD, begin(), [*TIMES, 3.0])
    np.testing.assert_allclose(more.Q[-1], once.Q[-1], atol=1e-7)


@pytest.mark.long
def test_an_observable_of_ones_own_is_not_read_back():
    until = ts.until(ts.Observable("total", (), "$r^2$", of=total), above=0.2)
    protocol = ts.Protocol((on_teacher(0), until), (on_teacher(1), 10.0))
    data = ts.integrate(protocol, begin(), [0.0, 8.0])
    with pytest.raises(ValueError, match="'observable:total' is an observable of one's own"):
        ts.problem_of(data)


# ---- verdicts and pictures ----


def test_a_verdict_says_where_switches_are_at_different_times(theory, networks):
    verdict = ts.compare(theory, networks).attrs["verdict"]
    switches = networks.switch_time.values[:, 0]
    found = (
        f" NOTE: phases end at thresholds, in the theory at t = {float(theory.switch_time[0]):.4g},"
        f" in the networks at their recorded times from t = {switches.min():.4g} to "
        f"{switches.max():.4g}: record more densely near it."
    )
    assert verdict.endswith(found)
    said = description(ts.compare(theory, networks))["switch"]
    assert said["phase"] == 0 and said["missing"] == 0


def test_a_verdict_is_silent_where_they_are_at_the_same_time():
    theory = ts.integrate(TWO, begin(), TIMES)
    networks = ts.simulate(TWO, begin(), TIMES, N=64, seeds=6, progress=False)
    report = ts.compare(theory, networks)
    assert "NOTE" not in report.attrs["verdict"] and "switch" not in description(report)
    other = ts.Protocol((on_teacher(0), 1.0), (on_teacher(1, ts.SGD(0.4)), 1.0))
    differs = ts.compare(ts.integrate(other, begin(), TIMES), networks)
    assert description(differs)["differences"] == ["protocol[1].rule.learning_rate"]


def test_a_verdict_counts_the_networks_that_did_not_switch(theory, networks):
    late = networks.copy(deep=True)
    late.switch_time[0, 0] = np.nan
    assert "and in 1 of them not before the last" in ts.compare(theory, late).attrs["verdict"]
    late.switch_time[:] = np.nan
    assert "in no network before the last time" in ts.compare(theory, late).attrs["verdict"]


@pytest.mark.long
def test_a_loss_that_is_negative_in_one_phase_is_compared():
    protocol = ts.Protocol((two_classes(), 1.0), (two_classes(loss="correlation"), 1.0))
    theory = ts.integrate(protocol, begin_of_classes(), [0.0, 1.0, 2.0])
    shift = float(theory.loss[-1]) + 0.05
    lower = theory.assign(loss=theory.loss - shift)
    networks = ts.simulate(
        protocol, begin_of_classes(), [0.0, 1.0, 2.0], N=50, seeds=6, progress=False
    )
    moved = networks.assign(loss=networks.loss - shift)
    assert not ts.compare(lower, moved).attrs["verdict"].startswith("INVALID")


def test_pictures_show_the_switches(theory, networks):
    for data, expected in (
        (theory, float(theory.switch_time[0])),
        (networks, float(networks.switch_time.median())),
    ):
        figure = ts.plot(data)
        for axes in figure.axes:
            dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
            vertical = [line for line in dashed if len(set(line.get_xdata())) == 1]
            assert [line.get_xdata()[0] for line in vertical] == [pytest.approx(expected)]
        assert any("phase 1 of 2" in text.get_text() for text in figure.texts)


# ---- experiments ----

PHASE = {"duration": 1.0}
TABLES = {
    "title": "two teachers",
    "task": {"type": "TeacherStudent", "width": 2, "readout": [1.0, 0.0], "noise": 0.1},
    "student": {"width": 2},
    "rule": {"type": "SGD", "learning_rate": 0.5},
    "start": {"Q": [[0.5, 0.0], [0.0, 0.4]], "R": [[0.1, 0.0], [0.0, 0.1]]},
    "times": {"values": [0.0, 0.5, 1.0, 1.5, 2.0]},
    "simulation": {"N": 50, "seeds": 6},
    "protocol": [
        PHASE,
        {"duration": 1.0, "task": {"readout": [0.0, 1.0]}, "rule": {"learning_rate": 0.2}},
    ],
}


def read(**tables):
    return Experiment.from_tables("own", TABLES | tables)


def test_a_file_has_a_protocol():
    experiment = read()
    first, second = experiment.plan.problem.problems
    assert isinstance(experiment.plan.problem, Protocol)
    assert (first.rule.learning_rate, second.rule.learning_rate) == (0.5, 0.2)
    assert second.task.noise == 0.1 and second.task.readout.tolist() == [0.0, 1.0]
    tree = experiment.run(progress=False)
    assert set(tree.children) == {"theory", "simulation", "comparison"}
    theory = tree["theory"].to_dataset()
    assert theory.phase.values.tolist() == [0, 0, 0, 1, 1]
    assert repr(ts.problem_of(theory)) == repr(experiment.plan.problem)
    assert ts.plot(tree).axes
    assert experiment.plan.with_larger_rates(theory) is None


def test_a_phase_has_a_rule_of_its_own_or_a_threshold():
    phases = [
        {"until": {"quantity": "eps_g", "below": 0.1, "within": 5.0}, "batch_size": 3},
        {"duration": 2.0, "rule": {"type": "HeavyBall", "learning_rate": 0.3, "gamma": 1.0}},
        {
            "duration": 2.0,
            "loss": "square",
            "rule": {"learning_rate": {"schedule": "power", "initial": 0.4}},
        },
    ]
    first, second, third = read(protocol=phases).plan.problem.phases
    assert repr(first.end) == "until('eps_g', below=0.1, within=5)"
    assert (first.problem.batch_size, second.problem.batch_size) == (3, 1)
    assert second.problem.rule == ts.HeavyBall(0.3, gamma=1.0)
    assert repr(third.problem.rule.learning_rate) == repr(ts.power(0.4))


def test_schedules_of_a_file_are_changed_or_replaced_by_a_phase():
    rate = {"schedule": "exponential", "initial": 0.5, "rate": 0.1}
    phases = [
        PHASE,
        {"duration": 1.0, "rule": {"learning_rate": {"rate": 0.2}}},
        {
            "duration": 1.0,
            "rule": {
                "learning_rate": {
                    "schedule": "linear",
                    "initial": 0.1,
                    "final": 0.0,
                    "duration": 9.0,
                }
            },
        },
        {"duration": 1.0, "rule": {"learning_rate": 0.3}},
    ]
    protocol = read(rule={"type": "SGD", "learning_rate": rate}, protocol=phases).plan.problem
    rates = [repr(one.rule.learning_rate) for one in protocol.problems]
    expected = [ts.exponential(0.5, 0.1), ts.exponential(0.5, 0.2), ts.linear(0.1, 0.0, 9.0), 0.3]
    assert rates == [repr(one) for one in expected]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": []}, "protocol is empty; give at least one table"),
        ({"protocol": 3}, "protocol = 3"),
        ({"protocol": [{}]}, r"protocol\[0\] has neither of duration and until; give one"),
        ({"protocol": [PHASE, {"duration": -1.0}]}, r"protocol\[1\]\.duration = -1"),
        ({"protocol": [{"until": 3}]}, r"protocol\[0\]\.until = 3 is not a table"),
        ({"protocol": [{"until": {"quantity": "eps_g"}}]}, "until has neither of below"),
        (
            {"protocol": [{"until": {"quantity": "eps_g", "belw": 1.0}}]},
            r"unknown key protocol\[0\]\.until\.belw: did you mean protocol\[0\]\.until\.below",
        ),
        (
            {"protocol": [{"until": {"quantity": "epsg", "below": 1.0}}]},
            r"protocol\[0\]\.until\.quantity = 'epsg' is none of the built-in",
        ),
        (
            {"protocol": [PHASE, PHASE | {"rule": {"learning_rate": -0.5}}]},
            r"^protocol\[1\]\.rule\.learning_rate = -0.5",
        ),
        (
            {"protocol": [PHASE, PHASE | {"rule": {"learning_rat": 0.5}}]},
            r"unknown key protocol\[1\]\.rule\.learning_rat: did you mean",
        ),
        (
            {"protocol": [PHASE, PHASE | {"task": {"type": "TeacherStudnt"}}]},
            r"^protocol\[1\]\.task\.type = 'TeacherStudnt' is not known",
        ),
        (
            {"protocol": [PHASE, PHASE | {"durtion": 1.0}]},
            r"unknown key protocol\[1\]\.durtion: did you mean protocol\[1\]\.duration",
        ),
        (
            {"protocol": [PHASE, PHASE | {"student": {"width": 3}}]},
            "phase 1 of the protocol has another student than phase 0",
        ),
        ({"variants": {"one": {}}}, "variants.one: a variant has .* escape or protocol"),
        ({"clones": True}, "clones = true and protocol: .* leave one of them out"),
        (
            {"escape": {"N": 50}, "start": None, "times": None, "simulation": {}},
            "escape draws its own random starts and has no protocol",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_its_place(changes, message):
    tables = {key: value for key, value in (TABLES | changes).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        Experiment.from_tables("own", tables)


def test_what_is_wrong_beside_the_phases_is_said_once():
    with pytest.raises(ValueError, match="rule.learning_rate = -1") as caught:
        read(rule={"type": "SGD", "learning_rate": -1.0}, protocol=[PHASE, PHASE])
    assert str(caught.value).count("learning_rate = -1") == 1


@pytest.mark.long
def test_the_error_of_the_best_classifier_is_left_out_where_it_changes():
    from teacherstudent.command.curves import with_oracle

    first, second = two_classes(), two_classes(ts.SpikedCumulant(20.0))
    theory = ts.integrate(first, begin_of_classes(), [0.0, 1.0])
    same = ts.Protocol((first, 1.0), (first, 1.0))
    assert "oracle_error" in with_oracle(same, theory)
    assert "oracle_error" not in with_oracle(ts.Protocol((first, 1.0), (second, 1.0)), theory)


# ---- rates that change with time ----


def test_larger_rates_of_a_schedule_are_its_multiples():
    rate = ts.warm_up(ts.piecewise([0.5, 0.1], [1.0]), duration=0.5)
    larger = scaled(rate, 1.5)
    for t in (0.2, 0.9, 1.5):
        assert float(larger(t)) == pytest.approx(1.5 * float(rate(t)))
    assert larger.jump_times() == rate.jump_times()
    assert larger.kink_times() == rate.kink_times()
    assert scaled(0.2, 1.5) == pytest.approx(0.3)


@pytest.mark.long
def test_an_experiment_with_a_schedule_knows_which_error_of_the_rate_it_would_see():
    tables = {key: value for key, value in TABLES.items() if key != "protocol"}
    rate = {"schedule": "exponential", "initial": 0.5, "rate": 0.1}
    experiment = Experiment.from_tables(
        "own", tables | {"rule": {"type": "SGD", "learning_rate": rate}}
    )
    theory = experiment.plan.integrated(False)
    faster = experiment.plan.with_larger_rates(theory)
    assert factor_of_rates(theory, faster) == pytest.approx(1.02)
    other = ts.integrate(
        ts.Problem(
            experiment.plan.problem.task,
            experiment.plan.problem.student,
            ts.SGD(ts.exponential(1.02 * 0.5, 0.1)),
        ),
        experiment.plan.start,
        experiment.plan.times,
    )
    np.testing.assert_allclose(faster.Q, other.Q, atol=1e-7)
    assert factor_of_rates(theory, other) is None
    with pytest.raises(ValueError, match="faster is not this theory"):
        ts.compare(theory, experiment.plan.simulated(False, None), faster=other)


RATE = ts.exponential(0.1, 0.1)
NEURON = ts.Problem(
    ts.SpikedCumulant(5.0, ("skewed", 0.2)),
    ts.Student(1, (0, -0.5, 0, 1 / 6)),
    ts.SphericalSGD(RATE),
    loss="correlation",
)


def test_what_has_no_time_refuses_numbers_that_change_with_it():
    with pytest.raises(ValueError, match="rule.learning_rate changes with time, but escape"):
        ts.escape(NEURON, 20)
    switched = ts.Problem(
        ts.TeacherStudent(1, readout=ts.piecewise([1.0, 2.0], [1.0])), ts.Student(1), ts.SGD(0.1)
    )
    state = ts.OrderParameters([[0.5]], [[0.1]])
    with pytest.raises(ValueError, match=r"task.readout changes with time; .* problem.at\(t\)"):
        ts.generalisation_error(switched, state)
    assert float(ts.generalisation_error(switched.at(2.0), state)) > 0


@pytest.mark.parametrize(
    "function",
    [ts.escape, ts.with_clones, ts.escape_scale, ts.information_exponent, ts.random_start],
)
def test_what_takes_one_problem_refuses_a_protocol(function):
    extra = {
        "escape": (20,),
        "with_clones": (None, None),
        "random_start": (20,),
    }.get(function.__name__, ())
    protocol = ts.Protocol((NEURON, 1.0))
    with pytest.raises(ValueError, match="problem is a Protocol; give a Problem"):
        function(protocol, *extra)
