"""Derivatives of the solve, of first and of second order, in forward and in reverse mode.

Each has a second route: differences of values in float64, or a closed form.
"""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from odes.solving.precision import in_float64
from tests.problems import random_overlaps
from tests.processes import quick_compilation

K, M = 3, 2
AT = np.array([0.4, 0.3, 0.9])  # learning rate, noise, and by how much the start is longer


def late_error(parameters):
    rate, noise, scale = parameters
    start = random_overlaps(K, M)
    moved = ts.OrderParameters(start.Q * scale**2, start.R * scale, start.T)
    task = ts.TeacherStudent(M, noise=noise)
    problem = ts.Problem(task, ts.Student(K), ts.SGD(rate))
    times = jnp.asarray([0.0, 4.0])
    return ts.solve(problem, moved, times, rtol=1e-10, atol=1e-12, solver="tsit5").eps_g[-1]


def differences(function, at, h):
    """The derivatives of a function by central differences, along the last axis."""
    slopes = []
    for step in h * np.eye(at.size):
        slopes.append((np.asarray(function(at + step)) - np.asarray(function(at - step))) / (2 * h))
    return np.stack(slopes, axis=-1)


def test_forward_mode_against_reverse_mode_and_differences():
    forward = jax.jacfwd(late_error)(AT)
    np.testing.assert_allclose(forward, jax.grad(late_error)(AT), rtol=1e-8)
    np.testing.assert_allclose(forward, differences(late_error, AT, 1e-4), rtol=1e-5)
    value, along = jax.jvp(late_error, (AT,), (np.array([1.0, -2.0, 0.5]),))
    assert float(along) == pytest.approx(float(forward @ np.array([1.0, -2.0, 0.5])), rel=1e-10)
    assert float(value) == pytest.approx(float(late_error(AT)), rel=1e-12)


@pytest.mark.long
def test_hessians_against_differences_of_gradients():
    hessian = jax.hessian(late_error)(AT)
    np.testing.assert_allclose(hessian, differences(jax.grad(late_error), AT, 1e-4), rtol=2e-5)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9)
    np.testing.assert_allclose(jax.jacfwd(jax.grad(late_error))(AT), hessian, rtol=1e-9)
    np.testing.assert_allclose(jax.jacrev(jax.grad(late_error))(AT), hessian, rtol=1e-9)
    both = jax.jit(jax.vmap(jax.hessian(late_error)))(np.stack([AT, AT + 0.1]))
    np.testing.assert_allclose(both[0], hessian, rtol=1e-7)
    np.testing.assert_allclose(both[1], jax.hessian(late_error)(AT + 0.1), rtol=1e-7)


def linear_overlap(initial, rate, stop):
    """R(t) of a linear unit without noise, whose overlap relaxes at the rate eta(t)."""
    task, student = ts.TeacherStudent(1, "linear"), ts.Student(1, "linear")
    problem = ts.Problem(task, student, ts.SGD(ts.exponential(initial, rate=rate)))
    start = ts.OrderParameters([[0.5]], [[0.0]])
    return ts.solve(problem, start, jnp.stack([0.5 * stop, stop]), rtol=1e-10, atol=1e-12).R[
        1, 0, 0
    ]


def exact_overlap(initial, rate, stop):
    return 1 - jnp.exp(-initial * (1 - jnp.exp(-rate * stop)) / rate)


@pytest.mark.long
def test_second_derivatives_in_closed_form_also_in_the_time():
    at = (0.5, 0.3, 2.0)
    found = jax.hessian(linear_overlap, argnums=(0, 1, 2))(*at)
    exact = jax.hessian(exact_overlap, argnums=(0, 1, 2))(*at)
    np.testing.assert_allclose(np.array(found), np.array(exact), rtol=1e-6, atol=1e-9)


