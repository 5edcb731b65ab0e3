"""Students with any activation that are told signs: theory against networks, and limits of it."""

import json
import warnings

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.losses import LOSSES
from tests.long import mostly_long

OVERLAPS = np.array(
    [
        [0.9, 0.1, -0.2, 0.1, 0.3],
        [0.1, 0.7, 0.1, 0.0, -0.1],
        [-0.2, 0.1, 0.8, 0.1, 0.2],
        [0.1, 0.0, 0.1, 0.6, 0.2],
        [0.3, -0.1, 0.2, 0.2, 1.3],
    ]
)
READOUT = np.array([1.0, -0.6, 0.7, 0.4])


def start(K, M=1):
    """Of K students, and of the last M fields as teachers."""
    students, teachers = slice(0, K), slice(5 - M, 5)
    return ts.OrderParameters(
        Q=OVERLAPS[students, students],
        R=OVERLAPS[students, teachers],
        T=OVERLAPS[teachers, teachers],
        v=READOUT[:K],
    )


def report_of(theory):
    return json.loads(theory.attrs["teacherstudent"])["report"]


def assert_networks_agree(problem, begin, observables=(), rtol=1e-6):
    with warnings.catch_warnings():  # what the averages may be off by is less than networks see
        warnings.filterwarnings("ignore", "the averages of this theory are by quadrature and may")
        theory = ts.integrate(problem, begin, [0.0, 1.5, 3.0], observables=observables, rtol=rtol)
    networks = ts.simulate(
        problem,
        begin,
        theory.time.values,
        N=500,
        seeds=64,
        method="reduced",
        observables=observables,
    )
    report = ts.compare(theory, networks)
    names = [name for name in report if name.endswith("_z")]
    assert {"Q_z", "R_z", "eps_g_z"} <= set(names)
    for name in names:
        assert float(abs(report[name]).max()) < 4.5
    return theory


@pytest.mark.parametrize("loss", mostly_long(list(LOSSES), []))
@pytest.mark.parametrize(
    "g, K",
    mostly_long(
        [("erf", 1), ("relu", 1), ("tanh", 1), ((0.0, 1.0, 0.0, -0.05), 1), ("tanh", 2)]
        + [("relu", 2), ("erf", 3)],
        [("tanh", 1)],
    ),
)
def test_networks_agree(loss, g, K):
    """With trained readouts, weight decay, batches of two, flips and noise."""
    task = ts.ClassifyingTeacher(1, flips=0.1, noise=0.3)
    student = ts.Student(K, g, train_readout=True)
    problem = ts.Problem(task, student, ts.SGD(0.5, weight_decay=0.1), loss=loss, batch_size=2)
    assert_networks_agree(problem, start(K))


@pytest.mark.long
@pytest.mark.parametrize("g, K", [("erf", 1), ("relu", 2), ("erf", 4)])
def test_networks_have_the_expected_loss(g, K):
    """Of four units theory and networks both take it, and eps_g, at frozen points."""
    task = ts.ClassifyingTeacher(1, flips=0.1, noise=0.3)
    problem = ts.Problem(task, ts.Student(K, g), ts.SGD(0.5), loss="hinge")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_networks_agree(problem, start(K), ["expected_loss"])


@pytest.mark.long
@pytest.mark.parametrize("loss", ["hinge", "logistic", "adatron"])
def test_whole_networks_come_closer_as_they_grow(loss):
    """The deviation of the mean is a bias of order 1 / N and chance."""
    problem = ts.Problem(
        ts.ClassifyingTeacher(1, "erf", flips=0.1), ts.Student(2, "erf"), ts.SGD(0.6), loss=loss
    )
    deviations = []
    for N, seeds in ((60, 256), (600, 64)):
        theory = ts.integrate(problem, start(2), [0.0, 2.0])
        networks = ts.simulate(problem, start(2), [0.0, 2.0], N=N, seeds=seeds, method="weights")
        deviations.append(float(abs(networks.eps_g.mean("seed")[-1] - theory.eps_g[-1])))
        scatter = float(networks.eps_g.std("seed")[-1]) / np.sqrt(seeds)
    assert deviations[1] < 4 * scatter
    assert deviations[1] < deviations[0] + 4 * scatter


@pytest.mark.long
@pytest.mark.parametrize(
    "g, teacher, noise, loss", [("erf", "erf", 0.0, "hinge"), ("relu", "tanh", 0.4, "logistic")]
)
def test_committees_that_teach_have_a_theory_that_says_how_good_it_is(loss, g, teacher, noise):
    task = ts.ClassifyingTeacher(2, teacher, readout=[1.0, -0.7], noise=noise, flips=0.1)
    problem = ts.Problem(task, ts.Student(2, g, train_readout=True), ts.SGD(0.5), loss=loss)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theory = assert_networks_agree(problem, start(2, M=2), ["expected_loss"], rtol=1e-3)
    assert 1e-6 < report_of(theory)["quadrature_error"] < 0.03


