"""A model of one's own: a perceptron that follows a teacher which drifts, by Hebb's rule.

    w <- (1 - gamma / N) w + (eta / sqrt N) sign(w* . x) x

Its state is Q = |w|^2 / N and R = w . w* / N, of unit shape; the teacher has |w*|^2 = N.  One
description of an update gives networks with whole weights and the reduced chain.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts


class Hebbian(ts.Model):
    """A perceptron whose weights decay at the rate gamma."""

    NUMBERS = ("eta", "gamma")
    STATE = {
        "Q": ts.Quantity(("student", "student_"), "overlap of student units", "$Q$"),
        "R": ts.Quantity(("student", "teacher"), "overlap of student and teacher", "$R$"),
    }
    RECORDED = {"error_rate": ts.Quantity((), "probability of a wrong sign", r"$\epsilon$")}
    ERROR = "error_rate"
    eta: float
    gamma: float

    def __init__(self, eta=1.0, gamma=0.5):
        self.eta = eta
        self.gamma = gamma

    @property
    def shapes(self):
        return {"Q": (1, 1), "R": (1, 1)}

    def observed(self, t, state):
        rho = state["R"][0, 0] / jnp.sqrt(state["Q"][0, 0])
        return {"error_rate": jnp.arccos(jnp.clip(rho, -1, 1)) / jnp.pi}


class TheoryOfHebbian(ts.ModelTheory, model=Hebbian):
    """E[sign(nu) nu] = sqrt(2 / pi), and E[sign(nu) lambda] = R sqrt(2 / pi)."""

    def velocity(self, model, t, state):
        Q, R, mean = state["Q"], state["R"], np.sqrt(2 / np.pi)
        return {
            "Q": 2 * model.eta * mean * R + model.eta**2 - 2 * model.gamma * Q,
            "R": model.eta * mean * jnp.ones_like(R) - model.gamma * R,
        }


class NetworksOfHebbian(ts.RowsSimulation, model=Hebbian):
    """Two rows: the student, which moves, and its teacher."""

    def samples(self, model):
        return 1

    def gram(self, model, state):
        Q, R = state["Q"][0, 0], state["R"][0, 0]
        return np.array([[Q, R], [R, 1.0]])

    def update(self, model, t, fields, others, key, gram):
        inputs = model.eta * jnp.sign(fields[1:])
        decay = -model.gamma * jnp.array([[1.0, 0.0]], fields.dtype)
        return ts.Update(inputs, decay, others)

    def state_of(self, model, gram, others):
        return {"Q": gram[:1, :1], "R": gram[:1, 1:]}


MODEL = Hebbian(eta=0.8, gamma=0.3)
START = ts.State(Q=[[0.5]], R=[[0.1]])
TIMES = [0.0, 1.0, 3.0, 9.0]


def test_its_theory_is_the_solution_of_its_equations():
    theory = ts.integrate(MODEL, START, TIMES)
    end = MODEL.eta * np.sqrt(2 / np.pi) / MODEL.gamma
    expected = end + (0.1 - end) * np.exp(-MODEL.gamma * np.array(TIMES))
    np.testing.assert_allclose(theory.R[:, 0, 0], expected, rtol=1e-7)


@pytest.mark.parametrize("method", ["weights", "reduced"])
def test_its_networks_agree(method):
    theory = ts.integrate(MODEL, START, TIMES)
    networks = ts.simulate(MODEL, START, TIMES, N=300, seeds=24, method=method, progress=False)
    assert ts.compare(theory, networks).attrs["verdict"].startswith("AGREE")


def test_it_is_swept_and_saved(tmp_path):
    theory = ts.integrate(Hebbian(eta=[0.4, 0.8], gamma=0.3), START, TIMES)
    one = ts.integrate(MODEL, START, TIMES)
    np.testing.assert_allclose(theory.Q.sel(eta=0.8), one.Q, rtol=1e-9)
    ts.save(tmp_path / "hebb.h5", theory=one)
    kept = ts.load(tmp_path / "hebb.h5")["theory"].to_dataset()
    np.testing.assert_array_equal(kept.error_rate, one.error_rate)
    with pytest.raises(ValueError, match="class of one's own"):
        ts.problem_of(kept)
