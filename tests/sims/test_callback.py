"""A function that sees each record of a simulation, and may stop it."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import description
from tests.problems import committee, random_overlaps
from tests.sims.interruption import interrupted_after

TIMES = [0.0, 0.4, 1.0, 1.5]
N = 60  # beside K = 3 and M = 2
OBSERVABLES = ["alignment", "norms"]


def run(callback=None, method="weights", **arguments):
    arguments = {"N": N, "seeds": 4, "observables": OBSERVABLES} | arguments
    start = random_overlaps(3, 2)
    return ts.simulate(
        committee(), start, TIMES, method=method, callback=callback, progress=False, **arguments
    )


class Watcher:
    """Keeps what it sees, and stops at the record with a number."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.times = []
        self.records = []

    def __call__(self, t, record):
        self.times.append(t)
        self.records.append(record)
        if len(self.times) - 1 == self.stop_at:
            return np.bool_(True)
        return None


def assert_begins(part, whole):
    """The dataset has the first times of another one, to the last bit."""
    for name in part.data_vars:
        if str(name).endswith("_last"):  # the end is another one
            continue
        expected = whole[name]
        if "time" in expected.dims:
            expected = expected.isel(time=slice(part.sizes["time"]))
        np.testing.assert_array_equal(part[name], expected)


@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_it_sees_all_that_is_recorded(method):
    watcher = Watcher()
    data = run(watcher, method)
    np.testing.assert_array_equal(watcher.times, data.time)
    along_time = {name for name in data.data_vars if "time" in data[name].dims}
    for index, record in enumerate(watcher.records):
        assert set(record) == along_time
        for name, values in record.items():
            np.testing.assert_array_equal(values, data[name].isel(time=index))
    assert "stopped_by_callback" not in description(data)["report"]
    assert_begins(run(None, method), data)


def test_with_two_classes_it_sees_their_names():
    task = ts.SpikedCumulant(latent="rademacher", beta=2.0)
    problem = ts.Problem(task, ts.Student(3, "erf"), ts.SGD(0.1))
    start = ts.OrderParameters(0.5 * np.eye(3), m=np.full((3, 1), 0.1))
    watcher = Watcher()
    ts.simulate(problem, start, TIMES, N=N, seeds=2, callback=watcher, observables=OBSERVABLES)
    assert set(watcher.records[1]) == {"Q", "m", "v", "b", "loss", *OBSERVABLES}
    assert watcher.records[1]["m"].shape == (2, 3, 1)


def test_what_it_does_to_a_record_changes_nothing():
    def spoil(t, record):
        for values in record.values():
            values[:] = np.nan

    assert_begins(run(spoil), run())


@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_true_stops_the_run(method):
    watcher = Watcher(stop_at=2)
    data = run(watcher, method)
    assert data.sizes["time"] == len(watcher.times) == 3
    assert description(data)["report"]["stopped_by_callback"] == data.time[-1] == 1.0
    assert_begins(data, run(None, method))


@pytest.mark.long
def test_a_stopped_run_is_compared_and_saved(tmp_path):
    data = run(Watcher(stop_at=2), "reduced", N=1000, seeds=8)
    theory = ts.integrate(committee(), random_overlaps(3, 2), TIMES, observables=OBSERVABLES)
    report = ts.compare(theory, data)
    assert report.sizes["time"] == 3
    tree = ts.save(tmp_path / "run.h5", theory=theory, simulation=data)
    assert description(ts.load(tmp_path / "run.h5")["simulation"].dataset)["report"][
        "stopped_by_callback"
    ] == pytest.approx(1.0)
    ts.plot(tree, tmp_path / "run.png")


def test_false_goes_on():
    assert run(lambda t, record: bool(t < 0)).sizes["time"] == 4


@pytest.mark.parametrize("answer", [1, "stop", 0.0, np.array([True])])
def test_only_truth_values_are_answers(answer):
    with pytest.raises(ValueError, match=r"callback answers .* at t = 0; return True to stop th"):
        run(lambda t, record: answer)


