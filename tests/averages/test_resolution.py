"""Averages by quadrature at the resolution that an accuracy needs: against integrals over each
field, closed forms, and brute force.
"""

import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import teacherstudent as ts
from teacherstudent.activations.activation import Activation, as_activation
from teacherstudent.averages.choice_of_resolution import resolution_for
from teacherstudent.averages.erf import ErfAverages
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.fields import FieldByField, field_averages_for
from teacherstudent.averages.hermite_series import HermiteSeries, truncated_powers
from teacherstudent.averages.hidden_units import Group, HiddenUnit, output_given
from teacherstudent.averages.jumps import jumps_of
from teacherstudent.averages.quadrature import QuadratureAverages, parity
from teacherstudent.averages.relu import ReluAverages
from teacherstudent.averages.resolution import Resolution
from teacherstudent.averages.rule import rule_of
from teacherstudent.losses import LOSSES
from teacherstudent.results.datasets import description
from tests.averages.test_shifted import state
from tests.long import mostly_long

from .nested_quadrature import NestedQuadrature
from .nested_rule import NestedRule
from .reference import evaluation, random_covariance

U = jnp.array([1.0, -0.6, 0.5, -1.2])
HE3 = (0.0, -3.0, 0.0, 1.0)
PAIRS = [
    ("tanh", "tanh"),
    ("gelu", "relu"),
    ("relu", "erf"),
    (jax.nn.leaky_relu, jax.nn.leaky_relu),
    (jax.nn.softplus, "tanh"),
    (jnp.sin, jnp.sin),
    ("tanh", "sign"),
    ("tanh", HE3),
    (jax.nn.elu, jax.nn.hard_tanh),
]


def chosen(student, teacher, C, accuracy, students=2):
    pair = as_activation(student), as_activation(teacher)
    resolution = resolution_for(pair, float(jnp.max(jnp.diag(C))), accuracy)
    return QuadratureAverages(*pair, students, len(C) - students, resolution)


@pytest.mark.parametrize(("student", "teacher"), mostly_long(PAIRS, [("tanh", "tanh")]))
def test_pairs_against_an_integral_over_each_field(student, teacher):
    """Two students and one teacher: integrals over up to three fields."""
    C = random_covariance(3, seed=5)
    pair = as_activation(student), as_activation(teacher)
    nested = NestedQuadrature(*pair, 2, 1, NestedRule(radius=8.5))
    found = evaluation(chosen(*pair, C, 1e-7))(C, U[:3])
    for name, expected in evaluation(nested)(C, U[:3]).items():
        size = 1 + np.abs(expected).max()
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-6 * size, err_msg=name)


@pytest.mark.parametrize(
    ("variance", "accuracy"),
    mostly_long([(0.1, 1e-6), (1.0, 1e-8), (2.5, 1e-6)], [(1.0, 1e-8)]),
)
def test_the_accuracy_is_met_and_the_error_reported(variance, accuracy):
    C = random_covariance(4, seed=6)
    C = C * variance / jnp.max(jnp.diag(C))
    averages = chosen("erf", "erf", C, accuracy)
    found = evaluation(averages)(C, U)
    exact = evaluation(ErfAverages(2, 2))(C, U)
    true = max(float(jnp.max(jnp.abs(found[name] - exact[name]))) for name in found)
    reported = float(jax.jit(averages.error)(C, U))
    assert true < accuracy
    assert true < reported < 30 * accuracy


