"""The reference integrals against closed forms."""

from itertools import permutations

import numpy as np
import pytest
from scipy.special import erf

from tests.faults.gaussian_integrals import Function, NotConverged, average, shifted_average
from tests.faults.plain_activations import STUDENTS, TEACHERS
from tests.faults.reference_averages import ReferenceAverages

ERF = Function(lambda x: erf(x / np.sqrt(2)))
SLOPE = Function(lambda x: np.sqrt(2 / np.pi) * np.exp(-(x**2) / 2))
RELU = Function(lambda x: np.maximum(x, 0), (0.0,))
STEP = Function(lambda x: 1.0 * (x > 0), (0.0,))
SIGN = Function(np.sign, (0.0,))
SQUARE = Function(np.square)
TANH = Function(np.tanh)


def covariance(rng, fields):
    """Variances of 0.01 to 20 and correlations of up to 0.9999."""
    deviations = np.exp(rng.uniform(np.log(0.1), np.log(20) / 2, fields))
    while True:
        vectors = rng.normal(size=(1, fields)) + 10 ** rng.uniform(
            -2.2, 0.5, (fields, 1)
        ) * rng.normal(size=(fields,) * 2)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        correlation = vectors @ vectors.T
        if np.abs(correlation - np.eye(fields)).max() <= 0.9999:
            np.fill_diagonal(correlation, 1)
            return correlation * np.outer(deviations, deviations)


def correlations(S):
    deviations = np.sqrt(np.diag(S))
    return S / np.outer(deviations, deviations)


