"""Theory by quadrature: activations without closed forms, and pairs of different ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.activations import ACTIVATIONS
from teacherstudent.results import description
from tests.problems import random_overlaps

TIMES = [0.0, 1.0, 5.0]


def problem_with(student, teacher, K=2, M=1, learning_rate=0.2):
    return ts.Problem(
        ts.TeacherStudent(M, teacher, noise=0.1), ts.Student(K, student, train_readout=True), ts.SGD(learning_rate)
    )


LEAKY = ts.Activation("leaky relu", jax.nn.leaky_relu, kinks=(0.0,))


@pytest.mark.slow
@pytest.mark.long
def test_equals_the_closed_form_of_erf():
    start = random_overlaps(2, 1)
    by_hand = ts.Activation("erf by hand", ACTIVATIONS["erf"].function)
    quadrature = ts.integrate(problem_with(by_hand, by_hand), start, TIMES, rtol=1e-8, solver="tsit5")
    closed = ts.integrate(problem_with("erf", "erf"), start, TIMES, rtol=1e-8, solver="tsit5")
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(quadrature[name], closed[name], atol=1e-9)
    assert description(quadrature)["report"]["quadrature_error"] < 1e-9
    assert "quadrature_error" not in description(closed)["report"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ("tanh", "tanh"),
        pytest.param("gelu", "erf", marks=pytest.mark.long),
        pytest.param("relu", "erf", marks=pytest.mark.long),
        pytest.param("erf", "relu", marks=pytest.mark.long),
        pytest.param("linear", "tanh", marks=pytest.mark.long),
        pytest.param(LEAKY, "relu", marks=pytest.mark.long),
    ],
    ids=lambda given: getattr(given, "name", given),
)
def test_agrees_with_finite_networks(student, teacher):
    problem, start = problem_with(student, teacher), random_overlaps(2, 1, seed=3)
    theory = ts.integrate(problem, start, TIMES, rtol=1e-6)
    assert description(theory)["report"]["quadrature_error"] < 1e-8
    report = ts.compare(theory, ts.simulate(problem, start, TIMES, N=500, seeds=20))
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]


def test_a_kink_that_is_not_named_is_noticed():
    problem = problem_with(lambda x: jnp.abs(x), "erf", learning_rate=0.05)
    with pytest.warns(UserWarning, match=r"may be off by .*name it: Activation\(\.\.\., kinks=\(0\.0,\)\)"):
        ts.integrate(problem, random_overlaps(2, 1), [0.0, 0.1], rtol=1e-3)