@pytest.mark.long
@pytest.mark.parametrize("distance", [0.3, 0.03, 0.003])
def test_kinks_near_a_specialised_student(distance):
    """The squared error is small, and so is the error of its average: against closed forms."""
    relu = as_activation("relu")
    rng = np.random.default_rng(3)
    teachers = rng.normal(size=(2, 9)) / 3
    students = teachers + distance * rng.normal(size=(2, 9)) / 3
    w = np.concatenate([students, teachers])
    C, u = jnp.asarray(w @ w.T), jnp.array([1.0, 1.0, -1.0, -1.0])
    found = evaluation(chosen(relu, relu, C, 1e-7))(C, u)["I4"]
    exact = evaluation(ReluAverages(2, 2))(C, u)["I4"]
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "rho"),
    mostly_long(
        [(kind, rho) for kind in ("relu", "step", jax.nn.elu) for rho in (0.3, -0.8, 0.999)],
        [("relu", -0.8), ("step", 0.999)],
    ),
)
def test_two_hidden_units_with_kinks(kind, rho):
    """Four terms of the series, and what they leave out, against scipy's double integral."""
    activation = as_activation(kind)
    terms = 40 if kind is jax.nn.elu else 4
    rule = rule_of(Resolution(hidden_spacing=0.2, hidden_radius=10.0, terms=terms), False)
    mean, deviation = np.array([0.4, -0.3]), np.array([0.9, 1.1])
    covariance = np.outer(deviation, deviation) * np.array([[1.0, rho], [rho, 1.0]])
    u = np.array([0.7, -1.2])
    group = Group(HiddenUnit(activation, rule), 2)
    found = output_given(
        (group,), jnp.asarray(mean)[:, None], jnp.asarray(covariance), jnp.asarray(u), rule.terms
    )

    def g(h):
        return {"relu": max(h, 0.0), "step": float(h > 0)}.get(
            activation.name, h if h > 0 else math.expm1(h)
        )

    def inner(x):
        first = g(mean[0] + deviation[0] * x)
        rest = math.sqrt(1 - rho**2)

        def integrand(z):
            second = g(mean[1] + deviation[1] * (rho * x + rest * z))
            return (u[0] * first + u[1] * second) ** 2 * stats.norm.pdf(z)

        kink = (-mean[1] / deviation[1] - rho * x) / rest
        cuts = np.sort(np.clip([-9, kink, 9], -9, 9))
        parts = [integrate.quad(integrand, a, b, epsabs=1e-12)[0] for a, b in pairwise(cuts)]
        return sum(parts) * stats.norm.pdf(x)

    corner = -mean[1] / deviation[1] / rho
    cuts = np.sort([-9.0, -mean[0] / deviation[0], corner, corner - 0.3, corner + 0.3, 9.0])
    square = sum(integrate.quad(inner, a, b, epsabs=1e-10)[0] for a, b in pairwise(cuts))
    assert float(found.mean[0] ** 2 + found.variance[0]) == pytest.approx(square, abs=2e-7)


@pytest.mark.parametrize("p", [0, 1, 3])
def test_truncated_powers(p):
    mean, deviation = 0.3, 0.8
    found = truncated_powers(jnp.array([mean]), jnp.array([deviation]), (p,), jnp.array([2.0]), 7)

    def integrand(x, n):
        polynomial = np.polynomial.hermite_e.HermiteE.basis(n)(x) / math.sqrt(math.factorial(n))
        h = mean + deviation * x
        return 2 * h**p / math.factorial(p) * polynomial * stats.norm.pdf(x)

    expected = [integrate.quad(integrand, -mean / deviation, 12, args=(n,))[0] for n in range(7)]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-9)


def test_a_field_without_variance():
    """Its coefficients are the value alone; at a jump half of both sides."""
    rule = rule_of(Resolution(), False)
    step = as_activation("step")
    series = HermiteSeries(step, jumps_of(step, (0.0,)), rule.hidden, rule.hidden_polynomials)
    found = series.coefficients(jnp.array([-1.0, 0.0, 2.0]), jnp.zeros(3))
    np.testing.assert_allclose(found[0], [0.0, 0.5, 1.0], atol=1e-12)
    np.testing.assert_allclose(found[1:], 0.0, atol=1e-12)


def test_jumps_of_all_orders():
    """elu is x above zero and exp(x) - 1 below: all its derivatives but the first jump by -1."""
    found = jumps_of(jax.nn.elu, (0.0,))
    np.testing.assert_allclose(found.heights, [[0, 0, -1, -1, -1, -1, -1, -1]], atol=1e-7)


def test_parity():
    kinds = ("erf", "gelu", "quadratic", jnp.sin, "sign", jnp.cos)
    assert [parity(as_activation(kind)) for kind in kinds] == [-1, 0, 1, -1, -1, 1]


@pytest.mark.parametrize(
    ("kind", "K"),
    mostly_long([("tanh", 1), ("tanh", 2), (jax.nn.leaky_relu, 2)], [("tanh", 2)]),
)
def test_fields_with_means(kind, K):
    """Square loss with any activation: field by field, and over all fields at once."""
    activation = as_activation(kind)
    mean, C, v, y = state(K)
    resolution = resolution_for((activation,), float(jnp.max(jnp.diag(C))), 1e-8)
    found = FieldByField(activation, LOSSES["square"], K, resolution)
    other = FieldSpace(activation, LOSSES["square"], K)
    both = (jax.jit(one.averages)(mean, C, v, y) for one in (found, other))
    for one, another in zip(*both, strict=True):
        np.testing.assert_allclose(one, another, rtol=0, atol=1e-7)


