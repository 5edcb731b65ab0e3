"""Clones along a trajectory: what networks trained on fewer moments know of the task."""

import numpy as np
import pytest

import teacherstudent as ts


def problem(task):
    return ts.Problem(task, ts.Student(2, "erf", True, True), ts.SGD(0.3))


def test_the_clone_of_a_gaussian_task_is_the_task():
    task = ts.GaussianMixture([0.4, 0.6], [1, -1], [[0.8], [-0.5]], [0.5, 0.9])
    start = ts.OrderParameters(0.5 * np.eye(2), m=[[0.1], [-0.2]], v=[0.5, -0.4], b=[0.1, 0.2])
    theory = ts.with_clones(
        problem(task), ts.integrate(problem(task), start, [0.0, 1.0, 4.0]), start
    )
    np.testing.assert_allclose(theory.clone_loss.sel(clone=2), theory.loss, atol=1e-9)
    np.testing.assert_allclose(theory.loss_on_clone.sel(clone=2), theory.loss, atol=1e-12)
    # with pooled covariances and variances it is another one
    assert np.abs(theory.clone_loss.sel(clone=1) - theory.loss).max() > 1e-4


def test_sweeps_and_teachers_are_refused():
    start = ts.OrderParameters(np.eye(2), np.zeros((2, 1)))
    teacher = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SGD(0.3))
    with pytest.raises(ValueError, match="TeacherStudent has no classes"):
        ts.with_clones(teacher, ts.integrate(teacher, start, [0.0, 0.1]), start)
