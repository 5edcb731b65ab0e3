import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.starts import orthonormal_rows, random_weights, weights_with_overlaps
from tests.problems import committee, random_overlaps


def test_random_overlaps_scale_with_the_dimension():
    problem = committee(3, 2)
    for N in (100, 10_000):
        R = np.array([ts.random_start(problem, N=N, seed=s).R for s in range(40)])
        assert R.std() * np.sqrt(N) == pytest.approx(1, rel=0.2)


def test_scale_and_seed():
    problem = committee(3, 2)
    assert np.diag(ts.random_start(problem, N=5000, scale=0.5).Q) == pytest.approx(
        [0.25] * 3, rel=0.1
    )
    np.testing.assert_array_equal(
        ts.random_start(problem, N=50, seed=3).Q, ts.random_start(problem, N=50, seed=3).Q
    )
    assert (
        ts.random_start(problem, N=50, seed=3).Q != ts.random_start(problem, N=50, seed=4).Q
    ).any()


def test_prescribed_teacher_overlaps_are_exact():
    T = [[1.0, 0.3], [0.3, 2.0]]
    np.testing.assert_allclose(ts.random_start(committee(3, 2), N=30, T=T).T, T, atol=1e-14)


def test_readout_is_random_only_if_it_is_trained():
    np.testing.assert_array_equal(ts.random_start(committee(3, 2), N=30).v, np.ones(3))
    trained = committee(3, 2, readout_learning_rate=0.1)
    v = np.array([ts.random_start(trained, N=30, seed=s, readout_scale=0.5).v for s in range(200)])
    assert v.std() == pytest.approx(0.5, rel=0.15)


def test_weights_from_overlaps_and_back():
    start = random_overlaps(3, 2)
    frame = orthonormal_rows(np.random.default_rng(0).standard_normal((5, 11)))
    np.testing.assert_allclose(frame @ frame.T, np.eye(5), atol=1e-14)
    weights = weights_with_overlaps(start, frame)
    again = ts.start_from_weights(committee(3, 2), weights.w, w_star=weights.w_star)
    np.testing.assert_allclose(again.C, start.C, atol=1e-13)
    assert again.weights is not None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda p: ts.random_start(p, N=1, T=np.eye(2)),
            r"N = 1 gives 1 dimensions to the 2 fixed vectors",
        ),
        (lambda p: ts.random_start(p, N=9, T=[[1.0, 2.0], [2.0, 1.0]]), "smallest eigenvalue"),
        (lambda p: ts.random_start(p, N=9, T=[[1.0, 0.5], [0.0, 1.0]]), "start.T is not symmetric"),
        (lambda p: ts.random_start(p, N=9, seed=-1), "seed = -1 is not allowed"),
        (lambda p: ts.start_from_weights(p, np.ones((3, 9))), "w_star is missing"),
        (
            lambda p: ts.start_from_weights(p, np.ones((2, 9)), w_star=np.ones((2, 9))),
            r"w has shape \(2, 9\); give \(3, N\)",
        ),
        (
            lambda p: ts.start_from_weights(p, np.ones((3, 9)), w_star=np.ones((2, 8))),
            r"w_star has shape \(2, 8\)",
        ),
    ],
)
def test_bad_starts_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(committee(3, 2))


@pytest.mark.parametrize("rule", [ts.SphericalSGD(0.1), ts.Nero(0.1)])
@pytest.mark.parametrize(
    "task",
    [
        ts.TeacherStudent(2),
        ts.HiddenManifold(2, "erf", "sign", 0.5),
        ts.GaussianEquivalent.anisotropic(np.linspace(0.5, 1.5, 20), width=2),
        ts.SpikedCumulant(2.0),
    ],
)
def test_a_random_start_is_a_start_of_its_problem(task, rule):
    problem = ts.Problem(task, ts.Student(3), rule)
    start = ts.random_start(problem, 20)
    problem.check_start(start)
    np.testing.assert_allclose(start.squared_norms, 1, rtol=1e-12)
    with pytest.raises(ValueError, match=r"scale = 0.5 is not possible: .* keeps \|w_k\|\^2 = N"):
        ts.random_start(problem, 20, scale=0.5)
    free = ts.Problem(task, ts.Student(3), ts.SGD(0.1))
    assert abs(ts.random_start(free, 20).squared_norms - 1).max() > 1e-3


def test_a_rule_that_refuses_every_start_is_told_at_once():
    class Picky(ts.SGD):
        def check_start(self, start):
            raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        ts.random_start(ts.Problem(ts.TeacherStudent(2), ts.Student(3), Picky(0.1)), 20)


def test_few_inputs():
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(10), ts.SGD(0.1))
    start = ts.random_start(problem, 3)
    assert np.linalg.matrix_rank(start.C, tol=1e-9) == 3
    for seed in range(2):
        w, w_star = random_weights(start, 3, seed)
        np.testing.assert_allclose(w @ w.T / 3, start.Q, atol=1e-12)
        np.testing.assert_allclose(w @ w_star.T / 3, start.R, atol=1e-12)
    with pytest.raises(ValueError, match="span 3 dimensions"):
        random_weights(start, 2, 0)