@pytest.mark.long
def test_fields_with_means_of_many_units():
    """Against closed forms at K = 5, and the estimate of the error."""
    erf = as_activation("erf")
    mean, C, v, y = state(5)
    resolution = resolution_for((erf,), float(jnp.max(jnp.diag(C))), 1e-7)
    rule = FieldByField(erf, LOSSES["square"], 5, resolution)
    closed = field_averages_for(erf, "square", 5)
    pairs = zip(*(jax.jit(one.averages)(mean, C, v, y) for one in (rule, closed)), strict=True)
    true = max(float(jnp.max(jnp.abs(one - other))) for one, other in pairs)
    assert true < float(jax.jit(rule.error)(mean, C, v, y)) < 1e-4
    assert true < 2e-6


def problem_and_start(activation="tanh"):
    task = ts.TeacherStudent(1, activation)
    problem = ts.Problem(task, ts.Student(1, activation), ts.SGD(0.5))
    return problem, ts.OrderParameters(Q=[[0.2]], R=[[0.1]], T=[[1.0]])


def report(data):
    return description(data)["report"]


@pytest.mark.long
def test_integrate_takes_and_reports_an_accuracy():
    problem, start = problem_and_start()
    errors = []
    for accuracy in (1e-3, 1e-7):
        asked = ts.Quadrature(accuracy=accuracy)
        answer = ts.integrate(problem, start, [0.0, 2.0], quadrature=asked)
        errors.append(report(answer)["quadrature_error"])
    assert errors[1] < 1e-5 < 3e-2
    assert errors[1] < errors[0] / 10


def test_nodes_that_are_given_are_used():
    problem, start = problem_and_start()
    asked = ts.Quadrature(spacing=0.21, terms=37)
    answer = ts.integrate(problem, start, [0.0, 0.1], quadrature=asked)
    assert "distances of 0.21, 37 terms" in report(answer)["averages"]


@pytest.mark.long
def test_a_field_that_grows_gets_a_finer_resolution():
    """A steep tanh: the student's vector grows as it learns a longer teacher."""
    problem, start = problem_and_start()
    start = ts.OrderParameters(Q=[[0.01]], R=[[0.01]], T=[[0.05]])
    longer = ts.OrderParameters(Q=[[4.0]], R=[[0.5]], T=[[1.0]])
    texts = [
        report(ts.integrate(problem, one, [0.0, 0.1], rtol=1e-6))["averages"]
        for one in (start, longer)
    ]
    spacing = [float(text.split("distances of ")[1].split(",")[0]) for text in texts]
    assert spacing[1] < spacing[0] / 1.5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"accuracy": 1e-14},
            "cannot be had: averages are sums of float64 numbers.* 1e-11 to 0.01",
        ),
        ({"accuracy": -1}, "quadrature.accuracy"),
        ({"terms": 1}, "quadrature.terms = 1 is out of range; give 2 to 400"),
        ({"spacing": "fine"}, "quadrature.spacing"),
        ({"accurracy": 1e-6}, "did you mean .accuracy"),
    ],
)
def test_bad_accuracies(options, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        ts.Quadrature(**options)


def test_a_number_is_no_quadrature():
    problem, start = problem_and_start()
    with pytest.raises(ValueError, match="quadrature = 1e-06; give a ts.Quadrature"):
        ts.integrate(problem, start, [0.0, 1.0], quadrature=1e-6)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: jnp.exp(x**2), "grows so fast that its averages over fields of variance"),
        (lambda x: jnp.where(x > 7, jnp.nan, x), "is nan at x = .*finite everywhere"),
        (lambda x: x - jnp.mean(x), "is not elementwise"),
        (lambda x: x & 1, "cannot be traced by JAX"),
    ],
    ids=["grows", "nan", "mean", "integer"],
)
def test_activations_without_averages(function, sentence):
    with pytest.raises(ValueError, match=sentence):
        problem, start = problem_and_start(function)
        ts.integrate(problem, start, [0.0, 1.0])


def test_an_activation_by_another_name_has_the_same_resolution():
    """The choice depends on the function alone."""
    own = Activation("my tanh", jnp.tanh)
    assert resolution_for((own,), 1.3, 1e-6) == resolution_for((as_activation("tanh"),), 1.3, 1e-6)
