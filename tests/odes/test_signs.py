"""A teacher that tells signs: theory against what is known, against networks, and by two ways."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.averages.sign_labels import by_quadrature
from teacherstudent.losses import LOSSES
from tests.long import mostly_long

PERCEPTRON = ts.Student(1, "linear")
WIDE = {"width": 2, "readout": [1.0, -0.4]}
# Three students of two teachers, all linear, with different readouts.
START = ts.OrderParameters(
    Q=[[0.9, 0.1, 0.0], [0.1, 0.7, -0.2], [0.0, -0.2, 0.5]],
    R=[[0.3, 0.1], [0.0, -0.2], [0.1, 0.2]],
    T=[[1.0, 0.2], [0.2, 1.3]],
    v=[1.0, -0.6, 0.4],
)


def perceptron(loss, rate=1.0, **task):
    return ts.Problem(ts.ClassifyingTeacher(1, **task), PERCEPTRON, ts.SGD(rate), loss=loss)


def start(Q=1.0, R=0.0):
    return ts.OrderParameters(Q=[[Q]], R=[[R]])


def law(q, r, t, flips=0.0):
    return ts.SignFields(*map(jnp.array, (q, r, t, 1 - 2 * flips)))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("q, r, t, flips", [(0.8, 0.5, 1.3, 0.0), (2.5, -1.1, 0.7, 0.15)])
def test_averages_are_those_of_samples(loss, q, r, t, flips):
    """Within four standard errors of 10^6 samples: 0.4 % of numbers of order one."""
    numbers = np.random.default_rng(5)
    C = np.array([[q, r], [r, t]])
    phi, u = np.linalg.cholesky(C) @ numbers.standard_normal((2, 10**6))
    y = np.sign(u) * np.where(numbers.random(len(u)) < flips, -1, 1)
    f = np.asarray(LOSSES[loss].slope(jnp.asarray(phi), jnp.asarray(y)))
    value = np.asarray(LOSSES[loss].value(jnp.asarray(phi), jnp.asarray(y)))
    of = LOSSES[loss].averages_with_signs(law(q, r, t, flips))
    expected = [q * of.slope + r * of.jump, r * of.slope + t * of.jump, of.square, of.loss]
    for samples, mean in zip([f * phi, f * u, f**2, value], expected, strict=True):
        error = samples.std() / math.sqrt(len(u))
        assert abs(samples.mean() - float(mean)) <= 4 * error + 1e-12


@pytest.mark.parametrize("loss", ["square", "correlation", "perceptron", "adatron"])
@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.6, 0.9999999])
def test_closed_forms_are_the_quadrature(loss, rho):
    one = law(2.3, rho * math.sqrt(2.3 * 0.7), 0.7, flips=0.1)
    closed = LOSSES[loss].averages_of_signs(one)
    np.testing.assert_allclose(by_quadrature(LOSSES[loss], one), closed, rtol=1e-10, atol=1e-11)


def test_hebb_is_solved():
    """R = sqrt(2 / pi) t and Q = Q_0 + t + 2 t^2 / pi at the rate 1 and T = 1, from R = 0."""
    times = np.array([0.0, 0.5, 3.0, 40.0, 1000.0])
    theory = ts.integrate(perceptron("correlation"), start(0.2), times)
    np.testing.assert_allclose(theory.R[:, 0, 0], math.sqrt(2 / math.pi) * times, rtol=1e-7)
    np.testing.assert_allclose(theory.Q[:, 0, 0], 0.2 + times + 2 * times**2 / math.pi, rtol=1e-7)
    np.testing.assert_allclose(theory.eps_g[-1] * math.sqrt(2 * math.pi * 1e3), 1, rtol=2e-3)


def test_perceptron_follows_the_equations_of_the_book():
    """Opper & Kinzel: with e = arccos(rho) / pi, rho = R / J, J^2 = Q, T = 1,

    dR/dt = eta (1 - rho) / sqrt(2 pi),   dQ/dt = -2 eta J (1 - rho) / sqrt(2 pi) + eta^2 e.
    """
    times = np.linspace(0, 5, 3)
    theory = ts.integrate(perceptron("perceptron", 0.7), start(0.8, 0.3), times)
    y = np.array([0.8, 0.3])
    steps = 4000
    for _ in range(steps):
        h = 5 / steps

        def field(y):
            J = math.sqrt(y[0])
            rho = y[1] / J
            drift = 0.7 * (1 - rho) / math.sqrt(2 * math.pi)
            return np.array([-2 * J * drift + 0.49 * math.acos(rho) / math.pi, drift])

        y = y + h * field(y + h / 2 * field(y))
    np.testing.assert_allclose([theory.Q[-1, 0, 0], theory.R[-1, 0, 0]], y, rtol=1e-5)


@pytest.mark.parametrize(
    "loss, power, prefactor",
    [
        ("correlation", 1 / 2, (2 * math.pi) ** -0.5),
        # Opper & Kinzel: (2 / 3)^(1/3) / pi alpha^(-1/3).
        ("perceptron", 1 / 3, (2 / 3) ** (1 / 3) / math.pi),
        # Biehl & Riegler: 3 / (2 alpha) at the rate 1.
        ("adatron", 1.0, 1.5),
    ],
)
def test_learning_curves_have_the_known_tails(loss, power, prefactor):
    times = [0.0, 100.0, 1000.0]
    if loss == "perceptron":
        times = [0.0, 1e4, 1e5]
    curve = ts.integrate(perceptron(loss), start(1.0, 0.1), times).eps_g.values
    found = curve[-1] * times[-1] ** power
    local = -math.log(curve[-1] / curve[-2]) / math.log(times[-1] / times[-2])
    np.testing.assert_allclose(found, prefactor, rtol=0.02)
    np.testing.assert_allclose(local, power, rtol=0.02)


def test_flips_slow_hebbs_rule_down():
    """It averages them away, with the prefactor 1 / (1 - 2 p)."""
    times = [0.0, 1e3]
    hebb = ts.integrate(perceptron("correlation", flips=0.2), start(), times)
    np.testing.assert_allclose(hebb.eps_g[-1] * math.sqrt(2 * math.pi * 1e3), 1 / 0.6, rtol=2e-3)


@pytest.mark.parametrize("loss", mostly_long(list(LOSSES), ["logistic"]))
@pytest.mark.parametrize("method", mostly_long(["reduced", "weights"], ["reduced"]))
def test_wide_linear_networks_with_trained_readouts_agree(loss, method):
    """K, M and N differ, some labels are flipped, and the teacher's output is noisy."""
    task = ts.ClassifyingTeacher(**WIDE, noise=0.4, flips=0.1)
    student = ts.Student(3, "linear", train_readout=True)
    problem = ts.Problem(task, student, ts.SGD(0.3, weight_decay=0.1), loss=loss, batch_size=2)
    times = [0.0, 2.0, 4.0]
    theory = ts.integrate(problem, START, times)
    seeds = {"reduced": 64, "weights": 16}[method]
    networks = ts.simulate(problem, START, times, N=500, seeds=seeds, method=method)
    report = ts.compare(theory, networks)
    for name in ("Q_z", "R_z", "v_z", "eps_g_z"):
        assert float(abs(report[name]).max()) < 4.5


