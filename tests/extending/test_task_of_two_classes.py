"""A task of two classes of one's own: the classes differ in the variance along one direction,

    y = +1: s ~ N(0, 1 + gain),   y = -1: s ~ N(0, 1),   x = s u / sqrt N + noise orthogonal to u.

No linear student tells them apart.
"""

import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long


class Stretched(ts.MixtureTask):
    """Two classes of equal weight, one of them stretched along one direction."""

    NUMBERS = ("gain",)  # of which a sequence is a sweep
    gain: float

    @property
    def directions(self):
        return 1

    def components(self):
        return ts.Components(
            p=np.array([0.5, 0.5]),
            y=np.array([1.0, -1.0]),
            A=np.zeros((2, 1)),
            S=np.array([[[1.0 + self.gain]], [[1.0]]]),
            sigma2=np.ones(2),
        )


START = ts.OrderParameters(Q=[[0.5]], m=[[0.3]], b=[0.3])
TIMES = [0.0, 1.0, 3.0]


def problem(gain: float) -> ts.Problem:
    student = ts.Student(1, train_readout=True, train_bias=True)
    return ts.Problem(Stretched(gain), student, ts.SGD(0.3), loss="square")


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["weights"]))
def test_theory_agrees_with_networks(method, tmp_path):
    own = problem(4.0)
    theory = ts.integrate(own, START, TIMES)
    networks = ts.simulate(own, START, TIMES, N=400, seeds=16, method=method)
    report = ts.compare(theory, networks)
    for name in ("Q_z", "m_z", "v_z", "b_z", "loss_z"):
        assert float(abs(report[name]).max()) < 4, name
    last = ts.OrderParameters(theory.Q[-1], m=theory.m[-1], v=theory.v[-1], b=theory.b[-1])
    np.testing.assert_allclose(theory.accuracy[-1], ts.accuracy(own, last), rtol=1e-6)
    tree = ts.save(tmp_path / "two.h5", theory=theory, simulation=networks, comparison=report)
    loaded = ts.load(tmp_path / "two.h5")
    assert loaded["theory"].dataset.identical(tree["theory"].dataset)
    assert "Stretched" in loaded["simulation"].attrs["teacherstudent"]
    ts.plot(loaded, tmp_path / "two.png")


def test_it_is_a_cluster_model_of_ours():
    """The second route: `GaussianMixture` with the same clusters and covariances."""
    same = ts.GaussianMixture([0.5, 0.5], [1, -1], np.zeros((2, 1)), 1.0, [[[5.0]], [[1.0]]])
    own = problem(4.0)
    ours = ts.Problem(same, own.student, own.rule)
    found, expected = ts.expected_loss(own, START), ts.expected_loss(ours, START)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_larger_gain_is_easier():
    theory = ts.integrate(problem([1.0, 4.0, 16.0]), START, TIMES)
    assert theory.loss.dims == ("gain", "time")
    assert (theory.loss.isel(time=-1).diff("gain") < 0).all()
    alone = ts.integrate(problem(4.0), START, TIMES)
    np.testing.assert_allclose(theory.loss.sel(gain=4.0), alone.loss, rtol=1e-7)