def test_what_is_no_function_is_refused():
    with pytest.raises(ValueError, match="callback = 3.0 is no function; give one of the time"):
        run(3.0)


def test_several_processes_have_no_callback(monkeypatch):
    monkeypatch.setattr("sims.running.callback.jax.process_count", lambda: 2)
    with pytest.raises(ValueError, match="callback sees the seeds of one process alone, but th"):
        run(Watcher())


@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_a_stopped_run_goes_on_from_its_checkpoint(method, tmp_path):
    path = tmp_path / "run.ckpt"
    stopped = run(Watcher(stop_at=1), method, checkpoint=path)
    assert path.exists()
    again = run(Watcher(stop_at=1), method, checkpoint=path)
    assert_begins(again, stopped)
    assert again.sizes == stopped.sizes
    watcher = Watcher()
    whole = run(watcher, method, checkpoint=path)
    assert watcher.times == TIMES
    assert whole.sizes["time"] == 4
    assert_begins(run(None, method), whole)
    assert not path.exists()


def test_stopping_earlier_than_a_checkpoint_leaves_it_whole(tmp_path):
    path = tmp_path / "run.ckpt"
    run(Watcher(stop_at=2), checkpoint=path)
    before = path.read_bytes()
    assert run(Watcher(stop_at=0), checkpoint=path).sizes["time"] == 1
    assert path.read_bytes() == before
    assert_begins(run(), run(checkpoint=path))


def test_an_interrupted_run_stops_where_one_that_was_not_does(tmp_path):
    path = tmp_path / "run.ckpt"
    watcher = Watcher(stop_at=2)
    with interrupted_after(10):
        run(Watcher(stop_at=2), checkpoint=path)
    data = run(watcher, checkpoint=path)
    assert watcher.times == TIMES[:3]
    assert_begins(data, run())


class Own(Exception):
    """An exception of the user's own."""


@pytest.mark.parametrize("error", [Own, KeyboardInterrupt])
def test_exceptions_pass_through_and_the_checkpoint_stays(error, tmp_path):
    path = tmp_path / "run.ckpt"
    failure = error("mine")

    def fails(t, record):
        if t > 0.9:
            raise failure

    with pytest.raises(error) as caught:
        run(fails, checkpoint=path)
    assert caught.value is failure
    watcher = Watcher()
    assert_begins(run(watcher, checkpoint=path), run())
    assert watcher.times == TIMES


def in_groups(monkeypatch):
    monkeypatch.setattr(
        "sims.two_layer.groups_that_fit", lambda seeds, *rest: [seeds[:3], seeds[3:]]
    )


@pytest.mark.long
@pytest.mark.parametrize(("stop_at", "times", "seen"), [(2, 3, 6), (5, 2, 6), (7, 4, 8)])
def test_of_groups_the_answer_has_the_times_of_all(stop_at, times, seen, monkeypatch):
    """The first group stops at its third record; the second at its second; at its last one."""
    whole = run()
    in_groups(monkeypatch)
    watcher = Watcher(stop_at)
    data = run(watcher)
    assert data.sizes["time"] == times
    assert len(watcher.times) == seen
    assert watcher.records[0]["Q"].shape[0] == 3 and watcher.records[-1]["Q"].shape[0] == 1
    assert description(data)["report"]["stopped_by_callback"] == TIMES[times - 1]
    assert_begins(data, whole)


def test_groups_that_were_stopped_go_on_from_their_checkpoints(tmp_path, monkeypatch):
    whole = run()
    in_groups(monkeypatch)
    path = tmp_path / "run.ckpt"
    run(Watcher(5), checkpoint=path)
    assert len(list(tmp_path.glob("run.ckpt.*"))) == 2
    assert_begins(whole, run(checkpoint=path))
    assert not list(tmp_path.glob("run.ckpt.*"))