@pytest.mark.long
@pytest.mark.parametrize("solver", ["dopri8", "kvaerno5"])
def test_all_solvers_have_forward_mode(solver):
    def error(rate):
        problem = ts.Problem(ts.TeacherStudent(M), ts.Student(K), ts.SGD(rate))
        return ts.solve(problem, random_overlaps(K, M), [0.0, 1.0], solver=solver).eps_g[-1]

    difference = float(error(0.3 + 1e-4) - error(0.3 - 1e-4)) / 2e-4
    assert float(jax.jacfwd(error)(0.3)) == pytest.approx(difference, rel=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_averages_without_closed_forms_have_forward_mode(activation):
    def error(rate):
        task, student = ts.TeacherStudent(1, activation), ts.Student(2, activation)
        problem = ts.Problem(task, student, ts.SGD(rate))
        return ts.solve(problem, random_overlaps(2, 1), [0.0, 0.5], rtol=1e-6, atol=1e-8).eps_g[-1]

    difference = float(error(0.3 + 1e-3) - error(0.3 - 1e-3)) / 2e-3
    assert float(jax.jacfwd(error)(0.3)) == pytest.approx(difference, rel=1e-4)


@pytest.mark.long
def test_a_jump_of_the_learning_rate_has_derivatives():
    """R(t) = 1 - exp(-integral of eta): with respect to both rates."""

    def overlap(rates):
        task, student = ts.TeacherStudent(1, "linear"), ts.Student(1, "linear")
        problem = ts.Problem(task, student, ts.SGD(ts.piecewise([rates[0], rates[1]], [0.7])))
        start = ts.OrderParameters([[0.5]], [[0.0]])
        return ts.solve(problem, start, [0.0, 2.0], rtol=1e-10, atol=1e-12).R[1, 0, 0]

    rates = np.array([0.5, 0.3])
    rest = np.exp(-0.5 * 0.7 - 0.3 * 1.3)
    spans = np.array([0.7, 1.3])
    np.testing.assert_allclose(jax.jacfwd(overlap)(rates), rest * spans, rtol=1e-8)
    expected = -rest * np.outer(spans, spans)
    np.testing.assert_allclose(jax.hessian(overlap)(rates), expected, rtol=1e-7)


FLOAT32_SCRIPT = """
import json, jax, jax.numpy as jnp, numpy as np, teacherstudent as ts
from odes.solving.precision import in_float64
assert not jax.config.read("jax_enable_x64")

def error(rate):
    task, student = ts.TeacherStudent(1, "linear"), ts.Student(1, "linear")
    problem = ts.Problem(task, student, ts.SGD(rate))
    start = ts.OrderParameters([[0.0]], [[0.0]])
    return ts.solve(problem, start, [0.0, 1.0], rtol=1e-10, atol=1e-12).R[1, 0, 0]

def field(y):
    return in_float64(lambda y: jnp.stack([y[0] ** 2 * y[1], jnp.sin(y[1]), jnp.exp(y[0])]), y)

def number(y):
    return in_float64(lambda y: y[0] ** 2 * y[1] + jnp.sin(y[1]), y)

y = np.array([0.3, 0.7])
found = {
    "value": jax.jit(error)(0.5),
    "jacfwd": jax.jacfwd(error)(0.5),
    "jit jacfwd": jax.jit(jax.jacfwd(error))(0.5),
    "jit hessian": jax.jit(jax.hessian(error))(0.5),
    "vmap hessian": jax.vmap(jax.hessian(error))(jnp.array([0.5, 0.5]))[1],
    "field": jax.jacfwd(field)(y),
    "jit field": jax.jit(jax.jacfwd(field))(y),
    "rows": jax.jacrev(field)(y),
    "mapped": jax.vmap(jax.jacfwd(field))(np.stack([y, y]))[1],
    "gradient": jax.jit(jax.grad(number))(y),
    "second": jax.hessian(number)(y),
    "jit second": jax.jit(jax.hessian(number))(y),
}
assert found["jacfwd"].dtype == found["jit field"].dtype == np.float64
assert found["gradient"].dtype == np.float32
assert not jax.config.read("jax_enable_x64")
print(json.dumps({name: np.asarray(one, float).tolist() for name, one in found.items()}))
"""


def test_all_transformations_of_float32_code():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FLOAT32_SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | quick_compilation(),
    )
    found = json.loads(run.stdout)
    rest = np.exp(-0.5)  # R(1) = 1 - exp(-eta)
    for name, exact in (("value", 1 - rest), ("jacfwd", rest), ("jit jacfwd", rest)):
        assert found[name] == pytest.approx(exact, rel=1e-9)
    for name in ("jit hessian", "vmap hessian"):
        assert found[name] == pytest.approx(-rest, rel=2e-7)
    y0, y1 = 0.3, 0.7
    jacobian = [[2 * y0 * y1, y0**2], [0.0, np.cos(y1)], [np.exp(y0), 0.0]]
    np.testing.assert_allclose(found["field"], jacobian, rtol=1e-14)
    for name in ("jit field", "rows", "mapped"):  # whose y, or whose gradients, are float32
        np.testing.assert_allclose(found[name], jacobian, rtol=2e-7)
    gradient = [2 * y0 * y1, y0**2 + np.cos(y1)]
    np.testing.assert_allclose(found["gradient"], gradient, rtol=2e-7)
    second = [[2 * y1, 2 * y0], [2 * y0, -np.sin(y1)]]
    for name in ("second", "jit second"):
        np.testing.assert_allclose(found[name], second, rtol=2e-7)


def test_functions_with_reverse_mode_only_are_named():
    @jax.custom_vjp
    def doubled(x):
        return 2 * x

    doubled.defvjp(lambda x: (2 * x, None), lambda _, slope: (2 * slope,))

    def called(x):
        return in_float64(doubled, x, reverse=doubled)

    assert float(jax.grad(called)(0.3)) == 2.0
    with pytest.raises(TypeError, match="forward-mode derivatives .* write it with jax.custom_jvp"):
        jax.jacfwd(called)(0.3)


def test_a_gradient_compiles_nothing_anew():
    from odes.solving.solve import solve_one

    gradient = jax.grad(late_error)
    gradient(AT)
    before = solve_one._cache_size()
    gradient(AT + 0.05)
    assert solve_one._cache_size() == before
