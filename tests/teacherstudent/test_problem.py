import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.description import describe_problem, problem_from
from tests.problems import committee


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: ts.SGD(-0.1),
            ("rule.learning_rate = -0.1 is not allowed; give a finite number at least 0"),
        ),
        (lambda: ts.SGD(float("nan")), "rule.learning_rate = nan is not allowed"),
        (lambda: ts.SGD([0.1, -0.2]), "rule.learning_rate = -0.2"),
        (lambda: ts.SGD("fast"), "rule.learning_rate = 'fast' is not a number"),
        (lambda: ts.SGD(0.1, weight_decay=-1.0), "rule.weight_decay = -1.0"),
        (lambda: ts.SphericalSGD(0.1, -0.3), "rule.readout_learning_rate = -0.3"),
        (lambda: ts.TeacherStudent(2, noise=-0.5), "task.noise = -0.5"),
        (lambda: ts.TeacherStudent(2, noise=float("inf")), "task.noise = inf"),
        (
            lambda: ts.TeacherStudent(0),
            ("task.width = 0 is not allowed; give an integer of at least 1"),
        ),
        (
            lambda: ts.TeacherStudent(2, readout=[1.0, 2.0, 3.0]),
            ("task.readout has 3 entries but task.width = 2"),
        ),
        (
            lambda: ts.Student(2, "relo"),
            ("student.activation = 'relo' is not a known .* are erf, .*Did you mean 'relu'"),
        ),
        (lambda: ts.Student(2, [1.0, float("inf")]), "must be finite"),
        (
            lambda: ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.1), loss="l1"),
            ("loss = 'l1' is not known; known"),
        ),
        (
            lambda: ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.1), batch_size=0),
            ("batch_size = 0"),
        ),
        (
            lambda: ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.1, 0.2)),
            ("readout is frozen"),
        ),
    ],
)
def test_bad_values_are_refused_with_their_names(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_readout_learning_rate_defaults_to_the_first_layers():
    assert ts.SGD(0.3).eta_v == 0.3
    assert ts.SGD(0.3, 0.1).eta_v == 0.1


def test_teacher_readout_is_one_number_or_one_per_unit():
    np.testing.assert_array_equal(ts.TeacherStudent(3, readout=2.0).v_star, [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(ts.TeacherStudent(2, readout=[1.0, -1.0]).v_star, [1.0, -1.0])


def test_sweeps_are_the_parameters_given_as_sequences():
    problem = committee(learning_rate=[0.1, 0.2], noise=[0.0, 0.1, 0.2], weight_decay=0.1)
    assert {name: values.size for name, values in problem.sweeps.items()} == {
        "noise": 3,
        "learning_rate": 2,
    }


@pytest.mark.parametrize(
    "problem",
    [
        committee(),
        committee(
            4, 1, activation="relu", readout_learning_rate=0.1, weight_decay=0.2, batch_size=3
        ),
        ts.Problem(
            ts.TeacherStudent(2, (0.0, 1.0, 0.5), [1.0, -1.0]),
            ts.Student(3, "tanh"),
            ts.SphericalSGD([0.1, 0.2]),
        ),
    ],
)
def test_description_restores_the_problem(problem):
    described = describe_problem(problem)
    again = problem_from(described)
    assert describe_problem(again) == described
    assert again.student.activation == problem.student.activation
    assert type(again.rule) is type(problem.rule)


def test_spherical_rule_wants_unit_norms():
    problem = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SphericalSGD(0.1))
    start = ts.OrderParameters(np.diag([1.0, 0.5]), np.zeros((2, 1)))
    with pytest.raises(
        ValueError, match=r"a student unit with .w_k.\^2 / N = 0.5, but SphericalSGD keeps"
    ):
        ts.integrate(problem, start, [1.0])
