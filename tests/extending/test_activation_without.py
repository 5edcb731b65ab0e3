"""An activation of one's own without closed forms: averages by quadrature, and it says so."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long

ARCTAN = ts.Activation("arctan", jnp.arctan)
START = ts.OrderParameters(Q=[[0.5]], R=[[0.2]])
TIMES = [0.0, 1.0, 3.0]


def problem(activation) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(1, activation), ts.Student(1, activation), ts.SGD(0.5))


def test_a_plain_function_is_as_good():
    found = ts.generalisation_error(problem(jnp.arctan), START)
    np.testing.assert_array_equal(found, ts.generalisation_error(problem(ARCTAN), START))


def test_its_kinks_are_found():
    leaky = ts.Activation("leaky", lambda x: jnp.where(x > 1, x, 0.1 * x + 0.9))
    np.testing.assert_allclose(leaky.singularities.kinks(), [(1.0, 0.9)], atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["weights"]))
def test_theory_agrees_with_networks(method, tmp_path):
    theory = ts.integrate(problem(ARCTAN), START, TIMES)
    report = json.loads(theory.attrs["teacherstudent"])["report"]
    assert "quadrature" in report["averages"] and report["quadrature_error"] < 1e-6
    networks = ts.simulate(problem(ARCTAN), START, TIMES, N=100, seeds=8, method=method)
    comparison = ts.compare(theory, networks)
    for name in ("Q_z", "R_z", "eps_g_z"):
        assert float(abs(comparison[name]).max()) < 4, name
    ts.save(tmp_path / "own.h5", theory=theory, simulation=networks, comparison=comparison)
    loaded = ts.load(tmp_path / "own.h5")
    assert "arctan" in loaded["theory"].attrs["teacherstudent"]
    ts.plot(loaded, tmp_path / "own.png")
