"""A loss of one's own: Huber's, smoothed, which grows linearly where the error is large,

l(phi, y) = c^2 ( sqrt(1 + (phi - y)^2 / c^2) - 1 ).
"""

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long


class Huber(ts.Loss):
    """The square loss up to errors of about c, c times their size beyond."""

    name = "huber"

    def __init__(self, width):
        self.width = width  # c

    def value(self, output, label):
        ratio = (output - label) / self.width
        return self.width**2 * (jnp.sqrt(1 + ratio**2) - 1)


START = ts.OrderParameters(Q=[[0.5]], m=[[0.3]])
TIMES = [0.0, 1.0, 3.0]


def problem(loss) -> ts.Problem:
    return ts.Problem(ts.SpikedCumulant(beta=3.0), ts.Student(1), ts.SGD(0.3), loss=loss)


@pytest.mark.long
@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["weights"]))
def test_theory_agrees_with_networks(method, tmp_path):
    theory = ts.integrate(problem(Huber(0.7)), START, TIMES)
    networks = ts.simulate(problem(Huber(0.7)), START, TIMES, N=100, seeds=8, method=method)
    report = ts.compare(theory, networks)
    for name in ("Q_z", "m_z", "loss_z"):
        assert float(abs(report[name]).max()) < 4, name
    ts.save(tmp_path / "own.h5", theory=theory, simulation=networks, comparison=report)
    loaded = ts.load(tmp_path / "own.h5")
    assert "Huber(width=0.7)" in loaded["theory"].attrs["teacherstudent"]
    ts.plot(loaded, tmp_path / "own.png")


def test_a_large_width_is_the_square_loss():
    found = ts.expected_loss(problem(Huber(500.0)), START)
    np.testing.assert_allclose(found, ts.expected_loss(problem("square"), START), rtol=1e-5)


def test_a_teacher_has_the_square_loss():
    with pytest.raises(ValueError, match="known for tasks with labels"):
        ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SGD(0.3), loss=Huber(0.7))
