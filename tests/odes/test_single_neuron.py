"""A single neuron: two routes to its drift, and the orders at which it sees the classes differ."""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

import teacherstudent as ts
from odes.analysis.class_series import class_coefficients
from odes.analysis.escape import escape_scale, information_exponent
from odes.analysis.hermite import hermite_coefficients
from odes.analysis.single_neuron import damping, drift, series_drift, single_neuron_velocity
from odes.inputs.one_update import Fixed, State
from odes.solving.vector_field import vector_field

REFERENCE = json.loads(
    (Path(__file__).parent.parent / "teacherstudent" / "spiked_cumulant_moments.json").read_text()
)
HE_2, HE_3 = (-0.5, 0.0, 0.5), (0.0, -0.5, 0.0, 1 / 6)  # He_k / k!
HE_4 = (3 / 24, 0.0, -6 / 24, 0.0, 1 / 24)
MINUS_HE_4 = tuple(-c for c in HE_4)

COVARIANCE = ts.GaussianMixture([0.5, 0.5], [1, -1], [[0.0], [0.0]], 1.0, [[[3.0]], [[1.0]]])
MEANS = ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0], [0.0]])
VARIANCES = ts.GaussianMixture([0.5, 0.5], [1, -1], [[0.4], [0.0]], [1.0, 2.0], [[[1.5]], [[1.8]]])
NARROW = ts.GaussianMixture.xor(0.3)


def neuron(
    task, activation="erf", learning_rate=0.3, batch_size=1, rule=ts.SphericalSGD
) -> ts.Problem:
    return ts.Problem(
        task, ts.Student(1, activation), rule(learning_rate), "correlation", batch_size
    )


def overlaps(r: int, lengths=(1.0, 0.7, 0.2, 0.0), seed: int = 0) -> np.ndarray:
    directions = np.random.default_rng(seed).standard_normal((len(lengths), r))
    return (
        np.array(lengths)[:, None] * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    )


# ---------------------------------------------------------------- Hermite coefficients of
# activation and classes


def test_hermite_coefficients_of_polynomials_are_exact():
    np.testing.assert_allclose(
        hermite_coefficients("quadratic", 5), [1, 0, 2, 0, 0], rtol=1e-15, atol=0
    )
    np.testing.assert_allclose(hermite_coefficients(HE_4, 7), [0, 0, 0, 0, 1, 0, 0], atol=1e-15)
    np.testing.assert_array_equal(hermite_coefficients(HE_4, 3), 0)
    np.testing.assert_allclose(hermite_coefficients("quadratic", 3, scale=3.0), [9, 0, 18])


def test_hermite_coefficients_by_quadrature():
    # E[g He_k] = E[g'(z) He_(k-1)(z)], and g' = sqrt(2 / pi) exp(-z^2 / 2) for erf halves the
    # variance of z
    erf, relu = hermite_coefficients("erf", 8), hermite_coefficients("relu", 7)
    assert not erf[::2].any()
    np.testing.assert_allclose(
        erf[1::2],
        [(-1 / 2) ** j * math.prod(range(1, 2 * j, 2)) / math.sqrt(math.pi) for j in range(4)],
    )
    np.testing.assert_allclose(
        relu,
        np.array([1, math.sqrt(math.pi / 2), 1, 0, -1, 0, 3]) / math.sqrt(2 * math.pi),
        atol=1e-12,
    )
    f = lambda z: np.tanh(2 * z) * (z**3 - 3 * z) * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    assert hermite_coefficients("tanh", 4, scale=2.0)[3] == pytest.approx(
        quad(f, -9, 9)[0], abs=1e-10
    )


def test_an_unnamed_kink_is_found():
    """E[z theta(z - c)] = phi(c), E[z^2 theta(z - c)] = c phi(c) + P(z > c)."""
    c = 0.3
    density, beyond = stats.norm.pdf(c), stats.norm.sf(c)
    found = hermite_coefficients(lambda z: jnp.where(z > c, z, 0.0), 2)
    np.testing.assert_allclose(found, [density, c * density + beyond], atol=1e-12)


@pytest.mark.parametrize("case", REFERENCE["hermite_moments"], ids=lambda case: str(case["latent"]))
def test_coefficients_of_a_whitened_spike(case):
    task = ts.SpikedCumulant(3.0, case["latent"], class_prior=0.4)
    for k, h in enumerate(case["E_He_k"]):
        expected = 0.4 * task.rho**k * h if k else -0.2
        assert class_coefficients(task, k) == {(k,): pytest.approx(expected, rel=1e-9, abs=1e-9)}


