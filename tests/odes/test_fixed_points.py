"""Fixed points and their stability: against closed forms, against trajectories that leave them, and
against the limits in which symmetries make them lines.
"""

import jax
import numpy as np
import pytest

import teacherstudent as ts
from odes.analysis.flat_field import vector_field
from odes.analysis.newton import find_root
from tests.long import mostly_long
from tests.odes import plain_erf
from tests.problems import committee, random_overlaps


def symmetric_state(K, M, Q=0.3, R=0.2, apart=0.01):
    return ts.OrderParameters(np.full((K, K), Q) + apart * np.eye(K), np.full((K, M), R))


# --- the vector field


def test_the_field_is_the_classical_sums_entry_by_entry():
    K, M = 3, 2
    v, v_star = np.linspace(0.5, 1.5, K), np.array([-1.0, 0.7])
    start = random_overlaps(K, M, seed=4, v=v)
    task, student = ts.TeacherStudent(M, "erf", v_star, 0.3), ts.Student(K, "erf", True)
    problem = ts.Problem(task, student, ts.SGD(0.4, 0.25, 0.05), batch_size=3)
    field = ts.vector_field(problem, start)
    velocity = dict(zip(field.names, np.asarray(field(field.y)), strict=True))
    dQ, dR, dv = plain_erf.velocity(
        start.Q, start.R, start.T, v, v_star, 0.4, 0.25, 0.3, kappa=0.05, batch=3
    )
    assert len(velocity) == K * (K + 1) // 2 + K * M + K
    for k in range(K):
        assert velocity[f"v[{k}]"] == pytest.approx(dv[k], abs=1e-14)
        for m in range(M):
            assert velocity[f"R[{k},{m}]"] == pytest.approx(dR[k, m], abs=1e-14)
        for l in range(k, K):
            assert velocity[f"Q[{k},{l}]"] == pytest.approx(dQ[k, l], abs=1e-14)


def test_vectors_and_order_parameters_are_the_same():
    start = random_overlaps(3, 2, seed=1, v=np.array([0.5, 1.0, -1.0]))
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(3, train_readout=True), ts.SGD(0.1))
    field = ts.vector_field(problem, start)
    again = field.unpack(field.y)
    for name in ("Q", "R", "T", "v"):
        np.testing.assert_array_equal(getattr(again, name), getattr(start, name))
    np.testing.assert_array_equal(field.pack(start), field.y)
    assert float(field.error(field.y)) == float(ts.generalisation_error(problem, start))


@pytest.mark.long
def test_by_mode_the_field_sums_to_the_drift_of_the_overlaps():
    task = ts.HiddenManifold(width=2, nonlinearity="sign", latent_ratio=0.5)
    problem = ts.Problem(task, ts.Student(3), ts.SGD(0.2))
    start = symmetric_state(3, 2)
    spectral = ts.spectral_start(problem, start)
    field = ts.vector_field(problem, start)
    modes = len(spectral.rho)
    dq = np.asarray(field(field.y))[: 6 * modes].reshape(6, modes)
    theory = ts.integrate(problem, start, [0.0, 0.1], observables=["drift_Q"], curve=False)
    expected = theory.drift_Q.values[0][np.triu_indices(3)]
    np.testing.assert_allclose(dq @ (spectral.weights * spectral.rho), expected, rtol=1e-10)
    assert field.names[0] == f"q[0,0](rho={spectral.rho[0]:.6g})"


def test_schedules_are_taken_at_their_time():
    problem = committee(learning_rate=ts.piecewise([0.1, 0.3], [5.0]))
    start = random_overlaps(3, 2)
    field = ts.vector_field(problem, start)
    for t, rate in ((0.0, 0.1), (5.0, 0.3)):
        constant = ts.vector_field(committee(learning_rate=rate), start)
        np.testing.assert_allclose(field(field.y, t), constant(constant.y), rtol=1e-14)


def test_another_number_needs_no_other_program():
    field = ts.vector_field(committee(learning_rate=0.1), random_overlaps(3, 2))
    field(field.y)
    with jax.log_compiles(False):
        from odes.analysis import flat_field

        before = flat_field._velocity._cache_size()
        other = ts.vector_field(committee(learning_rate=0.2, noise=0.4), random_overlaps(3, 2, 7))
        other(other.y)
        assert flat_field._velocity._cache_size() == before