@pytest.mark.parametrize("seed", range(10))
def test_two_fields(seed):
    S = covariance(np.random.default_rng(seed), 2)
    (a, b), c, r = S[0], S[1, 1], correlations(S)[0, 1]
    angle = np.arccos(r)
    expected = {
        (ERF, ERF): 2 / np.pi * np.arcsin(b / np.sqrt((1 + a) * (1 + c))),
        (SIGN, SIGN): 2 / np.pi * np.arcsin(r),
        (STEP, STEP): 1 / 4 + np.arcsin(r) / (2 * np.pi),
        (RELU, RELU): np.sqrt(a * c) * (np.sin(angle) + (np.pi - angle) * r) / (2 * np.pi),
        (STEP, RELU): np.sqrt(c / (2 * np.pi)) * (1 + r) / 2,
        (SQUARE, SQUARE): a * c + 2 * b**2,
    }
    for functions, value in expected.items():
        np.testing.assert_allclose(average(S, functions), value, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_three_fields(seed):
    S = covariance(np.random.default_rng(seed), 3)
    r = correlations(S)[np.triu_indices(3, 1)]
    given = S - np.outer(S[0], S[0]) / (1 + S[0, 0])  # with the normal density of h_0 as a weight
    root = np.sqrt(2 / np.pi / (1 + S[0, 0]))
    smooth = given[1, 2] / np.sqrt((1 + given[1, 1]) * (1 + given[2, 2]))
    sharp = given[1, 2] / np.sqrt(given[1, 1] * given[2, 2])
    a, b, c = np.diag(S)
    isserlis = (
        a * b * c
        + 2 * (a * S[1, 2] ** 2 + b * S[0, 2] ** 2 + c * S[0, 1] ** 2)
        + 8 * np.prod(S[np.triu_indices(3, 1)])
    )
    expected = {
        (STEP, STEP, STEP): 1 / 8 + np.arcsin(r).sum() / (4 * np.pi),
        (SQUARE, SQUARE, SQUARE): isserlis,
        (SLOPE, ERF, ERF): root * 2 / np.pi * np.arcsin(smooth),
        (SLOPE, SIGN, SIGN): root * 2 / np.pi * np.arcsin(sharp),
    }
    for functions, value in expected.items():
        np.testing.assert_allclose(average(S, functions), value, rtol=1e-10, atol=1e-11)


@pytest.mark.long
def test_four_fields():
    F = np.random.default_rng(2).normal(size=(4, 5))
    S = F @ F.T / 5
    given = S - np.outer(S[0], S[0]) / (
        1 + S[0, 0]
    )  # twice: the density of one field, then of another
    again = given - np.outer(given[1], given[1]) / (1 + given[1, 1])
    factor = 2 / np.pi / np.sqrt((1 + S[0, 0]) * (1 + given[1, 1]))
    sharp = again[2, 3] / np.sqrt(again[2, 2] * again[3, 3])
    value = average(S, [SLOPE, SLOPE, SIGN, SIGN], accuracy=1e-9)
    np.testing.assert_allclose(value, factor * 2 / np.pi * np.arcsin(sharp), atol=1e-9)


def test_any_order_of_the_fields():
    S = covariance(np.random.default_rng(7), 3)
    functions = [TANH, STEP, RELU]
    values = [
        average(S[np.ix_(p, p)], [functions[i] for i in p])
        for p in map(list, permutations(range(3)))
    ]
    np.testing.assert_allclose(values, values[0], rtol=1e-11)


def test_fields_that_coincide_or_depend_on_others():
    S = np.array([[2.0, 4.0, 1.0], [4.0, 8.0, 2.0], [1.0, 2.0, 3.0]])
    product = Function(lambda x: np.maximum(x, 0) * np.tanh(2 * x), (0.0,))
    np.testing.assert_allclose(
        average(S, [RELU, TANH, STEP]), average(S[::2, ::2], [product, STEP]), rtol=1e-11
    )
    plane = np.array([[1.0, 0.3], [-0.4, 1.2], [0.9, 0.8]])
    r = correlations(plane @ plane.T)[np.triu_indices(3, 1)]
    value = 1 / 8 + np.arcsin(r).sum() / (4 * np.pi)
    np.testing.assert_allclose(average(plane @ plane.T, [STEP] * 3), value, rtol=1e-11)
    assert average(np.zeros((2, 2)), [SQUARE, TANH]) == 0


def test_a_hidden_jump_is_not_taken_for_an_answer():
    with pytest.raises(NotConverged):
        average(np.diag([1.0, 2.0]), [Function(lambda x: np.sign(x - 0.3)), RELU])


def test_one_shifted_field():
    np.testing.assert_allclose(shifted_average(0.4, 2.0, SQUARE), 2.16, rtol=1e-13)


@pytest.mark.parametrize("name", TEACHERS)
def test_plain_activations_are_those_of_the_package(name):
    plain, ours = TEACHERS[name]
    x = np.linspace(-3.05, 3.07, 41)
    np.testing.assert_allclose(plain.value(x), ours(x), atol=1e-12)
    np.testing.assert_allclose(plain.slope(x), ours.derivative(x), atol=1e-12)
    step = 1e-6
    np.testing.assert_allclose(
        plain.curvature(x), (plain.slope(x + step) - plain.slope(x - step)) / 2 / step, atol=1e-8
    )
    for c in plain.breaks:
        beside = np.array([c - 1e-9, c + 1e-9])
        np.testing.assert_allclose(np.diff(plain.value(beside)), plain.jumps.get(c, 0.0), atol=1e-8)
        np.testing.assert_allclose(
            np.diff(plain.slope(beside)), plain.slope_jumps.get(c, 0.0), atol=1e-8
        )


@pytest.mark.parametrize("teacher", ["tanh", "sign", "stairs", "relu"])
@pytest.mark.parametrize("student", ["erf", "relu", "clip", "elu"])
def test_stein_s_lemma(student, teacher):
    """E[g'(h_k) h_x g_c(h_c)] = C_kx G2(k, c) + C_xc J2(k, c) with no derivative on the left."""
    C = covariance(np.random.default_rng(3), 3)
    averages = ReferenceAverages(STUDENTS[student].plain, TEACHERS[teacher].plain, 1)
    slope, value, field = (
        averages.student.part("slope"),
        averages.teacher.part("value"),
        Function(lambda x: x),
    )
    for x, c in ((1, 2), (2, 1)):
        order = [0, x, c]
        direct = average(C[np.ix_(order, order)], [slope, field, value])
        by_parts = C[0, x] * averages.G2(C)[0, c] + C[x, c] * averages.J2(C)[0, c]
        np.testing.assert_allclose(direct, by_parts, rtol=1e-9, atol=1e-10)
