"""Frozen units in finite networks, and networks with few inputs."""

import numpy as np
import pytest

import teacherstudent as ts

TIMES = np.linspace(0.0, 4.0, 5)


def problem(rule, frozen=(1,)) -> ts.Problem:
    student = ts.Student(width=3, train_readout=True, frozen=list(frozen))
    return ts.Problem(ts.TeacherStudent(width=2, noise=0.2), student, rule)


def start() -> ts.OrderParameters:
    return ts.OrderParameters(Q=0.9 * np.eye(3) + 0.1, R=0.2 * np.eye(3, 2) + 0.05)


@pytest.mark.parametrize("method", ["weights", "reduced"])
@pytest.mark.parametrize(
    "rule",
    [ts.SGD(0.4, weight_decay=0.1), ts.HeavyBall(0.2, gamma=1.0), ts.AGD(), ts.SphericalSGD(0.4)],
    ids=lambda rule: type(rule).__name__,
)
def test_frozen_units_stay_to_the_last_bit(method, rule):
    networks = ts.simulate(problem(rule), start(), TIMES, N=60, seeds=3, method=method)
    rounding = {"weights": 0.0, "reduced": 1e-13}[method]  # the frame of the chain turns
    assert abs(networks.Q[:, :, 1, 1] - networks.Q[:, :1, 1, 1]).max() <= rounding
    assert abs(networks.R[:, :, 1] - networks.R[:, :1, 1]).max() <= rounding
    assert abs(networks.v[:, :, 1] - 1).max() == 0
    assert abs(networks.R[:, -1, 0] - networks.R[:, 0, 0]).max() > 0.01


def test_weights_with_a_frozen_unit_against_a_plain_loop():
    """Full batches in order: every step is known, and a loop in NumPy takes the same ones."""
    K, M, N, P = 3, 2, 7, 5
    numbers = np.random.default_rng(3)
    w, w_star = numbers.standard_normal((K, N)), numbers.standard_normal((M, N))
    x, y = numbers.standard_normal((P, N)), numbers.standard_normal(P)
    student = ts.Student(K, "linear", train_readout=True, frozen=[2])
    rule = ts.SGD(0.3, readout_learning_rate=0.2, weight_decay=0.1)
    linear = ts.Problem(ts.TeacherStudent(M, "linear"), student, rule, batch_size=P)
    begin = ts.start_from_weights(linear, w=w, w_star=w_star, v=[1.0, -0.5, 0.7])
    data = ts.Dataset(x, y=y, order="in order")
    networks = ts.simulate(
        linear, begin, [4.0], seeds=1, dtype="float64", data=data, keep="weights"
    )
    v = np.array([1.0, -0.5, 0.7])
    learns = np.array([1.0, 1.0, 0.0])
    for _ in range(4 * N):
        lam = x @ w.T / np.sqrt(N)
        slope = (lam @ v - y) / P
        step_w = 0.3 / np.sqrt(N) * (slope[:, None, None] * v[None, :, None] * x[:, None]).sum(0)
        step_v = 0.2 / N * lam.T @ slope
        new_w = w - learns[:, None] * (step_w + 0.1 / N * w)
        v = v - learns * (step_v + 0.1 / N * v)
        w = new_w
    np.testing.assert_allclose(networks.w_last[0], w, atol=1e-12)
    np.testing.assert_allclose(networks.v[0, -1], v, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_networks_with_a_frozen_unit_have_its_theory(method):
    frozen = problem(ts.SGD(0.5, weight_decay=0.1))
    theory = ts.integrate(frozen, start(), TIMES)
    networks = ts.simulate(frozen, start(), TIMES, N=400, seeds=24, method=method)
    deviation = networks.R.mean("seed") - theory.R
    error = networks.R.std("seed", ddof=1) / 24**0.5
    moving = [0, 2]
    z = (abs(deviation) / error).values[1:, moving]
    assert z.max() < 4.5


@pytest.mark.long
def test_a_unit_is_frozen_in_one_phase_of_a_protocol():
    rule = ts.HeavyBall(0.2, gamma=1.0)
    protocol = ts.Protocol((problem(rule, ()), 2.0), (problem(rule), 1.0), (problem(rule, ()), 1.0))
    for method in ("weights", "reduced"):
        networks = ts.simulate(protocol, start(), TIMES, N=80, seeds=2, method=method)
        Q = networks.Q.values[:, :, 1, 1]
        assert abs(Q[:, 3] - Q[:, 2]).max() < 1e-12
        assert abs(Q[:, 2] - Q[:, 1]).min() > 1e-4
        assert abs(Q[:, 4] - Q[:, 3]).min() > 1e-4


def test_fewer_inputs_than_vectors():
    """N = 4 inputs for K + M = 5 vectors: from given weights they are simulated as any other."""
    numbers = np.random.default_rng(0)
    small = ts.Problem(ts.TeacherStudent(width=2), ts.Student(width=3), ts.SGD(0.3))
    w, w_star = numbers.standard_normal((3, 4)), numbers.standard_normal((2, 4))
    begin = ts.start_from_weights(small, w=w, w_star=w_star)
    networks = ts.simulate(
        small, begin, [0.0, 2.0], seeds=3, method="auto", keep="weights", dtype="float64"
    )
    assert networks.attrs["teacherstudent"].count('"method": "weights"') == 1
    last = networks.w_last.values
    np.testing.assert_allclose(last @ w_star.T / 4, networks.R[:, -1], atol=1e-12)
    assert networks.eps_g[:, -1].mean() < networks.eps_g[:, 0].mean()
    with pytest.raises(ValueError, match="N = 4 is less than 6"):
        ts.simulate(small, begin, [0.0, 2.0], seeds=3, method="reduced")
