"""A theory that is interrupted goes on, and all its numbers are those of one solve."""

import errno
import os
import warnings

import numpy as np
import pytest

import teacherstudent as ts
from odes.solving import calls
from teacherstudent.results import checkpoint_files
from tests.long import mostly_long

TIMES = np.linspace(0.0, 20.0, 15)


def problem_of(name: str) -> ts.Problem:
    if name == "quadrature":
        return ts.Problem(ts.TeacherStudent(2, "tanh"), ts.Student(2, "tanh"), ts.SGD(0.2))
    if name == "memory":
        return ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.HeavyBall(0.1, gamma=1.0))
    if name == "jump":
        rate = ts.piecewise([0.3, 0.1, 0.05], [5.0, 9.0])
        return ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(rate))
    if name == "modes":
        return ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.5), ts.Student(2), ts.SGD(0.3))
    assert name == "plain"
    return ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(3), ts.SGD(0.3))


OPTIONS = {"modes": {"spectral": True}}


@pytest.fixture
def few_steps(monkeypatch):
    """Calls of so few steps that every solve takes several of them."""
    begin = calls.Pace.__init__
    monkeypatch.setattr(calls.Pace, "__init__", lambda self, steps, rest=0.0: begin(self, 3.0))
    monkeypatch.setattr(calls.Pace, "measure", lambda self, count, seconds: None)


def same(one, other) -> bool:
    return set(one.variables) == set(other.variables) and all(
        np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")
        for name in one.variables
    )


class Interrupted(KeyboardInterrupt):
    pass


def interrupted_in_call(number: int, run) -> list[str]:
    """Run until the n-th call of a solver, where Ctrl-C arrives; the notes of the interruption."""
    reach = calls.Stages.reach
    left = [number]

    def reach_then_stop(self, state):
        reach(self, state)
        left[0] -= 1
        if not left[0]:
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls.Stages, "reach", reach_then_stop)
        with pytest.raises(Interrupted) as caught:
            run()
    return getattr(caught.value, "__notes__", [])


# With the optimisations that users have: without them a program that goes on may round in another
# way than the one that begins (by 1e-10 where there are modes).
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", mostly_long(["plain", "quadrature", "memory", "jump", "modes"], ["plain"])
)
def test_every_cut_gives_the_same_numbers(name, tmp_path, few_steps):
    problem, path = problem_of(name), tmp_path / "theory.ckpt"
    start = ts.random_start(problem, N=60, seed=1)

    def run(**more):
        return ts.integrate(problem, start, TIMES, **OPTIONS.get(name, {}), **more)

    straight = run()
    for call in (1, 2):
        (note,) = interrupted_in_call(call, lambda: run(checkpoint=path))
        assert f"{path} keeps it" in note
    resumed = run(checkpoint=path)
    assert same(straight, resumed)
    assert not path.exists()


@pytest.mark.long
def test_a_protocol_goes_on_in_the_phase_where_it_was(tmp_path, few_steps):
    first, path = problem_of("plain"), tmp_path / "theory.ckpt"
    second = ts.Problem(ts.TeacherStudent(2), ts.Student(3), ts.SGD(0.1))
    protocol = ts.Protocol((first, 8.0), (second, 12.0))
    start = ts.random_start(first, N=60, seed=1)
    straight = ts.integrate(protocol, start, TIMES)
    interrupted_in_call(5, lambda: ts.integrate(protocol, start, TIMES, checkpoint=path))
    with np.load(path) as file:
        assert any(name.startswith("stage_1_") for name in file.files)
    assert same(straight, ts.integrate(protocol, start, TIMES, checkpoint=path))


def test_a_checkpoint_of_something_else_is_refused(tmp_path, few_steps):
    problem, path = problem_of("plain"), tmp_path / "theory.ckpt"
    start = ts.random_start(problem, N=60, seed=1)
    interrupted_in_call(2, lambda: ts.integrate(problem, start, TIMES, checkpoint=path))
    others = [
        (ts.Problem(problem.task, problem.student, ts.SGD(0.2)), start, TIMES, {}),
        (problem, ts.random_start(problem, N=60, seed=2), TIMES, {}),
        (problem, start, TIMES[:-1], {}),
        (problem, start, TIMES, {"rtol": 1e-7}),
        (problem, start, TIMES, {"observables": ["alignment"]}),
    ]
    before = path.read_bytes()
    for another, begin, times, options in others:
        with pytest.raises(ValueError, match="belongs to a theory with another problem"):
            ts.integrate(another, begin, times, checkpoint=path, **options)
    assert path.read_bytes() == before
    path.write_bytes(before[:1000])
    with pytest.raises(ValueError, match="is not a checkpoint of a theory"):
        ts.integrate(problem, start, TIMES, checkpoint=path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rule": ts.SGD([0.1, 0.2])}, "several curves at once"),
        ({"solver": "kvaerno5"}, "an implicit solver"),
    ],
)
def test_what_no_checkpoint_keeps_is_said(changes, reason, tmp_path):
    options = dict(changes)
    problem = problem_of("plain")
    rule = options.pop("rule", problem.rule)
    problem = ts.Problem(problem.task, problem.student, rule)
    start = ts.random_start(problem, N=60, seed=1)
    with pytest.raises(ValueError, match=f"checkpoint keeps no .*{reason}.*; leave it out"):
        ts.integrate(problem, start, TIMES, checkpoint=tmp_path / "theory.ckpt", **options)


def test_a_full_disk_is_told_once_and_costs_nothing(tmp_path, few_steps, monkeypatch):
    problem, path = problem_of("plain"), tmp_path / "theory.ckpt"
    start = ts.random_start(problem, N=60, seed=1)
    straight = ts.integrate(problem, start, TIMES)
    monkeypatch.setattr(checkpoint_files, "EVERY_SECONDS", 0.0)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        answer = ts.integrate(problem, start, TIMES, checkpoint=path)
    (one,) = [str(one.message) for one in found]
    assert f"checkpoint = {str(path)!r} could not be written (No space left on device)" in one
    assert same(straight, answer) and list(tmp_path.iterdir()) == []


def test_a_pace_leaves_out_what_a_call_takes_without_steps():
    pace = calls.Pace(10.0)
    pace.measure(10, 0.5)
    assert pace.steps == 20  # twice at most
    pace.measure(20, 4.0)
    assert pace.steps == 5
    pace.of_no_steps = 1.0  # a call of ten seconds
    pace.measure(5, 6.0)
    assert pace.steps == 10
