"""Networks with biases on inputs with several eigenvalues, against the theory."""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import description
from tests.long import mostly_long

K, M = 3, 2
V = [0.5, -0.4, 0.8]
B = np.array([0.3, -0.5, 0.8])
TIMES = np.linspace(0, 4, 5)
CASES = {
    "sign": ("erf", {"nonlinearity": "sign", "latent_ratio": 0.5}),
    "ReLU student": ("relu", {"nonlinearity": "sign", "latent_ratio": 2.0}),
    "two layers": ("erf", {"nonlinearity": "tanh", "latent_ratio": 0.4, "layers": (0.75,)}),
    "power law": ("erf", {"exponent": 0.7}),
}


def problem_of(name, N, rate=0.4):
    activation, inputs = CASES[name]
    teacher = {"width": M, "activation": activation, "readout": [1.0, -0.5], "noise": 0.1}
    if "exponent" in inputs:
        task = ts.GaussianEquivalent.anisotropic(ts.power_law(N, inputs["exponent"]), **teacher)
    else:
        task = ts.HiddenManifold(seed=7, **inputs, **teacher)
    student = ts.Student(K, activation, train_readout=True, train_bias=True)
    return ts.Problem(task, student, ts.SGD(0.3, 0.2, bias_learning_rate=rate))


def start_of(problem, N, b=B):
    random = np.random.default_rng(1)
    D = problem.task.latent_dimension(N)
    w, w_star = 0.8 * random.standard_normal((K, N)), random.standard_normal((M, D))
    return ts.start_from_weights(problem, w, V, w_star, b)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_networks_agree_with_the_theory(name):
    problem = problem_of(name, 300)
    start = start_of(problem, 300)
    theory = ts.integrate(problem, start, TIMES)
    networks = ts.simulate(problem, start, TIMES, seeds=24, test_samples=4000)
    report = ts.compare(theory, networks)
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]
    for quantity, largest in description(report)["largest"][0].items():
        assert largest["bias_coefficient"] < 8, (quantity, largest)
    # Biases move, and networks of other biases would be told apart.
    assert np.abs(theory.b.values[-1] - B).min() > 0.03
    apart = ts.integrate(problem, start_of(problem, 300, B + [0, 0.1, 0]), TIMES)
    scatter = networks.b.std("seed").values[1:] / np.sqrt(24)
    z = np.abs((networks.b.mean("seed") - apart.b).values[1:, 1]) / scatter[:, 1]
    assert z.max() > 5


@pytest.mark.long
def test_deviation_shrinks_with_the_square_root_of_the_dimension():
    rms = {"Q": [], "R": [], "b": [], "eps_g": []}
    sizes = (100, 1600)
    for N in sizes:
        problem = problem_of("sign", N)
        start = start_of(problem, N)
        theory = ts.integrate(problem, start, TIMES)
        report = ts.compare(theory, ts.simulate(problem, start, TIMES, seeds=12))
        for name, values in rms.items():
            values.append(float(report[f"{name}_rms"]))
    for name, values in rms.items():
        exponent = np.polyfit(np.log(sizes), np.log(values), 1)[0]
        assert -0.75 < exponent < -0.3, (name, values)


@pytest.mark.long
def test_the_limit_agrees_with_networks_on_their_own_manifolds():
    problem = problem_of("sign", None)
    start = ts.OrderParameters(np.diag([1.0, 0.8, 0.6]), [[0.2, 0.0], [0.0, -0.1], [0.1, 0.1]], b=B)
    theory = ts.integrate(problem, start, TIMES)
    networks = ts.simulate(problem, start, TIMES, N=400, seeds=24)
    report = ts.compare(theory, networks)
    assert report.attrs["verdict"].startswith("AGREE at"), report.attrs["verdict"]
    np.testing.assert_allclose(networks.b[:, 0], np.tile(B, (24, 1)), rtol=1e-7)


@pytest.mark.parametrize("name", mostly_long(CASES, ("sign",)))
def test_a_simulation_goes_on_bit_by_bit_and_from_its_file(name, tmp_path):
    problem = problem_of(name, 60)
    start = start_of(problem, 60)
    whole = ts.simulate(problem, start, [0.0, 0.5, 1.0], seeds=2)
    first = ts.simulate(problem, start, [0.0, 0.5], seeds=2, keep="weights")
    ts.save(tmp_path / "biases.h5", simulation=first)
    read = ts.load(tmp_path / "biases.h5")["simulation"].to_dataset()
    begun = ts.start_of(read)
    np.testing.assert_array_equal(begun.b, B)
    np.testing.assert_allclose(begun.q, start.q, atol=1e-12)
    for data in (first, read):
        second = ts.simulate(problem, ts.last_state(data), [0.5, 1.0], seeds=2)
        np.testing.assert_array_equal(second.b[:, -1], whole.b[:, -1])
    assert np.abs(whole.b[:, -1] - B).min() > 1e-3


@pytest.mark.long
def test_phases_have_biases():
    first, second = problem_of("sign", 60), problem_of("sign", 60, rate=0.1)
    start = start_of(first, 60)
    protocol = ts.Protocol((first, 1.0), (second, 1.0))
    networks = ts.simulate(protocol, start, [0.0, 1.0, 2.0], seeds=24)
    theory = ts.integrate(protocol, start, [0.0, 1.0, 2.0])
    assert ts.compare(theory, networks).attrs["verdict"].startswith("AGREE")
