"""Averages over the fields of students that are told signs: by two ways each."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.activations.signs import SIGN
from teacherstudent.averages import averages_for
from teacherstudent.averages.lines import line_rule, lines_along
from teacherstudent.averages.sign_space import SignOfCommittee, SignOfField, SignSpace
from teacherstudent.losses import LOSSES
from tests.long import mostly_long

KEPT = 0.8


def activation(name):
    return ts.Student(1, name).activation


def covariance_of(fields, seed, variance=1.0):
    """A generic one, of fields of about this variance."""
    w = np.random.default_rng(seed).standard_normal((fields, fields + 2))
    return jnp.asarray(variance * w @ w.T / (fields + 2))


def readout(students, seed):
    return jnp.asarray(np.random.default_rng(100 + seed).standard_normal(students))


def averages_of(g, loss, C, v):
    space = SignSpace(activation(g), len(v))

    @jax.jit
    def found(C, v):
        mean = space.averages(LOSSES[loss], SignOfField(C, jnp.array(KEPT)), v)
        return mean._replace(J=mean.J @ C)

    return found(C, v)


@pytest.mark.parametrize("loss", mostly_long(list(LOSSES), ["hinge"]))
def test_one_linear_unit_has_the_averages_over_its_output(loss):
    """Also where the student has nearly learnt the teacher, and is long or short."""
    space = SignSpace(activation("linear"), 1)
    v = jnp.array([-1.7])

    @jax.jit
    def found(law):
        return space.averages(LOSSES[loss], law, v)

    for q, rho, t in [(0.8, 0.5, 1.3), (2.5, -0.9, 0.7), (4.0, 0.9999999, 1.0), (1e4, 0.3, 2.0)]:
        r = rho * math.sqrt(q * t)
        C = jnp.array([[q, r], [r, t]])
        mean = found(SignOfField(C, jnp.array(KEPT)))
        law = ts.SignFields(*map(jnp.array, (v[0] ** 2 * q, v[0] * r, t, KEPT)))
        known = LOSSES[loss].averages_with_signs(law)
        J = jnp.array([[v[0] ** 2 * known.slope, v[0] * known.jump]])
        np.testing.assert_allclose(mean.J @ C, J @ C, rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(mean.D[0, 0], v[0] ** 2 * known.square, rtol=1e-10)
        slope = known.slope * q * v[0] + known.jump * r
        np.testing.assert_allclose(mean.readout[0], slope, rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(mean.loss, known.loss, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("loss", mostly_long(["square", "correlation"], ["square"]))
@pytest.mark.parametrize(
    "g, K, tolerance",
    mostly_long(
        [("erf", 1, 1e-12), ("relu", 1, 1e-12), ("erf", 2, 1e-10), ("relu", 2, 1e-10)]
        + [("erf", 3, 1e-7), ("relu", 3, 3e-3), ("erf", 4, 3e-3)],
        [("erf", 1, 1e-12)],
    ),
)
def test_losses_with_a_linear_slope_have_closed_forms_too(loss, g, K, tolerance):
    C, v = covariance_of(K + 1, seed=K), readout(K, K)
    mean = averages_of(g, loss, C, v)
    closed = averages_for(activation(g), SIGN, K, 1)
    u = jnp.append(LOSSES[loss].linear_slope * v, -KEPT)
    J2 = closed.J2(C)
    J = v[:, None] * J2 * u[None, :]
    J = J.at[:, :K].add(jnp.diag(v * (closed.G2(C) @ u)))
    D = v[:, None] * v[None, :] * (closed.I4(C, u) + (1 - KEPT**2) * J2[:, :K])
    expected = (J @ C, D, closed.I2(C)[:K] @ u)
    for found, known in zip(mean[:3], expected, strict=True):
        np.testing.assert_allclose(found, known, atol=tolerance * max(1.0, abs(known).max()))


def assert_averages_of_samples(mean, loss, g, C, v, u, numbers, h):
    """Within 4.5 standard errors of the samples h with teacher's outputs u."""
    K = len(v)
    y = np.where(u >= 0, 1.0, -1.0) * np.where(numbers.random(len(u)) < (1 - KEPT) / 2, -1, 1)
    lam = jnp.asarray(h[:, :K])
    hidden = np.asarray(activation(g)(lam))
    f = np.asarray(LOSSES[loss].slope(jnp.asarray(hidden @ v), jnp.asarray(y)))
    delta = np.asarray(v) * np.asarray(activation(g).derivative(lam)) * f[:, None]
    of_samples = [
        (mean.J, delta[:, :, None] * h[:, None, :]),
        (mean.D, delta[:, :, None] * delta[:, None, :]),
        (mean.readout, hidden * f[:, None]),
        (mean.loss, np.asarray(LOSSES[loss].value(jnp.asarray(hidden @ v), jnp.asarray(y)))),
    ]
    for average, samples in of_samples:
        error = samples.std(axis=0) / math.sqrt(len(samples))
        assert np.all(np.abs(samples.mean(axis=0) - average) <= 4.5 * error + 1e-9)


