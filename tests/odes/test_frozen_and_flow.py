"""Frozen units, and gradient flow: their equations against known solutions and their limits."""

import numpy as np
import pytest

import teacherstudent as ts

TIMES = np.linspace(0.0, 6.0, 7)


def start(K: int = 3, M: int = 2) -> ts.OrderParameters:
    """Units that all differ, with some overlap with the teacher."""
    R = 0.2 * np.eye(K, M) + 0.05
    return ts.OrderParameters(Q=0.7 * np.eye(K) + 0.1, R=R, v=np.linspace(0.8, 1.2, K))


def unit_start() -> ts.OrderParameters:
    return ts.OrderParameters(Q=0.9 * np.eye(3) + 0.1, R=0.2 * np.eye(3, 2) + 0.05)


def problem(rule, **student) -> ts.Problem:
    task = ts.TeacherStudent(width=2, noise=0.2)
    return ts.Problem(task, ts.Student(width=3, train_readout=True, **student), rule)


@pytest.mark.long
def test_a_frozen_unit_that_does_nothing_leaves_a_smaller_student():
    """With readout 0 a frozen unit is not there: the others learn as a student without it."""
    whole = start()
    silent = ts.OrderParameters(Q=whole.Q, R=whole.R, v=[0.8, 0.0, 1.2])
    others = [0, 2]
    part = ts.OrderParameters(Q=whole.Q[np.ix_(others, others)], R=whole.R[others], v=[0.8, 1.2])
    rule = ts.SGD(0.5, readout_learning_rate=0.3, weight_decay=0.05)
    large = ts.integrate(problem(rule, frozen=[1]), silent, TIMES, rtol=1e-10, atol=1e-12)
    smaller = ts.Problem(
        ts.TeacherStudent(width=2, noise=0.2), ts.Student(width=2, train_readout=True), rule
    )
    small = ts.integrate(smaller, part, TIMES, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(large.Q.values[:, others][:, :, others], small.Q, atol=1e-9)
    np.testing.assert_allclose(large.R.values[:, others], small.R, atol=1e-9)
    np.testing.assert_allclose(large.v.values[:, others], small.v, atol=1e-9)
    np.testing.assert_allclose(large.eps_g, small.eps_g, atol=1e-9)


@pytest.mark.parametrize(
    "rule",
    [
        ts.SGD(0.4, weight_decay=0.1),
        ts.SphericalSGD(0.4),
        ts.HeavyBall(0.2, gamma=1.0),
        ts.HeavyBall(0.2, beta=0.5),
        ts.GradientFlow(weight_decay=0.1),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_frozen_units_stay_and_the_others_move(rule):
    theory = ts.integrate(problem(rule, frozen=[1]), unit_start(), TIMES)
    assert abs(theory.Q[:, 1, 1] - theory.Q[0, 1, 1]).max() < 1e-13
    assert abs(theory.R[:, 1] - theory.R[0, 1]).max() < 1e-13
    assert abs(theory.v[:, 1] - theory.v[0, 1]).max() == 0
    assert abs(theory.R[-1, 0] - theory.R[0, 0]).max() > 0.01
    assert abs(theory.Q[-1, 0, 1] - theory.Q[0, 0, 1]).max() > 1e-3


@pytest.mark.long
def test_frozen_biases_stay():
    student = ts.Student(width=3, train_bias=True, frozen=[0])
    mixture = ts.Problem(ts.SpikedCumulant(beta=2.0), student, ts.SGD(0.3))
    begin = ts.OrderParameters(Q=np.eye(3), m=[[0.2], [0.1], [0.3]], b=[0.3, 0.1, -0.2])
    theory = ts.integrate(mixture, begin, TIMES)
    assert abs(theory.b[:, 0] - 0.3).max() == 0
    assert abs(theory.b[-1, 1] - 0.1) > 1e-3


def test_a_theory_that_does_not_hold_frozen_units_says_so():
    with pytest.raises(ValueError, match=r"student\.frozen = \[1\].*SignSGD.*simulate"):
        frozen = ts.Problem(ts.TeacherStudent(2), ts.Student(3, frozen=[1]), ts.SignSGD(0.1))
        ts.integrate(frozen, start(), TIMES)


@pytest.mark.parametrize(
    ("frozen", "sentence"),
    [
        ([3], "unit 3, but student.width = 3"),
        ([0, 1, 2], "all units"),
        ("a", "give a list of units"),
        ([-1], "at least 0"),
        ([0.5], "student.frozen = 0.5"),
    ],
)
def test_units_that_are_none_are_refused(frozen, sentence):
    with pytest.raises(ValueError, match=sentence):
        ts.Student(width=3, frozen=frozen)


def test_gradient_flow_of_a_linear_unit_is_known():
    """dR/dtau = T - R and dQ/dtau = 2 (R - Q), solved by hand."""
    linear = ts.Problem(
        ts.TeacherStudent(1, "linear", noise=0.7), ts.Student(1, "linear"), ts.GradientFlow()
    )
    begin = ts.OrderParameters(Q=[[0.5]], R=[[0.2]], T=[[1.5]])
    theory = ts.integrate(linear, begin, TIMES, rtol=1e-11, atol=1e-13)
    fading = np.exp(-TIMES)
    R = 1.5 + (0.2 - 1.5) * fading
    # Q = T + a exp(-tau) + b exp(-2 tau) with a = 2 (R(0) - T).
    a = 2 * (0.2 - 1.5)
    Q = 1.5 + a * fading + (0.5 - 1.5 - a) * fading**2
    np.testing.assert_allclose(theory.R[:, 0, 0], R, atol=1e-10)
    np.testing.assert_allclose(theory.Q[:, 0, 0], Q, atol=1e-10)


@pytest.mark.long
def test_sgd_goes_to_gradient_flow_in_first_order_of_the_learning_rate():
    tau = np.array([0.0, 1.0, 2.0])
    flow = ts.integrate(problem(ts.GradientFlow(readout_rate=0.5)), start(), tau)
    gaps = []
    for eta in (0.08, 0.04, 0.02):
        rule = ts.SGD(eta, readout_learning_rate=0.5 * eta)
        sgd = ts.integrate(problem(rule), start(), tau / eta)
        gaps.append(float(abs(sgd.Q.values - flow.Q.values).max()))
    ratios = np.array(gaps[:-1]) / np.array(gaps[1:])
    np.testing.assert_allclose(ratios, 2.0, atol=0.15)


@pytest.mark.long
def test_gradient_flow_decays_like_sgd_with_the_same_ratio():
    """Weight decay is in units of the learning rate."""
    eta = 1e-4
    tau = np.array([0.0, 1.5])
    flow = ts.integrate(problem(ts.GradientFlow(weight_decay=0.3)), start(), tau)
    sgd = ts.integrate(problem(ts.SGD(eta, weight_decay=0.3 * eta)), start(), tau / eta)
    np.testing.assert_allclose(flow.Q, sgd.Q, atol=1e-4)


@pytest.mark.long
def test_gradient_flow_runs_to_convergence_with_an_implicit_solver():
    protocol = ts.Protocol((problem(ts.GradientFlow()), ts.until("velocity", below=1e-6)))
    with pytest.warns(UserWarning, match="the protocol ends at"):
        theory = ts.integrate(protocol, start(), ts.log_times(1e6), solver="kvaerno5")
    assert theory.time[-1] < 1e6
    field = ts.integrate(
        problem(ts.GradientFlow()),
        ts.last_state(theory),
        [float(theory.time[-1])],
        observables=["drift_Q", "drift_R", "drift_v"],
    )
    drifts = [float(abs(field[name]).max()) for name in ("drift_Q", "drift_R", "drift_v")]
    assert 0.9e-6 < max(drifts) < 1.1e-6
    assert theory.time.attrs["units"] == "eta updates / N"


def test_gradient_flow_has_no_noise_of_its_steps():
    theory = ts.integrate(
        problem(ts.GradientFlow()), start(), [0.0, 1.0], observables=["diffusion_Q"]
    )
    assert abs(theory.diffusion_Q).max() == 0


def test_no_network_takes_the_steps_of_gradient_flow():
    with pytest.raises(ValueError, match="simulate SGD with a small learning_rate"):
        ts.simulate(problem(ts.GradientFlow()), start(), TIMES, N=100)
