"""Theory of a student with biases and a teacher: one update by samples, descent of the error, a
solvable case, and no biases.
"""

import numpy as np
import pytest
from scipy import integrate as scipy_integrate, special

import teacherstudent as ts
from odes.solving.quadrature_error import averages_used
from teacherstudent.averages.erf import ErfAverages
from teacherstudent.observables.generalisation import averages_of
from tests.long import mostly_long

K, M, N = 3, 2, 11
V = np.array([0.5, -0.8, 1.1])
B = np.array([0.6, -0.4, 0.9])
V_STAR = np.array([1.0, -0.7])
SIGMA = 0.3
DRIFTS = ("drift_Q", "drift_R", "drift_v", "drift_b")
PAIRS = {"erf": ("erf", "erf"), "relu": ("relu", "relu"), "mixed": ("erf", (0.1, 0.5, -0.3))}


def weights(seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((K, N)), random.standard_normal((M, N))


def problem_of(pair="erf", rule=None, train_bias=True, **given):
    student, teacher = PAIRS[pair]
    rule = rule or ts.SGD(0.4, readout_learning_rate=0.7, bias_learning_rate=0.2)
    return ts.Problem(
        ts.TeacherStudent(M, teacher, readout=V_STAR, noise=SIGMA),
        ts.Student(K, student, train_readout=True, train_bias=train_bias, **given),
        rule,
        batch_size=2,
    )


def start_of(problem, b=B):
    w, w_star = weights()
    return ts.start_from_weights(problem, w, V, w_star, b)


def drifts(problem, start):
    theory = ts.integrate(problem, start, [0.0, 1e-3], observables=list(DRIFTS))
    return {name: theory[name].values[0] for name in DRIFTS}


def update_by_hand(start, samples, seed):
    """Means and standard errors of E[delta_k h_x], E[delta_k delta_l], E[g e] and E[delta_k] for
    erf units, over samples of the bare fields h.
    """
    C = np.block([[start.Q, start.R], [start.R.T, start.T]])
    random = np.random.default_rng(seed)
    h = random.standard_normal((samples, K + M)) @ np.linalg.cholesky(C).T
    lam = h[:, :K] + B
    g = special.erf(lam / np.sqrt(2))
    slope = np.sqrt(2 / np.pi) * np.exp(-(lam**2) / 2)
    y = special.erf(h[:, K:] / np.sqrt(2)) @ V_STAR + SIGMA * random.standard_normal(samples)
    e = g @ V - y
    delta = V * slope * e[:, None]

    def average(values):
        return values.mean(axis=0), values.std(axis=0) / np.sqrt(samples)

    pull = delta[:, :, None] * h[:, None, :]
    return (
        average(pull),
        average(delta[:, :, None] * delta[:, None, :]),
        average(g * e[:, None]),
        average(delta),
    )


@pytest.mark.long
def test_one_update_against_samples():
    problem = problem_of()
    start = start_of(problem)
    found = drifts(problem, start)
    pull, square, readout, delta = update_by_hand(start, samples=1_000_000, seed=3)
    eta, eta_v, eta_b, batch = 0.4, 0.7, 0.2, 2
    dQ = -eta * (pull[0][:, :K] + pull[0][:, :K].T) + eta**2 * square[0] / batch
    error_Q = eta * (pull[1][:, :K] + pull[1][:, :K].T) + eta**2 * square[1] / batch
    expected = {
        "drift_Q": (dQ, error_Q),
        "drift_R": (-eta * pull[0][:, K:], eta * pull[1][:, K:]),
        "drift_v": (-eta_v * readout[0], eta_v * readout[1]),
        "drift_b": (-eta_b * delta[0], eta_b * delta[1]),
    }
    for name, (mean, error) in expected.items():
        assert np.abs(mean).max() > 50 * error.max(), name
        assert (np.abs(found[name] - mean) / error).max() < 4.5, name


@pytest.mark.parametrize("pair", mostly_long(PAIRS, ("erf",)))
def test_gradient_flow_descends_the_error(pair):
    """dw/dt = -N d eps_g/dw, dv/dt = -c_v d eps_g/dv, db/dt = -c_b d eps_g/db by differences."""
    rule = ts.GradientFlow(readout_rate=0.7, bias_rate=0.3)
    problem = problem_of(pair, rule)
    w, w_star = weights()
    start = start_of(problem)
    flat = np.concatenate([w.ravel(), V, B])
    step = 1e-5
    moved = np.concatenate([flat + step * np.eye(len(flat)), flat - step * np.eye(len(flat))])
    w_moved = moved[:, : K * N].reshape(-1, K, N)
    batch = ts.OrderParameters(
        w_moved @ w_moved.swapaxes(1, 2) / N,
        w_moved @ w_star.T / N,
        np.broadcast_to(w_star @ w_star.T / N, (len(moved), M, M)),
        moved[:, K * N : K * N + K],
        b=moved[:, K * N + K :],
    )
    errors = np.asarray(ts.generalisation_error(problem, batch))
    slope = (errors[: len(flat)] - errors[len(flat) :]) / (2 * step)
    dw = -N * slope[: K * N].reshape(K, N)
    expected = {
        "drift_Q": (dw @ w.T + w @ dw.T) / N,
        "drift_R": dw @ w_star.T / N,
        "drift_v": -0.7 * slope[K * N : K * N + K],
        "drift_b": -0.3 * slope[K * N + K :],
    }
    found = drifts(problem, start)
    for name, value in expected.items():
        assert np.abs(value).max() > 1e-2
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-7, err_msg=name)


