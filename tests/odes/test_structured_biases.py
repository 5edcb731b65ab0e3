"""Theory of a student with biases on inputs with several eigenvalues: descent of the error, a
solvable case, one eigenvalue, no biases; states, sweeps and phases.
"""

import numpy as np
import pytest
from scipy import integrate as scipy_integrate

import teacherstudent as ts
from teacherstudent.starts import some_of_batch
from tests.long import mostly_long

K, M, N, D = 3, 2, 11, 7
V = np.array([0.5, -0.8, 1.1])
B = np.array([0.6, -0.4, 0.9])
V_STAR = np.array([1.0, -0.7])
SIGMA = 0.3
PAIRS = {"erf": ("erf", "erf"), "relu": ("relu", "relu"), "mixed": ("erf", (0.1, 0.5, -0.3))}
LINEAR = {"linear": ("linear", "linear")}
RATES = {"readout_learning_rate": 0.7, "bias_learning_rate": 0.2}
TIGHT = {"rtol": 1e-11, "atol": 1e-13}
TIMES = [0.0, 0.5, 2.0]


def teacher_of(pair="erf"):
    return {"width": M, "activation": (PAIRS | LINEAR)[pair][1], "readout": V_STAR, "noise": SIGMA}


def problem_of(pair="erf", rule=None, train_bias=True, task=None):
    task = task or ts.HiddenManifold(latent_ratio=D / N, seed=3, **teacher_of(pair))
    student = ts.Student(K, (PAIRS | LINEAR)[pair][0], train_readout=True, train_bias=train_bias)
    return ts.Problem(task, student, rule or ts.SGD(0.4, **RATES))


