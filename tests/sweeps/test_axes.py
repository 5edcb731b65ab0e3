"""What is swept: axes, names and labels, and a sentence for what is no axis."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.sweeps.axes import assignments, axes_of


def test_a_grid_has_an_axis_for_each_parameter_the_last_fastest():
    axes = axes_of({"rule.learning_rate": np.array([0.1, 0.2]), "student.width": range(2, 5)})
    assert [axis.name for axis in axes] == ["learning_rate", "width"]
    points = list(assignments(axes))
    assert len(points) == 6
    assert points[1] == {"rule.learning_rate": 0.1, "student.width": 3}
    assert type(points[1]["student.width"]) is int


def test_a_list_of_points_is_one_axis_with_all_its_parameters():
    (axis,) = axes_of([{"N": 10, "task.noise": 0.0}, {"N": 20, "task.noise": 0.5}])
    assert axis.name == "point"
    np.testing.assert_array_equal(axis.coordinates["N"], [10, 20])
    np.testing.assert_array_equal(axis.coordinates["noise"], [0.0, 0.5])


def test_names_are_the_last_words_unless_two_are_the_same_or_something_else_has_them():
    axes = axes_of({"student.width": [2, 3], "task.width": [1], "rule.T": [1.0]})
    assert [axis.name for axis in axes] == ["student_width", "task_width", "rule_T"]


def test_objects_have_labels_which_tell_them_apart():
    (axis,) = axes_of({"rule": [ts.SGD(0.1), ts.SignSGD(0.1)]})
    assert axis.coordinates["rule"].tolist() == ["SGD", "SignSGD"]
    (axis,) = axes_of({"rule": [ts.SGD(0.1), ts.SGD(0.2)]})
    assert axis.coordinates["rule"].tolist() == ["SGD(learning_rate=0.1)", "SGD(learning_rate=0.2)"]


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({}, "over is empty"),
        (0.1, "over = 0.1 is neither a dictionary of parameters nor a list"),
        ({"learning_rate": [0.1]}, "'learning_rate', which is no place in a problem"),
        ({"rule.": [0.1]}, "'rule.', which is no place"),
        ({"rule.learning_rate": 0.1}, "is not a list of values"),
        ({"rule.learning_rate": []}, "is empty; give at least one value"),
        ({"rule.learning_rate": [0.1, 0.1]}, "has 0.1 twice"),
        ({"student.activation": ["erf", "erf"]}, "has 'erf' twice"),
        ([{"N": 10}, {"N": 10, "task.noise": 0.1}], r"over\[1\] has the parameters N, task.noise"),
        ([], "each of its points is to be a dictionary"),
        ({"N": range(10**4), "task.noise": np.linspace(0, 1, 10**4)}, "of at most 10000000"),
    ],
)
def test_what_is_no_axis_gets_a_sentence(over, sentence):
    with pytest.raises(ValueError, match=sentence):
        axes_of(over)
