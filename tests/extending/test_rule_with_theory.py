"""A rule of one's own with its theory: SGD whose units attract each other,

    w_k <- w_k - (eta / sqrt N) < v_k g'(lambda_k) (phi - y) x > - (kappa / N) (w_k - w_mean)

with w_mean the mean over the units.  It is linear in weights and gradient, so that with
P_kl = delta_kl - 1 / K, and the averages of one update q and r,

    dR/dt = -eta r - kappa P R
    dQ/dt = -(eta q + kappa P Q) - transpose + eta^2 square.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long


class AttractedUnits(ts.DescentRule):
    """SGD with a pull of every unit to the mean of all units."""

    rotation_invariant = True
    attraction: float  # kappa, a number or a sequence to be swept

    def __init__(self, learning_rate, readout_learning_rate=None, attraction=0.0):
        super().__init__(learning_rate, readout_learning_rate)
        self.attraction = np.asarray(attraction, float)

    def update(self, layers, gradient, memory, N):
        moved = self.descend(layers, gradient, self.learning_rate, N)
        w = layers["w"]
        moved["w"] -= self.attraction / N * (w - w.mean(0, keepdims=True))
        return moved, memory


class TheoryOfAttractedUnits(ts.RuleTheory, rule=AttractedUnits):
    """The limit N -> infinity."""

    def velocity(self, rule, problem, fixed, state, replica):
        mean = self.gradient(problem, fixed, state)
        eta, kappa = rule.learning_rate, rule.attraction
        q = -eta * mean.q - kappa * (state.q - state.q.mean(0, keepdims=True))
        r = -eta * mean.r - kappa * (state.r - state.r.mean(0, keepdims=True))
        return state._replace(
            q=q + q.swapaxes(0, 1) + eta**2 * mean.square,
            r=r,
            v=-rule.eta_v * mean.v,
            b=-rule.eta_b * mean.b,
        )


START = ts.OrderParameters(Q=[[0.6, 0.1], [0.1, 0.4]], R=[[0.3], [0.1]], v=[1.0, 0.5])
TIMES = [0.0, 1.0, 3.0]


def problem(rule) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(1, noise=0.2), ts.Student(2, train_readout=True), rule)


@pytest.mark.long
@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["weights"]))
def test_theory_agrees_with_networks(method, tmp_path):
    own = problem(AttractedUnits(0.5, 0.3, attraction=0.4))
    theory = ts.integrate(own, START, TIMES)
    networks = ts.simulate(own, START, TIMES, N=400, seeds=16, method=method)
    report = ts.compare(theory, networks)
    for name in ("Q_z", "R_z", "v_z", "eps_g_z"):
        assert float(abs(report[name]).max()) < 4, name
    ts.save(tmp_path / "own.h5", theory=theory, simulation=networks, comparison=report)
    loaded = ts.load(tmp_path / "own.h5")
    assert '"attraction": 0.4' in loaded["theory"].attrs["teacherstudent"]
    ts.plot(loaded, tmp_path / "own.png")


def test_without_attraction_it_is_sgd():
    found = ts.integrate(problem(AttractedUnits(0.5, 0.3)), START, TIMES)
    expected = ts.integrate(problem(ts.SGD(0.5, 0.3)), START, TIMES)
    np.testing.assert_allclose(found.Q, expected.Q, rtol=1e-9)
    np.testing.assert_allclose(found.v, expected.v, rtol=1e-9)


def test_its_own_parameter_is_swept():
    own = problem(AttractedUnits(0.5, 0.3, attraction=[0.0, 0.5, 2.0]))
    theory = ts.integrate(own, START, TIMES)
    assert theory.eps_g.dims == ("attraction", "time")
    apart = theory.Q.sel(student=0, student_=0) - theory.Q.sel(student=0, student_=1)
    assert (apart.isel(time=-1).diff("attraction") < 0).all()


def test_a_rule_that_changes_it_has_no_theory():
    class Restless(AttractedUnits):
        def update(self, layers, gradient, memory, N):
            gradient = {name: jnp.sign(slope) for name, slope in gradient.items()}
            return super().update(layers, gradient, memory, N)

    with pytest.raises(ValueError, match="class Restless changes AttractedUnits.update, so that"):
        ts.integrate(problem(Restless(0.1)), START, TIMES)
