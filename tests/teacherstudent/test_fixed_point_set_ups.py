"""Set-ups of fixed points: what the tables of a file say, and what a run of them answers."""

import numpy as np
import pytest

import teacherstudent as ts

TABLES = {
    "title": "a plateau",
    "task": {"type": "TeacherStudent", "width": 2, "activation": "erf"},
    "student": {"width": 2, "activation": "erf"},
    "rule": {"type": "SGD", "learning_rate": 0.5},
    "start": {"Q": [[0.3, 0.25], [0.25, 0.3]], "R": [[0.2, 0.2], [0.2, 0.2]]},
    "fixed_point": {"constraint": "symmetric"},
}


def experiment(**tables):
    return ts.Experiment.from_tables("plateau", TABLES | tables)


def test_without_times_it_is_that_of_the_verb():
    found = experiment().run(progress=False)["fixed_point"].to_dataset()
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.5))
    near = ts.OrderParameters(**TABLES["start"])
    expected = ts.fixed_point(problem, near, constraint="symmetric")
    np.testing.assert_array_equal(found.eigenvalues, expected.eigenvalues)


def test_with_times_it_is_near_the_trajectory():
    times = {"values": [0.0, 20.0, 40.0]}
    tables = {"times": times, "fixed_point": {"constraint": "symmetric", "time": 20.0}}
    tree = experiment(**tables, simulation={"N": 50, "seeds": 2}).run(progress=False)
    assert set(tree.children) == {"theory", "simulation", "comparison", "fixed_point"}
    near = ts.state_at(tree["theory"].to_dataset(), 20.0)
    problem = ts.problem_of(tree["theory"].to_dataset())
    expected = ts.fixed_point(problem, near, constraint="symmetric")
    np.testing.assert_allclose(tree["fixed_point"].Q, expected.Q)
    alone = experiment(**tables).run(progress=False, theory_only=True)
    assert set(alone.children) == {"theory", "fixed_point"}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"fixed_point": {"over": "rule.learning_rate"}}, "over and fixed_point.stop belong"),
        ({"fixed_point": {"points": 4}}, "points is of a curve"),
        ({"fixed_point": {"time": 3.0}}, "times is missing"),
        ({"fixed_point": {"speed": 3.0}}, "unknown key fixed_point.speed"),
        ({"simulation": {"N": 3}}, "no use for simulation"),
        ({"escape": {"N": 3}, "fixed_point": {}}, "escape"),
    ],
)
def test_what_does_not_fit_gets_one_sentence(tables, message):
    with pytest.raises(ValueError, match=message):
        experiment(**tables)
