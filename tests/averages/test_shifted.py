"""Averages of fields with non-zero means: closed forms against quadrature, Monte Carlo and
reference numbers.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from teacherstudent.activations.activation import as_activation
from teacherstudent.averages import averages_for, shifted_averages_for
from teacherstudent.averages.bivariate_normal import Phi2
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.fields import field_averages_for
from teacherstudent.losses import LOSSES
from tests.long import mostly_long

REFERENCE = json.loads((Path(__file__).parent / "shifted_integrals.json").read_text())
CUBIC = (0.3, -0.5, 0.7, 0.2)
KINDS = ["erf", "relu", "quadratic", CUBIC]


def state(K, seed=0):
    """Mean, covariance, readout and label in generic position."""
    rng = np.random.default_rng(seed + 10 * K)
    rows = rng.standard_normal((K, 2 * K))
    return tuple(
        map(
            jnp.asarray,
            (0.7 * rng.standard_normal(K), rows @ rows.T / (2 * K), rng.standard_normal(K), -1.0),
        )
    )


def test_bivariate_normal_distribution():
    h, k, R, value = (
        jnp.array([entry[key] for entry in REFERENCE["phi2"]]) for key in ("h", "k", "r", "value")
    )
    np.testing.assert_allclose(Phi2(h, k, R), value, rtol=0, atol=1e-14)
    independent = jax.scipy.special.ndtr(h) * jax.scipy.special.ndtr(k)
    np.testing.assert_allclose(Phi2(h, k, jnp.zeros_like(R)), independent, rtol=0, atol=1e-15)


def test_erf_reference_numbers():
    averages = shifted_averages_for(as_activation("erf"), 4)
    compiled = jax.jit(averages.I4)

    @jax.jit
    def single_averages(mean, C):
        S2, G2, J2 = averages.S2(mean, C), averages.G2(mean, C), averages.J2(mean, C)
        return {
            "Eg0": averages.values(mean, C)[0],
            "Edg0": averages.slopes(mean, C)[0],
            "Eg0g1": averages.I2(mean, C)[0, 1],
            "Edg0_g1": S2[0, 1],
            "Edg0_dg1": J2[0, 1],
            # by Stein's lemma, E[f h(x)] = E f E h + sum Cov(f, x_j) E[d_j h]
            "Edg0_x1": mean[1] * averages.slopes(mean, C)[0]
            + C[0, 1] * averages.curvatures(mean, C)[0],
            "Edg0_x1_g2": mean[1] * S2[0, 2] + C[0, 1] * G2[0, 2] + C[1, 2] * J2[0, 2],
        }

    for entry in REFERENCE["erf"]:
        mean, C = jnp.array(entry["mean"]), jnp.array(entry["cov"])
        for name, value in single_averages(mean, C).items():
            assert value == pytest.approx(entry[name], abs=1e-12), name
        # I4 is quadratic in v and y: its mixed differences are the single averages
        I4 = lambda v, y, at=(mean, C): compiled(*at, jnp.array(v), jnp.array(y))[0, 1]
        g2 = (I4([0.0, 0, 1, 0], -1.0) - I4([0.0, 0, 1, 0], 1.0)) / 4
        g2_g3 = (I4([0.0, 0, 1, 1], 0.0) - I4([0.0, 0, 1, -1], 0.0)) / 4
        assert g2 == pytest.approx(entry["Edg0_dg1_g2"], abs=1e-12)
        assert g2_g3 == pytest.approx(entry["Edg0_dg1_g2_g3"], abs=1e-12)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("K", mostly_long([1, 2], [2]))
@pytest.mark.parametrize("loss", mostly_long(["square", "correlation"], ["square"]))
def test_closed_forms_equal_quadrature_in_field_space(kind, K, loss):
    activation = as_activation(kind)
    rules = field_averages_for(activation, loss, K), FieldSpace(activation, LOSSES[loss], K)
    closed, quadrature = (jax.jit(rule.averages) for rule in rules)
    tolerance = (
        1e-6 if isinstance(kind, tuple) else 1e-8
    )  # beyond |xi| = 7.25 the quadrature has no nodes
    for seed in range(3):
        mean, C, v, y = state(K, seed)
        ours, theirs = (rule(mean, C, v, y) for rule in (closed, quadrature))
        scale = 1 + float(jnp.abs(theirs.D).max())
        for name, one, other in zip(
            ours._fields, ours._replace(J=ours.J @ C), theirs._replace(J=theirs.J @ C), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize(
    ("kind", "K"),
    [
        ("erf", 3),
        pytest.param("relu", 1, marks=pytest.mark.long),
        ("relu", 2),
        pytest.param("relu", 4, marks=[pytest.mark.slow, pytest.mark.long]),
        (CUBIC, 3),
    ],
    ids=str,
)
def test_without_means_they_are_the_averages_of_a_student_without_a_teacher(kind, K):
    activation = as_activation(kind)
    _, C, v, _ = state(K)
    zero, known = jnp.zeros(K), averages_for(activation, activation, K, 1)
    wider, u = jnp.pad(C, ((0, 1), (0, 1))).at[K, K].set(1.0), jnp.pad(v, (0, 1))
    ours = shifted_averages_for(activation, K)
    pairs = lambda of, *at: [getattr(of, name)(*at)[:K, :K] for name in ("I2", "J2", "G2")]
    for one, other in zip(
        jax.jit(lambda: pairs(ours, zero, C))(), jax.jit(lambda: pairs(known, wider))(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-12)
    I4, expected = jax.jit(ours.I4)(zero, C, v, jnp.array(0.0)), jax.jit(known.I4)(wider, u)
    np.testing.assert_allclose(I4, expected, rtol=1e-12, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "K"),
    mostly_long([("erf", 3), ("erf", 4), ("relu", 3), ("relu", 4)], [("erf", 3)]),
)
def test_four_fields_against_monte_carlo(kind, K):
    activation, count = as_activation(kind), 1_000_000
    mean, C, v, y = state(K, seed=3)
    z = np.random.default_rng(0).standard_normal((count, K)) @ np.linalg.cholesky(C).T + np.asarray(
        mean
    )
    lam = jnp.asarray(z)
    slope, square = (
        np.asarray(activation.derivative(lam)),
        np.asarray((activation(lam) @ v - y) ** 2),
    )
    samples = slope[:, :, None] * slope[:, None, :] * square[:, None, None]
    found = jax.jit(shifted_averages_for(activation, K).I4)(mean, C, v, y)
    z_scores = (samples.mean(0) - np.asarray(found)) / (samples.std(0) / np.sqrt(count))
    assert np.abs(z_scores).max() < 4


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.long) for kind in ("erf", "relu")] + ["quadratic", CUBIC],
    ids=str,
)
def test_derivatives_with_respect_to_the_means(kind):
    # d E[f(lambda)] / d mean_m = E[d_m f]: ties S2 to G2 and J2, values to slopes to curvatures
    averages, (mean, C, *_) = shifted_averages_for(as_activation(kind), 3), state(3)
    unit = jnp.eye(3)
    expected = jnp.einsum("km,kj->kjm", unit, averages.G2(mean, C)) + jnp.einsum(
        "jm,kj->kjm", unit, averages.J2(mean, C)
    )
    np.testing.assert_allclose(jax.jacfwd(averages.S2)(mean, C), expected, atol=1e-12)
    np.testing.assert_allclose(
        jax.jacfwd(averages.values)(mean, C), jnp.diag(averages.slopes(mean, C)), atol=1e-12
    )
    np.testing.assert_allclose(
        jax.jacfwd(averages.slopes)(mean, C), jnp.diag(averages.curvatures(mean, C)), atol=1e-12
    )
    products = jnp.einsum("im,ij->ijm", unit, averages.S2(mean, C))
    np.testing.assert_allclose(
        jax.jacfwd(averages.I2)(mean, C), products + products.swapaxes(0, 1), atol=1e-12
    )


@pytest.mark.long
@pytest.mark.parametrize("kind", ["erf", "relu", CUBIC], ids=str)
@pytest.mark.parametrize("K", mostly_long([1, 3], [3]))
def test_fields_that_do_not_vary(kind, K):
    activation, averages = as_activation(kind), shifted_averages_for(as_activation(kind), K)
    mean, _, v, y = state(K)
    nothing = jnp.zeros((K, K))
    g, slope = activation(mean), activation.derivative(mean)
    np.testing.assert_allclose(averages.values(mean, nothing), g, atol=1e-12)
    np.testing.assert_allclose(averages.I2(mean, nothing), jnp.outer(g, g), atol=1e-12)
    I4 = jax.jit(averages.I4)(mean, nothing, v, y)
    np.testing.assert_allclose(I4, jnp.outer(slope, slope) * (g @ v - y) ** 2, atol=1e-9)


@pytest.mark.long
def test_a_relu_unit_without_readout_changes_nothing_for_the_others():
    mean, C, v, y = state(5)
    v = v.at[4].set(0.0)
    four, five = (jax.jit(shifted_averages_for(as_activation("relu"), K).I4) for K in (4, 5))
    fewer = four(mean[:4], C[:4, :4], v[:4], y)
    np.testing.assert_allclose(five(mean, C, v, y)[:4, :4], fewer, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "K"),
    mostly_long([("erf", 3), ("relu", 2), ("relu", 4), (CUBIC, 2)], [(CUBIC, 2)]),
    ids=str,
)
def test_gradients_are_finite_where_fields_coincide(kind, K):
    averages = shifted_averages_for(as_activation(kind), K)
    total = lambda mean, C, v: jnp.sum(
        averages.I4(mean, C, v, jnp.array(1.0)) + averages.I2(mean, C) + averages.G2(mean, C)
    )
    for mean, C in ((jnp.zeros(K), jnp.ones((K, K))), (jnp.ones(K), jnp.zeros((K, K)))):
        for gradient in jax.jit(jax.grad(total, argnums=(0, 1, 2)))(mean, C, jnp.zeros(K)):
            assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("kind", mostly_long(["erf", "relu"], ["relu"]))
def test_coinciding_units_act_as_one(kind):
    one, two = (shifted_averages_for(as_activation(kind), K) for K in (1, 2))
    mean, C = jnp.array([0.4]), jnp.array([[0.8]])
    doubled = jax.jit(two.I4)(
        jnp.tile(mean, 2), jnp.tile(C, (2, 2)), jnp.array([0.3, 0.5]), jnp.array(1.0)
    )
    np.testing.assert_allclose(
        doubled,
        jnp.full((2, 2), one.I4(mean, C, jnp.array([0.8]), jnp.array(1.0))[0, 0]),
        atol=1e-12,
    )


def test_no_closed_forms_for_others():
    assert shifted_averages_for(as_activation("tanh"), 2) is None
    assert isinstance(field_averages_for(as_activation("erf"), "logistic", 2), FieldSpace)
    assert (
        field_averages_for(as_activation("erf"), "square", 2).description == "closed forms of erf"
    )