@pytest.mark.parametrize(
    "rule",
    mostly_long([ts.SGD(0.3), ts.HeavyBall(0.3, beta=0.5), ts.SphericalSGD(0.3)], [ts.SGD(0.3)]),
)
def test_the_jacobian_is_that_of_finite_differences(rule):
    start = ts.OrderParameters(np.eye(3) + 0.3 * (1 - np.eye(3)), np.full((3, 2), 0.25))
    field = vector_field(ts.Problem(ts.TeacherStudent(2, noise=0.2), ts.Student(3), rule), start)
    jacobian, h = field.jacobian(field.y), 1e-6
    for j, unit in enumerate(np.eye(len(field.y))):
        slope = (field.velocity(field.y + h * unit) - field.velocity(field.y - h * unit)) / (2 * h)
        np.testing.assert_allclose(jacobian[:, j], slope, atol=1e-8)


# --- plateaus


@pytest.mark.parametrize("K", [2, 3])
def test_saad_solla_plateau_in_the_limit_of_small_rates(K):
    # Q = 1 / (2 K - 1), R = 1 / sqrt(K (2 K - 1)) and their error, for eta -> 0.
    problem = ts.Problem(ts.TeacherStudent(K), ts.Student(K), ts.GradientFlow())
    plateau = ts.fixed_point(problem, symmetric_state(K, K), constraint="symmetric")
    error = K / np.pi * (np.pi / 6 - K * np.arcsin(1 / (2 * K)))
    np.testing.assert_allclose(plateau.Q, 1 / (2 * K - 1), rtol=1e-7)
    np.testing.assert_allclose(plateau.R, 1 / np.sqrt(K * (2 * K - 1)), rtol=1e-7)
    assert float(plateau.eps_g) == pytest.approx(error, rel=1e-8)
    problem = ts.Problem(ts.TeacherStudent(K), ts.Student(K), ts.SGD(1e-4))
    near = ts.fixed_point(problem, symmetric_state(K, K), constraint="symmetric")
    assert float(near.eps_g) == pytest.approx(error, rel=1e-3)
    rates = near.eigenvalues.values[:3] / 1e-4
    np.testing.assert_allclose(rates, plateau.eigenvalues.values[:3], atol=1e-3)


def growth(problem, start, name, begin, end):
    """The rate at which a difference of order parameters grows along a trajectory."""
    theory = ts.integrate(problem, start, [0.0, begin, end], rtol=1e-10, atol=1e-13)
    difference = np.abs(theory[name][1:, 0, 0] - theory[name][1:, 0, 1])
    return float(np.log(difference[1] / difference[0]) / (end - begin))


@pytest.mark.parametrize(("K", "M"), mostly_long([(2, 2), (3, 3), (4, 3)], [(3, 3)]))
def test_the_escape_rate_is_that_of_the_trajectory(K, M):
    problem = ts.Problem(ts.TeacherStudent(M), ts.Student(K), ts.SGD(0.5))
    plateau = ts.fixed_point(problem, symmetric_state(K, M), constraint="symmetric")
    # Specialisation: one unit turns towards one teacher, by the mode that grows fastest.
    R = plateau.R.values.copy()
    R[0, 0] += 1e-6
    R[0, 1] -= 1e-6
    rate = growth(problem, ts.OrderParameters(plateau.Q, R), "R", 60.0, 90.0)
    assert rate == pytest.approx(float(plateau.eigenvalues[0]), rel=1e-3)
    assert plateau.attrs["classification"].startswith("plateau")


def test_eigenvectors_are_those_of_the_linearised_equations():
    problem = ts.Problem(ts.TeacherStudent(3, noise=0.1), ts.Student(4), ts.SGD(0.2))
    plateau = ts.fixed_point(problem, symmetric_state(4, 3), constraint="symmetric")
    field = vector_field(problem, ts.start_of(plateau))
    moved = field.jacobian(field.y) @ plateau.eigenvectors.values
    np.testing.assert_allclose(
        moved, plateau.eigenvectors.values * plateau.eigenvalues.values, atol=1e-10
    )
    assert list(plateau.entry.values) == list(field.names)
    assert np.abs(field.velocity(field.y)).max() < 1e-14


