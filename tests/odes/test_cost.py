"""A theory that will be long says so before it starts; nothing here depends on a clock."""

import json
import warnings

import numpy as np
import pytest

import teacherstudent as ts
from odes.solving import cost


def problem(K=4, M=2, learning_rate=0.2):
    return ts.Problem(ts.TeacherStudent(M), ts.Student(K), ts.SGD(learning_rate))


def told(seconds, rtol=1e-8, curves=1):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        cost.warn_if_long(seconds, rtol, curves)
    return [str(one.message) for one in found]


def showing(*seconds):
    """A clock that shows these, one at each look."""
    looks = iter(seconds)
    return lambda: next(looks)


def test_an_estimate_is_the_seconds_of_a_step_times_their_number():
    assert cost.seconds_expected(0.5, 100.0, 100_000) == 0.5 * cost.steps_expected(100.0, 100_000)
    assert cost.steps_expected(1000.0, 100_000) == pytest.approx(405)
    assert cost.steps_expected(1000.0, 50) == 50  # no more than are allowed


def test_what_takes_less_than_a_minute_is_not_told():
    assert told(59.9) == []


def test_what_takes_longer_is_told_with_what_makes_it_cheaper():
    (sentence,) = told(250.0)
    assert "about 4.2 minutes" in sentence and "rtol than 1e-08" in sentence
    assert "curves" not in sentence and "simulate" in sentence
    (sentence,) = told(3 * 86400.0, curves=256)
    assert "3 days" in sentence and "fewer curves than 256" in sentence


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(61.0, "61 seconds"), (119.0, "119 seconds"), (7300.0, "2 hours"), (3e7, "350 days")],
)
def test_a_duration_in_the_unit_that_suits_it(seconds, words):
    assert cost.readable(seconds) == words


def test_the_first_call_compiles_and_is_not_counted():
    calls = []
    step = cost.seconds_of_a_step(calls.append, enough=1.0, clock=showing(0.0, 0.25))
    assert step == 0.25 and calls == [0, 1]


def test_of_long_steps_the_cost_of_no_step_is_taken_off():
    calls = []
    clock = showing(0.0, 3.0, 3.0, 4.0)
    step = cost.seconds_of_a_step(calls.append, enough=1.0, clock=clock)
    assert step == 2.0 and calls == [0, 1, 0]


def test_fast_solves_are_not_measured():
    fast = cost.may_be_long(False, problem(), 1, 1, 1000.0, 100_000)
    sweep = cost.may_be_long(False, problem(), 1, 256, 1000.0, 100_000)
    assert not fast and not sweep
    assert cost.may_be_long(False, problem(64, 8), 1, 1, 1000.0, 100_000)
    assert cost.may_be_long(True, problem(), 1, 1, 1.0, 100_000)


def test_integrate_tells_of_a_long_theory_and_answers_the_same(monkeypatch):
    start = ts.OrderParameters(Q=np.eye(4), R=np.full((4, 2), 0.1))
    times = [0.0, 1.0, 5.0]
    plain = ts.integrate(problem(), start, times)
    monkeypatch.setattr(cost, "may_be_long", lambda *_: True)
    monkeypatch.setattr(cost, "seconds_of_a_step", lambda run, enough: run(1) and 100.0)
    with pytest.warns(UserWarning, match=r"this theory will take about 12 minutes"):
        slow = ts.integrate(problem(), start, times)
    assert slow.identical(plain.assign_attrs(slow.attrs))


def test_so_many_steps_are_taken_at_most():
    start = ts.OrderParameters(Q=np.eye(4), R=np.full((4, 2), 0.1))
    with pytest.raises(ts.SolverError, match="max_steps = 3 steps"):
        ts.integrate(problem(), start, [0.0, 100.0], max_steps=3)
    data = ts.integrate(problem(), start, [0.0, 100.0], max_steps=4000)
    assert json.loads(data.attrs["teacherstudent"])["report"]["max_steps"] == 4000
