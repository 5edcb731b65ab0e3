import numpy as np
import pytest

import teacherstudent as ts
from tests.problems import random_overlaps


def modes(count=5, K=3, M=2, seed=0):
    """q, r, t of generic modes, with a consistent spectrum."""
    rng = np.random.default_rng(seed)
    rho = rng.uniform(0.5, 2, count)
    rows = 0.4 * rng.standard_normal((count, K + M, 4))
    C = rows @ rows.swapaxes(1, 2)
    return {
        "rho": rho,
        "weights": np.full(count, 1 / count),
        "q": C[:, :K, :K],
        "r": C[:, :K, K:],
        "t": C[:, K:, K:],
        "T": 3 * np.eye(M),
    }


def test_overlaps_are_sums_over_modes():
    start = ts.SpectralOverlaps(**modes(), v=[1.0, 2.0, 3.0])
    np.testing.assert_allclose(
        start.Q,
        sum(p * rho * q for p, rho, q in zip(start.weights, start.rho, start.q, strict=True)),
    )
    np.testing.assert_allclose(
        start.R, sum(p * r for p, r in zip(start.weights, start.r, strict=True))
    )
    np.testing.assert_allclose(start.W, start.q.mean(axis=0))
    assert (start.students, start.teachers, start.batch) == (3, 2, ())
    np.testing.assert_allclose(start.C[:3, 3:], start.R)


def test_the_lift_of_order_parameters_keeps_them_on_every_spectrum():
    start = random_overlaps(3, 2, seed=1)
    start = ts.OrderParameters(start.Q, 0.1 * start.R, start.T)
    for task in (
        ts.TeacherStudent(2),
        ts.HiddenManifold(2, "erf", "tanh", 0.3),
        ts.HiddenManifold(2, "erf", "relu", 3.0),
        ts.GaussianEquivalent.anisotropic(ts.power_law(40, 1.0), width=2),
    ):
        lifted = ts.spectral_start(ts.Problem(task, ts.Student(3), ts.SGD(0.1)), start)
        for name in ("Q", "R", "T"):
            np.testing.assert_allclose(getattr(lifted, name), getattr(start, name), atol=1e-12)
    assert ts.spectral_start(ts.Problem(task, ts.Student(3), ts.SGD(0.1)), lifted) is lifted


def test_a_correlated_degenerate_teacher_can_be_lifted():
    T = np.ones((2, 2))  # both teacher units are the same
    start = ts.OrderParameters(np.eye(1), [[0.1, 0.1]], T)
    lifted = ts.spectral_start(
        ts.Problem(ts.HiddenManifold(2, "erf", "sign", 0.5), ts.Student(1), ts.SGD(0.1)), start
    )
    np.testing.assert_allclose(lifted.R, start.R, atol=1e-12)


def gauss_modes(delta, W, T):
    """The published limit: sigma = rho W, r = 0, t = T at every node."""
    rho, weights = ts.marchenko_pastur(delta, 24)
    at_nodes = lambda matrix, factor: factor[:, None, None] * matrix
    sigma, r, t = at_nodes(W, rho), at_nodes(0 * W, rho), at_nodes(T, np.ones(24))
    given = {"rho": rho, "weights": weights, "sigma": sigma, "r": r, "t": t, "W": W}
    return ts.SpectralOverlaps.from_latent_modes(
        latent_ratio=delta, b=np.sqrt(2 / np.pi), zeta=1 - 2 / np.pi, **given
    )


@pytest.mark.parametrize("delta", [0.5, 2.0, 4.0])
def test_latent_modes_by_the_gauss_rule_are_the_limit(delta):
    W = np.array([[1.0, 0.2], [0.2, 0.5]])
    published = gauss_modes(delta, W, np.eye(2))
    problem = ts.Problem(ts.HiddenManifold(2, "erf", "sign", delta), ts.Student(2), ts.SGD(0.2))
    ours = ts.spectral_start(problem, ts.OrderParameters(published.Q, published.R))
    for start in (published, ours):
        assert np.all(np.diff(start.rho) > 0)
        np.testing.assert_allclose(start.W, W, atol=1e-5)
    for power in (1, 2, 3):
        np.testing.assert_allclose(
            published.weights @ published.rho**power, ours.weights @ ours.rho**power, rtol=1e-5
        )


def test_latent_modes_that_the_inputs_cannot_have_are_refused():
    with pytest.raises(
        ValueError, match="they must sum to N / D = 0.833333; for D > N give eigenvalues"
    ):
        gauss_modes(1.2, np.eye(2), np.eye(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.full(5, 0.25)}, "start.weights sum to 1.25; they must sum to 1"),
        ({"weights": np.array([0.5, 0.5, 0.5, -0.5, 0.0])}, "start.weights has the entry -0.5"),
        ({"rho": np.array([1.0, 1.0, -0.1, 1.0, 1.0])}, "start.rho has the entry -0.1"),
        (
            {"rho": np.ones(4)},
            r"start.weights has shape \(5,\); beside the other overlaps it must be \(4,\)",
        ),
        ({"q": np.eye(3)}, r"start.q has shape \(3, 3\)"),
        (
            {"q": -np.tile(np.eye(3), (5, 1, 1))},
            r"smallest eigenvalue of \[\[q, r\], \[r\^T, t\]\] of a mode is -1",
        ),
        ({"T": 0.01 * np.eye(2)}, r"smallest eigenvalue of (\[\[Q, R\]|T - sum_tau p t / rho)"),
        ({"t": np.full((5, 2, 2), np.nan)}, "start.t has entries that are not finite"),
        ({"v": [1.0]}, r"start.v has shape \(1,\)"),
    ],
)
def test_inconsistent_modes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ts.SpectralOverlaps(**(modes() | change))


def test_impossible_lifts_are_refused():
    problem = ts.Problem(ts.HiddenManifold(1, "erf", "sign", 0.1), ts.Student(1), ts.SGD(0.1))
    with pytest.raises(ValueError, match="start.R is too large for start.Q on these inputs"):
        ts.spectral_start(problem, ts.OrderParameters([[1.0]], [[0.99]]))
    even = ts.Problem(ts.HiddenManifold(1, "erf", "quadratic", 0.5), ts.Student(1), ts.SGD(0.1))
    with pytest.raises(
        ValueError, match="start.R must be zero: these inputs carry no linear information"
    ):
        ts.spectral_start(even, ts.OrderParameters([[1.0]], [[0.1]]))
    assert np.all(ts.spectral_start(even, ts.OrderParameters([[1.0]], [[0.0]])).t < 1e-30)
