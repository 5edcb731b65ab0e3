"""Theory with a teacher on inputs that have a mean: descent of the error, one update by samples, a
solvable case, one cluster of a mixture, no mean; what is not known.
"""

import numpy as np
import pytest
from scipy import integrate as scipy_integrate, special

import teacherstudent as ts
from odes.solving.quadrature_error import averages_used

K, M, N = 2, 3, 11
V, B = np.array([0.5, -0.8]), np.array([0.6, -0.4])
V_STAR = np.array([1.0, -0.7, 0.0])
MU = np.array([0.8, 0.3, -1.1])
SIGMA = 0.3
CUBIC = (0.1, 0.5, -0.3)
PAIRS = {"erf": ("erf", "erf"), "relu": ("relu", "relu"), "mixed": ("erf", CUBIC)}
TIGHT = {"rtol": 1e-11, "atol": 1e-13}
TIMES = [0.0, 0.5, 2.0]
G = {
    "erf": lambda h: special.erf(h / np.sqrt(2)),
    "relu": lambda h: np.maximum(h, 0),
    CUBIC: np.polynomial.Polynomial(CUBIC),
}
SLOPE = {
    "erf": lambda h: np.sqrt(2 / np.pi) * np.exp(-(h**2) / 2),
    "relu": lambda h: (h > 0).astype(float),
}


def problem_of(pair="erf", rule=None, train_bias=True, mean=MU, batch_size=1):
    student, teacher = PAIRS.get(pair, (pair, pair))
    task = ts.ShiftedTeacherStudent(M, teacher, readout=V_STAR, noise=SIGMA, mean=mean)
    rule = rule or ts.SGD(0.4, readout_learning_rate=0.7)
    return ts.Problem(task, ts.Student(K, student, True, train_bias), rule, batch_size=batch_size)