def test_coefficients_of_the_mixed_cumulant_model():
    coupled = ts.MixedCumulant(2, 5, coupling="sign")
    root, rho, both = math.sqrt(2 / math.pi), coupled.rho_v, 0.5
    found = {i: c / both for k in (1, 2, 3, 4) for i, c in class_coefficients(coupled, k).items()}
    assert found[1, 1] == pytest.approx(1.0300645, abs=1e-7)
    assert found[1, 3] == pytest.approx(-2 * root * math.sqrt(2) * rho**3)
    assert found[3, 1] == pytest.approx(2 * root * 2**1.5 * rho)
    assert found[2, 0] == pytest.approx(2)
    assert found[4, 0] == pytest.approx(12)
    assert found[0, 4] == pytest.approx(-2 * rho**4)
    assert found[2, 2] == pytest.approx(0, abs=1e-12)
    assert max(abs(c) for (i, j), c in found.items() if (i + j) % 2) < 1e-12
    independent = class_coefficients(ts.MixedCumulant(2, 5), 6)
    assert independent[2, 4] == pytest.approx(both * 2 * -2 * rho**4)
    assert independent[1, 5] == 0


def test_coefficients_against_sampling():
    law = VARIANCES.components()
    task = ts.GaussianMixture(
        law.p, law.y, [[0.4, -1.0], [0.0, 0.3]], 4.0, [[[1.5, 0.3], [0.3, 2.0]], [[1.8, 0], [0, 5]]]
    )
    rng, (a, b), total = np.random.default_rng(0), (2, 1), 0.0
    for p, y, A, S in zip(*task.components()[:4], strict=True):
        s = rng.multivariate_normal(A, S, 10**6) / 2
        total += p * y * np.mean((s[:, 0] ** 2 - 1) * s[:, 1])
    assert class_coefficients(task, a + b)[a, b] == pytest.approx(total, abs=5e-3)


# ---------------------------------------------------------------- drift and damping

POLYNOMIAL = (0.1, 0.3, -0.2, 0.5, 0.15)


@pytest.mark.parametrize(
    "task",
    [ts.SpikedCumulant(4, ("skewed", 0.2)), ts.MixedCumulant(2, 5), COVARIANCE, NARROW, VARIANCES],
)
def test_series_is_exact_for_polynomials(task):
    problem, alpha = neuron(task, POLYNOMIAL), overlaps(task.directions)
    np.testing.assert_allclose(
        series_drift(problem, alpha, 5), drift(problem, alpha), rtol=0, atol=1e-13
    )
    assert np.abs(series_drift(problem, alpha, 4) - drift(problem, alpha)).max() > 1e-4


@pytest.mark.parametrize(
    ("task", "activation", "orders", "atol"),
    [
        (ts.SpikedCumulant(0.2, ("skewed", 0.2)), "erf", 20, 1e-12),
        (ts.MixedCumulant(0.2, 1.0, coupling="square"), "erf", 16, 1e-10),
        (ts.MixedCumulant(0.2, 1.0, coupling="sign"), "relu", 16, 1e-9),
        (VARIANCES, "gelu", 24, 1e-10),
    ],
)
def test_series_converges_to_the_drift(task, activation, orders, atol):
    problem, alpha = neuron(task, activation), overlaps(task.directions, (0.4, 0.2))
    exact = drift(problem, alpha)
    far, near = (np.abs(series_drift(problem, alpha, k) - exact).max() for k in (4, orders))
    assert near < atol < far


