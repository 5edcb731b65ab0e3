"""Where activations are not smooth, found from their values: against what is known of each."""

import math

import jax
import jax.numpy as jnp
import pytest

from teacherstudent.activations.singularities import Singularities, find_singularities

SMOOTH = {
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "mish": jax.nn.mish,
    "logcosh": lambda x: jnp.logaddexp(x, -x),
    "exp": jnp.exp,
    "exp of a square": lambda x: jnp.exp(x**2 / 8),  # overflows far away
    "cube": lambda x: x**3,
    "constant": jnp.ones_like,
    "sin": jnp.sin,
    "sin 50 x": lambda x: jnp.sin(50 * x),
    "sharp": lambda x: jnp.tanh(1000 * x),
    "sharper": lambda x: jnp.tanh(1e6 * (x - 0.1)),
    "sinc": lambda x: jnp.sinc(x),
}
SINGULAR = {
    "sign": (jnp.sign, {0: (2, 0)}),
    "sign in float32": (lambda x: jnp.sign(x).astype(jnp.float32), {0: (2, 0)}),
    "step": (lambda x: jnp.where(x > 0.3, 1.0, -0.2), {0.3: (1.2, 0)}),
    "x + sign x": (lambda x: x + jnp.sign(x), {0: (2, 0)}),
    "small": (lambda x: jnp.tanh(x) + 1e-4 * jnp.sign(x - 0.7), {0.7: (2e-4, 0)}),
    "two": (lambda x: jnp.where(x > 0, 1.0 + 2 * x, -jnp.exp(x)), {0: (2, 3)}),
    "stairs": (lambda x: jnp.clip(jnp.floor(x), -1, 2), {0: (1, 0), 1: (1, 0), 2: (1, 0)}),
    "irrational": (lambda x: jnp.sign(x - math.pi), {math.pi: (2, 0)}),
    "far": (lambda x: jax.nn.relu(x - 100.0), {100: (0, 1)}),
    "relu": (jax.nn.relu, {0: (0, 1)}),
    "leaky": (jax.nn.leaky_relu, {0: (0, 0.99)}),
    "abs": (jnp.abs, {0: (0, 2)}),
    "clip": (jax.nn.hard_tanh, {-1: (0, 1), 1: (0, -1)}),
    "hard swish": (jax.nn.hard_swish, {-3: (0, -0.5), 3: (0, -0.5)}),
    "square of relu": (lambda x: jax.nn.relu(x) ** 2, {0: (0, 0)}),
    "elu": (jax.nn.elu, {0: (0, 0)}),
}
REFUSED = {
    "fine stairs": (lambda x: jnp.floor(4 * x), "319 or more points"),
    "waves": (lambda x: jnp.sign(jnp.sin(9 * x)), "or more points where it or its slope jumps"),
    "root": (lambda x: jnp.sign(x) * jnp.sqrt(jnp.abs(x)), "changes without bound near x = 0"),
    "logarithm": (lambda x: jnp.log(jnp.abs(x)), "changes without bound near x = 0"),
    "pole": (lambda x: 1 / x, "changes without bound near x = 0"),
    "root of a negative": (jnp.sqrt, "is nan at x = -"),
    "noise": (lambda x: jnp.sin(1e7 * x), "too rough"),
    "host": (lambda x: float(x), "cannot be evaluated and differentiated by JAX"),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth(name):
    assert find_singularities(SMOOTH[name], name) == Singularities()


@pytest.mark.parametrize("name", SINGULAR)
def test_jumps_and_kinks(name):
    function, expected = SINGULAR[name]
    found = find_singularities(function, name)
    assert found.points == pytest.approx(list(expected), abs=1e-11)
    assert found.heights == pytest.approx([height for height, _ in expected.values()], abs=1e-6)
    assert found.slopes == pytest.approx([slope for _, slope in expected.values()], abs=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    function, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        find_singularities(function, name)


def test_of_many_jumps_those_within_reach():
    assert find_singularities(jnp.floor, "floor").points == tuple(range(-39, 40))


def test_points_that_the_user_names_are_kept():
    """An indicator narrower than the grid is missed, unless one of its points is named."""
    narrow = lambda x: jnp.where((x > 0.5) & (x < 0.501), 1.0, 0.0)
    assert find_singularities(narrow, "narrow", known=(0.5,)).points[0] == 0.5
    named = find_singularities(jnp.tanh, "tanh", known=(0.25,))
    assert named == Singularities((0.25,), (0.0,), (0.0,))


def test_while_a_program_is_traced():
    """The values are numbers, also where the activation is first met inside of `jax.jit`."""
    found = []

    @jax.jit
    def traced(x):
        found.append(find_singularities(lambda y: jnp.sign(y) + 0.5 * y, "sign"))
        return x

    traced(1.0)
    assert found[0].jumps() == [(0.0, pytest.approx(2.0))]