def test_one_update_is_that_of_a_linear_student():
    """The polynomial x goes the way of all activations; two teachers, flips, noise, batches."""
    task = ts.ClassifyingTeacher(2, readout=[1.0, -0.4], flips=0.1, noise=0.3)
    rule = ts.SGD(0.4, weight_decay=0.1)
    velocities = []
    for g in ("linear", [0.0, 1.0]):
        student = ts.Student(1, g, train_readout=True)
        problem = ts.Problem(task, student, rule, loss="hinge", batch_size=2)
        field = ts.vector_field(problem, start(1, M=2))
        velocities.append(field.velocity(field.y))
    np.testing.assert_allclose(velocities[0], velocities[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", mostly_long(["hinge", "logistic", "adatron"], []))
def test_linear_students_have_two_ways_to_one_theory(loss):
    """The polynomial x is the linear activation under another name."""
    task = ts.ClassifyingTeacher(1, flips=0.1)
    curves = []
    for g in ("linear", [0.0, 1.0]):
        student = ts.Student(1, g, train_readout=True)
        problem = ts.Problem(task, student, ts.SGD(0.4), loss=loss)
        curves.append(ts.integrate(problem, start(1), [0.0, 2.0, 20.0], rtol=1e-9, atol=1e-11))
    assert "quadrature over the field" in report_of(curves[1])["averages"]
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(curves[0][name], curves[1][name], rtol=1e-7, atol=1e-9)


@pytest.mark.long
def test_short_erf_units_are_linear():
    """erf(x / sqrt(2)) = sqrt(2 / pi) x: a start of 10^-4, and rates at which it stays short."""
    task = ts.ClassifyingTeacher(1)
    begin = ts.OrderParameters(Q=[[1e-8]], R=[[2e-5]], v=[1.0])
    scaled = ts.OrderParameters(Q=[[1e-8]], R=[[2e-5]], v=[np.sqrt(2 / np.pi)])
    curves = []
    for g, one in (("erf", begin), ("linear", scaled)):
        problem = ts.Problem(task, ts.Student(1, g), ts.SGD(1e-4), loss="adatron")
        curves.append(ts.integrate(problem, one, [0.0, 3e3, 1e4], rtol=1e-9, atol=1e-16))
    np.testing.assert_allclose(curves[0].eps_g, curves[1].eps_g, rtol=1e-5)
    assert float(curves[0].eps_g[-1]) < 0.4


@pytest.mark.parametrize("g", mostly_long(["linear", "tanh"], []))
def test_momentum_that_decays_with_N_has_a_theory(g):
    rule = ts.HeavyBall(0.4, gamma=2.0)
    problem = ts.Problem(ts.ClassifyingTeacher(1, flips=0.1), ts.Student(1, g), rule, loss="hinge")
    assert_networks_agree(problem, start(1))


@pytest.mark.long
def test_held_out_samples_measure_the_error_of_students_with_kinks():
    problem = ts.Problem(
        ts.ClassifyingTeacher(1, noise=0.3), ts.Student(2, "relu"), ts.SGD(0.5), loss="hinge"
    )
    networks = ts.simulate(problem, start(2), [0.0, 3.0], N=300, seeds=8, test_samples=20000)
    np.testing.assert_allclose(networks.test_error, networks.eps_g, atol=0.015)


@pytest.mark.long
def test_points_say_how_far_averages_may_be_off():
    """Four units take frozen points; the warning names the error, and fixed points and bands go."""
    problem = ts.Problem(
        ts.ClassifyingTeacher(1), ts.Student(4, "erf"), ts.SGD(0.5), loss="logistic"
    )
    begin = ts.random_start(problem, N=200, seed=1)
    with pytest.warns(UserWarning, match="by quadrature and may be off by"):
        theory = ts.integrate(problem, begin, [0.0, 1.0])
    assert "frozen Sobol points" in report_of(theory)["averages"]


@pytest.mark.long
def test_bands_and_vector_fields():
    problem = ts.Problem(ts.ClassifyingTeacher(1), ts.Student(1, "tanh"), ts.SGD(0.5), loss="hinge")
    band = ts.fluctuations(problem, start(1), [0.0, 2.0])
    networks = ts.simulate(problem, start(1), [0.0, 2.0], N=400, seeds=64, method="reduced")
    scatter = float(networks.R.std("seed")[-1, 0, 0]) * 20
    np.testing.assert_allclose(scatter, band.R_std[-1, 0, 0], rtol=0.3)
    field = ts.vector_field(problem, start(1))
    step = np.array([1e-6, 0.0])
    slope = (field(field.y + step) - field(field.y - step)) / 2e-6
    np.testing.assert_allclose(field.jacobian(field.y)[:, 0], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.long
def test_the_best_rate_goes_through_nodes_that_move():
    problem = ts.Problem(ts.ClassifyingTeacher(1), ts.Student(1, "tanh"), ts.SGD(0.5), loss="hinge")
    best = ts.optimal_schedule(problem, start(1), stop=5.0)
    constant = ts.integrate(problem, start(1), [0.0, 5.0])
    assert float(best.eps_g[-1]) <= float(constant.eps_g[-1])