def test_drift_on_the_spikes_themselves():
    box = ts.BoxMixture([0.5, 0.5], [1, -1], [[[0, 1], [0, 2]], [[-1, 0.5], [0, 1]]])
    corners = np.array([[1.0, 0.0], [0.6, 0.8]])
    at, near = (drift(neuron(box, "erf"), length * corners) for length in (1.0, 1 - 1e-9))
    np.testing.assert_allclose(at, near, atol=1e-4)
    np.testing.assert_allclose((at * corners).sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_one_step_of_a_long_vector(activation):
    # the whole step at N = 10^5 from samples of s, of the field, and of |x|^2 up to its
    # fluctuations
    problem, alpha, N = neuron(VARIANCES, activation, learning_rate=1.5), 0.6, 1e5
    rng, count = np.random.default_rng(0), 4 * 10**5
    law = VARIANCES.components()
    c = rng.choice(2, count, p=law.p)
    s = law.A[c, 0] + np.sqrt(law.S[c, 0, 0]) * rng.standard_normal(count)
    lam = alpha * s + math.sqrt(1 - alpha**2) * np.sqrt(law.sigma2[c]) * rng.standard_normal(count)
    slope = np.asarray(problem.student.activation.derivative(jnp.asarray(lam)))
    step = 1.5 / N * law.y[c] * slope
    moved = (alpha + step * s) / np.sqrt(1 + 2 * step * lam + step**2 * law.sigma2[c] * N)
    change = N * (moved - alpha)
    expected = single_neuron_velocity(problem, [alpha])[0]
    assert abs(change.mean() - expected) < 4 * change.std() / math.sqrt(count) + 1e-4
    sampled = law.sigma2[c] * slope**2
    assert abs(sampled.mean() - damping(problem, [alpha])) < 4 * sampled.std() / math.sqrt(count)


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh", POLYNOMIAL])
def test_velocity_against_the_general_equations(activation):
    covariances = [[[1.5, 0.3], [0.3, 0.8]], [[1.8, 0.0], [0.0, 2.0]]]
    task = ts.GaussianMixture(
        [0.4, 0.6], [1, -1], [[0.4, -1.0], [0.0, 0.3]], [1.0, 2.0], covariances
    )
    problem, alpha = neuron(task, activation, 0.7, batch_size=2), np.array([0.3, -0.5])
    one, eye = jnp.ones(1), jnp.eye(2)
    state = State(jnp.ones((1, 1, 1)), jnp.asarray(alpha)[None, :, None], one, jnp.zeros(1))
    velocity = jax.jit(vector_field)(problem, Fixed(one, one, eye[..., None], eye, one), state)
    np.testing.assert_allclose(
        velocity.r[0, :, 0], single_neuron_velocity(problem, alpha), rtol=0, atol=1e-12
    )


def test_batches_of_samples_and_of_overlaps():
    one, four = (neuron(NARROW, "relu", batch_size=B) for B in (1, 4))
    alpha = overlaps(2).reshape(2, 2, 2)
    assert damping(one, alpha).shape == (2, 2)
    np.testing.assert_allclose(damping(four, alpha), damping(one, alpha) / 4)
    np.testing.assert_array_equal(drift(four, alpha)[1, 0], drift(one, alpha[1, 0]))
    np.testing.assert_array_equal(
        series_drift(one, alpha, 5)[1, 0], series_drift(one, alpha[1, 0], 5)
    )
    expected = 0.3 * drift(one, alpha) - 0.045 * damping(one, alpha)[..., None] * alpha
    np.testing.assert_allclose(single_neuron_velocity(one, alpha), expected)


# ---------------------------------------------------------------- information exponents and escape


@pytest.mark.parametrize(
    ("task", "activation", "expected"),
    [
        (MEANS, "linear", 1),
        (COVARIANCE, HE_2, 2),
        (COVARIANCE, "relu", 2),
        (ts.SpikedCumulant(10, ("skewed", 0.2)), HE_3, 3),
        (ts.SpikedCumulant(10, ("skewed", 0.2)), "erf", 3),
        (ts.SpikedCumulant(100), MINUS_HE_4, 4),
        (ts.SpikedCumulant(10, "laplace"), "relu", 4),
        (ts.MixedCumulant(2, 5, coupling="square"), "erf", 3),
        (ts.clone(ts.MixedCumulant(2, 5, coupling="sign")), "relu", 2),
        (ts.BoxMixture([0.5, 0.5], [1, -1], [[[0, 1]], [[-1, 0.5]]]), "erf", 1),
        (ts.GaussianMixture([0.5, 0.5], [1, -1], [[0.0], [0.0]], [1.0, 1.2]), "relu", None),
        (ts.SpikedCumulant(10), "erf", None),
        (NARROW, "tanh", None),
        (ts.clone(ts.SpikedCumulant(10, "laplace")), "relu", None),
    ],
)
def test_information_exponents(task, activation, expected):
    problem = ts.Problem(task, ts.Student(3, activation), ts.SGD(0.1), "logistic")
    if expected is None:
        with pytest.raises(
            ValueError,
            match=f"sees no difference between the classes of {type(task).__name__} up to order",
        ):
            information_exponent(problem)
    else:
        assert information_exponent(problem) == expected


def test_escape_by_means_and_by_covariances():
    first = escape_scale(neuron(MEANS, "linear"))
    assert first[:6] == (1, "N", 0.0, None, True, True)
    assert (first.rate, first.direction) == (0.5, 1.0)
    # the covariance of s differs by 2: A = g_2 c_2 = 1, and G = E g'(z)^2 = E z^2 = 1
    second = escape_scale(neuron(COVARIANCE, HE_2, batch_size=4))
    assert second[:3] == (2, "N log N", 0.0) and second.either_sign
    assert second.threshold == pytest.approx(8)


@pytest.mark.parametrize(("factor", "grows"), [(0.99, True), (1.01, False)])
def test_threshold_is_where_small_overlaps_stop_growing(factor, grows):
    task = ts.MixedCumulant(2, 5, coupling="sign")
    found = escape_scale(neuron(task, "relu"))
    matrix = np.array([[2.0, 1.0300645], [1.0300645, 0.0]]) / 2 / math.sqrt(2 * math.pi)
    assert found.rate == pytest.approx(np.linalg.eigvalsh(matrix)[-1], abs=1e-7)
    problem = neuron(task, "relu", learning_rate=factor * found.threshold)
    assert (single_neuron_velocity(problem, 1e-3 * found.direction) @ found.direction > 0) == grows


def test_escape_by_higher_cumulants():
    third = escape_scale(neuron(ts.SpikedCumulant(10, ("skewed", 0.2)), HE_3))
    assert third[:6] == (3, "N^2", -0.5, None, True, False)
    assert third.direction == 1
    assert escape_scale(neuron(ts.SpikedCumulant(10, ("skewed", 0.8)), HE_3)).direction == -1
    fourth = escape_scale(neuron(ts.SpikedCumulant(100), MINUS_HE_4))
    assert fourth[:6] == (4, "N^3", -1.0, None, True, True)
    alpha = np.array([1e-2])
    assert drift(neuron(ts.SpikedCumulant(100), MINUS_HE_4), alpha) == pytest.approx(
        fourth.rate * alpha**3, rel=1e-3
    )


def test_the_wrong_sign_does_not_escape():
    wrong = escape_scale(neuron(ts.SpikedCumulant(100), HE_4))
    assert not wrong.escapes and wrong.rate < 0
    assert not escape_scale(neuron(COVARIANCE, (0.5, 0.0, -0.5))).escapes
    assert escape_scale(neuron(COVARIANCE, (0.5, 0.0, -0.5))).threshold is None


def test_steepest_direction_of_a_cubic_form():
    # of c_21 alone: F_3 = c alpha_u^2 alpha_v / 2, largest at alpha_v = 1 / sqrt 3
    problem = neuron(ts.MixedCumulant(2, 5, coupling="square"), HE_3)
    found = escape_scale(problem)
    c_21 = class_coefficients(problem.task, 3)[2, 1]
    assert found.rate == pytest.approx(3 * c_21 / 2 * (2 / 3) / math.sqrt(3), rel=1e-10)
    np.testing.assert_allclose(np.abs(found.direction), np.sqrt([2 / 3, 1 / 3]), atol=1e-6)
    alpha = 1e-3 * found.direction
    np.testing.assert_allclose(
        drift(problem, alpha), found.rate * 1e-6 * found.direction, rtol=1e-4
    )


# ---------------------------------------------------------------- what is refused


def test_problems_of_another_kind():
    task, one = ts.SpikedCumulant(2), ts.Student(1, "relu")
    refused = [
        (
            ts.Problem(task, ts.Student(2, "relu"), ts.SphericalSGD(0.1), "correlation"),
            "student.width = 2",
        ),
        (ts.Problem(task, one, ts.SphericalSGD(0.1)), 'loss = "square"'),
        (
            ts.Problem(task, ts.Student(1, "relu", train_bias=True), ts.SGD(0.1), "correlation"),
            "trains its readout",
        ),
        (ts.Problem(ts.TeacherStudent(1), one, ts.SGD(0.1)), "TeacherStudent has no classes"),
    ]
    for problem, match in refused:
        for function in (drift, damping, lambda problem, alpha: escape_scale(problem)):
            with pytest.raises(ValueError, match=match):
                function(problem, [0.1])
    with pytest.raises(ValueError, match="TeacherStudent has no classes"):
        information_exponent(refused[-1][0])
    with pytest.raises(ValueError, match="TeacherStudent, which has no classes"):
        class_coefficients(ts.TeacherStudent(1), 2)


def test_rules_of_another_kind():
    with pytest.raises(ValueError, match="rule is a SGD, under which the length of w moves too"):
        single_neuron_velocity(neuron(MEANS, rule=ts.SGD), [0.1])
    with pytest.raises(ValueError, match="rule.learning_rate = .* is a sequence"):
        single_neuron_velocity(neuron(MEANS, learning_rate=[0.1, 0.2]), [0.1])


def test_overlaps_that_do_not_fit():
    for alpha, match in (
        (0.1, "alpha has shape"),
        ([0.1], "give .2,. or"),
        ([0.8, 0.8], "alpha has length 1.13"),
    ):
        with pytest.raises(ValueError, match=match):
            drift(neuron(NARROW), alpha)


def test_laws_without_a_series():
    with pytest.raises(ValueError, match="orthogonal variances from 1 to 2"):
        class_coefficients(VARIANCES, 1)
    fixed = neuron(ts.GaussianMixture([0.5, 0.5], [1, -1], [[1.0], [-1.0]], 0.0))
    with pytest.raises(ValueError, match="without noise orthogonal to its directions"):
        information_exponent(fixed)
    assert drift(fixed, [0.5]) == pytest.approx(
        math.sqrt(2 / math.pi) * math.exp(-1 / 8) * (1 - 0.25)
    )
