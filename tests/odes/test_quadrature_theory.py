"""Theory by quadrature: activations without closed forms, and pairs of different ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.activations.activation import ACTIVATIONS
from teacherstudent.averages.quasi_random import CAUTION
from teacherstudent.results.datasets import description
from tests.problems import random_overlaps

TIMES = [0.0, 1.0, 5.0]


def problem_with(student, teacher, K=2, M=1, learning_rate=0.2):
    return ts.Problem(
        ts.TeacherStudent(M, teacher, noise=0.1),
        ts.Student(K, student, train_readout=True),
        ts.SGD(learning_rate),
    )


LEAKY = ts.Activation("leaky relu", jax.nn.leaky_relu, kinks=(0.0,))


@pytest.mark.slow
@pytest.mark.long
def test_equals_the_closed_form_of_erf():
    start = random_overlaps(2, 1)
    by_hand = ts.Activation("erf by hand", ACTIVATIONS["erf"].function)
    quadrature = ts.integrate(
        problem_with(by_hand, by_hand), start, TIMES, rtol=1e-8, solver="tsit5"
    )
    closed = ts.integrate(problem_with("erf", "erf"), start, TIMES, rtol=1e-8, solver="tsit5")
    for name in ("Q", "R", "v", "eps_g"):
        np.testing.assert_allclose(quadrature[name], closed[name], atol=1e-9)
    assert description(quadrature)["report"]["quadrature_error"] < 1e-9
    assert "quadrature_error" not in description(closed)["report"]


@pytest.mark.slow
@pytest.mark.long  # an activation without closed forms is always compared in tests/extending
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ("tanh", "tanh"),
        ("gelu", "erf"),
        ("relu", "erf"),
        ("erf", "relu"),
        ("linear", "tanh"),
        (LEAKY, "relu"),
    ],
    ids=lambda given: getattr(given, "name", given),
)
def test_agrees_with_finite_networks(student, teacher):
    problem, start = problem_with(student, teacher), random_overlaps(2, 1, seed=3)
    theory = ts.integrate(problem, start, TIMES, rtol=1e-6)
    assert description(theory)["report"]["quadrature_error"] < CAUTION * 1e-8
    report = ts.compare(theory, ts.simulate(problem, start, TIMES, N=500, seeds=20))
    assert report.attrs["verdict"].startswith("AGREE"), report.attrs["verdict"]


@pytest.mark.long
def test_a_kink_that_is_not_named_is_found():
    theories = [
        ts.integrate(
            problem_with(activation, "erf", 1, 1, 0.05),
            random_overlaps(1, 1),
            [0.0, 0.1],
            rtol=1e-3,
        )
        for activation in (ts.Activation("abs", jnp.abs, kinks=(0.0,)), lambda x: jnp.abs(x))
    ]
    np.testing.assert_allclose(theories[0].Q, theories[1].Q, rtol=1e-12)
    assert max(description(theory)["report"]["quadrature_error"] for theory in theories) < 1e-8


@pytest.mark.long
def test_what_quadrature_cannot_resolve_is_told():
    problem = problem_with(lambda x: jnp.sin(40 * x), "erf", 1, 1, learning_rate=1e-4)
    with pytest.warns(
        UserWarning, match=r"may be off by .*; where an activation changes on a very short interval"
    ):
        ts.integrate(problem, random_overlaps(1, 1), [0.0, 0.1], rtol=1e-3)


@pytest.mark.parametrize("student", ["sign", lambda x: jnp.where(x > 0.2, x + 1, x)])
def test_a_student_that_jumps_is_refused(student):
    with pytest.raises(
        ValueError,
        match=r"student.activation = .* jumps by .* at x = .*training by gradients has no meaning",
    ):
        problem_with(student, "erf")


@pytest.mark.parametrize(
    "teacher",
    [
        "sign",
        pytest.param(
            ts.Activation("my-sign", jnp.sign, kinks=(0.0,)), marks=pytest.mark.long, id="my-sign"
        ),
    ],
)
def test_case_of_a_linear_student_and_a_sign(teacher):
    """R = c + (R_0 - c) exp(-eta t), c = sqrt(2/pi): from the closed form, and from a function that
    nobody knows.
    """
    times = np.array([0.0, 1.0, 5.0, 20.0])
    c = np.sqrt(2 / np.pi)
    problem = ts.Problem(ts.TeacherStudent(1, teacher), ts.Student(1, "linear"), ts.SGD(0.3))
    theory = ts.integrate(problem, ts.OrderParameters(Q=[[0.5]], R=[[0.1]]), times)
    np.testing.assert_allclose(
        theory.R.values.ravel(), c + (0.1 - c) * np.exp(-0.3 * times), atol=1e-8
    )
