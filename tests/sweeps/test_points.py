"""The points of a sweep are the problems that a user would have made one by one."""

import importlib

import jax
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.sweeps.axes import axes_of
from teacherstudent.sweeps.keys import Keys
from teacherstudent.sweeps.points import arguments_of, points_of, with_entries
from tests.sweeps.cases import problem, start

TASKS = [
    ts.TeacherStudent(2, "relu", readout=[1.0, -0.5], noise=0.1),
    ts.HiddenManifold(2, latent_ratio=0.5),
    ts.SpikedCumulant(2.0),
    ts.MixedCumulant(2.0, 3.0),
    ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0, 0.0], [-1.0, 0.0]]),
]
RULES = [
    ts.SGD(0.1, weight_decay=0.01),
    ts.SphericalSGD(0.1),
    ts.HeavyBall(0.1, beta=0.5),
    ts.SignSGD(0.1),
    ts.Signum(0.1, beta=0.3),
    ts.MajorityVote(0.1, workers=3),
    ts.AGD(),
    ts.Fromage(0.1),
    ts.Nero(0.1),
    ts.Madam(0.1),
]


def _same(one, other) -> bool:
    leaves, structure = jax.tree.flatten(one)
    others, structure_of_other = jax.tree.flatten(other)
    return structure == structure_of_other and all(map(np.array_equal, leaves, others))


@pytest.mark.parametrize("part", [*TASKS, *RULES], ids=lambda part: type(part).__name__)
def test_arguments_make_the_same_object_again(part):
    assert _same(type(part)(**arguments_of(part)), part)


def test_numbers_put_in_place_are_those_of_problems_made_one_by_one():
    over = {
        "rule.learning_rate": [0.1, 0.3],
        "task.noise": [0.0, 0.2],
        "student.width": [2, 3],
        "student.activation": ["erf", "relu"],
    }
    points = points_of(problem(), start(), None, axes_of(over))
    assert len(points) == 16
    point = points[2 + 1]  # the last axes are the fastest
    made = problem(student=ts.Student(3, "relu"))
    assert _same(point.problem, made)
    made = problem(
        rule=ts.SGD(0.3), task=ts.TeacherStudent(1, noise=0.2), student=ts.Student(2, "erf")
    )
    assert _same(points[12].problem, made)


def test_a_schedule_has_parameters_of_its_own():
    base = problem(rule=ts.SGD(ts.exponential(0.5, rate=0.1)))
    points = points_of(base, start(2), None, axes_of({"rule.learning_rate.rate": [0.1, 0.7]}))
    assert _same(points[1].problem.rule, ts.SGD(ts.exponential(0.5, rate=0.7)))


def test_a_schedule_may_be_a_value():
    values = [0.1, ts.exponential(0.5, rate=0.1)]
    points = points_of(problem(), start(2), None, axes_of({"rule.learning_rate": values}))
    assert _same(points[1].problem.rule, ts.SGD(values[1]))


def test_a_start_is_cut_to_the_first_units_of_the_point():
    points = points_of(problem(), start(3), None, axes_of({"student.width": [2, 3]}))
    np.testing.assert_array_equal(points[0].start.Q, start(3).Q[:2, :2])
    np.testing.assert_array_equal(points[0].start.R, start(3).R[:2])
    assert points[1].start.students == 3


def test_a_start_may_be_a_function_of_the_problem_and_of_N():
    seen = []

    def drawn(problem, N):
        seen.append((problem.student.width, N))
        return ts.random_start(problem, N=N)

    points_of(problem(), drawn, None, axes_of({"student.width": [2, 3], "N": [40, 50]}))
    assert seen == [(2, 40), (2, 50), (3, 40), (3, 50)]


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"rule.learning_rate": [0.1, -1.0]}, "rule.learning_rate"),
        ({"rule.gain": [0.1]}, "SGD has no gain; its arguments are learning_rate"),
        ({"student.width": [0, 2]}, "student.width = 0"),
        ({"student.width": [2, 9]}, "start has 3 student and 1 teacher units, but a point"),
        ({"loss": ["hinge"]}, "hinge"),
        ({"batch_size": [0]}, "batch_size = 0"),
    ],
)
def test_a_value_that_is_not_allowed_gets_the_sentence_of_its_place(over, sentence):
    with pytest.raises(ValueError, match=sentence):
        points_of(problem(), start(), None, axes_of(over))