@pytest.mark.parametrize("loss", mostly_long(["square", "correlation"], ["correlation"]))
@pytest.mark.parametrize("activation", mostly_long(["erf", "relu"], ["erf"]))
def test_other_students_agree_with_networks(loss, activation):
    task = ts.ClassifyingTeacher(1, "tanh", readout=-0.7, flips=0.1)
    student = ts.Student(2, activation, train_readout=True)
    problem = ts.Problem(task, student, ts.SGD(0.4), loss=loss)
    begin = ts.OrderParameters(Q=[[0.9, 0.1], [0.1, 0.7]], R=[[0.3], [-0.1]], v=[1.0, -0.6])
    theory = ts.integrate(problem, begin, [0.0, 1.5, 3.0])
    networks = ts.simulate(problem, begin, theory.time.values, N=500, seeds=64, method="reduced")
    report = ts.compare(theory, networks)
    for name in ("Q_z", "R_z", "v_z", "eps_g_z"):
        assert float(abs(report[name]).max()) < 4.5


def test_linear_students_have_two_ways_to_one_theory():
    """The averages over the output, and those of a regression teacher with one sign unit."""
    task = ts.ClassifyingTeacher(1)
    regression = ts.TeacherStudent(1, "sign")
    student = ts.Student(2, "linear", train_readout=True)
    begin = ts.OrderParameters(Q=[[0.9, 0.1], [0.1, 0.7]], R=[[0.3], [-0.1]], v=[1.0, -0.6])
    curves = []
    for one in (task, regression):
        problem = ts.Problem(one, student, ts.SGD(0.4))
        curves.append(ts.integrate(problem, begin, [0.0, 1.0, 4.0]))
    for name in ("Q", "R", "v"):
        np.testing.assert_allclose(curves[0][name], curves[1][name], rtol=1e-6, atol=1e-8)


