import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from teacherstudent.activations.activation import ACTIVATIONS, Activation, Polynomial, as_activation
from teacherstudent.activations.singularities import find_singularities

X = np.linspace(-2.5, 2.5, 12)
EXPECTED = {
    "erf": erf(X / np.sqrt(2)),
    "linear": X,
    "quadratic": X**2,
    "relu": np.maximum(X, 0),
    "sign": np.sign(X),
    "step": np.heaviside(X, 0.5),
    "tanh": np.tanh(X),
    "gelu": X * (1 + erf(X / np.sqrt(2))) / 2,
    "logcosh": np.log(np.cosh(X)),
    "minus-logcosh": -np.log(np.cosh(X)),
    "gauss": -np.exp(-(X**2) / 2),
    "minus-gauss": np.exp(-(X**2) / 2),
}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_values_and_slopes(name):
    activation = ACTIVATIONS[name]
    np.testing.assert_allclose(activation(jnp.asarray(X)), EXPECTED[name], atol=1e-14)
    h = 1e-5
    difference = (activation(jnp.asarray(X + h)) - activation(jnp.asarray(X - h))) / (2 * h)
    np.testing.assert_allclose(activation.derivative(jnp.asarray(X)), difference, atol=1e-9)


def test_every_name_is_tested():
    assert set(EXPECTED) == set(ACTIVATIONS)


def test_singularities_of_ours_are_those_that_a_search_finds():
    for name, activation in ACTIVATIONS.items():
        assert activation.singularities == find_singularities(activation.function, name)


def test_singularities_of_others():
    assert Activation("jump", lambda x: x + jnp.sign(x)).singularities.jumps() == [
        (0.0, pytest.approx(2))
    ]
    assert Activation("jump", lambda x: x + jnp.sign(x), kinks=(1.0,)).cuts == (0.0, 1.0)
    assert as_activation((0.0, 1.0, 2.0)).cuts == ()


def test_polynomials_are_equal_if_their_coefficients_are():
    cubic = as_activation((0.0, 1.0, 0.0, 0.5))
    assert cubic == as_activation([0.0, 1.0, 0.0, 0.5]) and hash(cubic) == hash(
        as_activation([0, 1, 0, 0.5])
    )
    assert cubic != as_activation((0.0, 1.0, 0.0, 0.6))
    assert Polynomial((1.0, 2.0, 3.0)).derivative() == Polynomial((2.0, 6.0))
    assert Polynomial((1.0,)).derivative() == Polynomial((0.0,))


def test_functions_and_activations_are_taken_as_they_are():
    assert as_activation(jnp.sin)(jnp.asarray(0.5)) == jnp.sin(0.5)
    leaky = Activation("leaky", jax.nn.leaky_relu, kinks=(0.0,))
    assert as_activation(leaky) is leaky
    with pytest.raises(ValueError, match="task.activation is 3"):
        as_activation(3, "task.activation")


def test_functions_are_tried_before_they_are_taken():
    with pytest.raises(ValueError, match="activation = .*tanh.* cannot be traced by JAX"):
        as_activation(np.tanh)
    with pytest.raises(ValueError, match="is not elementwise; give a function of one field"):
        as_activation(lambda x: x - x.mean())
    with pytest.raises(ValueError, match="would be mistaken for ours"):
        Activation("erf", jnp.tanh)
    assert as_activation(lambda x: x**2).name != as_activation(lambda x: x**3).name


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_one_of_ours_is_pickled_by_its_name(name):
    """A copy of its function would be another activation, without closed forms."""
    activation = ACTIVATIONS[name]
    assert pickle.loads(pickle.dumps(activation)) is activation
