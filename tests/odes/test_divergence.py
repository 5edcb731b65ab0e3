"""Where a theory's answer ends: overlaps beyond all bounds, overlaps of no weights, values below
the floor of rounding.
"""

import numpy as np
import pytest

import teacherstudent as ts
from odes.solving.reach import failure, reach, tolerance
from odes.solving.trajectory import Trajectory
from teacherstudent.results.datasets import description
from teacherstudent.states.physical_region import smallest_eigenvalue
from tests.long import mostly_long
from tests.problems import committee, random_overlaps

TIMES = np.array([0.0, 0.5, 1.0, 2.0])


@pytest.mark.parametrize("activation", ["linear", "erf"])
def test_the_sentence_says_what_is_known_and_the_answer_before_is_kept(activation):
    problem = committee(
        2, 2, activation=activation, learning_rate={"linear": 3.0, "erf": 1e6}[activation]
    )
    with pytest.raises(
        ts.DivergenceError, match=r"diverge at t = 0\..*criterion and no proof"
    ) as failure:
        ts.integrate(problem, random_overlaps(2, 2), TIMES)
    before = failure.value.partial
    assert before.time.values[-1] <= failure.value.time
    assert before.eps_g.shape == before.time.shape and np.abs(before.Q).max() < 1e6


@pytest.mark.parametrize("gain", [1e3, 1e10])
def test_an_iterated_map_is_followed_only_as_far_as_it_is_bounded(gain):
    rule = ts.AGD(gain=gain, first_scale=1.0)
    problem = ts.Problem(
        ts.TeacherStudent(2, "linear"), ts.Student(2, "linear", True), rule, batch_ratio=2.0
    )
    with pytest.raises(ts.DivergenceError, match=r"diverge at t = \d"):
        ts.integrate(problem, random_overlaps(2, 2, v=[0.5, 0.3]), [0.0, 1.0, 2.0, 4.0])


def answer_of(start: ts.OrderParameters, **changes) -> Trajectory:
    """An answer that stays where it begins, but for some changes."""
    stay = lambda part: np.array([part] * len(TIMES))
    values = {name: stay(getattr(start, name)) for name in ("Q", "R", "v", "b")} | {
        "eps_g": np.ones(len(TIMES))
    }
    scalars = {"reached": np.array(TIMES[-1]), "steps": np.array(9), "rejected": np.array(0)}
    return Trajectory(
        **values | scalars | {"diverged": np.array(False), "exceeded": np.array(False)} | changes
    )


def test_overlaps_of_no_weights_end_the_answer_with_their_time():
    start = random_overlaps(2, 2)
    R = np.array([start.R] * len(TIMES))
    R[2:] *= 5
    reached = reach(answer_of(start, R=R), start, TIMES, 1e-6)
    np.testing.assert_array_equal(reached.answered, [True, True, False, False])
    error = failure(reached, answer_of(start), 100, TIMES[-1])
    assert isinstance(error, ts.DivergenceError) and error.time == 1.0
    assert "leave what weights can have at t = 1 (an eigenvalue of [[Q, R], [R^T, T]] is -" in str(
        error
    )


@pytest.mark.parametrize("name", ["Q", "v"])
def test_what_runs_away_between_two_steps_is_no_answer(name):
    start = random_overlaps(2, 2)
    values = np.array([getattr(start, name)] * len(TIMES))
    values[-1] *= 1e8
    reached = reach(answer_of(start, **{name: values}), start, TIMES, 1e-6)
    assert reached.failed and reached.exceeded and reached.time == 2.0


def test_rounding_is_allowed():
    start = ts.OrderParameters([[1.0]], [[1.0]], [[1.0]])
    Q = np.full((len(TIMES), 1, 1), 1 - 1e-8)
    assert not reach(
        answer_of(start, Q=Q), start, TIMES, tolerance(committee(1, 1), 1e-8, 1e-10, None)
    ).failed


def test_an_eigenvalue_is_relative_and_of_a_skew_matrix_minus_infinity():
    Q, R, T = np.array([[1e12, 0.0], [0.0, -1e6]]), np.zeros((2, 1)), np.eye(1)
    assert smallest_eigenvalue(Q, R, T) == pytest.approx(-1e-6)
    assert smallest_eigenvalue(np.array([[1.0, 0.5], [0.0, 1.0]]), R, T) == -np.inf
    assert smallest_eigenvalue(np.array([[1.0, np.nan], [np.nan, 1.0]]), R, T) == -np.inf


@pytest.mark.parametrize("activation", ["erf", "relu", "linear"])
@pytest.mark.parametrize("rtol", mostly_long([1e-5, 1e-8], [1e-5]))
def test_the_floor_bounds_the_error_of_a_small_generalisation_error(activation, rtol):
    problem = committee(1, 1, activation=activation, noise=0.0, learning_rate=0.5)
    times = np.linspace(0, 300, 31)
    theory = ts.integrate(problem, random_overlaps(1, 1), times, rtol=rtol, atol=rtol / 100)
    late = np.abs(theory.eps_g.values[times >= 200])  # of which all but 1e-12 is error
    floor = description(theory)["report"]["eps_g_floor"]
    assert late.max() < floor < 1e3 * late.max()