@pytest.mark.long
def test_held_out_samples_measure_the_error_and_the_loss_is_beside_it():
    problem = perceptron("hinge", 0.5, flips=0.2, noise=0.3)
    begin = start(0.5, 0.2)
    theory = ts.integrate(problem, begin, [0.0, 3.0], observables=["expected_loss"])
    networks = ts.simulate(
        problem,
        begin,
        [0.0, 3.0],
        N=300,
        seeds=8,
        test_samples=4000,
        observables=["expected_loss"],
    )
    np.testing.assert_allclose(networks.test_error, networks.eps_g, atol=0.03)
    np.testing.assert_allclose(networks.expected_loss.mean("seed"), theory.expected_loss, rtol=0.05)
    at = ts.OrderParameters(Q=[[0.5]], R=[[0.2]])
    np.testing.assert_allclose(ts.expected_loss(problem, at), theory.expected_loss[0], rtol=1e-12)
    np.testing.assert_allclose(ts.generalisation_error(problem, at), theory.eps_g[0], rtol=1e-12)


@pytest.mark.long
def test_expected_losses_by_points_are_those_by_formulas():
    """A student of several erf units has frozen points; linear ones have both."""
    task = ts.ClassifyingTeacher(**WIDE, noise=0.4, flips=0.1)
    one, other = ts.Student(3, "linear"), ts.Student(3, [0.0, 1.0])  # one function, two names
    for loss in LOSSES:
        exact, points = (
            float(ts.expected_loss(ts.Problem(task, student, ts.SGD(0.1), loss=loss), START))
            for student in (one, other)
        )
        assert abs(exact - points) < 2e-3


@pytest.mark.long
def test_bands_files_sweeps_protocols_and_schedules(tmp_path):
    times = [0.0, 1.0, 3.0]
    problem = perceptron("perceptron", 0.5, flips=0.1)
    theory = ts.integrate(problem, start(0.6, 0.2), times)
    networks = ts.simulate(problem, start(0.6, 0.2), times, N=400, seeds=64, method="reduced")
    band = ts.fluctuations(problem, start(0.6, 0.2), times)
    scatter = networks.R.std("seed")[-1, 0, 0] * math.sqrt(400)
    np.testing.assert_allclose(scatter, band.R_std[-1, 0, 0], rtol=0.3)
    tree = ts.save(tmp_path / "signs.h5", theory=theory, simulation=networks)
    loaded = ts.load(tmp_path / "signs.h5")
    assert loaded["theory"].dataset.identical(tree["theory"].dataset)
    again = ts.problem_of(loaded["theory"].dataset)
    assert type(again.task) is ts.ClassifyingTeacher and again.task.flips == 0.1
    ts.plot(loaded, tmp_path / "signs.png")
    swept = ts.integrate(perceptron("perceptron", 0.5, flips=[0.0, 0.1]), start(0.6, 0.2), times)
    np.testing.assert_allclose(swept.eps_g.sel(flips=0.1), theory.eps_g, rtol=1e-6)
    falling = perceptron("perceptron", 0.5, flips=ts.piecewise([0.1, 0.0], [1.0]))
    phases = ts.Protocol((problem, 1.0), (perceptron("perceptron", 0.5), 2.0))
    np.testing.assert_allclose(
        ts.integrate(falling, start(0.6, 0.2), times).eps_g,
        ts.integrate(phases, start(0.6, 0.2), times).eps_g,
        rtol=1e-6,
    )


@pytest.mark.long
def test_the_best_rate_of_the_perceptron_lowers_its_error():
    """Rates that fall make the perceptron's error fall faster than t^(-1/3)."""
    problem = perceptron("perceptron")
    best = ts.optimal_schedule(problem, start(1.0, 0.1), stop=20.0)
    constant = ts.integrate(problem, start(1.0, 0.1), [0.0, 20.0])
    assert float(best.eps_g[-1]) < 0.8 * float(constant.eps_g[-1])


@pytest.mark.parametrize(
    "change, words",
    [
        ({"task": ts.ClassifyingTeacher(1, "erf", noise=0.1)}, "task.noise with a teacher of erf"),
        ({"rule": ts.SignSGD(0.1)}, "SignSGD takes averages of the square loss"),
    ],
)
def test_what_has_no_theory_says_so(change, words):
    parts = {"task": ts.ClassifyingTeacher(1), "student": PERCEPTRON, "rule": ts.SGD(0.1)}
    problem = ts.Problem(**(parts | change), loss="perceptron")
    M = problem.task.width
    begin = ts.OrderParameters(Q=[[1.0]], R=[[0.1] * M])
    with pytest.raises(ValueError, match=words):
        ts.integrate(problem, begin, [0.0, 1.0])