def test_a_part_of_the_units_may_be_alike():
    # One unit has found a teacher, two others share the second: a plateau of K = 3, M = 2.
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(3), ts.SGD(0.1))
    Q = np.array([[0.9, 0.02, 0.02], [0.02, 0.3, 0.2], [0.02, 0.2, 0.3]])
    near = ts.OrderParameters(Q, np.array([[0.9, 0.02], [0.02, 0.45], [0.02, 0.45]]))
    found = ts.fixed_point(problem, near, constraint=[[0], [1, 2]])
    Q, R = found.Q.values, found.R.values
    np.testing.assert_allclose([Q[1, 1], Q[0, 1], R[1, 0]], [Q[2, 2], Q[0, 2], R[2, 0]], atol=1e-12)
    average = vector_field(problem, near)
    swap = np.zeros((len(average.y), len(average.y)))
    exchanged = {"1": "2", "2": "1"}
    for row, name in enumerate(average.names):
        kind, first, second = name[0], *name[2:-1].split(",")
        first = exchanged.get(first, first)
        if kind == "Q":
            first, second = sorted((first, exchanged.get(second, second)))
        swap[row, average.names.index(f"{kind}[{first},{second}]")] = 1.0
    half = (np.eye(len(swap)) + swap) / 2
    again = ts.fixed_point(problem, near, constraint=lambda y: half @ y)
    np.testing.assert_allclose(again.Q, found.Q, atol=1e-10)


# --- the end of learning


@pytest.mark.parametrize(
    ("M", "extra", "eta", "ratio"),
    [(2, 0, 0.2, 1.0942), (2, 0, 0.05, 1.0220), (2, 1, 0.2, 1.1682), (2, 1, 0.025, 1.0183)],
)
def test_noisy_committee_over_its_asymptote(M, extra, eta, ratio):
    # eps* = eta sigma^2 / (2 pi) (L + M / sqrt 3) + O(eta^2), by long trajectories at these rates.
    K, sigma = M + extra, 0.01
    R = np.eye(K, M)
    problem = ts.Problem(ts.TeacherStudent(M, noise=sigma), ts.Student(K), ts.SGD(eta))
    found = ts.fixed_point(problem, ts.OrderParameters(R @ R.T + 1e-3 * np.eye(K), R))
    asymptote = eta * sigma**2 / (2 * np.pi) * (extra + M / np.sqrt(3))
    assert float(found.eps_g) / asymptote == pytest.approx(ratio, abs=3e-4)


def test_linear_units_have_a_closed_form():
    eta, sigma, v = 0.3, 0.5, np.array([1.0, -0.5])
    s = (v**2).sum()
    task = ts.TeacherStudent(3, "linear", noise=sigma)
    problem = ts.Problem(task, ts.Student(2, "linear"), ts.SGD(eta))
    near = ts.OrderParameters(2 * np.eye(2), np.full((2, 3), 0.4), v=v)
    found = ts.fixed_point(problem, near)
    assert float(found.eps_g) == pytest.approx(eta * sigma**2 * s / (4 - 2 * eta * s), rel=1e-9)
    rate = -2 * eta * s + (eta * s) ** 2  # of eps_g
    assert np.abs(found.eigenvalues - rate).min() < 1e-9


@pytest.mark.long
def test_readouts_of_linear_and_relu_units_slide_along_their_scales():
    for activation, expected in (("relu", 2), ("linear", 4)):
        task, student = ts.TeacherStudent(3, activation), ts.Student(2, activation, True)
        problem = ts.Problem(task, student, ts.GradientFlow())
        start = ts.random_start(problem, N=200, seed=1)
        end = ts.last_state(ts.integrate(problem, start, [0.0, 100.0]))
        found = ts.fixed_point(problem, end)
        line = found.attrs["classification"]
        assert "scale of unit 0: w -> a w, v -> v / a" in line
        assert "scale of unit 1" in line
        assert line.startswith("stable")
        zero = np.abs(found.eigenvalues.values) < 1e-9
        assert zero.sum() >= expected


