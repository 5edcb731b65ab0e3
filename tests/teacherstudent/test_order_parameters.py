import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.states.order_parameters import Weights
from tests.problems import random_overlaps


def test_defaults_are_an_orthonormal_teacher_and_a_committee():
    start = ts.OrderParameters(np.eye(3), np.zeros((3, 2)))
    np.testing.assert_array_equal(start.T, np.eye(2))
    np.testing.assert_array_equal(start.v, np.ones(3))
    assert (start.students, start.teachers, start.batch) == (3, 2, ())


def test_covariance_has_the_blocks_in_their_places():
    start = random_overlaps(3, 2)
    np.testing.assert_array_equal(start.C[:3, 3:], start.R)
    np.testing.assert_array_equal(start.C[3:, :3], start.R.T)
    np.testing.assert_array_equal(start.C[3:, 3:], start.T)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Q": [[1.0, 0.0]]}, r"start.Q has shape \(1, 2\); give a square matrix"),
        (
            {"Q": [[1.0, 0.3], [0.1, 1.0]]},
            r"start.Q is not symmetric \(entries differ by up to 0.2\)",
        ),
        (
            {"R": [[0.1, 0.2]]},
            r"start.R has shape \(1, 2\) beside Q of shape \(2, 2\); give \(2, M\)",
        ),
        (
            {"T": np.eye(3)},
            r"start.T has shape \(3, 3\); beside the other overlaps it must be \(2, 2\)",
        ),
        ({"T": [[1.0, 0.5], [0.0, 1.0]]}, "start.T is not symmetric"),
        ({"v": [1.0]}, r"start.v has shape \(1,\); beside the other overlaps it must be \(2,\)"),
        (
            {"R": [[2.0, 0.0], [0.0, 0.0]]},
            r"smallest eigenvalue of \[\[Q, R\], \[R\^T, T\]\] is -1",
        ),
        ({"Q": [[-0.1, 0.0], [0.0, 1.0]]}, "smallest eigenvalue"),
        (
            {"Q": [[1.0, 0.0], [0.0]]},
            r"start.Q = \[\[1.0, 0.0\], \[0.0\]\] is not an array of real numbers",
        ),
        ({"Q": [["a", 0.0], [0.0, 1.0]]}, "start.Q = .* is not an array of real numbers"),
        ({"R": [[1j, 0.0], [0.0, 0.0]]}, "start.R = .* is not an array of real numbers"),
        ({"weights": Weights(np.ones((2, 9)), np.ones((2, 9)))}, "do not have the overlaps"),
        ({"v": [1.0, float("nan")]}, "start.v has entries that are not finite"),
    ],
)
def test_impossible_overlaps_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ts.OrderParameters(**({"Q": np.eye(2), "R": np.zeros((2, 2))} | arguments))


def test_rounding_of_a_singular_matrix_is_allowed():
    ts.OrderParameters([[1.0]], [[1.0000001]])
    with pytest.raises(ValueError, match="eigenvalue"):
        ts.OrderParameters([[1.0]], [[1.00001]])


def test_a_batch_is_checked_as_a_whole():
    good = random_overlaps(2, 1)
    R = np.stack([good.R, good.R * 10])
    with pytest.raises(ValueError, match="eigenvalue"):
        ts.OrderParameters(np.stack([good.Q] * 2), R, np.stack([good.T] * 2))
    assert ts.OrderParameters(np.stack([good.Q] * 2), np.stack([good.R] * 2)).batch == (2,)
