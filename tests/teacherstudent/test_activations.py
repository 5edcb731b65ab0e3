import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from teacherstudent.activations import ACTIVATIONS, Activation, Polynomial, as_activation

X = np.linspace(-2.5, 2.5, 12)
EXPECTED = {
    "erf": erf(X / np.sqrt(2)),
    "linear": X,
    "quadratic": X**2,
    "relu": np.maximum(X, 0),
    "tanh": np.tanh(X),
    "gelu": X * (1 + erf(X / np.sqrt(2))) / 2,
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


def test_polynomials_are_equal_if_their_coefficients_are():
    cubic = as_activation((0.0, 1.0, 0.0, 0.5))
    assert cubic == as_activation([0.0, 1.0, 0.0, 0.5]) and hash(cubic) == hash(as_activation([0, 1, 0, 0.5]))
    assert cubic != as_activation((0.0, 1.0, 0.0, 0.6))
    assert Polynomial((1.0, 2.0, 3.0)).derivative() == Polynomial((2.0, 6.0))
    assert Polynomial((1.0,)).derivative() == Polynomial((0.0,))


def test_functions_and_activations_are_taken_as_they_are():
    assert as_activation(jnp.sin)(jnp.asarray(0.5)) == jnp.sin(0.5)
    leaky = Activation("leaky", jax.nn.leaky_relu, kinks=(0.0,))
    assert as_activation(leaky) is leaky
    with pytest.raises(TypeError, match="task.activation is 3"):
        as_activation(3, "task.activation")
