import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import teacherstudent as ts
from teacherstudent.tasks.nonlinearities import (
    CLOSED_FORMS,
    NONLINEARITIES,
    _by_quadrature,
    as_nonlinearity,
    coefficients,
    moment,
)

REFERENCE = json.loads(
    (Path(__file__).parent.parent / "odes" / "hidden_manifold.json").read_text()
)["f_coefficients"]


@pytest.mark.parametrize("name", ["sign", "erf", "tanh", "relu"])
def test_reference_coefficients(name):
    expected = [REFERENCE[name][letter] for letter in "abc"]
    assert coefficients(as_nonlinearity(name)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", [f.name for f in CLOSED_FORMS])
def test_closed_forms_against_quadrature(name):
    f, q = NONLINEARITIES[name], np.linspace(-0.6, 0.6, 13)
    assert coefficients(f) == pytest.approx(_by_quadrature(f), abs=1e-12)
    nameless = ts.Activation("same function, other name", f.function, f.kinks)
    np.testing.assert_allclose(moment(f, q), moment(nameless, q), rtol=0, atol=1e-12)
    np.testing.assert_allclose(moment(f, np.array([1.0])), coefficients(f).c)


def test_moment_against_sampling():
    rng, q = np.random.default_rng(0), 0.4
    s = rng.standard_normal((2, 10**6))
    s[1] = q * s[0] + np.sqrt(1 - q**2) * s[1]
    for name in ("tanh", "relu", "sign"):
        f = NONLINEARITIES[name]
        product = np.prod(np.asarray(f(jnp.asarray(s))), axis=0)
        assert abs(product.mean() - moment(f, np.array([q]))[0]) < 5 * product.std() / 1000


def test_own_functions_by_quadrature():
    swish = as_nonlinearity(lambda s: s / (1 + jnp.exp(-s)))
    density = lambda s: np.exp(-(s**2) / 2) / np.sqrt(2 * np.pi)
    f = lambda s: s / (1 + np.exp(-s))
    expected = [
        quad(lambda s, g=g: g(s) * density(s), -12, 12)[0]
        for g in (f, lambda s: s * f(s), lambda s: f(s) ** 2)
    ]
    assert coefficients(swish) == pytest.approx(expected, abs=1e-9)
    stairs = ts.Activation(
        "three steps", lambda s: jnp.sign(s - 1) + jnp.sign(s + 1), kinks=(-1.0, 1.0)
    )
    assert coefficients(stairs).a == pytest.approx(0, abs=1e-12)
    assert coefficients(as_nonlinearity([0.0, 0.0, 1.0])) == pytest.approx([1.0, 0.0, 3.0])


def test_an_unnamed_step_is_found():
    named = ts.Activation("step at 0.3", lambda s: jnp.where(s > 0.3, s, 0.0), kinks=(0.3,))
    assert coefficients(as_nonlinearity(lambda s: jnp.where(s > 0.3, s, 0.0))) == coefficients(
        named
    )


def test_what_grows_too_fast_is_refused():
    with pytest.raises(
        ValueError,
        match="its averages over a normal number are uncertain by .* must grow slower than",
    ):
        ts.HiddenManifold(2, nonlinearity=lambda s: jnp.exp(s**2 / 3), latent_ratio=0.5)


def test_unknown_names():
    with pytest.raises(
        ValueError,
        match="task.nonlinearity = 'sgn' is not a known nonlinearity; .*Did you mean 'sign'",
    ):
        ts.HiddenManifold(2, nonlinearity="sgn", latent_ratio=0.5)