def test_one_linear_unit_has_equations_of_its_own():
    """phi = lambda + b against y = nu: db/dt = -eta_b b, and Q is driven by b^2 as by noise."""
    eta, eta_b, T = 0.5, 0.3, 1.4
    rule = ts.SGD(eta, bias_learning_rate=eta_b)
    student = ts.Student(1, "linear", train_bias=True)
    problem = ts.Problem(ts.TeacherStudent(1, "linear", noise=SIGMA), student, rule)
    start = ts.OrderParameters([[0.8]], [[0.1]], [[T]], b=[2.0])
    times = np.linspace(0, 5, 6)
    theory = ts.integrate(problem, start, times)

    def velocity(t, y):
        Q, R, b = y
        error = Q - 2 * R + T + b**2
        return [
            -2 * eta * (Q - R) + eta**2 * (error + SIGMA**2),
            eta * (T - R),
            -eta_b * b,
        ]

    solved = scipy_integrate.solve_ivp(
        velocity, (0, 5), [0.8, 0.1, 2.0], t_eval=times, rtol=1e-11, atol=1e-12
    )
    Q, R, b = solved.y
    np.testing.assert_allclose(theory.b.values[:, 0], 2 * np.exp(-eta_b * times), rtol=1e-7)
    np.testing.assert_allclose(theory.Q.values[:, 0, 0], Q, rtol=1e-7)
    np.testing.assert_allclose(theory.eps_g.values, (Q - 2 * R + T + b**2) / 2, rtol=1e-6)


def test_a_student_without_biases_keeps_its_averages():
    problem = problem_of(rule=ts.SGD(0.4), train_bias=False)
    assert type(averages_of(problem)) is ErfAverages
    assert "b" not in ts.integrate(problem, start_of(problem, b=None), [0.0, 0.1])


@pytest.mark.parametrize("pair", mostly_long(PAIRS, ("erf",)))
def test_biases_that_stay_zero_change_nothing(pair):
    still = problem_of(pair, ts.SGD(0.4, bias_learning_rate=0.0))
    without = problem_of(pair, ts.SGD(0.4), train_bias=False)
    times = np.linspace(0, 3, 4)
    ours = ts.integrate(still, start_of(still, 0 * B), times)
    known = ts.integrate(without, start_of(without, None), times)
    assert not ours.b.any()
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(ours[name], known[name], rtol=1e-6, atol=1e-8)


def test_biases_of_rate_zero_stay_and_matter():
    still = problem_of(rule=ts.SGD(0.4, bias_learning_rate=0.0))
    theory = ts.integrate(still, start_of(still), [0.0, 1.0])
    np.testing.assert_array_equal(theory.b, np.tile(B, (2, 1)))
    other = ts.integrate(still, start_of(still, 0 * B), [0.0, 1.0])
    assert abs(theory.eps_g - other.eps_g).min() > 0.05


