"""Figures of fixed points show what the results say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.figures.fixed_points import distances, groups_of_equal, runs_of_equal


@pytest.fixture(scope="module")
def problem():
    return ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.5))


@pytest.fixture(scope="module")
def plateau(problem):
    near = ts.OrderParameters(np.full((2, 2), 0.3) + 0.01 * np.eye(2), np.full((2, 2), 0.25))
    return ts.fixed_point(problem, near, constraint="symmetric")


@pytest.fixture(scope="module")
def curve(problem, plateau):
    near = ts.start_of(plateau)
    return ts.follow_fixed_point(problem, near, "rule.learning_rate", 0.6, points=4)


def test_a_fixed_point_alone_is_its_eigenvalues(plateau):
    (axes,) = ts.plot(plateau).axes
    assert axes.get_ylabel().startswith("eigenvalue")
    heights = sorted(
        float(line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata()) == 1
    )
    expected = sorted(value for value, _ in groups_of_equal(plateau.eigenvalues.values))
    np.testing.assert_allclose(heights, expected)
    plt.close("all")


def test_beside_a_trajectory_it_has_three_panels(problem, plateau, tmp_path):
    theory = ts.integrate(problem, ts.start_of(plateau), [0.0, 5.0, 10.0])
    tree = ts.save(tmp_path / "plateau.h5", theory=theory, fixed_point=plateau)
    figure = ts.plot(tree)
    assert [axes.get_title() for axes in figure.axes] == [
        "generalisation error",
        "from the fixed point",
        "of the linearised equations",
    ]
    assert len(ts.plot(tree, kind="error").axes) == 1
    np.testing.assert_allclose(distances(theory, plateau), 0.0, atol=1e-6)
    plt.close("all")


def test_distances_are_over_all_order_parameters_once(problem, plateau):
    start = ts.OrderParameters(plateau.Q + 0.01 * np.eye(2), plateau.R)
    theory = ts.integrate(problem, start, [0.0, 1.0])
    field = ts.vector_field(problem, start)
    expected = np.linalg.norm(field.y - field.pack(ts.start_of(plateau)))
    assert distances(theory, plateau)[0] == pytest.approx(expected, rel=1e-12)


def test_curves_are_drawn_against_their_number(curve, tmp_path):
    left, right = ts.plot(curve).axes
    assert left.get_xlabel() == right.get_xlabel() == r"learning rate of the first layer $\eta$"
    drawn = np.concatenate([line.get_ydata() for line in left.lines])
    assert set(curve.eps_g.values) <= set(drawn)
    both = {"one": ts.save(tmp_path / "one.h5", fixed_point=curve)}
    both["two"] = both["one"]
    assert len(ts.plot(ts.save(tmp_path / "both.h5", variants=both)).axes) == 2
    plt.close("all")


def test_runs_and_groups():
    assert runs_of_equal(np.array([1, 1, 0, 0, 0, 1])) == [(0, 1), (2, 4), (5, 5)]
    assert groups_of_equal(np.array([2.0, -1.0, 2.0 + 1e-9, 0.5])) == [
        (2.0 + 1e-9, 2),
        (0.5, 1),
        (-1.0, 1),
    ]