def test_what_a_rule_holds_has_no_eigenvalue():
    start = ts.OrderParameters(np.eye(2) * 0.5 + 0.5, np.full((2, 3), 0.4))
    task = ts.TeacherStudent(3)
    spherical = ts.fixed_point(ts.Problem(task, ts.Student(2), ts.SphericalSGD(0.3)), start)
    np.testing.assert_allclose(np.diag(spherical.Q), 1.0, atol=1e-14)
    assert spherical.sizes["eigenvalue"] == 1 + 6
    frozen = ts.fixed_point(ts.Problem(task, ts.Student(2, frozen=[0]), ts.SGD(0.3)), start)
    assert float(frozen.Q[0, 0]) == 1.0
    np.testing.assert_array_equal(frozen.R[0], 0.4)
    assert frozen.sizes["eigenvalue"] == 2 + 3


@pytest.mark.long
def test_spiked_inputs_and_hidden_manifolds_have_them():
    problem = ts.Problem(ts.SpikedCumulant(beta=5.0), ts.Student(2, train_bias=True), ts.SGD(0.1))
    start = ts.OrderParameters(0.3 * np.eye(2), m=[[0.1], [0.2]])
    theory = ts.integrate(problem, start, [0.0, 300.0])
    found = ts.fixed_point(problem, ts.last_state(theory))
    field = vector_field(problem, ts.start_of(found))
    assert np.abs(field.velocity(field.y)).max() < 1e-12
    task = ts.HiddenManifold(2, nonlinearity="sign", latent_ratio=0.5)
    problem = ts.Problem(task, ts.Student(2), ts.SGD(0.1))
    plateau = ts.fixed_point(problem, symmetric_state(2, 2, 0.25), constraint="symmetric")
    assert {"q", "r", "rho"} <= set(plateau.variables)
    start = ts.start_of(plateau)
    theory = ts.integrate(problem, start, [0.0, 20.0])
    np.testing.assert_allclose(theory.Q[-1], plateau.Q, atol=1e-7)


def test_a_relu_student_that_equals_its_teacher_has_no_derivative():
    problem = ts.Problem(ts.TeacherStudent(2, "relu"), ts.Student(2, "relu"), ts.SGD(0.1))
    W = np.array([[0.9, 0.1], [0.2, 0.8]])  # within the teacher's span: the edge of all overlaps
    with pytest.raises(ValueError, match="the equations have no derivative at the fixed point"):
        ts.fixed_point(problem, ts.OrderParameters(W @ W.T, W))
    erf = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.1))
    known = ts.fixed_point(erf, ts.OrderParameters(np.eye(2), np.eye(2)))
    assert known.attrs["classification"].startswith("stable")


# --- curves of fixed points


@pytest.mark.parametrize(
    ("K", "eta"), mostly_long([(1, 4.0533), (2, 2.302), (3, 1.607)], [(2, 2.302)])
)
def test_beyond_a_rate_the_teacher_is_not_found(K, eta):
    problem = ts.Problem(ts.TeacherStudent(K), ts.Student(K), ts.SGD(eta - 0.5))
    known = ts.OrderParameters(np.eye(K), np.eye(K))
    curve = ts.follow_fixed_point(problem, known, "rule.learning_rate", eta + 0.5, points=11)
    assert curve.attrs["bifurcations"].endswith("0 to 1 unstable modes")
    critical = float(curve.attrs["bifurcations"].split("=")[1].split(":")[0])
    assert critical == pytest.approx(eta, rel=3e-3)
    aside = ts.OrderParameters((1 + 1e-4) * np.eye(K), np.eye(K))
    for factor, grows in ((0.97, False), (1.03, True)):
        problem = ts.Problem(ts.TeacherStudent(K), ts.Student(K), ts.SGD(factor * critical))
        theory = ts.integrate(problem, aside, [0.0, 100.0, 200.0])
        assert bool(theory.eps_g[2] > theory.eps_g[1]) == grows