def test_names_tell_points_apart_and_nothing_else():
    def key(base, begin=None, times=(0.0, 1.0), N=None, **settings):
        (point,) = points_of(base, begin or start(2), N, axes_of({"batch_size": [1]}))
        return Keys("theory", np.asarray(times), settings).of(point, N)

    reference = key(problem())
    swept = points_of(problem(), start(2), None, axes_of({"rule.learning_rate": [0.3, 0.1]}))
    assert Keys("theory", np.asarray([0.0, 1.0]), {}).of(swept[1]) == reference
    others = [
        key(problem(rule=ts.SGD(0.2))),
        key(problem(rule=ts.SGD(0.1, weight_decay=0.1))),
        key(problem(rule=ts.SphericalSGD(0.1)), ts.OrderParameters(np.eye(2), np.zeros((2, 1)))),
        key(problem(rule=ts.SGD(ts.constant(0.1)))),
        key(problem(task=ts.TeacherStudent(1, noise=0.1))),
        key(problem(task=ts.TeacherStudent(1, "relu"))),
        key(problem(student=ts.Student(2, "relu"))),
        key(problem(student=ts.Student(2, train_readout=True))),
        key(problem(student=ts.Student(2, frozen=[0]))),
        key(with_entries(problem(), {"task.noise": 0.3})),
        key(problem(), ts.OrderParameters(start(2).Q, start(2).R + 0.01)),
        key(problem(), times=(0.0, 2.0)),
        key(problem(), N=7),
        key(problem(), rtol=1e-6),
    ]
    assert len({reference, *others}) == len(others) + 1


def test_an_edited_class_of_ones_own_has_other_names(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "import teacherstudent as ts\nclass Edited(ts.SGD):\n"
        "    def update(self, layers, gradient, memory, N):\n"
        "        return super().update(layers, gradient, memory, N)"
    )
    module = None
    keys = []
    for ending in ("\n", "  # edited\n", "  # edited\n"):
        (tmp_path / "edited_rule.py").write_text(text + ending)
        importlib.invalidate_caches()
        if module is None:
            module = importlib.import_module("edited_rule")
        else:
            module = importlib.reload(module)
        base = problem(rule=module.Edited(0.1))
        (point,) = points_of(base, start(2), 10, axes_of({"batch_size": [1]}))
        keys.append(Keys("simulation", np.asarray([0.0]), {}).of(point, 10))
    assert keys[0] != keys[1] and keys[1] == keys[2]


def test_what_a_function_takes_from_outside_is_part_of_the_name():
    """A closure keeps its text where a number that it captured has changed."""

    def scaled(factor):
        return ts.Observable("scaled", (), "s", of=lambda state: factor * state.Q[0, 0])

    (point,) = points_of(problem(), start(2), 10, axes_of({"batch_size": [1]}))
    names = {
        Keys("theory", np.asarray([0.0]), {"observables": [scaled(factor)]}).of(point)
        for factor in (1.0, 2.0, np.array([1.0, 2.0]), 1.0)
    }
    assert len(names) == 3


def test_arrays_of_a_task_are_part_of_the_name():
    def key(Omega):
        task = ts.GaussianEquivalent(Omega, np.eye(4)[:, :3], width=1)
        begin = ts.random_start(ts.Problem(task, ts.Student(2), ts.SGD(0.1)), seed=1)
        base = ts.Problem(task, ts.Student(2), ts.SGD(0.1))
        (point,) = points_of(base, begin, None, axes_of({"batch_size": [1]}))
        return Keys("theory", np.asarray([0.0]), {}).of(point)

    assert key(np.eye(4)) != key(2 * np.eye(4))
