"""A simulation that is interrupted keeps a state whose parts belong together, whatever the disk."""

import errno
import os
import signal
import warnings

import numpy as np
import pytest

import teacherstudent as ts
from sims.running import loop
from teacherstudent import interruptions
from teacherstudent.results import checkpoint_files
from tests.long import mostly_long

PROBLEM = ts.Problem(
    ts.TeacherStudent(1, "linear"), ts.Student(2, "linear"), ts.HeavyBall(0.2, gamma=1.0)
)
START = ts.OrderParameters(Q=0.5 * np.eye(2), R=np.full((2, 1), 0.1))
TIMES = np.linspace(0.0, 12.0, 7)


def run(method="weights", **more):
    settings = {"N": 50, "seeds": 2, "method": method, "progress": False}
    return ts.simulate(PROBLEM, START, TIMES, **settings, **more)


def listening():
    """Ctrl-C as at a prompt, also where the tests run in the background."""
    return signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def ctrl_c():
    before = listening()
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def interrupted_at(place: str, number: int, act, work):
    """The interruption of work in which a signal arrives in the n-th passage of a method."""
    original = getattr(loop.Training, place)
    left = [number]

    def passed(self, *arguments):
        left[0] -= 1
        if not left[0]:
            act()
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Training, place, passed)
        with pytest.raises(KeyboardInterrupt) as caught:
            work()
    return caught.value


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["weights"]))
@pytest.mark.parametrize("place", ["take_steps", "turn", "check"])
def test_wherever_ctrl_c_arrives_the_run_goes_on_from_there(method, place, tmp_path, ctrl_c):
    path = tmp_path / "run.ckpt"
    straight = run(method)
    for _ in range(2):
        error = interrupted_at(place, 2, ctrl_c, lambda: run(method, checkpoint=path))
        assert error.__notes__ == [f"{path} keeps it; the same call goes on from there."]
    assert _same(run(method, checkpoint=path), straight)
    assert not path.exists()


def _same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in other.variables)


def test_a_full_disk_is_told_once_and_costs_nothing(tmp_path, monkeypatch):
    straight = run()
    monkeypatch.setattr(checkpoint_files, "EVERY_SECONDS", 0.0)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        answer = run(checkpoint=tmp_path / "run.ckpt")
    (one,) = [str(one.message) for one in found]
    assert "run.ckpt' could not be written (No space left on device), there is none; the" in one
    assert _same(answer, straight) and list(tmp_path.iterdir()) == []


def test_signals_are_answered_at_the_end_and_a_second_one_at_once(ctrl_c):
    done = []
    with pytest.raises(KeyboardInterrupt), interruptions.deferred():
        ctrl_c()
        done.append("the work")
    assert done == ["the work"]
    with pytest.raises(KeyboardInterrupt), interruptions.deferred():
        ctrl_c()
        ctrl_c()
        done.append("never")
    assert done == ["the work"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_waited_for():
    assert interruptions.patience() == 0.0
    with interruptions.waited_for(20.0), interruptions.waited_for(3.0):
        assert interruptions.patience() == 20.0
    assert interruptions.patience() == 0.0