@pytest.mark.long
def test_a_fold_of_a_noisy_relu_unit():
    # The state at rest and an unstable one meet; above the fold every run diverges.
    def problem(eta):
        return ts.Problem(
            ts.TeacherStudent(1, "relu", noise=0.5), ts.Student(1, "relu"), ts.SGD(eta)
        )

    known = ts.OrderParameters([[1.0]], [[0.999]])
    curve = ts.follow_fixed_point(problem(1.5), known, "rule.learning_rate", 3.0, points=20)
    line = curve.attrs["bifurcations"]
    assert "the curve turns back (a fold)" in line
    fold = float(curve.learning_rate.max())
    assert fold == pytest.approx(2.1132, rel=2e-3)
    turn = int(curve.learning_rate.values.argmax())
    assert (curve.unstable_modes[:turn] == 0).all()
    assert (curve.unstable_modes[turn + 1 :] == 1).all()
    start = ts.OrderParameters(Q=[[1.5]], R=[[1.0]])
    theory = ts.integrate(problem(0.98 * fold), start, [0.0, 300.0, 400.0])
    assert float(theory.eps_g[2]) == pytest.approx(float(theory.eps_g[1]), rel=1e-3)
    with pytest.raises(ts.DivergenceError):
        ts.integrate(problem(1.02 * fold), start, [0.0, 2000.0])


@pytest.mark.long
def test_specialisation_ends_in_a_pitchfork_of_weight_decay():
    def problem(decay):
        rule = ts.SGD(0.1, weight_decay=decay)
        return ts.Problem(ts.TeacherStudent(2, noise=0.05), ts.Student(2), rule)

    over = ("rule.weight_decay", 0.01)
    known = ts.OrderParameters(np.eye(2), np.eye(2))
    specialised = ts.follow_fixed_point(problem(1e-4), known, *over, points=20)
    plateau = ts.follow_fixed_point(
        problem(1e-4), symmetric_state(2, 2), *over, points=20, constraint="symmetric"
    )
    assert plateau.attrs["ends"] == "stop"
    assert "1 to 0 unstable modes" in plateau.attrs["bifurcations"]
    critical = float(plateau.attrs["bifurcations"].split("=")[1].split(":")[0])
    # The other branch comes back with its units exchanged.
    assert specialised.attrs["ends"] == "back at the begin"
    assert float(specialised.weight_decay.max()) == pytest.approx(critical, rel=0.02)
    np.testing.assert_allclose(specialised.R[-1], specialised.R[0].values[::-1], atol=1e-8)
    # Each point knows its own problem and is a start of it.
    for one in (specialised.isel(point=3), plateau.isel(point=-1)):
        field = ts.vector_field(ts.problem_of(one), ts.start_of(one))
        assert field.problem.rule.weight_decay == float(one.weight_decay)
        assert np.abs(field(field.y)).max() < 1e-9
    with pytest.raises(ValueError, match="a curve of fixed points; take one"):
        ts.start_of(plateau)
    with pytest.raises(ValueError, match="a curve of fixed points; take one"):
        ts.problem_of(plateau)


# --- what has no answer


def test_what_has_no_fixed_point_says_so(recwarn):
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(3), ts.SGD(30.0))
    with pytest.raises(ts.FixedPointError, match="overlaps of no weights: the smallest eigenvalue"):
        ts.fixed_point(problem, symmetric_state(3, 2, 0.21, 0.2), constraint="symmetric")
    problem = ts.Problem(
        ts.TeacherStudent(2, "relu", noise=0.3), ts.Student(3, "relu", True), ts.SGD(0.1)
    )
    with pytest.raises(ts.FixedPointError, match=r"no fixed point was found: .* Q\[0,0\] = ") as no:
        ts.fixed_point(problem, symmetric_state(3, 2), constraint="symmetric")
    assert no.value.residual > 0
    assert "v[2]" in no.value.state


