"""A teacher with g*(x) = sign(x): closed forms against quadrature, and quadrature of any jump
against integrals by hand.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from teacherstudent.activations.activation import ACTIVATIONS, Activation, as_activation
from teacherstudent.averages import averages_for
from teacherstudent.averages.erf import ErfAverages
from teacherstudent.averages.linear_sign import LinearSignAverages
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.averages.relu_sign import ReluSignAverages
from tests.long import mostly_long

from .reference import assert_gradient, evaluation, random_covariance, weighted_sum

CLOSED = {"erf": ErfAverages, "linear": LinearSignAverages, "relu": ReluSignAverages}
U = jnp.array([0.9, -0.6, -1.1, 0.7])


def averages(student, teacher="sign", students=1, teachers=1, quadrature=False):
    pair = as_activation(student), as_activation(teacher), students, teachers
    return QuadratureAverages(*pair) if quadrature else averages_for(*pair)


@pytest.mark.parametrize("student", CLOSED)
def test_choice(student):
    assert type(averages(student)) is CLOSED[student]
    assert type(averages("sign", "erf")) is QuadratureAverages


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("student", mostly_long(CLOSED, ["erf", "relu"]))
def test_closed_forms_are_the_integrals(student):
    """Two students and one teacher in generic position, and one student along the teacher."""
    closed = evaluation(averages(student, students=2))
    by_quadrature = evaluation(averages(student, students=2, quadrature=True))
    generic = random_covariance(3, seed=1)
    along = np.ix_([0, 1, 1], [0, 1, 1])
    for C, tolerance in ((generic, 1e-9), (generic[along], 1e-7)):
        expected, found = by_quadrature(C, U[:3]), closed(C, U[:3])
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], atol=tolerance, err_msg=name)


@pytest.mark.parametrize("student", mostly_long(CLOSED, ["linear"]))
def test_two_labels_by_monte_carlo(student):
    """I4 with two teacher units, within five standard errors of 400 000 draws; and their
    coincidence.
    """
    C = random_covariance(4, seed=2)
    g = ACTIVATIONS[student]
    h = jnp.asarray(np.random.default_rng(0).multivariate_normal(np.zeros(4), C, 400_000))
    error = g(h[:, :2]) @ U[:2] + jnp.sign(h[:, 2:]) @ U[2:]
    draws = g.derivative(h[:, 0]) * g.derivative(h[:, 1]) * error**2
    found = averages(student, students=2, teachers=2).I4(C, U)[0, 1]
    assert abs(float(jnp.mean(draws)) - found) < 5 * float(jnp.std(draws)) / math.sqrt(len(draws))
    same = jnp.asarray(np.array(C)[np.ix_([0, 1, 2, 2], [0, 1, 2, 2])])
    together = jnp.array([0.9, -0.6, -1.1 + 0.7])
    two = averages(student, students=2, teachers=2).I4(same, U)
    one = averages(student, students=2, teachers=1).I4(same[:3, :3], together)
    np.testing.assert_allclose(two, one, atol=1e-9)


@pytest.mark.parametrize("student", mostly_long(CLOSED, ["linear"]))
def test_gradient(student):
    assert_gradient(
        *weighted_sum(averages(student, students=2, teachers=2), seed=3),
        random_covariance(4, 4),
        5,
        1e-6,
    )


def by_hand(f, variance):
    """E f(h) over h ~ N(0, variance), cut at the points where the functions below jump."""
    density = lambda h: f(h) * stats.norm.pdf(h, scale=math.sqrt(variance))
    edges = [-12, -1, 0, 0.3, 12]
    return sum(
        integrate.quad(density, a, b, epsabs=1e-13)[0]
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    )


JUMPING = {
    "x + sign x": (lambda x: x + jnp.sign(x), lambda x: x + np.sign(x)),
    "step at 0.3": (lambda x: jnp.where(x > 0.3, 1.5, 0.0), lambda x: 1.5 * (x > 0.3)),
    "stairs": (
        lambda x: jnp.clip(jnp.floor(x), -2.0, 0.0),
        lambda x: np.clip(np.floor(x), -2.0, 0.0),
    ),
}


@pytest.mark.parametrize("teacher", JUMPING)
@pytest.mark.parametrize("named", [False, True])
def test_delta_functions_of_any_jump(teacher, named):
    """E[g'(h_k) h_b g*(h_b)] = C_kb G2 + C_bb J2 needs no derivative of g*; here h_k = a h_b +
    noise, g = erf.
    """
    function, plain = JUMPING[teacher]
    activation = Activation(teacher, function, kinks=(0.0, 0.3, -1.0) if named else ())
    a, rest, variance = 0.7, 0.4, 1.3
    C = jnp.array([[a**2 * variance + rest, a * variance], [a * variance, variance]])
    found = averages("erf", activation, quadrature=True)
    slope = lambda h: (
        math.sqrt(2 / math.pi / (1 + rest)) * np.exp(-((a * h) ** 2) / 2 / (1 + rest))
    )  # E[g' | h_b]
    direct = by_hand(lambda h: slope(h) * h * plain(h), variance)
    by_parts = C[0, 1] * found.G2(C)[0, 1] + C[1, 1] * found.J2(C)[0, 1]
    np.testing.assert_allclose(by_parts, direct, atol=1e-9)


def test_too_many_kinks_for_an_integral_are_refused():
    found = averages(lambda x: jnp.abs(x - 2 * jnp.round(x / 2)), "erf", students=2, teachers=2)
    with pytest.raises(
        ValueError, match="divided at 79 points where it jumps or has a kink; .* or simulate"
    ):
        found.I4(jnp.eye(4), U)


@pytest.mark.long
def test_many_jumps_of_a_teacher():
    """E[floor(h)^2] is a sum over its stairs."""
    found = averages("erf", jnp.floor, students=1, teachers=1)
    stairs = np.arange(-40.0, 40.0)
    expected = np.sum(stairs**2 * np.diff(stats.norm.cdf(np.append(stairs, 40.0))))
    np.testing.assert_allclose(jax.jit(found.I2)(jnp.eye(2))[1, 1], expected, rtol=1e-8)


@pytest.mark.long
def test_a_jump_that_nobody_knows_of_is_seen_in_the_estimate(monkeypatch):
    """As if the search had missed it: both rules agree, Stein's lemma does not."""
    blind = averages("erf", Activation("blind", lambda x: jnp.sign(x - 0.5)), quadrature=True)
    monkeypatch.setattr(type(blind.teacher.singularities), "jumps", lambda self: [])
    C = jnp.array([[1.0, 0.4], [0.4, 1.2]])
    lost = (
        2
        * stats.norm.pdf(0.5, scale=math.sqrt(1.2))
        * math.sqrt(2 / math.pi / (2 - 0.16 / 1.2))
        / 2
    )
    assert blind.error(C, jnp.array([1.0, -1.0])) > lost