@pytest.mark.parametrize("loss", mostly_long(list(LOSSES), ["adatron"]))
@pytest.mark.parametrize(
    "g, K",
    mostly_long(
        [("erf", 1), ("relu", 1), ("tanh", 1), ((0.0, 1.0, 0.5), 1), ("tanh", 2), ("relu", 2)]
        + [("erf", 3), ("relu", 3)],
        [("tanh", 2)],
    ),
)
def test_averages_are_those_of_samples(loss, g, K):
    """2 10^5 samples: 1 % of numbers of order one."""
    numbers = np.random.default_rng(7)
    C, v = covariance_of(K + 1, seed=20 + K, variance=2.0), readout(K, 3)
    h = numbers.standard_normal((2 * 10**5, K + 1)) @ np.linalg.cholesky(C).T
    mean = averages_of(g, loss, C, v)
    assert_averages_of_samples(mean, loss, g, C, v, h[:, K], numbers, h)


@pytest.mark.parametrize("loss", mostly_long(["hinge", "logistic"], []))
@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("g, teacher, K, M", [("linear", "erf", 1, 2), ("tanh", "relu", 2, 3)])
def test_averages_of_committees_are_those_of_samples(loss, noise, g, teacher, K, M):
    numbers = np.random.default_rng(8)
    C, v, v_star = covariance_of(K + M, seed=30 + K), readout(K, 4), readout(M, 5)
    law = SignOfCommittee(C, jnp.array(KEPT), activation(teacher), v_star, jnp.array(noise))
    space = SignSpace(activation(g), K)
    mean = jax.jit(lambda v: space.averages(LOSSES[loss], law, v))(v)
    h = numbers.standard_normal((2 * 10**5, K + M)) @ np.linalg.cholesky(C).T
    u = np.asarray(activation(teacher)(jnp.asarray(h[:, K:]))) @ v_star
    u = u + noise * numbers.standard_normal(len(u))
    assert_averages_of_samples(mean._replace(J=mean.J @ C), loss, g, C, v, u, numbers, h)


@pytest.mark.parametrize("g, K", mostly_long([("erf", 1), ("erf", 2), ("relu", 3), ("erf", 4)], []))
def test_estimated_errors_are_above_those_that_closed_forms_show(g, K):
    C, v = covariance_of(K + 1, seed=2, variance=4.0), readout(K, 2)
    space = SignSpace(activation(g), K)
    estimate = space.error(LOSSES["correlation"], SignOfField(C, jnp.array(1.0)), v)
    mean = space.averages(LOSSES["correlation"], SignOfField(C, jnp.array(1.0)), v)
    closed = averages_for(activation(g), SIGN, K, 1)
    D = v[:, None] * v[None, :] * closed.J2(C)[:, :K]
    true = float(abs(mean.D - D).max())
    assert true <= float(estimate) <= 0.1


def test_an_odd_unit_has_the_sign_of_its_field():
    """arccos(rho) / pi, whatever the unit."""
    wrong = jax.jit(SignSpace(activation("tanh"), 1).wrong_sign)
    for rho in (-0.7, 0.2, 0.99999):
        law = SignOfField(jnp.array([[4.0, 2 * rho], [2 * rho, 1.0]]), jnp.array(1.0))
        found = wrong(law, jnp.array([0.3]))
        np.testing.assert_allclose(found, math.acos(rho) / math.pi, rtol=1e-10)


@pytest.mark.long
def test_derivatives_see_the_nodes_move():
    """A student's parts of one update by differentiation and by finite differences."""
    space = SignSpace(activation("erf"), 1)

    @jax.jit
    def square(q):
        law = SignOfField(jnp.array([[q, 0.4], [0.4, 1.0]]), jnp.array(KEPT))
        return space.averages(LOSSES["hinge"], law, jnp.array([2.0])).D[0, 0]

    step = 1e-4
    difference = (square(1.3 + step) - square(1.3 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(square)(1.3), difference, rtol=1e-6)


def test_one_unit_that_goes_up_and_down_is_cut_at_all_of_its_zeros():
    """nu^3 - 3 nu has three of them on each line that reaches so far."""
    C = jnp.array([[1.0, 0.6], [0.6, 1.5]])
    L = jnp.linalg.cholesky(C)
    cubic = activation((0.0, -3.0, 0.0, 1.0))
    law = SignOfCommittee(C, jnp.array(KEPT), cubic, jnp.ones(1), jnp.array(0.0))
    lines = lines_along(jnp.array([0.3, 1.0]), line_rule(2, False))
    cuts = law.cuts(lines, L)
    nu = np.asarray(lines.fields(L[-1:])(cuts))[0]
    for zero in (-math.sqrt(3), 0.0, math.sqrt(3)):
        nearest = np.abs(nu - zero).min(axis=1)
        central = np.linalg.norm(lines.foot, axis=1) < 2
        assert central.sum() > 10
        np.testing.assert_allclose(nearest[central], 0, atol=1e-6)
