"""Observables of one's own: one of the order parameters, which theory and networks have, and one of
the weights, which only networks have.

    cos_km = R_km / sqrt(Q_kk T_mm),     fourth moment of the weights  sum_i w_ki^4 / N
"""

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts


def cosine(state):
    return state.R / jnp.sqrt(jnp.outer(jnp.diag(state.Q), jnp.diag(state.T)))


def fourth_moment(network):
    return jnp.mean(network.w**4, axis=1)


COSINE = ts.Observable("cosine", ("student", "teacher"), r"$\cos_{km}$", of=cosine)
FOURTH = ts.Observable("fourth", ("student",), r"$\mu_4$", of_weights=fourth_moment)
PROBLEM = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SGD(0.5))
START = ts.OrderParameters(Q=[[0.6, 0.1], [0.1, 0.4]], R=[[0.3], [0.1]])
TIMES = [0.0, 1.0, 3.0]


@pytest.mark.long
def test_an_observable_of_overlaps_is_compared(tmp_path):
    theory = ts.integrate(PROBLEM, START, TIMES, observables=[COSINE])
    expected = theory.R / np.sqrt([[0.6], [0.4]])
    np.testing.assert_allclose(theory["cosine"][0], expected[0], rtol=1e-12)
    networks = ts.simulate(
        PROBLEM, START, TIMES, N=400, seeds=32, method="reduced", observables=[COSINE]
    )
    report = ts.compare(theory, networks)
    assert float(abs(report["cosine_z"]).max()) < 4
    ts.save(tmp_path / "own.h5", theory=theory, simulation=networks, comparison=report)
    loaded = ts.load(tmp_path / "own.h5")["simulation"].dataset["cosine"]
    assert loaded.dims == ("seed", "time", "student", "teacher")
    assert loaded.attrs["symbol"] == r"$\cos_{km}$"
    ts.plot(ts.load(tmp_path / "own.h5"), tmp_path / "own.png")


def test_an_observable_of_weights_is_for_networks():
    with pytest.raises(ValueError, match="'fourth' is a function of a network's weights, which th"):
        ts.integrate(PROBLEM, START, TIMES, observables=[FOURTH])
    networks = ts.simulate(PROBLEM, START, TIMES, N=400, seeds=4, observables=[COSINE, FOURTH])
    lengths = np.einsum("stkk->stk", networks.Q)
    gaussian = 3 * lengths**2  # as random weights of this length have it
    np.testing.assert_allclose(networks["fourth"].mean("seed"), gaussian.mean(0), rtol=0.3)