def weights(seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((K, N)), random.standard_normal((M, N))


def start_of(problem, b=B):
    w, w_star = weights()
    if not problem.student.train_bias:
        b = None
    start = ts.start_from_weights(problem, w, V, w_star, b)
    return ts.OrderParameters(start.Q, start.R, start.T, start.v, b=start.b)


@pytest.mark.long
@pytest.mark.parametrize("train_bias", [True, False])
@pytest.mark.parametrize("pair", PAIRS)
def test_gradient_flow_descends_the_error(pair, train_bias):
    """dw/dt = -N d eps_g/dw, dv/dt = -c_v d eps_g/dv, db/dt = -c_b d eps_g/db by differences."""
    problem = problem_of(pair, ts.GradientFlow(0.7, bias_rate=0.3), train_bias)
    start = start_of(problem)
    w, w_star = weights()
    flat = np.concatenate([w.ravel(), V, start.b])
    step = 1e-5
    moved = np.concatenate([flat + step * np.eye(len(flat)), flat - step * np.eye(len(flat))])
    w_moved = moved[:, : K * N].reshape(-1, K, N)
    allowed = moved[:, K * N + K :] * train_bias
    batch = ts.OrderParameters(
        w_moved @ w_moved.swapaxes(1, 2) / N,
        w_moved @ w_star.T / N,
        np.broadcast_to(start.T, (len(moved), M, M)),
        moved[:, K * N : K * N + K],
        b=allowed,
    )
    errors = np.asarray(ts.generalisation_error(problem, batch))
    slopes = (errors[: len(flat)] - errors[len(flat) :]) / (2 * step)
    dw = -N * slopes[: K * N].reshape(K, N)
    expected = {
        "drift_Q": (dw @ w.T + w @ dw.T) / N,
        "drift_R": dw @ w_star.T / N,
        "drift_v": -0.7 * slopes[K * N : K * N + K],
        "drift_b": -0.3 * slopes[K * N + K :],
    }
    if not train_bias:
        del expected["drift_b"]
    theory = ts.integrate(problem, start, [0.0, 1e-3], observables=list(expected))
    for name, value in expected.items():
        assert np.abs(value).max() > 1e-2
        np.testing.assert_allclose(theory[name][0], value, rtol=1e-6, atol=1e-7, err_msg=name)


def update_by_hand(pair, start, b, samples, seed):
    """Means and standard errors of E[delta_k h_x], E[delta_k delta_l], E[g e], E[delta_k] and
    e^2 / 2, over samples of fields with means.
    """
    student, teacher = PAIRS[pair]
    C = np.block([[start.Q, start.R], [start.R.T, start.T]])
    random = np.random.default_rng(seed)
    h = random.standard_normal((samples, K + M)) @ np.linalg.cholesky(C).T + C[:, K:] @ MU
    lam = h[:, :K] + b
    clean = G[student](lam) @ V - G[teacher](h[:, K:]) @ V_STAR
    e = clean - SIGMA * random.standard_normal(samples)
    delta = V * SLOPE[student](lam) * e[:, None]

    def average(values):
        return values.mean(axis=0), values.std(axis=0) / np.sqrt(samples)

    return (
        average(delta[:, :, None] * h[:, None, :]),
        average(delta[:, :, None] * delta[:, None, :]),
        average(G[student](lam) * e[:, None]),
        average(delta),
        average(clean**2 / 2),
    )


@pytest.mark.long
@pytest.mark.parametrize("train_bias", [True, False])
@pytest.mark.parametrize("pair", PAIRS)
def test_one_update_against_samples(pair, train_bias):
    eta, eta_v, eta_b, batch = 0.4, 0.7, 0.2, 2
    rates = {"bias_learning_rate": eta_b} if train_bias else {}
    rule = ts.SGD(eta, readout_learning_rate=eta_v, **rates)
    problem = problem_of(pair, rule, train_bias, batch_size=batch)
    start = start_of(problem)
    pull, square, readout, delta, error = update_by_hand(pair, start, start.b, 1_000_000, seed=3)
    both = pull[0][:, :K] + pull[0][:, :K].T
    error_Q = eta * (pull[1][:, :K] + pull[1][:, :K].T) + eta**2 * square[1] / batch
    expected = {
        "drift_Q": (-eta * both + eta**2 * square[0] / batch, error_Q),
        "drift_R": (-eta * pull[0][:, K:], eta * pull[1][:, K:]),
        "drift_v": (-eta_v * readout[0], eta_v * readout[1]),
        "drift_b": (-eta_b * delta[0], eta_b * delta[1]),
    }
    if not train_bias:
        del expected["drift_b"]
    theory = ts.integrate(problem, start, [0.0, 1e-3], observables=list(expected))
    for name, (mean, deviation) in expected.items():
        assert np.abs(mean).max() > 25 * deviation.max(), name
        assert (np.abs(theory[name][0] - mean) / deviation).max() < 4.5, name
    assert abs(theory.eps_g[0] - error[0]) < 4.5 * error[1]


def test_one_linear_unit_has_equations_of_its_own():
    """phi = lambda + b against y = nu, with means R mu + b and T mu of the fields."""
    eta, eta_b, T, mu = 0.5, 0.3, 1.4, 0.9
    task = ts.ShiftedTeacherStudent(1, "linear", noise=SIGMA, mean=mu)
    student = ts.Student(1, "linear", train_bias=True)
    problem = ts.Problem(task, student, ts.SGD(eta, bias_learning_rate=eta_b))
    start = ts.OrderParameters([[0.8]], [[0.1]], [[T]], b=[0.7])
    times = np.linspace(0, 5, 6)
    theory = ts.integrate(problem, start, times)

    def mean_and_square(Q, R, b):
        mean = (R - T) * mu + b
        return mean, Q - 2 * R + T + mean**2

    def velocity(_, y):
        Q, R, b = y
        mean, square = mean_and_square(Q, R, b)
        dQ = -2 * eta * (Q - R + mean * R * mu) + eta**2 * (square + SIGMA**2)
        return [dQ, -eta * (R - T + mean * T * mu), -eta_b * mean]

    solved = scipy_integrate.solve_ivp(
        velocity, (0, 5), [0.8, 0.1, 0.7], t_eval=times, rtol=1e-11, atol=1e-12
    )
    Q, R, b = solved.y
    np.testing.assert_allclose(theory.Q[:, 0, 0], Q, rtol=1e-7)
    np.testing.assert_allclose(theory.R[:, 0, 0], R, rtol=1e-7)
    np.testing.assert_allclose(theory.b[:, 0], b, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(theory.eps_g, mean_and_square(Q, R, b)[1] / 2, rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("activation", ["erf", "relu", "linear"])
def test_a_teacher_that_says_one_is_one_cluster_of_a_mixture(activation):
    """y = 1 for all inputs, by the constant g* = 1, and by the label of one cluster."""
    A = np.array([0.8, -0.5])
    student = ts.Student(K, activation, train_readout=True, train_bias=True)
    rule = ts.SGD(0.4, readout_learning_rate=0.7, bias_learning_rate=0.2)
    constant = ts.ShiftedTeacherStudent(2, (1.0, 0.0), readout=[0.7, 0.3], mean=A)
    cluster = ts.GaussianMixture([1.0], [1], means=[A])
    Q, m = np.array([[1.0, 0.2], [0.2, 0.7]]), np.array([[0.3, -0.2], [0.1, 0.4]])
    ours = ts.integrate(
        ts.Problem(constant, student, rule), ts.OrderParameters(Q, m, v=V, b=B), TIMES, rtol=1e-9
    )
    theirs = ts.integrate(
        ts.Problem(cluster, student, rule), ts.OrderParameters(Q, m=m, v=V, b=B), TIMES, rtol=1e-9
    )
    for name, other in (("Q", "Q"), ("R", "m"), ("v", "v"), ("b", "b"), ("eps_g", "loss")):
        np.testing.assert_allclose(ours[name], theirs[other], rtol=0, atol=1e-6, err_msg=name)
    assert np.abs(ours.R[-1] - ours.R[0]).max() > 0.05


@pytest.mark.long
@pytest.mark.parametrize("pair", PAIRS)
def test_a_mean_of_zero_changes_nothing(pair):
    problem = problem_of(pair, train_bias=False, mean=0.0)
    task = ts.TeacherStudent(M, PAIRS[pair][1], readout=V_STAR, noise=SIGMA)
    centred = ts.Problem(task, problem.student, problem.rule)
    start = start_of(problem)
    ours = ts.integrate(problem, start, TIMES, **TIGHT)
    known = ts.integrate(centred, start, TIMES, **TIGHT)
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(ours[name], known[name], rtol=0, atol=1e-9)


@pytest.mark.long
def test_a_run_in_two_parts_and_one_in_phases():
    problem, other = problem_of(), problem_of(mean=-MU)
    whole = ts.integrate(problem, start_of(problem), [0.0, 1.0, 2.0])
    first = ts.integrate(problem, start_of(problem), [0.0, 1.0])
    second = ts.integrate(problem, ts.last_state(first), [1.0, 2.0])
    np.testing.assert_allclose(second.eps_g[-1], whole.eps_g[-1], rtol=1e-6)
    protocol = ts.Protocol((problem, 1.0), (other, 1.0))
    phases = ts.integrate(protocol, start_of(problem), [0.0, 1.0, 2.0])
    moved = ts.integrate(other, ts.last_state(first), [1.0, 2.0])
    np.testing.assert_allclose(phases.eps_g[-1], moved.eps_g[-1], rtol=1e-6)
    assert abs(phases.eps_g[-1] - whole.eps_g[-1]) > 1e-2


@pytest.mark.long
@pytest.mark.parametrize("train_bias", [True, False])
def test_observables_see_the_means(train_bias):
    rule = ts.FeedbackAlignment(0.4, feedback=[0.7, 0.9])
    problem = problem_of(rule=rule, train_bias=train_bias)
    start = start_of(problem)
    centred = ts.TeacherStudent(M, "erf", readout=V_STAR)
    observables = [
        "sign_agreement",
        "gradient_alignment",
        ts.error_on(problem.task, name="again"),
        ts.error_on(centred, name="elsewhere"),
    ]
    theory = ts.integrate(problem, start, [0.0, 0.1], observables=observables)
    np.testing.assert_allclose(theory.again, theory.eps_g, rtol=1e-9)
    of_centred = ts.Problem(centred, problem.student, rule)
    assert theory.elsewhere[0] == pytest.approx(float(ts.generalisation_error(of_centred, start)))
    C = np.block([[start.Q, start.R], [start.R.T, start.T]])
    normal = np.random.default_rng(4).standard_normal((400_000, K + M))
    h = normal @ np.linalg.cholesky(C).T + C[:, K:] @ MU
    lam = h[:, :K] + start.b
    phi, phi_star = G["erf"](lam) @ V, G["erf"](h[:, K:]) @ V_STAR
    assert abs((phi * phi_star > 0).mean() - float(theory.sign_agreement[0])) < 4e-3
    square = (SLOPE["erf"](lam) ** 2 * ((phi - phi_star) ** 2 + SIGMA**2)[:, None]).mean(axis=0)
    F = np.array([0.7, 0.9])
    cosine = F * V @ square / np.sqrt((F**2 @ square) * (V**2 @ square))
    assert abs(cosine - float(theory.gradient_alignment[0])) < 5e-3


def test_averages_are_named_and_at_the_means():
    assert averages_used(problem_of()) == "closed forms of erf"
    assert averages_used(problem_of(train_bias=False)) == "closed forms of erf"
    assert "quadrature, field by field" in averages_used(problem_of("mixed", train_bias=False))


@pytest.mark.parametrize(
    "rule",
    [ts.SignSGD(0.1), ts.HeavyBall(0.1, gamma=1.0), ts.AGD(), ts.Fromage(0.1), ts.Signum(0.1)],
    ids=lambda rule: type(rule).__name__,
)
def test_rules_without_a_theory_say_so(rule):
    problem = problem_of(rule=rule, train_bias=False)
    words = f"theory of {type(rule).__name__} is known for inputs without a mean only"
    with pytest.raises(ValueError, match=words):
        ts.integrate(problem, start_of(problem), [0.0, 1.0])


@pytest.mark.parametrize(
    "mean, words",
    [
        ([1.0, 2.0], r"task.mean has shape \(2,\) but task.width = 3"),
        (
            [[0.0, 1.0], [2.0, 1.0]],
            r"shape \(2, 2\) but .* of the teacher's vectors, or one for each",
        ),
        ([], r"shape \(0,\) but .* of the teacher's vectors, or one for each"),
        (np.nan, "task.mean"),
        (ts.exponential(1.0, 0.1), "task.mean cannot change with time"),
    ],
)
def test_bad_means_are_refused(mean, words):
    with pytest.raises(ValueError, match=words):
        ts.ShiftedTeacherStudent(3, mean=mean)