def test_a_frozen_unit_keeps_its_bias():
    problem = problem_of(frozen=[1])
    theory = ts.integrate(problem, start_of(problem), [0.0, 2.0])
    moved = np.abs(theory.b.values[1] - B) > 1e-3
    np.testing.assert_array_equal(moved, [True, False, True])


def test_a_unit_of_an_odd_activation_and_its_opposite():
    """(w, v, b) -> -(w, v, b) of one unit changes nothing."""
    problem = problem_of()
    sign = np.array([1.0, -1.0, 1.0])
    w, w_star = weights()
    turned = ts.start_from_weights(problem, sign[:, None] * w, sign * V, w_star, sign * B)
    times = [0.0, 1.0, 2.0]
    ours = ts.integrate(problem, start_of(problem), times)
    theirs = ts.integrate(problem, turned, times)
    np.testing.assert_allclose(theirs.eps_g, ours.eps_g, rtol=1e-7)
    np.testing.assert_allclose(theirs.b, sign * ours.b, rtol=1e-6)


def test_a_run_in_two_parts_is_that_in_one():
    problem = problem_of()
    whole = ts.integrate(problem, start_of(problem), [0.0, 1.0, 2.0])
    first = ts.integrate(problem, start_of(problem), [0.0, 1.0])
    second = ts.integrate(problem, ts.last_state(first), [1.0, 2.0])
    np.testing.assert_allclose(second.b.values[-1], whole.b.values[-1], rtol=1e-6)
    np.testing.assert_allclose(second.eps_g[-1], whole.eps_g[-1], rtol=1e-6)


def test_a_learnt_teacher_is_a_stable_fixed_point():
    student = ts.Student(1, train_bias=True)
    problem = ts.Problem(ts.TeacherStudent(1), student, ts.SGD(0.2))
    near = ts.OrderParameters([[1.1]], [[0.95]], b=[0.1])
    fixed = ts.fixed_point(problem, near)
    np.testing.assert_allclose(fixed.Q, [[1.0]], atol=1e-8)
    np.testing.assert_allclose(fixed.b, [0.0], atol=1e-8)
    assert len(fixed.eigenvalues) == 3
    # db/dt = -eta E[g'^2] b to first order, E[g'^2] = (2 / pi) / sqrt(1 + 2 Q).
    rate = -0.2 * 2 / np.pi / np.sqrt(3)
    assert np.abs(fixed.eigenvalues.values.real - rate).min() < 1e-6


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda: problem_of(rule=ts.SignSGD(0.1)), "theory of SignSGD with a teacher is known for"),
        (
            lambda: problem_of(rule=ts.HeavyBall(0.1, gamma=1.0)),
            "theory of HeavyBall with a teacher is known for",
        ),
    ],
)
def test_rules_without_a_theory_say_so(change, words):
    problem = change()
    with pytest.raises(ValueError, match=words):
        ts.integrate(problem, start_of(problem), [0.0, 1.0])


def test_the_averages_are_named():
    assert averages_used(problem_of()) == "closed forms of erf"
    assert "quadrature, field by field" in averages_used(problem_of("mixed"))


@pytest.mark.long
def test_observables_see_the_biases():
    problem = problem_of(rule=ts.SGD(0.4, bias_learning_rate=0.0))
    start = start_of(problem)
    observables = ["sign_agreement", ts.error_on(problem.task, name="again")]
    theory = ts.integrate(problem, start, [0.0, 0.1], observables=observables)
    np.testing.assert_allclose(theory.again, theory.eps_g, rtol=1e-9)
    C = np.block([[start.Q, start.R], [start.R.T, start.T]])
    normal = np.random.default_rng(4).standard_normal((400_000, K + M))
    h = normal @ np.linalg.cholesky(C).T
    phi = special.erf((h[:, :K] + B) / np.sqrt(2)) @ V
    phi_star = special.erf(h[:, K:] / np.sqrt(2)) @ V_STAR
    assert abs((phi * phi_star > 0).mean() - float(theory.sign_agreement[0])) < 4e-3
