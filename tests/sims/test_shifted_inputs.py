"""Networks with a teacher on inputs that have a mean, by both methods, against the theory."""

import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long

K, M = 2, 3
V, B = [0.5, -0.4], [0.3, -0.5]
MU = [0.8, -0.5, 1.0]
TIMES = np.linspace(0, 4, 5)
CASES = [
    ("linear", True, "reduced"),
    ("erf", True, "reduced"),
    ("erf", False, "weights"),
    ("relu", True, "weights"),
    ("relu", False, "reduced"),
]


def problem_of(activation="erf", train_bias=True, mean=MU, **given):
    task = ts.ShiftedTeacherStudent(M, activation, readout=[1.0, -0.5, 0.0], noise=0.1, mean=mean)
    student = ts.Student(K, activation, train_readout=True, train_bias=train_bias)
    return ts.Problem(task, student, ts.SGD(0.3, readout_learning_rate=0.2), **given)


def weights(N=50):
    random = np.random.default_rng(1)
    w, w_star = 0.3 + 0.8 * random.standard_normal((K, N)), random.standard_normal((M, N))
    w_star[2] += 0.3
    return w, w_star


def start_of(problem):
    """Overlaps alone, so that every network has weights and a mean of its own."""
    w, w_star = weights()
    b = B if problem.student.train_bias else None
    start = ts.start_from_weights(problem, w, V, w_star, b)
    return ts.OrderParameters(start.Q, start.R, start.T, start.v, b=start.b)


@pytest.mark.parametrize("activation, train_bias, method", mostly_long(CASES, CASES[:1]))
def test_networks_agree_with_the_theory(activation, train_bias, method):
    problem = problem_of(activation, train_bias)
    start = start_of(problem)
    theory = ts.integrate(problem, start, TIMES)
    networks = ts.simulate(problem, start, TIMES, N=200, seeds=24, method=method)
    assert "AGREE" in str(ts.compare(theory, networks).verdict)[:12]
    # Networks on inputs of another mean would be told apart.
    apart = ts.integrate(problem_of(activation, train_bias, [0.8, -0.5, 0.6]), start, TIMES)
    scatter = networks.R.std("seed").values[1:] / np.sqrt(24)
    z = np.abs(networks.R.mean("seed") - apart.R).values[1:] / scatter
    assert z.max() > 6


@pytest.mark.long
@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_deviation_shrinks_with_the_square_root_of_the_dimension(method):
    problem = problem_of()
    start = start_of(problem)
    theory = ts.integrate(problem, start, TIMES)
    rms = {"Q": [], "R": [], "b": [], "eps_g": []}
    sizes = (100, 1600)
    for N in sizes:
        networks = ts.simulate(problem, start, TIMES, N=N, seeds=16, method=method)
        report = ts.compare(theory, networks)
        for name, values in rms.items():
            values.append(float(report[f"{name}_rms"]))
    for name, values in rms.items():
        exponent = np.polyfit(np.log(sizes), np.log(values), 1)[0]
        assert -0.7 < exponent < -0.3, (name, values)


@pytest.mark.long
@pytest.mark.parametrize("kept", [True, False])
def test_the_recorded_error_is_that_of_the_networks(kept):
    """eps_g at recorded overlaps, against held-out samples of the same networks, on inputs of the
    mean that given weights make, or of one for each seed.
    """
    problem = problem_of()
    start = ts.start_from_weights(problem, *_first_and_last(V), b=B) if kept else start_of(problem)
    networks = ts.simulate(
        problem, start, [0.0, 1.0], N=50, seeds=4, method="weights", test_samples=20_000
    )
    difference = np.abs(networks.test_error - networks.eps_g)
    assert float((difference / networks.eps_g).max()) < 0.06


def _first_and_last(v):
    w, w_star = weights()
    return w, v, w_star


@pytest.mark.long
def test_the_band_sees_the_mean():
    problem = problem_of()
    start = start_of(problem)
    band = ts.fluctuations(problem, start, TIMES)
    networks = ts.simulate(problem, start, TIMES, N=400, seeds=200, method="reduced")
    for name in ("R", "b", "eps_g"):
        measured = np.sqrt(400) * networks[name].std("seed").values[1:]
        np.testing.assert_allclose(measured, band[f"{name}_std"].values[1:], rtol=0.25)
    assert ts.compare(band, networks).attrs["verdict"].startswith("AGREE")


@pytest.mark.long
@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_a_mean_that_jumps_and_a_run_in_parts(method):
    problem, other = problem_of(), problem_of(mean=[-0.8, 0.5, -1.0])
    start = start_of(problem)
    protocol = ts.Protocol((problem, 1.0), (other, 1.0))
    theory = ts.integrate(protocol, start, [0.0, 1.0, 2.0])
    run = {"N": 200, "seeds": 24, "method": method}
    networks = ts.simulate(protocol, start, [0.0, 1.0, 2.0], **run)
    assert ts.compare(theory, networks).attrs["verdict"].startswith("AGREE")
    keep = "weights" if method == "weights" else None
    first = ts.simulate(problem, start, [0.0, 1.0], keep=keep, **run)
    second = ts.simulate(other, ts.last_state(first), [1.0, 2.0], seeds=24)
    np.testing.assert_array_equal(second.R[:, -1], networks.R[:, -1])


def test_a_result_file_keeps_the_mean(tmp_path):
    problem = problem_of("linear", False)
    start = start_of(problem)
    theory = ts.integrate(problem, start, [0.0, 1.0])
    ts.save(tmp_path / "mean.h5", theory=theory)
    read = ts.load(tmp_path / "mean.h5")["theory"].to_dataset()
    np.testing.assert_array_equal(ts.problem_of(read).task.mean, MU)
    again = ts.integrate(ts.problem_of(read), ts.start_of(read), [0.0, 1.0])
    np.testing.assert_array_equal(again.R, theory.R)
