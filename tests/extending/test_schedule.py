"""A schedule of one's own: a rate that falls in steps of a factor, and rises at a restart."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long


class Restarted(ts.Schedule):
    """initial exp(-rate (t mod period)): decay that begins anew after each period."""

    initial: float
    rate: float
    period: float
    restarts: int = eqx.field(static=True)  # how many jumps there are, known while compiling

    def __init__(self, initial, rate, period, restarts):
        self.initial = initial
        self.rate = rate
        self.period = period
        self.restarts = restarts

    def __call__(self, t):
        return self.initial * jnp.exp(-self.rate * jnp.mod(t, self.period))

    def jump_times(self):
        return tuple(self.period * (1 + index) for index in range(self.restarts))


START = ts.OrderParameters(Q=0.5 * np.eye(2) + 0.1, R=[[0.2], [0.1]])
TIMES = [0.0, 1.0, 2.0, 3.0]


def problem(rate) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(width=1, noise=0.1), ts.Student(width=2), ts.SGD(rate))


@pytest.mark.long
@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["reduced"]))
def test_theory_agrees_with_networks(method, tmp_path):
    restarted = problem(Restarted(1.0, rate=0.7, period=1.5, restarts=1))
    theory = ts.integrate(restarted, START, TIMES)
    networks = ts.simulate(restarted, START, TIMES, N=200, seeds=16, method=method)
    report = ts.compare(theory, networks)
    for name in ("Q_z", "R_z", "eps_g_z"):
        assert float(abs(report[name]).max()) < 4, name
    ts.save(tmp_path / "own.h5", theory=theory, simulation=networks, comparison=report)
    loaded = ts.load(tmp_path / "own.h5")
    assert "Restarted" in loaded["theory"].attrs["teacherstudent"]
    ts.plot(loaded, tmp_path / "own.png")
    with pytest.raises(ValueError, match="Restarted.*of one's own"):
        ts.problem_of(loaded["theory"].to_dataset())


def test_it_is_the_named_kinds_in_pieces():
    """The same rate, written with kinds of ours whose time is shifted."""
    second = ts.exponential(np.exp(0.7 * 1.5), rate=0.7)
    pieces = ts.piecewise([ts.exponential(1.0, rate=0.7), second], [1.5])
    own = ts.integrate(problem(Restarted(1.0, 0.7, 1.5, 1)), START, TIMES)
    ours = ts.integrate(problem(pieces), START, TIMES)
    np.testing.assert_allclose(own.Q, ours.Q, atol=1e-8)


def test_how_many_jumps_there_are_is_known_while_compiling():
    class Counted(Restarted):
        restarts: int = eqx.field(static=False)

    with pytest.raises(ValueError, match=r"jump_times\(\) fails.*static=True"):
        ts.integrate(problem(Counted(1.0, 0.7, 1.5, 1)), START, TIMES)


def test_a_jump_after_the_run_is_refused():
    with pytest.raises(ValueError, match=r"jumps at t = 4\.5, outside the run"):
        ts.integrate(problem(Restarted(1.0, 0.7, 1.5, 3)), START, TIMES)
