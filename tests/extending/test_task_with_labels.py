"""A task with a teacher and labels of its own: label noise in proportion to the signal,

    y = phi* (1 + s zeta),   zeta ~ N(0, 1).

The mean of an update is that of noise-free labels; its covariance gains
s^2 v_k v_l E[g'(lambda_k) g'(lambda_l) phi*^2].
"""

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long


class NoisyGain(ts.TeacherStudent):
    """Labels y = phi* (1 + s zeta) of a two-layer teacher on inputs N(0, 1)."""

    NUMBERS = ("noise", "spread")  # of these a sequence is a sweep
    spread: float  # s

    def __init__(self, width, activation="erf", readout=1.0, spread=0.5):
        super().__init__(width, activation, readout)
        self.spread = spread

    def label(self, fields, noise):
        clean = self.activation(fields) @ self.v_star
        return ts.Labels(clean, clean * (1 + self.spread * noise))


class KnownGain(NoisyGain):
    """The same, whose error is known: eps_g is against noise-free labels, which are as before."""

    error = ts.TeacherStudent.error


class AveragesOfKnownGain(ts.AveragesWithTeacher, task=KnownGain):
    """The averages of one update with noise in proportion to the signal."""

    def gradient(self, task, problem, fixed, state):
        student = problem.student
        averages = ts.averages_for(student.activation, task.activation, student.width, task.width)
        C = ts.OrderParameters(state.q[..., 0], state.r[..., 0], fixed.T).C
        teacher_alone = jnp.concatenate([jnp.zeros_like(state.v), -task.v_star])
        slopes = averages.I4(C, teacher_alone)
        v = state.v
        noise = task.spread**2 * v[:, None] * v[None, :] * slopes / problem.batch_size
        mean = super().gradient(task, problem, fixed, state)
        return mean._replace(square=mean.square + noise[:, :, None])


START = ts.OrderParameters(Q=[[0.6, 0.1], [0.1, 0.4]], R=[[0.3], [0.1]])
TIMES = [0.0, 1.0, 3.0]


def problem(task) -> ts.Problem:
    return ts.Problem(task, ts.Student(2), ts.SGD(0.5))


def test_networks_learn_from_labels_whose_theory_is_not_known():
    own = problem(NoisyGain(1))
    with pytest.raises(ValueError, match="class NoisyGain changes TeacherStudent.label, and no th"):
        ts.integrate(own, START, TIMES)
    with pytest.raises(ValueError, match="class NoisyGain .* its error at given overlaps is not"):
        ts.simulate(own, START, TIMES, N=100, method="reduced")
    networks = ts.simulate(own, START, TIMES, N=100, seeds=8)
    np.testing.assert_array_equal(networks.eps_g, networks.test_error)


@pytest.mark.long
@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["weights"]))
def test_theory_agrees_with_networks(method, tmp_path):
    own = problem(KnownGain(1))
    theory = ts.integrate(own, START, TIMES)
    networks = ts.simulate(own, START, TIMES, N=400, seeds=16, method=method)
    report = ts.compare(theory, networks)
    for name in ("Q_z", "R_z", "eps_g_z"):
        assert float(abs(report[name]).max()) < 4
    tree = ts.save(tmp_path / "gain.h5", theory=theory, simulation=networks, comparison=report)
    loaded = ts.load(tmp_path / "gain.h5")
    assert loaded["theory"].dataset.identical(tree["theory"].dataset)
    assert '"spread": 0.5' in loaded["theory"].attrs["teacherstudent"]
    ts.plot(loaded, tmp_path / "gain.png")


@pytest.mark.long
def test_its_own_number_is_swept():
    spreads = [0.0, 1.0, 2.0]
    theory = ts.integrate(problem(KnownGain(1, spread=spreads)), START, TIMES)
    assert theory.eps_g.dims == ("spread", "time")
    assert (theory.eps_g.isel(time=-1).diff("spread") > 0).all()
    for spread in spreads:
        own = problem(KnownGain(1, spread=spread))
        alone = ts.integrate(own, START, TIMES)
        np.testing.assert_allclose(theory.Q.sel(spread=spread), alone.Q, rtol=1e-7)
        networks = ts.simulate(own, START, TIMES, N=400, seeds=8, method="reduced")
        np.testing.assert_allclose(networks.eps_g[:, -1].mean(), alone.eps_g[-1], rtol=0.3)
