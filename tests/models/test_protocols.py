"""Protocols of models: theory and systems through phases, by durations and by thresholds."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.command.model_curves import curves_of
from tests.long import mostly_long

TIMES = np.linspace(0.0, 30.0, 16)
SWITCH = 8.0


def on_task(number: int, **options) -> ts.ContinualLearning:
    """Three student units on one of two teachers of two units and one."""
    return ts.ContinualLearning(3, [2, 1], frequencies=np.eye(2)[number], **options)


def begin() -> ts.State:
    T = [[1.0, 0.1, 0.5], [0.1, 0.9, 0.2], [0.5, 0.2, 1.1]]
    return ts.continual_start(on_task(0), N=500, T=T, scale=0.4, seed=3)


def switched() -> ts.ContinualLearning:
    """The same two tasks in one model, by schedules."""
    first = ts.piecewise([1.0, 0.0], [SWITCH])
    second = ts.piecewise([0.0, 1.0], [SWITCH])
    return ts.ContinualLearning(3, [2, 1], frequencies=[first, second])


def until_learnt(quantity="eps[0]", below=0.05, **options) -> ts.Protocol:
    return ts.Protocol((on_task(0), ts.until(quantity, below=below, **options)), (on_task(1), 30.0))


def test_a_protocol_is_a_piecewise_schedule():
    protocol = ts.Protocol((on_task(0), SWITCH), (on_task(1), 22.0))
    theory = ts.integrate(protocol, begin(), TIMES, rtol=1e-10, atol=1e-12)
    once = ts.integrate(switched(), begin(), TIMES, rtol=1e-10, atol=1e-12)
    for name in ("Q", "R", "heads", "eps"):
        np.testing.assert_allclose(theory[name], once[name], rtol=0, atol=1e-8, err_msg=name)
    assert float(theory.switch_time[0]) == SWITCH
    np.testing.assert_array_equal(theory.phase, TIMES > SWITCH)


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], keep=["weights"]))
def test_systems_in_two_phases_are_one_run_bit_by_bit(method):
    settings = {"N": 40, "seeds": 3, "method": method, "progress": False}
    protocol = ts.Protocol((on_task(0), SWITCH), (on_task(1), 22.0))
    systems = ts.simulate(protocol, begin(), TIMES, **settings)
    once = ts.simulate(switched(), begin(), TIMES, **settings)
    for name in ("Q", "R", "heads"):
        np.testing.assert_array_equal(systems[name], once[name], err_msg=name)


def test_a_threshold_is_located():
    theory = ts.integrate(until_learnt(), begin(), TIMES)
    t_s = float(theory.switch_time[0])
    assert 0 < t_s < 25
    before = ts.integrate(on_task(0), begin(), [0.0, t_s], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(before.eps[-1, 0], 0.05, rtol=1e-5)
    assert t_s == pytest.approx(ts.time_learnt(on_task(0), begin(), 0.05), rel=1e-6)


def test_each_system_switches_at_its_own_first_record_beyond_the_threshold():
    times = np.linspace(0.0, 8.0, 81)
    systems = ts.simulate(
        until_learnt(), begin(), times, N=100, seeds=6, method="reduced", progress=False
    )
    for seed in range(6):
        one = systems.isel(seed=seed)
        t_s = float(one.switch_time[0])
        assert t_s == systems.time[np.argmax(one.eps[:, 0].values < 0.05)]
        np.testing.assert_array_equal(one.phase, systems.time > t_s)
    assert len(np.unique(systems.switch_time)) > 1


def test_answers_are_kept_compared_and_continued(tmp_path):
    protocol = until_learnt()
    theory = ts.integrate(protocol, begin(), TIMES)
    systems = ts.simulate(
        protocol, begin(), TIMES, N=200, seeds=4, method="reduced", progress=False
    )
    ts.save(tmp_path / "result.h5", theory=theory, simulation=systems)
    loaded = ts.load(tmp_path / "result.h5")["theory"].to_dataset()
    assert loaded.identical(theory)
    assert repr(ts.problem_of(loaded)) == repr(protocol)
    assert float(ts.compare(theory, systems).Q_rms) < 0.1
    more = ts.integrate(on_task(1), ts.last_state(theory), [30.0, 35.0])
    assert more.eps[-1, 1] < theory.eps[-1, 1]


def test_a_threshold_that_is_not_reached_says_how_near_it_came():
    with pytest.raises(ts.ThresholdError, match=r"smallest eps\[0\] is 0\.\d+") as caught:
        ts.integrate(until_learnt(below=1e-12), begin(), TIMES[:3])
    assert caught.value.partial is not None


@pytest.mark.parametrize(
    "quantity, message",
    [
        ("eps", "give an entry, such as 'eps\\[0\\]'"),
        ("eps_g[0]", "eps_g is one number"),
        ("epsilon[0]", "no quantity of a ContinualLearning"),
        ("Q_shift[0,0]", "this ContinualLearning has no Q_shift"),
        ("eps[2]", "has the shape \\(2,\\)"),
    ],
)
@pytest.mark.parametrize("verb", mostly_long(["integrate", "simulate"], keep=["integrate"]))
def test_quantities_that_a_model_does_not_record_are_refused(quantity, message, verb):
    options = {"N": 50, "seeds": 1} if verb == "simulate" else {}
    with pytest.raises(ValueError, match=message):
        getattr(ts, verb)(until_learnt(quantity), begin(), TIMES, **options)


@pytest.mark.long
def test_a_pull_to_the_begin_of_a_phase_and_batches():
    """The snapshot of a second phase is where it begins, whenever that is."""
    pull = {"consolidation": 0.8, "snapshot": 0.0}
    then = on_task(1, batch_size=4, **pull)
    until = ts.until("eps[0]", below=0.05)
    theory = ts.integrate(ts.Protocol((on_task(0), until), (then, 30.0)), begin(), TIMES)
    t_s = float(theory.switch_time[0])
    known = ts.Protocol(
        (on_task(0), t_s), (on_task(1, batch_size=4, **pull | {"snapshot": t_s}), 30.0)
    )
    once = ts.integrate(known, begin(), TIMES)
    np.testing.assert_allclose(theory.Q, once.Q, rtol=0, atol=1e-6)
    free = ts.Protocol((on_task(0), t_s), (on_task(1, batch_size=4), 30.0))
    assert float(np.abs(ts.integrate(free, begin(), TIMES).Q - once.Q).max()) > 0.01


def test_inputs_and_activations_stay():
    for fields, says in (
        ({"inputs": ts.ManifoldInputs(0.5)}, "phase 1 of the protocol has inputs = "),
        ({"activation": "relu"}, "phase 1 of the protocol has activation = "),
    ):
        with pytest.raises(ValueError, match=says):
            ts.Protocol((on_task(0), 1.0), (on_task(1, **fields), 1.0))


@pytest.mark.long
def test_tasks_on_a_manifold_switch_by_a_threshold():
    """Theory and systems; the overlaps by mode go on through the switch."""
    inputs = ts.ManifoldInputs(0.5)
    first, second = (on_task(number, inputs=inputs) for number in range(2))
    start = ts.State(Q=begin().Q, R=0.5 * begin().R, T=begin().T, heads=begin().heads)
    protocol = ts.Protocol((first, ts.until("eps[0]", below=0.25)), (second, 30.0))
    times = np.linspace(0.0, 12.0, 25)
    theory = ts.integrate(protocol, start, times)
    t_s = float(theory.switch_time[0])
    frequencies = [ts.piecewise([1.0, 0.0], [t_s]), ts.piecewise([0.0, 1.0], [t_s])]
    whole = ts.ContinualLearning(3, [2, 1], frequencies=frequencies, inputs=inputs)
    once = ts.integrate(whole, start, times)
    np.testing.assert_allclose(theory.Q, once.Q, rtol=0, atol=1e-6)
    systems = ts.simulate(protocol, start, times, N=60, seeds=4, progress=False)
    assert float(systems.switch_time.min()) > 0


def test_phases_are_of_one_kind_and_have_one_shape():
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.1))
    with pytest.raises(ValueError, match="phase 1 of the protocol is a Problem, but phase 0 a Con"):
        ts.Protocol((on_task(0), 1.0), (problem, 1.0))
    with pytest.raises(ValueError, match="phase 1 of the protocol is a ContinualLearning, but"):
        ts.Protocol((problem, 1.0), (on_task(0), 1.0))
    with pytest.raises(ValueError, match="a state with heads of the shape"):
        ts.Protocol((on_task(0), 1.0), (on_task(1, shared_head=True), 1.0))


def test_a_file_has_phases_of_a_model():
    start = {name: value.tolist() for name, value in begin().values.items()}
    tables = {
        "title": "two tasks",
        "model": {"type": "ContinualLearning", "width": 3, "teachers": [2, 1]},
        "protocol": [
            {"until": {"quantity": "eps[0]", "below": 0.05}, "model": {"frequencies": [1.0, 0.0]}},
            {"duration": 30.0, "model": {"frequencies": [0.0, 1.0]}},
        ],
        "start": start,
        "times": {"stop": 30.0, "points": 16, "spacing": "linear"},
    }
    assert repr(curves_of(tables).problem) == repr(until_learnt())
    tables["protocol"][1]["rule"] = {"type": "SGD"}
    with pytest.raises(ValueError, match=r"protocol\[1\] has rule, but the file has a table model"):
        curves_of(tables)


PULL = {"consolidation": 0.8, "consolidated_task": 0}


def consolidated(end) -> ts.Protocol:
    """The second phase is pulled to the weights at which it begins."""
    return ts.Protocol((on_task(0), end), (on_task(1, snapshot=0.0, **PULL), 30.0))


def switched_with_pull(t_s: float) -> ts.ContinualLearning:
    """The same in one model, at a given time."""
    tasks = [ts.piecewise([1.0, 0.0], [t_s]), ts.piecewise([0.0, 1.0], [t_s])]
    return ts.ContinualLearning(3, [2, 1], frequencies=tasks, snapshot=t_s, **PULL)


def test_a_phase_is_pulled_to_the_weights_at_its_begin():
    theory = ts.integrate(consolidated(ts.until("eps_g", below=0.05)), begin(), TIMES)
    once = ts.integrate(switched_with_pull(float(theory.switch_time[0])), begin(), TIMES)
    free = ts.integrate(until_learnt(), begin(), TIMES)
    for name in ("Q", "R", "heads", "eps"):
        np.testing.assert_allclose(theory[name], once[name], rtol=0, atol=1e-6, err_msg=name)
    assert theory.eps[-1, 0] < 0.5 * free.eps[-1, 0]
    assert np.all(theory["shift"].isel(time=0) == 0)  # there is no snapshot yet


@pytest.mark.long
@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_systems_are_pulled_to_their_own_weights_at_the_begin_of_a_phase(method):
    """Those of one model with its snapshot at this time, where the random numbers are the same."""
    settings = {"N": 60, "seeds": 2, "method": method, "dtype": "float64", "progress": False}
    first = on_task(0, consolidation=0.0, snapshot=29.0)  # later than the phase ends
    second = on_task(1, snapshot=SWITCH, **PULL)
    systems = ts.simulate(ts.Protocol((first, SWITCH), (second, 22.0)), begin(), TIMES, **settings)
    once = ts.simulate(switched_with_pull(SWITCH), begin(), TIMES, **settings)
    # The chain may choose other directions, of the same law, for what is zero at the switch.
    atol = 1e-7 if method == "weights" else 0.02
    np.testing.assert_allclose(systems.Q, once.Q, rtol=0, atol=atol)
    later = {"time": slice(5, None)}
    way, expected = systems["shift"].isel(later), once["shift"].isel(later)
    np.testing.assert_allclose(way, expected, rtol=0, atol=atol)


@pytest.mark.long
def test_an_interrupted_run_goes_on_in_a_phase_of_another_shape(tmp_path):
    class Interrupted(Exception):
        pass

    def stop(t, record):
        if t > 20.0:
            raise Interrupted

    settings = {"N": 40, "seeds": 2, "method": "reduced", "progress": False}
    kept = {"checkpoint": tmp_path / "run.ckpt"}
    protocol = ts.Protocol(*((p.problem, p.end) for p in consolidated(SWITCH).phases))
    with pytest.raises(Interrupted):
        ts.simulate(protocol, begin(), TIMES, callback=stop, **settings, **kept)
    went_on = ts.simulate(protocol, begin(), TIMES, **settings, **kept)
    once = ts.simulate(protocol, begin(), TIMES, **settings)
    np.testing.assert_array_equal(went_on.Q, once.Q)
    np.testing.assert_array_equal(went_on["shift"], once["shift"])


def test_a_pull_may_begin_and_end_and_networks_agree():
    pulled = on_task(1, snapshot=0.0, **PULL)
    protocol = ts.Protocol((on_task(0), 4.0), (pulled, 6.0), (on_task(0), 20.0))
    times = [0.0, 2.0, 4.0, 7.0, 10.0, 12.0]
    theory = ts.integrate(protocol, begin(), times)
    systems = ts.simulate(
        protocol, begin(), times, N=100, seeds=6, method="reduced", progress=False
    )
    assert not ts.compare(theory, systems).attrs["verdict"].startswith(("INVALID", "DISAGREE"))
    for data in (theory, systems):
        way = np.abs(data["shift"]).max(["student", "student_"])
        np.testing.assert_allclose(way.isel(time=slice(0, 3)), 0.0, atol=1e-12)
        assert np.all(way.isel(time=slice(3, 5)) > 1e-4)
    later = ts.integrate(protocol, begin(), [11.0, 12.0])  # no time is in the first phases
    np.testing.assert_allclose(later.Q[-1], theory.Q[-1], atol=1e-7)


def test_a_way_since_another_snapshot_is_not_taken_for_ones_own():
    first = on_task(0, consolidation=1.0, snapshot=1.0)
    later = on_task(1, consolidation=20.0, snapshot=4.0)
    end = ts.last_state(ts.integrate(first, begin(), [0.0, 2.0]))
    with pytest.raises(ValueError, match="has a way since t = 1, .* model.snapshot = 4"):
        ts.integrate(later, end, [2.0, 8.0])
    systems = ts.simulate(
        first, begin(), [0.0, 2.0], N=40, seeds=2, method="reduced", progress=False
    )
    with pytest.raises(ValueError, match="has a way since t = 1, .* model.snapshot = 4"):
        ts.simulate(later, ts.last_state(systems), [2.0, 3.0])


def test_checks_of_times_are_of_the_whole_protocol():
    """A snapshot or a jump may lie in a later phase."""
    first = on_task(0, learning_rate=ts.piecewise([0.5, 0.1], [3.0]), consolidation=1.0, snapshot=3)
    protocol = ts.Protocol((first, 2.0), (first, 2.0))
    theory = ts.integrate(protocol, begin(), [0.0, 2.0, 4.0])
    once = ts.integrate(first, begin(), [0.0, 2.0, 4.0])
    np.testing.assert_allclose(theory.Q, once.Q, atol=1e-7)


def test_systems_that_have_ended_do_not_go_on():
    protocol = ts.Protocol((on_task(0), ts.until("eps[0]", below=0.05)))
    times = np.arange(0.0, 3.0, 0.25)
    systems = ts.simulate(protocol, begin(), times, N=60, seeds=6, method="reduced", progress=False)
    ended = np.isnan(systems.eps_g[:, -1].values)
    assert ended.any() and not ended.all()
    with pytest.raises(ValueError, match="ended the protocol before"):
        ts.last_state(systems)
    seed = int(np.argmax(ended))
    with pytest.raises(ValueError, match="the run did not reach"):
        ts.start_of(systems.isel(seed=seed, time=-1))


def test_the_state_of_several_networks_has_no_numbers_of_its_own():
    systems = ts.simulate(
        on_task(0), begin(), [0.0, 0.5], N=40, seeds=3, method="reduced", progress=False
    )
    state = ts.last_state(systems)
    assert repr(state) == "State(networks=3, time=0.5)"
    with pytest.raises(AttributeError, match="that of 3 networks, each with Q of its own"):
        _ = state.Q
