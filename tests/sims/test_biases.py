"""Networks with biases and a teacher, by both methods, against the theory."""

import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long

V = [0.5, -0.4, 0.8]
B = [0.3, -0.5, 0.8]
TIMES = np.linspace(0, 4, 5)


def problem_of(activation="erf", **given):
    return ts.Problem(
        ts.TeacherStudent(2, activation, readout=[1.0, -0.5], noise=0.1),
        ts.Student(3, activation, train_readout=True, train_bias=True),
        ts.SGD(0.3, readout_learning_rate=0.2, bias_learning_rate=0.4),
        **given,
    )


def start_of(problem, N):
    random = np.random.default_rng(1)
    w, w_star = 0.8 * random.standard_normal((3, N)), random.standard_normal((2, N))
    start = ts.start_from_weights(problem, w, V, w_star, B)
    return ts.OrderParameters(start.Q, start.R, start.T, start.v, b=start.b)


CASES = [("erf", "weights"), ("erf", "reduced"), ("relu", "weights"), ("relu", "reduced")]


@pytest.mark.parametrize("activation, method", mostly_long(CASES, CASES[1:2]))
def test_networks_agree_with_the_theory(activation, method):
    problem = problem_of(activation)
    start = start_of(problem, 50)
    theory = ts.integrate(problem, start, TIMES)
    networks = ts.simulate(problem, start, TIMES, N=200, seeds=24, method=method)
    assert "AGREE" in str(ts.compare(theory, networks).verdict)
    # Biases move, and networks of other biases would be told apart.
    assert np.abs(theory.b.values[-1] - B).min() > 0.1
    other = ts.OrderParameters(start.Q, start.R, start.T, start.v, b=np.array(B) + [0, 0.1, 0])
    apart = ts.integrate(problem, other, TIMES)
    scatter = networks.b.std("seed").values[1:] / np.sqrt(24)
    z = np.abs((networks.b.mean("seed") - apart.b).values[1:, 1]) / scatter[:, 1]
    assert z.max() > 5


@pytest.mark.long
def test_the_recorded_error_is_that_of_the_networks():
    """eps_g at recorded overlaps and biases, against held-out samples of the same networks."""
    problem = problem_of()
    start = start_of(problem, 50)
    networks = ts.simulate(
        problem, start, [0.0, 1.0], N=100, seeds=4, method="weights", test_samples=20_000
    )
    difference = np.abs(networks.test_error - networks.eps_g)
    assert float((difference / networks.eps_g).max()) < 0.06


@pytest.mark.long
def test_the_band_has_the_biases():
    problem = problem_of()
    start = start_of(problem, 50)
    band = ts.fluctuations(problem, start, TIMES)
    networks = ts.simulate(problem, start, TIMES, N=400, seeds=200, method="reduced")
    measured = np.sqrt(400) * networks.b.std("seed").values[1:]
    np.testing.assert_allclose(measured, band.b_std.values[1:], rtol=0.25)


def test_a_result_file_keeps_biases(tmp_path):
    problem = problem_of()
    start = start_of(problem, 50)
    theory = ts.integrate(problem, start, TIMES)
    networks = ts.simulate(problem, start, TIMES, N=50, seeds=2)
    ts.save(tmp_path / "biases.h5", theory=theory, simulation=networks)
    tree = ts.load(tmp_path / "biases.h5")
    for part in ("theory", "simulation"):
        data = tree[part].to_dataset()
        np.testing.assert_array_equal(ts.start_of(data).b, B)
        assert ts.problem_of(data).student.train_bias
        again = ts.integrate(ts.problem_of(data), ts.start_of(data), TIMES)
        np.testing.assert_array_equal(again.b, theory.b)


REFUSED = {
    "a start with biases that are not trained": (
        lambda: ts.Problem(ts.TeacherStudent(1), ts.Student(1), ts.SGD(0.1)).check_start(
            ts.OrderParameters([[1.0]], [[0.5]], b=[0.2])
        ),
        r"student.train_bias = false; set it to true, with rule.bias_learning_rate = 0",
    ),
    "signs": (
        lambda: ts.Problem(
            ts.ClassifyingTeacher(1), ts.Student(1, "linear", train_bias=True), ts.SGD(0.1)
        ),
        "known for tasks with two classes, and for those with the output of a teacher, not for Cl",
    ),
    "phases": (
        lambda: ts.Protocol(
            (problem_of(), 1.0),
            (
                ts.Problem(problem_of().task, ts.Student(3, train_readout=True), ts.SGD(0.1)),
                1.0,
            ),
        ),
        "phase 1 of the protocol has student.train_bias = false, but phase 0 has true",
    ),
    "a start with too few": (
        lambda: ts.OrderParameters([[1.0]], [[0.5]], b=[0.2, 0.1]),
        "start.b has shape",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        make()