@pytest.mark.long
def test_both_methods_simulate_committees():
    problem = ts.Problem(
        ts.ClassifyingTeacher(2, "erf"), ts.Student(3, "tanh"), ts.SGD(0.5), loss="hinge"
    )
    begin = ts.random_start(problem, N=60, seed=1)
    curves = []
    for method in ("weights", "reduced"):
        networks = ts.simulate(problem, begin, [0.0, 5.0], N=60, seeds=16, method=method)
        curves.append(networks.eps_g.isel(time=-1))
    spread = math.sqrt(sum(float(one.std("seed")) ** 2 / 16 for one in curves))
    assert abs(float(curves[0].mean() - curves[1].mean())) < 4 * spread
    assert float(curves[0].mean()) < 0.45


def test_a_teacher_without_output_tells_no_signs():
    problem = ts.Problem(
        ts.ClassifyingTeacher(2, readout=[1.0, -1.0]), PERCEPTRON, ts.SGD(0.1), loss="perceptron"
    )
    same = ts.OrderParameters(Q=[[1.0]], R=[[0.1, 0.1]], T=[[1.0, 1.0], [1.0, 1.0]])
    for verb in (ts.integrate, ts.simulate):
        with pytest.raises(ValueError, match="the teacher's output is zero for every input"):
            verb(problem, same, [0.0, 1.0])


@pytest.mark.long
def test_training_sets_measure_the_share_of_wrong_labels():
    numbers = np.random.default_rng(0)
    problem = perceptron("perceptron", flips=0.2)
    begin = ts.start_from_weights(
        problem,
        w=numbers.standard_normal((1, 40)),
        v=[1.0],
        w_star=numbers.standard_normal((1, 40)),
    )
    data = ts.Dataset(x=numbers.standard_normal((100, 40)))
    networks = ts.simulate(problem, begin, [0.0, 2.0], seeds=2, data=data)
    wrong = 100 * networks.train_error
    np.testing.assert_allclose(wrong, np.rint(wrong), atol=1e-9)
    assert 0.3 < float(networks.train_error[0, 0]) < 0.7


def test_bad_numbers_and_losses():
    with pytest.raises(ValueError, match="task.flips = 1.5 is the probability"):
        ts.ClassifyingTeacher(1, flips=1.5)
    with pytest.raises(ValueError, match="task.flips"):
        ts.ClassifyingTeacher(1, flips=-0.1)
    with pytest.raises(ValueError, match='loss = "perceptron" is known for tasks with labels'):
        ts.Problem(ts.TeacherStudent(1), PERCEPTRON, ts.SGD(0.1), loss="perceptron")
    with pytest.raises(ValueError, match="expected_loss: the task TeacherStudent has no labels"):
        problem = ts.Problem(ts.TeacherStudent(1), PERCEPTRON, ts.SGD(0.1))
        ts.integrate(problem, start(), [0.0, 1.0], observables=["expected_loss"])


class Smooth(ts.Loss):
    """A perceptron's loss whose corner is rounded, log(1 + exp(-2 y phi)) / 2."""

    name = "smooth"

    def value(self, output, label):
        return jnp.logaddexp(0.0, -2 * label * output) / 2


class SmoothSaid(Smooth):
    name = "smooth, and said so"
    margins = ()


class Shifted(type(LOSSES["perceptron"])):
    """A perceptron's loss with a margin of its own: the closed forms are not those."""

    name = "shifted"
    margins = (0.3,)

    def value(self, output, label):
        return jnp.maximum(0.3 - label * output, 0)

    def slope(self, output, label):
        return jnp.where(label * output < 0.3, -label, 0.0)


def test_losses_of_ones_own_that_name_no_margins_have_no_theory():
    with pytest.raises(ValueError, match="does not say where its slope bends or jumps"):
        ts.integrate(perceptron(Smooth(), 0.5), start(0.5, 0.2), [0.0, 2.0])


@pytest.mark.long
def test_losses_of_ones_own_have_a_theory_where_they_name_their_margins():
    begin, times = start(0.5, 0.2), [0.0, 2.0, 4.0]
    for loss in (SmoothSaid(), Shifted()):  # by quadrature, which is tried here with a jump
        problem = perceptron(loss, 0.5)
        theory = ts.integrate(problem, begin, times)
        networks = ts.simulate(problem, begin, times, N=500, seeds=32, method="reduced")
        report = ts.compare(theory, networks)
        for name in ("Q_z", "R_z", "eps_g_z"):
            assert float(abs(report[name]).max()) < 4.5


