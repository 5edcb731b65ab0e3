"""Points that differ are never taken for each other, nor a part of a sweep for another one."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest

import teacherstudent as ts
from teacherstudent.sweeps import jobs
from teacherstudent.sweeps.axes import axes_of
from teacherstudent.sweeps.keys import Keys
from teacherstudent.sweeps.points import arguments_of, points_of
from tests.sweeps.cases import OVER, TIMES, problem, start

THEORY = {"simulation": False, "workers": 1}
# Two values of every number that a class of ours takes, and some that it may not tell apart.
PAIRS = [
    (ts.AGD(1.0), ts.AGD(1.5)),
    (ts.Signum(0.1, beta=0.3), ts.Signum(0.1, beta=0.4)),
    (ts.MajorityVote(0.1, beta=0.1), ts.MajorityVote(0.1, beta=0.2)),
    (ts.MajorityVote(0.1, workers=3), ts.MajorityVote(0.1, workers=5)),
    (ts.HiddenManifold(2, latent_ratio=0.1), ts.HiddenManifold(2, latent_ratio=0.5)),
    (
        ts.HiddenManifold(2, latent_ratio=0.5, layers=(0.5,)),
        ts.HiddenManifold(2, latent_ratio=0.5, layers=(0.7,)),
    ),
    (ts.SpikedCumulant(1.0), ts.SpikedCumulant(2.0)),
    (ts.SpikedCumulant(1.0, class_prior=0.4), ts.SpikedCumulant(1.0, class_prior=0.5)),
    (ts.MixedCumulant(1.0, 2.0), ts.MixedCumulant(1.5, 2.0)),
    (ts.TeacherStudent(1, [0.0, 1.0, 0.1]), ts.TeacherStudent(1, [0.0, 1.0, 0.2])),
    (ts.Student(2, [0.0, 1.0, 0.1]), ts.Student(2, [0.0, 1.0, 0.2])),
    (ts.Student(2, frozen=[0]), ts.Student(2, frozen=[1])),
    (
        ts.SGD(ts.Schedule(optax.exponential_decay(0.1, 10, 0.5))),
        ts.SGD(ts.Schedule(optax.exponential_decay(0.2, 10, 0.5))),
    ),
    (
        ts.SGD(ts.Schedule(jax.jit(lambda t: 0.1 / (1 + t)))),
        ts.SGD(ts.Schedule(jax.jit(lambda t: 0.2 / (1 + t)))),
    ),
    (ts.sparsity(0.1), ts.sparsity(0.2)),
    (ts.error_on(ts.TeacherStudent(2)), ts.error_on(ts.TeacherStudent(2, readout=[1.0, 0.0]))),
    (
        ts.Observable("a", (), "a", of=functools.partial(lambda state, p: state.Q[0, 0] ** p, p=1)),
        ts.Observable("a", (), "a", of=functools.partial(lambda state, p: state.Q[0, 0] ** p, p=2)),
    ),
]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=[repr(pair[0])[:40] for pair in PAIRS])
def test_what_differs_has_another_name(one, other):
    (point,) = points_of(problem(), start(2), 20, axes_of({"batch_size": [1]}))

    def name(part):
        return Keys("theory", np.asarray([0.0]), {"part": part}).of(point)

    assert name(one) == name(one) != name(other)


def test_a_static_number_is_swept_like_any_other():
    base = problem(rule=ts.AGD(first_scale=1.0), batch_ratio=0.5)
    over = {"batch_ratio": [0.5, 2.0]}
    tree = ts.sweep(base, start(2), [0.0, 1.0, 4.0], over, **THEORY)
    for ratio in (0.5, 2.0):
        made = problem(rule=ts.AGD(first_scale=1.0), batch_ratio=ratio)
        single = ts.integrate(made, start(2), [0.0, 1.0, 4.0])
        np.testing.assert_allclose(tree["theory"].eps_g.sel(batch_ratio=ratio), single.eps_g)


class Noisy(ts.TeacherStudent):
    """A task whose noise is computed from its own number."""

    amplitude: float

    def __init__(self, width, amplitude):
        super().__init__(width, noise=amplitude**2)
        self.amplitude = amplitude


class Doubled(ts.SGD):
    """A rule that keeps another number than it is given."""

    def __init__(self, learning_rate):
        super().__init__(2 * learning_rate)


def test_a_class_of_ones_own_is_made_anew_for_each_value():
    points = points_of(
        problem(task=Noisy(1, 0.1)), start(2), None, axes_of({"task.amplitude": [0.1, 1.0]})
    )
    assert [point.problem.task.noise for point in points] == pytest.approx([0.01, 1.0])
    with pytest.raises(ValueError, match="Doubled keeps other numbers than its __init__ is given"):
        points_of(
            problem(rule=Doubled(0.1)), start(2), None, axes_of({"rule.learning_rate": [0.1]})
        )


def test_a_point_of_a_sweep_that_was_sorted_or_cut():
    tree = ts.sweep(problem(), start(), TIMES, OVER, **THEORY)
    theory = tree["theory"].to_dataset()
    for data in (theory.sortby("learning_rate", ascending=False), theory.isel(learning_rate=[1])):
        point = ts.point_of(data, learning_rate=0.4, width=2)
        assert ts.problem_of(point).rule.learning_rate == 0.4
    point = ts.point_of(theory.sel(width=3), learning_rate=0.1)
    assert ts.problem_of(point).student.width == 3
    with pytest.raises(ValueError, match="select it without drop=True"):
        ts.point_of(theory.sel(width=3, drop=True), learning_rate=0.1)
    with pytest.raises(ValueError, match="of a sweep, of many problems"):
        ts.problem_of(theory.isel(learning_rate=0, width=0))


def test_a_rule_with_an_entry_of_it():
    over = {"rule.learning_rate": [0.1, 0.2], "rule": [ts.SGD(0.5), ts.HeavyBall(0.6, beta=0.5)]}
    tree = ts.sweep(problem(), start(2), TIMES, over, **THEORY)
    point = ts.point_of(tree["theory"].to_dataset(), learning_rate=0.1, rule="HeavyBall")
    assert ts.problem_of(point).rule == ts.HeavyBall(0.1, beta=0.5)


def test_the_start_of_a_point_whose_times_begin_later():
    begins = [start(2), ts.OrderParameters(Q=np.eye(2), R=[[0.3], [0.2]])]
    tree = ts.sweep(problem(), start(2), [1.0, 2.0], {"start": begins}, **THEORY)
    point = ts.point_of(tree["theory"].to_dataset(), start=1)
    np.testing.assert_array_equal(ts.start_of(point).Q, np.eye(2))


def test_a_failure_of_the_machine_is_tried_again(tmp_path, monkeypatch):
    out = tmp_path / "sweep.h5"
    alone = jobs.SimulationJob.alone

    def without_memory(self, point):
        if point.problem.rule.learning_rate == 0.4:
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return alone(self, point)

    options = {"theory": False, "N": 40, "seeds": 2, "workers": 1, "out": out}
    over = {"rule.learning_rate": [0.1, 0.4]}
    with monkeypatch.context() as patch:
        patch.setattr(jobs.SimulationJob, "alone", without_memory)
        tree = ts.sweep(problem(), start(2), TIMES, over, **options)
        assert "RESOURCE_EXHAUSTED" in str(tree["simulation"].error[1].values)
    tree = ts.sweep(problem(), start(2), TIMES, over, **options)
    assert (tree["simulation"].error == "").all()


def test_another_result_in_the_place_of_a_sweep_is_not_replaced(tmp_path):
    out = tmp_path / "sweep.h5"
    ts.sweep(problem(), start(), TIMES, OVER, out=out, **THEORY)
    ts.save(out, theory=ts.integrate(problem(), start(2), TIMES), force=True)
    with pytest.raises(FileExistsError):
        ts.sweep(problem(), start(), TIMES, OVER, out=out, **THEORY)


def test_losses_of_two_classes_are_swept():
    task = ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0], [-1.0]])
    base = ts.Problem(task, ts.Student(1, "linear"), ts.SGD(0.1), loss="square")
    begin = ts.OrderParameters(Q=[[0.5]], m=[[0.1]])
    tree = ts.sweep(base, begin, TIMES, {"loss": ["square", "correlation"]}, **THEORY)
    assert tree["theory"].loss.dims == ("swept_loss", "time")


def test_values_that_are_lists_and_arrays():
    over = {"student.frozen": [[0], [1]], "task.readout": [[1.0], [2.0]]}
    assert [len(axis) for axis in axes_of(over)] == [2, 2]
    (axis,) = axes_of({"student.activation": np.array(["erf", "relu"])})
    assert len(axis) == 2
    (axis,) = axes_of({"N": np.array([10.0, 100.0])})
    assert [type(one["N"]) for one in axis.entries] == [int, int]


def test_everything_that_a_class_takes_is_known_of_it():
    for part in {type(one): one for pair in PAIRS[:10] for one in pair}.values():
        assert dataclasses.is_dataclass(part) and arguments_of(part)