@pytest.mark.parametrize(
    ("problem", "options", "message"),
    [
        (committee(learning_rate=ts.exponential(0.5, rate=0.1)), {}, "changes with time"),
        (committee(learning_rate=[0.1, 0.2]), {}, "learning_rate is a sequence, but vector_field"),
        (ts.Problem(ts.TeacherStudent(2), ts.Student(3), ts.SignSGD(0.1)), {}, "which jump"),
        (ts.Problem(ts.TeacherStudent(2), ts.Student(3), ts.Madam(0.1)), {}, "no theory"),
        (committee(), {"constraint": "alike"}, 'constraint = "alike" is unknown'),
        (committee(), {"constraint": [[0, 1]]}, "each of the 3 units 0 to 2 once"),
        (committee(), {"constraint": lambda y: y**2}, "not a linear function of y"),
        (committee(), {"constraint": lambda y: y[:3]}, "not a linear function of y"),
        (
            ts.Problem(ts.TeacherStudent(2), ts.Student(3, frozen=[0]), ts.SGD(0.1)),
            {"constraint": "symmetric"},
            "motion leaves the states that it allows",
        ),
    ],
)
def test_what_does_not_fit_gets_one_sentence(problem, options, message):
    with pytest.raises(ValueError, match=message):
        ts.fixed_point(problem, random_overlaps(3, 2), **options)


@pytest.mark.parametrize(
    ("over", "stop", "message"),
    [
        ("student.width", 4, "no number of the problem"),
        ("rule.speed", 1.0, "no number of the problem"),
        ("rule.learning_rate", 0.3, "is where rule.learning_rate begins"),
        ("rule.learning_rate", -1.0, "learning_rate"),
    ],
)
def test_curves_need_a_number(over, stop, message):
    with pytest.raises(ValueError, match=message):
        ts.follow_fixed_point(committee(learning_rate=0.3), random_overlaps(3, 2), over, stop)


def test_results_are_kept_in_files(tmp_path):
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.5))
    plateau = ts.fixed_point(problem, symmetric_state(2, 2), constraint="symmetric")
    tree = ts.save(tmp_path / "plateau.h5", fixed_point=plateau)
    again = ts.load(tmp_path / "plateau.h5")["fixed_point"].to_dataset()
    assert again.identical(plateau)
    assert ts.problem_of(again) == problem
    assert "fixed_point" in tree.children


def test_the_least_residual_that_is_no_root_is_not_accepted():
    def f(y):
        return np.array([y[0], 0.1])  # no state is at rest, and no step changes that

    root = find_root(f, lambda y: np.diag([1.0, 0.0]), np.ones(2), np.eye(2), lambda y: True)
    assert not root.found
    assert root.residual == pytest.approx(0.1)


def test_zero_modes_make_no_folds():
    # Two linear units share one readout sum: only |w_0 + w_1| matters, and what is left is at rest.
    task, student = ts.TeacherStudent(1, "linear", noise=0.3), ts.Student(2, "linear")
    problem = ts.Problem(task, student, ts.SGD(0.1))
    near = ts.OrderParameters([[0.5, 0.1], [0.1, 0.4]], [[0.5], [0.45]])
    curve = ts.follow_fixed_point(problem, near, "rule.learning_rate", stop=0.8, points=8)
    assert curve.attrs["ends"] == "stop"
    assert curve.attrs["bifurcations"] == "none"
    eta = curve.learning_rate.values  # eps_g of one unit that moves at the rate 2 eta
    np.testing.assert_allclose(curve.eps_g, eta * 0.3**2 / (2 - 2 * eta), rtol=1e-6)


def test_zero_modes_do_not_cross():
    # lambda = eta^2 - 2 eta of a linear unit; the symmetry w -> a w, v -> v / a has a zero mode.
    task, student = ts.TeacherStudent(1, "linear"), ts.Student(1, "linear", train_readout=True)
    problem = ts.Problem(task, student, ts.SGD(0.1))
    near = ts.OrderParameters([[1.0]], [[1.0]], v=[1.0])
    curve = ts.follow_fixed_point(problem, near, "rule.learning_rate", stop=3.0, points=10)
    place, change = curve.attrs["bifurcations"].split(": ")
    assert change == "0 to 1 unstable modes"
    assert float(place.split("= ")[1]) == pytest.approx(2.0, abs=0.02)


def test_a_curve_may_begin_at_the_least_value_of_a_number():
    task, student = ts.TeacherStudent(1, "linear"), ts.Student(1, "linear")
    problem = ts.Problem(task, student, ts.SGD(0.2))
    near = ts.OrderParameters([[1.0]], [[1.0]])
    curve = ts.follow_fixed_point(problem, near, "task.noise", stop=1.0, points=5)
    np.testing.assert_allclose(curve.eps_g, 0.2 * curve.noise**2 / (4 - 0.4), rtol=1e-8)