def weights(seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((K, N)), random.standard_normal((M, D))


def start_of(problem, b=B):
    w, w_star = weights()
    return ts.start_from_weights(problem, w, V, w_star, b)


@pytest.mark.long
@pytest.mark.parametrize("pair", PAIRS)
def test_gradient_flow_descends_the_error(pair):
    """dw/dt = -N d eps_g/dw, dv/dt = -c_v d eps_g/dv, db/dt = -c_b d eps_g/db by differences, with
    Q = w Omega w^T / N and R = w Phi w*^T / sqrt(N D).
    """
    problem = problem_of(pair, ts.GradientFlow(readout_rate=0.7, bias_rate=0.3))
    (F,) = problem.task.matrices(N)
    _, slope, second = problem.task.coefficients
    Omega = (second - slope**2) * np.eye(N) + slope**2 * F @ F.T / D
    Phi = slope * F / np.sqrt(D)
    w, w_star = weights()
    flat = np.concatenate([w.ravel(), V, B])
    step = 1e-5
    moved = np.concatenate([flat + step * np.eye(len(flat)), flat - step * np.eye(len(flat))])
    w_moved = moved[:, : K * N].reshape(-1, K, N)
    signal = Phi @ w_star.T / np.sqrt(N * D)
    batch = ts.OrderParameters(
        w_moved @ Omega @ w_moved.swapaxes(1, 2) / N,
        w_moved @ signal,
        np.broadcast_to(w_star @ w_star.T / D, (len(moved), M, M)),
        moved[:, K * N : K * N + K],
        b=moved[:, K * N + K :],
    )
    errors = np.asarray(ts.generalisation_error(problem, batch))
    slopes = (errors[: len(flat)] - errors[len(flat) :]) / (2 * step)
    dw = -N * slopes[: K * N].reshape(K, N)
    expected = {
        "drift_Q": (dw @ Omega @ w.T + w @ Omega @ dw.T) / N,
        "drift_R": dw @ signal,
        "drift_v": -0.7 * slopes[K * N : K * N + K],
        "drift_b": -0.3 * slopes[K * N + K :],
    }
    theory = ts.integrate(problem, start_of(problem), [0.0, 1e-3], observables=list(expected))
    for name, value in expected.items():
        assert np.abs(value).max() > 1e-2
        np.testing.assert_allclose(theory[name][0], value, rtol=1e-6, atol=1e-7, err_msg=name)


def test_one_linear_unit_on_two_eigenvalues_has_equations_of_its_own():
    """phi = lambda + b against y = nu: every mode is driven by b^2 as by noise."""
    eta, eta_b, T = 0.5, 0.3, 1.4
    rho, p, t = np.array([0.4, 1.8]), np.array([0.7, 0.3]), np.array([0.2, 1.1])
    student = ts.Student(1, "linear", train_bias=True)
    task = ts.GaussianEquivalent(width=1, activation="linear", noise=SIGMA)
    problem = ts.Problem(task, student, ts.SGD(eta, bias_learning_rate=eta_b))
    q, r = np.array([0.8, 0.3]), np.array([0.1, 0.2])
    start = ts.SpectralOverlaps(
        rho, p, *(part[:, None, None] for part in (q, r, t)), T=[[T]], b=[2.0]
    )
    times = np.linspace(0, 5, 6)
    theory = ts.integrate(problem, start, times)

    def velocity(_, y):
        q, r, b = y[:2], y[2:4], y[4]
        error = p @ (rho * q) - 2 * p @ r + T + b**2
        dq = -2 * eta * (rho * q - r) + eta**2 * rho * (error + SIGMA**2)
        return np.concatenate([dq, -eta * (rho * r - t), [-eta_b * b]])

    solved = scipy_integrate.solve_ivp(
        velocity, (0, 5), np.concatenate([q, r, [2.0]]), t_eval=times, rtol=1e-11, atol=1e-12
    )
    Q, R, b = (p * rho) @ solved.y[:2], p @ solved.y[2:4], solved.y[4]
    np.testing.assert_allclose(theory.b[:, 0], 2 * np.exp(-eta_b * times), rtol=1e-7)
    np.testing.assert_allclose(theory.b[:, 0], b, rtol=1e-7)
    np.testing.assert_allclose(theory.Q[:, 0, 0], Q, rtol=1e-7)
    np.testing.assert_allclose(theory.R[:, 0, 0], R, rtol=1e-7)
    np.testing.assert_allclose(theory.eps_g, (Q - 2 * R + T + b**2) / 2, rtol=1e-6)


@pytest.mark.parametrize("pair", mostly_long(PAIRS, ("erf",)))
def test_equal_eigenvalues_are_isotropic_inputs(pair):
    """Two modes with rho = 1 and overlaps that differ follow the isotropic theory in all."""
    random = np.random.default_rng(5)
    halves = random.standard_normal((2, K + M, 40)) / np.sqrt(40)
    C = halves @ halves.swapaxes(1, 2)
    p = np.array([0.3, 0.7])
    Q, R, T = (
        np.einsum("t,tab->ab", p, part) for part in (C[:, :K, :K], C[:, :K, K:], C[:, K:, K:])
    )
    modes = ts.SpectralOverlaps([1.0, 1.0], p, C[:, :K, :K], C[:, :K, K:], C[:, K:, K:], T, V, b=B)
    flat = problem_of(pair, task=ts.TeacherStudent(**teacher_of(pair)))
    several = problem_of(pair, task=ts.GaussianEquivalent(**teacher_of(pair)))
    expected = ts.integrate(flat, ts.OrderParameters(Q, R, T, V, b=B), TIMES, **TIGHT)
    theory = ts.integrate(several, modes, TIMES, **TIGHT)
    assert theory.sizes["rho"] == 2 and np.abs(theory.b[-1] - B).max() > 0.02
    for name in ("Q", "R", "v", "b", "eps_g"):
        np.testing.assert_allclose(theory[name], expected[name], rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.long
def test_biases_that_stay_zero_change_nothing():
    still = problem_of(rule=ts.SGD(0.4, 0.7, bias_learning_rate=0.0))
    without = problem_of(rule=ts.SGD(0.4, 0.7), train_bias=False)
    ours = ts.integrate(still, start_of(still, 0 * B), TIMES, **TIGHT)
    known = ts.integrate(without, start_of(without, None), TIMES, **TIGHT)
    assert not ours.b.any() and "b" not in known
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(ours[name], known[name], rtol=0, atol=1e-10)


@pytest.mark.long
def test_biases_of_rate_zero_stay_and_matter():
    still = problem_of(rule=ts.SGD(0.4, 0.7, bias_learning_rate=0.0))
    theory = ts.integrate(still, start_of(still), [0.0, 1.0])
    np.testing.assert_array_equal(theory.b, np.tile(B, (2, 1)))
    other = ts.integrate(still, start_of(still, 0 * B), [0.0, 1.0])
    assert abs(theory.eps_g - other.eps_g).min() > 0.05


def test_overlaps_become_modes_with_their_biases():
    problem = problem_of()
    start = ts.OrderParameters(np.diag([1.0, 0.8, 0.6]), np.full((K, M), 0.05), v=V, b=B)
    modes = ts.spectral_start(problem, start, nodes=5)
    np.testing.assert_array_equal(modes.b, B)
    pair = ts.OrderParameters(
        np.stack([start.Q] * 2), np.stack([start.R] * 2), b=np.stack([B, -B]), v=np.stack([V, V])
    )
    both = ts.spectral_start(problem, pair, nodes=5)
    np.testing.assert_array_equal(some_of_batch(both, [1]).b, [-B])
    assert "b=[ 0.6, -0.4,  0.9]" in repr(modes)


@pytest.mark.long
def test_a_run_in_two_parts_is_that_in_one(tmp_path):
    problem = problem_of("linear")
    whole = ts.integrate(problem, start_of(problem), [0.0, 1.0, 2.0])
    first = ts.integrate(problem, start_of(problem), [0.0, 0.5, 1.0], spectral=True)
    ts.save(tmp_path / "first.h5", theory=first)
    read = ts.load(tmp_path / "first.h5")["theory"].to_dataset()
    np.testing.assert_array_equal(ts.start_of(read).b, B)
    for data in (first, read):
        end = ts.last_state(data)
        np.testing.assert_array_equal(end.b, first.b[-1])
        second = ts.integrate(problem, end, [1.0, 2.0])
        np.testing.assert_allclose(second.b[-1], whole.b[-1], rtol=1e-6)
        np.testing.assert_allclose(second.eps_g[-1], whole.eps_g[-1], rtol=1e-6)
    middle = ts.state_at(first, 0.5)
    np.testing.assert_array_equal(middle.b, first.b[1])
    third = ts.integrate(problem, middle, [0.5, 2.0])
    np.testing.assert_allclose(third.b[-1], whole.b[-1], rtol=1e-6)


@pytest.mark.long
def test_phases_and_sweeps_have_biases():
    rates = [0.1, 0.4]
    swept = problem_of("linear", rule=ts.SGD(0.4, 0.7, bias_learning_rate=rates))
    curves = ts.integrate(swept, start_of(swept), [0.0, 1.0])
    single = [
        problem_of("linear", rule=ts.SGD(0.4, 0.7, bias_learning_rate=rate)) for rate in rates
    ]
    alone = ts.integrate(single[0], start_of(single[0]), [0.0, 1.0])
    np.testing.assert_allclose(curves.b.sel(bias_learning_rate=0.1), alone.b, atol=1e-9)
    protocol = ts.Protocol((single[0], 1.0), (single[1], 1.0))
    phases = ts.integrate(protocol, start_of(single[0]), [0.0, 1.0, 2.0])
    later = ts.integrate(single[1], ts.last_state(alone), [1.0, 2.0])
    np.testing.assert_allclose(phases.b[-1], later.b[-1], rtol=1e-6)
    assert np.abs(phases.b[-1] - curves.b[1, -1]).max() > 1e-3


@pytest.mark.long
def test_the_vector_field_has_biases():
    problem = problem_of("linear")
    start = start_of(problem)
    field = ts.vector_field(problem, start)
    assert field.names[-3:] == ("b[0]", "b[1]", "b[2]")
    np.testing.assert_array_equal(field.y[-3:], B)
    np.testing.assert_array_equal(field.unpack(field.y).b, B)
    theory = ts.integrate(problem, start, [0.0, 0.1], observables=["drift_b"])
    np.testing.assert_allclose(field(field.y)[-3:], theory.drift_b[0], rtol=1e-9)


@pytest.mark.long
def test_a_learnt_teacher_is_a_fixed_point():
    """On inputs that say all of the teacher: Omega and Phi diagonal, Phi = Omega^(1/2)."""
    task = ts.GaussianEquivalent.anisotropic([0.5, 1.0, 1.5], width=1)
    problem = ts.Problem(task, ts.Student(1, train_bias=True), ts.SGD(0.2))
    w_star = np.array([[1.0, -0.5, 0.8]])
    near = ts.start_from_weights(problem, w_star + [[0.1, 0.0, -0.1]], [1.0], w_star, [0.1])
    fixed = ts.fixed_point(problem, near)
    np.testing.assert_allclose(fixed.b, [0.0], atol=1e-8)
    np.testing.assert_allclose(fixed.Q, fixed.R, atol=1e-7)


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda: start_of(problem_of(train_bias=False, rule=ts.SGD(0.4))),
            "start.b is not zero, but student.train_bias = false",
        ),
        (
            lambda: ts.SpectralOverlaps([1.0], [1.0], [[[1.0]]], [[[0.1]]], [[[1.0]]], b=[1, 2]),
            "start.b has shape",
        ),
        (
            lambda: ts.integrate(
                problem_of(rule=ts.SignSGD(0.1)), start_of(problem_of()), [0.0, 1.0]
            ),
            "theory of SignSGD with a teacher is known for",
        ),
    ],
)
def test_bad_input_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        change()