def test_one_normal_number_makes_a_coin_and_a_normal_number():
    from teacherstudent.tasks.classifying_teacher import coin_and_normal

    z = np.random.default_rng(1).standard_normal(10**6)
    coin, rest = map(np.asarray, coin_and_normal(jnp.asarray(z), 0.3))
    for some, share in ((coin, 0.3), (~coin, 0.7)):
        assert abs(some.mean() - share) < 4 * math.sqrt(0.21 / 10**6)
        part = rest[some]
        for power, moment in ((1, 0.0), (2, 1.0), (4, 3.0)):
            spread = (part**power).std() / math.sqrt(len(part))
            assert abs((part**power).mean() - moment) < 4 * spread
    _, same = coin_and_normal(jnp.asarray(z, jnp.float32), 0.0)
    np.testing.assert_allclose(same, z, atol=1e-4)


@pytest.mark.parametrize(
    "teacher, student, loss",
    mostly_long(
        [("erf", "linear", "hinge"), ("erf", "linear", "square"), ("erf", "linear", "logistic")]
        + [("sign", "relu", "hinge"), ("tanh", "erf", "logistic")],
        [("erf", "linear", "hinge")],
    ),
)
def test_expected_losses_see_noise_outside_of_the_teachers_unit(teacher, student, loss):
    """Against random samples: noise added to g*(nu) is no noise in nu."""
    task = ts.ClassifyingTeacher(1, teacher, noise=0.5, flips=0.1)
    problem = ts.Problem(task, ts.Student(1, student), ts.SGD(0.1), loss=loss)
    at = ts.OrderParameters(Q=[[1.0]], R=[[0.8]], T=[[4.0]])
    found = float(ts.expected_loss(problem, at))
    numbers = np.random.default_rng(3).standard_normal((3, 2 * 10**5))
    nu = 2 * numbers[0]
    phi = problem.student.activation(jnp.asarray(0.4 * numbers[0] + np.sqrt(0.84) * numbers[1]))
    told = jnp.sign(task.activation(jnp.asarray(nu)) + 0.5 * numbers[2])
    values = sum(
        share * LOSSES[loss].value(phi, label) for share, label in ((0.9, told), (0.1, -told))
    )
    assert abs(found - float(values.mean())) < 4.5 * float(values.std()) / math.sqrt(nu.size)


@pytest.mark.parametrize("given", [1.0, ("a",), (math.nan,), (math.inf,), ((1.0,),), "1"])
def test_margins_are_finite_numbers(given):
    class Marked(Smooth):
        name = "marked"
        margins = given

    with pytest.raises(ValueError, match="loss: Marked.margins = .* must be a tuple of finite"):
        perceptron(Marked(), 0.5)


class Hinged(ts.Loss):
    """A hinge that has its corner at 0.7, and is steep and smooth elsewhere."""

    name = "hinged"
    margins = ()

    def value(self, output, label):
        smooth = jnp.logaddexp(0.0, -100 * label * output) / 100
        return jnp.maximum(0.7 - label * output, 0) + smooth


class HingedElsewhere(Hinged):
    name = "hinged elsewhere"
    margins = (1.0, 0.0)


class HingedAndSaid(Hinged):
    name = "hinged, and said so"
    margins = (0.7,)


def test_jumps_that_are_no_margins_are_found():
    for loss in (Hinged(), HingedElsewhere()):
        with pytest.raises(ValueError, match=r"slope jumps at y phi = 0\.7, which"):
            perceptron(loss, 0.5)
    perceptron(HingedAndSaid(), 0.5)
    perceptron(SmoothSaid(), 0.5)


def test_committees_without_output_tell_no_signs():
    at = {"Q": [[1.0]], "R": [[0.1, 0.1]]}
    same = ts.OrderParameters(**at, T=[[1.0, 1.0], [1.0, 1.0]])
    apart = ts.OrderParameters(**at, T=[[1.0, 0.5], [0.5, 1.0]])

    def check(activation, readout, begin):
        task = ts.ClassifyingTeacher(2, activation, readout=readout)
        ts.Problem(task, PERCEPTRON, ts.SGD(0.1), loss="hinge").check_start(begin)

    for activation, readout, begin in [
        ("erf", [1.0, -1.0], same),
        ("relu", [0.3, -0.3], same),
        ("erf", [0.0, 0.0], apart),
        ("linear", [0.0, 0.0], apart),
    ]:
        with pytest.raises(ValueError, match="the teacher's output is zero for every input"):
            check(activation, readout, begin)
    check("erf", [1.0, -1.0], apart)
    check("erf", [1.0, -0.9], same)
    check(lambda x: jnp.maximum(x - 5.0, 0.0), [1.0, -0.9], apart)
