"""`integrate` and `solve`: solvers, batches, gradients, precision, failures."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import teacherstudent as ts
from odes import two_layer as module
from teacherstudent.results.datasets import description
from tests.long import mostly_long
from tests.odes import plain_erf
from tests.problems import committee, random_overlaps
from tests.processes import quick_compilation

TIMES = [0.0, 0.3, 1.0, 4.0, 20.0]


def scipy_solution(start, v_star, eta, eta_v, sigma, times, rtol, atol):
    """Q, R, v, eps_g at the times, by DOP853 on the equations written out sum by sum."""
    K, M = start.R.shape
    shapes = [(K, K), (K, M), (K,)]

    def parts(y):
        Q, R, v = np.split(y, np.cumsum([K * K, K * M]))
        return Q.reshape(K, K), R.reshape(K, M), v

    def velocity(t, y):
        Q, R, v = parts(y)
        return np.concatenate(
            [
                part.ravel()
                for part in plain_erf.velocity(Q, R, start.T, v, v_star, eta, eta_v, sigma)
            ]
        )

    y0 = np.concatenate([np.ravel(part) for part in (start.Q, start.R, start.v)])
    solution = solve_ivp(velocity, (0, times[-1]), y0, "DOP853", times, rtol=rtol, atol=atol)
    states = [parts(y) for y in solution.y.T]
    errors = [plain_erf.error(Q, R, start.T, v, v_star) for Q, R, v in states]
    return *(
        np.array([state[i] for state in states]).reshape(-1, *shapes[i]) for i in range(3)
    ), np.array(errors)


@pytest.mark.parametrize(
    ("solver", "rtol"),
    mostly_long(
        [("tsit5", 1e-7), ("dopri8", 1e-9), ("kvaerno5", 1e-7)],
        [("tsit5", 1e-7), ("dopri8", 1e-9)],
    ),
)
def test_agrees_with_scipy_on_independent_equations(solver, rtol):
    start = random_overlaps(2, 3, seed=5, v=[1.2, 0.4])
    problem = ts.Problem(
        ts.TeacherStudent(3, readout=[1.0, -0.5, 0.8], noise=0.2),
        ts.Student(2, train_readout=True),
        ts.SGD(0.5, 0.2),
    )
    theory = ts.integrate(problem, start, TIMES, rtol=rtol, atol=rtol / 100, solver=solver)
    expected = scipy_solution(start, [1.0, -0.5, 0.8], 0.5, 0.2, 0.2, TIMES, 1e-11, 1e-13)
    for name, values in zip(("Q", "R", "v", "eps_g"), expected, strict=True):
        np.testing.assert_allclose(theory[name], values, rtol=0, atol=20 * rtol, err_msg=name)


def test_error_falls_with_the_tolerance():
    problem, start = committee(), random_overlaps(3, 2)
    reference = ts.integrate(problem, start, TIMES, rtol=1e-12, atol=1e-14).Q
    errors = [
        float(abs(ts.integrate(problem, start, TIMES, rtol=r, atol=r / 100).Q - reference).max())
        for r in (1e-4, 1e-6, 1e-8)
    ]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert errors[2] < 1e-7


def test_sweeps_and_batches_equal_single_runs():
    rates, noises = [0.1, 0.4], [0.0, 0.2, 0.5]
    starts = [random_overlaps(3, 2, seed=s) for s in (1, 2)]
    batch = ts.OrderParameters(
        *(np.stack([getattr(s, name) for s in starts]) for name in ("Q", "R", "T", "v"))
    )
    swept = ts.integrate(committee(learning_rate=rates, noise=noises), batch, TIMES)
    assert swept.Q.dims == ("noise", "learning_rate", "start", "time", "student", "student_")
    assert swept.T.dims == ("start", "teacher", "teacher_")
    for rate, noise, number in ((0.1, 0.5, 0), (0.4, 0.2, 1)):
        single = ts.integrate(committee(learning_rate=rate, noise=noise), starts[number], TIMES)
        curve = swept.sel(learning_rate=rate, noise=noise).isel(start=number)
        for name in ("Q", "R", "eps_g"):
            np.testing.assert_allclose(curve[name], single[name], atol=1e-9)


def test_parameters_do_not_recompile():
    start = random_overlaps(3, 2)
    ts.integrate(committee(learning_rate=0.1), start, TIMES)
    before = module._compiled("cpu")._cache_size()
    ts.integrate(committee(learning_rate=0.2), start, TIMES)
    ts.integrate(committee(learning_rate=0.3, noise=0.7, weight_decay=0.1), start, TIMES, rtol=1e-9)
    ts.integrate(committee(), random_overlaps(3, 2, seed=9), np.asarray(TIMES) * 2)
    assert module._compiled("cpu")._cache_size() == before
    ts.integrate(
        committee(), start, np.linspace(0.0, 1.0, 17)
    )  # another number of times is another program
    assert module._compiled("cpu")._cache_size() == before + 1


def late_error(rate, noise, scale):
    start = random_overlaps(3, 2)
    moved = ts.OrderParameters(start.Q * scale**2, start.R * scale, start.T)
    problem = committee(learning_rate=rate, noise=noise)
    return ts.solve(
        problem, moved, jnp.asarray([0.0, 10.0]), rtol=1e-9, atol=1e-12, solver="tsit5"
    ).eps_g[-1]


@pytest.mark.long
def test_gradients_against_finite_differences():
    at, h = (0.4, 0.3, 0.9), 1e-4
    slopes = jax.grad(late_error, argnums=(0, 1, 2))(*at)
    for index, slope in enumerate(slopes):
        up, down = (
            late_error(*(x + sign * h * (i == index) for i, x in enumerate(at))) for sign in (1, -1)
        )
        assert float(slope) == pytest.approx(float(up - down) / (2 * h), rel=1e-5)


@pytest.mark.long
def test_gradient_of_both_layers_with_respect_to_the_start():
    problem = committee(readout_learning_rate=0.2)

    def error(v):
        start = random_overlaps(3, 2)
        moved = ts.OrderParameters(
            jnp.asarray(start.Q), jnp.asarray(start.R), jnp.asarray(start.T), v
        )
        return ts.solve(
            problem, moved, jnp.asarray([5.0]), rtol=1e-9, atol=1e-12, solver="tsit5"
        ).eps_g[0]

    v, h = jnp.asarray([0.5, 1.0, 1.5]), 1e-4
    slopes = jax.grad(error)(v)
    for index in range(3):
        step = h * jnp.eye(3)[index]
        assert float(slopes[index]) == pytest.approx(
            float(error(v + step) - error(v - step)) / (2 * h), rel=1e-5
        )


FLOAT32_SCRIPT = """
import json, jax, numpy as np, teacherstudent as ts
assert not jax.config.read("jax_enable_x64")
start = ts.OrderParameters([[0.5]], [[0.1]])
task = ts.TeacherStudent(1, "linear", noise=0.1)
def error(rate):
    problem = ts.Problem(task, ts.Student(1, "linear"), ts.SGD(rate))
    return ts.solve(problem, start, [0.0, 5.0], rtol=1e-9, atol=1e-12, solver="tsit5").eps_g[-1]
