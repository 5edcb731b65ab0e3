"""Finite networks against the theory: deviations within their standard error plus O(1/N), and
shrinking as N^-1/2.
"""

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.problems import random_overlaps

CASES = {
    # name: (activation, K, M, eta, eta_v or None, sigma, batch size, weight decay)
    "erf, first layer": ("erf", 3, 2, 0.5, None, 0.1, 1, 0.0),
    "erf, both layers, batch": ("erf", 2, 3, 0.6, 0.3, 0.2, 2, 0.0),
    "erf, weight decay": ("erf", 4, 1, 0.4, None, 0.1, 1, 0.1),
    "linear, first layer": ("linear", 2, 3, 0.2, None, 0.3, 1, 0.0),
    "linear, both layers": ("linear", 3, 1, 0.2, 0.2, 0.2, 1, 0.0),
    "relu, first layer": ("relu", 3, 2, 0.2, None, 0.1, 1, 0.0),
    "relu, both layers": ("relu", 2, 1, 0.2, 0.2, 0.1, 1, 0.0),
    "quadratic, first layer": ("quadratic", 3, 2, 0.01, None, 0.1, 1, 0.0),
    "quadratic, both layers": ("quadratic", 2, 3, 0.01, 0.01, 0.1, 1, 0.0),
    "cubic": ((0.1, 0.8, 0.0, 0.1), 2, 1, 0.05, None, 0.1, 1, 0.0),
}
TIMES = np.linspace(0.0, 5.0, 11)


def set_up(name):
    activation, K, M, eta, eta_v, sigma, batch_size, kappa = CASES[name]
    problem = ts.Problem(
        ts.TeacherStudent(M, activation, np.linspace(1.0, 0.6, M), sigma),
        ts.Student(K, activation, eta_v is not None),
        ts.SGD(eta, eta_v, kappa),
        batch_size=batch_size,
    )
    return problem, random_overlaps(K, M, seed=K + 10 * M, v=np.linspace(0.5, 0.9, K))


@pytest.mark.slow
@pytest.mark.parametrize("name", mostly_long(CASES, ["relu, first layer"]))
def test_mean_over_seeds_agrees(name):
    problem, start = set_up(name)
    theory = ts.integrate(problem, start, TIMES)
    report = ts.compare(theory, ts.simulate(problem, start, TIMES, N=500, seeds=24))
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]
    for quantity, largest in description(report)["largest"][0].items():
        assert largest["bias_coefficient"] < 3, (quantity, largest)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["erf, first layer", "linear, both layers", "relu, first layer", "quadratic, both layers"],
)
def test_deviation_shrinks_with_the_square_root_of_the_dimension(name):
    problem, start = set_up(name)
    theory = ts.integrate(problem, start, TIMES[::2])
    sims = [
        ts.simulate(problem, start, TIMES[::2], N=N, seeds=seeds)
        for N, seeds in ((250, 32), (1000, 24), (4000, 12))
    ]
    exponents = description(ts.compare(theory, sims))["exponents"]
    for quantity, (exponent, error) in exponents.items():
        assert abs(exponent + 0.5) < 0.05 + 3.5 * error, (quantity, exponent, error)
        assert error < 0.15, (quantity, error)


@pytest.mark.long
@pytest.mark.slow
def test_a_wrong_theory_is_noticed():
    problem, start = set_up("erf, first layer")
    wrong = ts.Problem(problem.task, problem.student, ts.SGD(0.45))
    report = ts.compare(
        ts.integrate(wrong, start, TIMES), ts.simulate(problem, start, TIMES, N=2000, seeds=16)
    )
    assert report.attrs["verdict"].startswith("DISAGREE")
    assert "problem.rule.learning_rate" in report.attrs["verdict"]
