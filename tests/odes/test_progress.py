"""The progress bar of a solve, by what it writes."""

import json

import numpy as np
import pytest

import teacherstudent as ts
from odes.solving import progress

PROBLEM = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SGD(0.2))
START = ts.OrderParameters(Q=np.eye(2), R=np.full((2, 1), 0.1))


@pytest.fixture
def written(monkeypatch, capfd):
    """What bars without a delay write, looked at after each step."""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(progress, "steps_between", lambda steps, seconds: 1)

    def after(call):
        capfd.readouterr()
        call()
        return capfd.readouterr().err

    return after


def bar(monkeypatch, begin=0.0, end=100.0):
    """A bar whose every look writes, by a clock that goes on by a second."""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    seconds = iter(range(100))
    shown = progress.Bar(begin, end, clock=lambda: float(next(seconds)))
    shown.bar.mininterval = 0.0
    return shown


def test_a_bar_shows_the_time_reached_the_steps_and_what_is_left(monkeypatch, capsys):
    shown = bar(monkeypatch)
    shown.show(25.0, 7)
    shown.bar.refresh()
    text = capsys.readouterr().err.split("\r")[-1]
    assert "t = 25 of 100" in text and "7 steps" in text and "left" in text
    shown.bar.close()


def test_what_is_left_is_by_the_rate_of_late(monkeypatch):
    """tqdm's mean over recent looks: where time passes more slowly, more is left."""
    shown = bar(monkeypatch, end=1000.0)
    clock = [0.0]
    monkeypatch.setattr(shown.bar, "_time", lambda: clock[0])
    shown.bar.start_t = shown.bar.last_print_t = 0.0
    rates = []
    for t in [*np.arange(10.0, 101.0, 10.0), *np.arange(101.0, 121.0)]:  # each a second later
        clock[0] += 1.0
        shown.show(t, int(clock[0]))
        rates.append(shown.bar.format_dict["rate"])
    assert rates[9] == pytest.approx(10.0)
    assert rates[-1] == pytest.approx(1.0, rel=0.05)  # the mean since the start is 4
    shown.bar.close()


@pytest.mark.parametrize(
    ("steps", "seconds", "following"), [(1, 10.0, 1), (1, 1e-6, 2), (100, 1.0, 10), (8, 0.1, 8)]
)
def test_looks_are_a_pause_apart(steps, seconds, following):
    assert progress.steps_between(steps, seconds) == following


def test_a_solve_shows_how_far_it_is(written):
    times = [0.0, 300.0]
    plain = ts.integrate(PROBLEM, START, times, progress=False)
    text = written(lambda: check_same(ts.integrate(PROBLEM, START, times, progress=True), plain))
    assert "t = 0 of 300" in text
    assert not progress._SHOWN.bars


def test_every_step_is_looked_at_until_the_last(monkeypatch, written):
    heard = []
    monkeypatch.setattr(progress.Bar, "show", lambda self, t, steps: heard.append((t, steps)) or 1)
    data = ts.integrate(PROBLEM, START, [0.0, 20.0], progress=True)
    moments, steps = zip(*heard, strict=True)
    assert list(steps) == list(range(1, len(heard) + 1)) and len(heard) == steps_of(data)
    assert list(moments) == sorted(moments) and moments[-1] == pytest.approx(20.0)


def test_a_bar_begins_where_a_run_goes_on(written):
    first = ts.integrate(PROBLEM, START, [0.0, 20.0])
    text = written(lambda: ts.integrate(PROBLEM, ts.last_state(first), [20.0, 40.0], progress=True))
    assert "t = 20 of 40" in text


def test_of_a_batch_the_slowest_curve_is_shown(monkeypatch, written):
    heard = []
    monkeypatch.setattr(progress.Bar, "show", lambda self, t, steps: heard.append(t) or steps + 1)
    swept = ts.Problem(PROBLEM.task, PROBLEM.student, ts.SGD([0.05, 2.0]))
    data = ts.integrate(swept, START, [0.0, 50.0], progress=True)
    assert len(heard) == max(steps_of(data)) and heard == sorted(heard)


@pytest.mark.long
def test_other_loops_show_it_too(written):
    text = written(
        lambda: ts.integrate(
            PROBLEM, START, [0.0, 20.0], solver="kvaerno5", rtol=1e-4, progress=True
        )
    )
    assert "t = 0 of 20" in text and not progress._SHOWN.bars


def test_without_a_bar_nothing_is_written(written):
    assert written(lambda: ts.integrate(PROBLEM, START, [0.0, 20.0], progress=False)) == ""
    assert written(lambda: ts.integrate(PROBLEM, START, [0.0, 20.0])) == ""  # no terminal


def check_same(one, other):
    for name in other.data_vars:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-12)


def steps_of(data):
    return json.loads(data.attrs["teacherstudent"])["report"]["steps"]