problem = ts.Problem(task, ts.Student(1, "linear"), ts.SGD(0.3))
theory = ts.integrate(problem, start, [0, 5.0], rtol=1e-9, atol=1e-12, solver="tsit5")
assert theory.eps_g.dtype == np.float64 and error(0.3).dtype == np.float64
difference = (error(0.3 + 1e-4) - error(0.3 - 1e-4)) / 2e-4
compiled = jax.jit(jax.grad(error))(0.3)
assert not jax.config.read("jax_enable_x64")
print(json.dumps([float(theory.eps_g[-1]), float(difference), float(compiled)]))
"""
OTHER_GRADIENTS = """
slope = jax.grad(error)(0.3)
with jax.enable_x64(True):
    inside = float(jax.jit(jax.grad(error))(0.3))
assert not jax.config.read("jax_enable_x64")
print(json.dumps([float(compiled), float(slope), inside]))
"""


def printed_by(script: str) -> list:
    """What the last line of a process of its own holds."""
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | quick_compilation(),
    )
    return json.loads(run.stdout.splitlines()[-1])


def test_float64_without_touching_the_users_settings():
    value, difference, compiled = printed_by(FLOAT32_SCRIPT)
    start = ts.OrderParameters([[0.5]], [[0.1]])
    task = ts.TeacherStudent(1, "linear", noise=0.1)
    problem = ts.Problem(task, ts.Student(1, "linear"), ts.SGD(0.3))
    theory = ts.integrate(problem, start, [0, 5.0], rtol=1e-9, atol=1e-12, solver="tsit5")
    expected = theory.eps_g[-1]
    assert value == pytest.approx(float(expected), abs=1e-12)
    assert compiled == pytest.approx(difference, rel=1e-5)


@pytest.mark.long
def test_gradients_are_the_same_in_and_outside_of_a_jit_and_of_float64():
    compiled, slope, inside = printed_by(FLOAT32_SCRIPT + OTHER_GRADIENTS)
    assert compiled == pytest.approx(inside, rel=1e-6)
    assert slope == pytest.approx(inside, rel=1e-6)


def test_solve_refuses_what_it_cannot_answer():
    start = random_overlaps(3, 2)
    with pytest.raises(ValueError, match="solver = 'euler' is not known"):
        ts.solve(committee(), start, [1.0], solver="euler")
    with pytest.raises(ValueError, match="solve takes one problem and one start"):
        ts.solve(committee(noise=[0.1, 0.2]), start, [1.0])
    with pytest.raises(ValueError, match="must increase"):
        ts.solve(committee(), start, [1.0, 0.5])


def test_times_are_answered_as_given():
    problem, start = committee(), random_overlaps(3, 2)
    theory = ts.integrate(problem, start, [0.5, 1.25, 7.0])
    np.testing.assert_array_equal(theory.time, [0.5, 1.25, 7.0])
    assert ts.integrate(problem, start, [0.0]).Q.isel(time=0).values == pytest.approx(start.Q)
    log = ts.log_times(100.0, 50, first=1e-3)
    assert (
        log[0] == 0
        and log[1] == pytest.approx(1e-3)
        and log[-1] == pytest.approx(100)
        and len(log) == 50
    )


def test_the_answer_says_how_it_was_made():
    report = description(ts.integrate(committee(), random_overlaps(3, 2), TIMES, rtol=1e-7))[
        "report"
    ]
    assert (
        report["solver"] == "dopri8"
        and report["rtol"] == 1e-7
        and report["steps"] > report["rejected_steps"] >= 0
    )


def test_divergence_is_reported_with_its_time():
    problem = committee(2, 2, activation="quadratic", learning_rate=0.5)
    with pytest.raises(ts.DivergenceError, match=r"diverge at t = 0\.") as failure:
        ts.integrate(problem, random_overlaps(2, 2), TIMES)
    assert 0 < failure.value.time < 1


@pytest.mark.long
def test_a_long_sweep_runs_in_parts(monkeypatch):
    start, rates = random_overlaps(3, 2), np.linspace(0.1, 0.7, 5)
    whole = ts.integrate(committee(learning_rate=rates), start, [0.0, 3.0])
    jax.clear_caches()
    monkeypatch.setattr("odes.solving.solve.CURVES_AT_ONCE", 2)
    parts = ts.integrate(committee(learning_rate=rates), start, [0.0, 3.0])
    # The two programs round differently, so their adaptive steps do: equal to what rtol = 1e-8
    # promises, no better.
    np.testing.assert_allclose(parts.Q, whole.Q, rtol=0, atol=1e-8)
    jax.clear_caches()


def test_a_diverging_curve_of_a_sweep_is_nan_and_the_others_are_not():
    problem = committee(2, 2, activation="quadratic", learning_rate=[0.01, 0.5])
    with pytest.warns(UserWarning, match="1 of 2 curves did not reach t = 20"):
        theory = ts.integrate(problem, random_overlaps(2, 2), TIMES)
    assert np.isfinite(theory.eps_g.sel(learning_rate=0.01)).all()
    assert np.isnan(theory.eps_g.sel(learning_rate=0.5)[-1])


def test_too_few_steps_are_reported_with_the_time_reached():
    with pytest.raises(ts.SolverError, match="max_steps = 5 steps and reached t = ") as failure:
        ts.integrate(committee(), random_overlaps(3, 2), [100.0], max_steps=5)
    assert not isinstance(failure.value, ts.DivergenceError) and 0 < failure.value.time < 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": [0.0, 2.0, 1.0]}, r"times\[2\] = 1 follows times\[1\] = 2"),
        ({"times": []}, "at least one time"),
        ({"times": [-1.0, 2.0]}, "not negative"),
        ({"rtol": -1e-6}, "rtol = -1e-06"),
        ({"solver": "euler"}, "solver = 'euler' is not known; known are 'auto', 'tsit5'"),
        (
            {"start": ts.OrderParameters(np.eye(2), np.zeros((2, 2)))},
            "start has 2 student units, but the problem has 3",
        ),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"problem": committee(), "start": random_overlaps(3, 2), "times": TIMES} | change
    with pytest.raises(ValueError, match=message):
        ts.integrate(**arguments)
