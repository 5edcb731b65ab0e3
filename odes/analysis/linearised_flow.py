"""The order-parameter equations along a solution, linearised.

    dybar/dt = f(ybar, t)
    dU/dt    = A U,   A = df/dy at ybar,   U = 1 where a step begins

SciPy takes the steps.  Each of them is answered with three Gauss-Legendre nodes, by which integrals
along the solution are taken.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.analysis.entries import Frame
from odes.analysis.programs import compiled
from teacherstudent.errors import SolverError
from teacherstudent.schedules import break_times

NODES, WEIGHTS = np.polynomial.legendre.leggauss(3)
NODES = (NODES + 1) / 2  # of a step of length 1
WEIGHTS = WEIGHTS / 2


class Step(NamedTuple):
    """One step of the solver.

    - `piece`: the number of the piece of time it is in, in which nothing jumps.
    - `interval`: the number of the recorded time at or before which it ends.
    - `length`: in time.
    - `times`, `states`, `flow`: of its nodes, with the linearised flow from its begin.
    - `last`: the linearised flow to its end.
    """

    piece: int
    interval: int
    length: float
    times: Float[np.ndarray, " nodes"]
    states: Float[np.ndarray, "nodes entries"]
    flow: Float[np.ndarray, "nodes entries entries"]
    last: Float[np.ndarray, "entries entries"]


@compiled
def velocity_and_jacobian(frame: Frame, t, y: Float[Array, " entries"]) -> tuple[Array, Array]:
    """f and A = df/dy."""
    f, along = jax.linearize(partial(frame.velocity, t), y)
    return f, jax.vmap(along, out_axes=1)(jnp.eye(y.size))


def steps_along(
    frame: Frame,
    begin: float,
    times: Float[np.ndarray, " time"],
    states: Float[np.ndarray, "time entries"],
    rtol: float,
    atol: float,
) -> list[Step]:
    """The steps from `begin` to the last of the times, at which the states are known.

    Raises SolverError where the steps become too small.
    """
    breaks = {float(t) for t in break_times((frame.problem.task, frame.problem.rule))}
    steps = []
    piece = 0
    y = np.asarray(frame.first)
    for interval, end in enumerate(times):
        inside = sorted(t for t in breaks if begin < t < end)
        for last in [*inside, end]:
            for step in _smooth(frame, begin, last, y, rtol, atol):
                steps.append(Step(piece, interval, *step[:-1]))
                y = step[-1]
            begin = last
            piece += last in breaks
        y = states[interval]  # which `integrate` knows better
    return steps


def _smooth(frame: Frame, begin: float, end: float, y, rtol: float, atol: float) -> Iterator[tuple]:
    """The steps where nothing jumps: the parts of `Step` from its length on, and the last state."""
    from scipy.integrate import DOP853  # half a second of importing

    if end <= begin:
        return
    n = len(y)
    before = np.nextafter(end, begin)  # what jumps at the end belongs to what comes after it

    def rates(t, now):
        f, A = velocity_and_jacobian(frame, np.float64(min(t, before)), now[:n])
        return np.concatenate([f, (np.asarray(A) @ now[n:].reshape(n, n)).ravel()])

    first = np.eye(n)
    now = np.concatenate([y, first.ravel()])
    solver = DOP853(rates, begin, now, end, rtol=rtol, atol=atol)
    while solver.status == "running":
        message = solver.step()
        if solver.status == "failed":
            raise SolverError(
                f"the fluctuations were not solved beyond t = {solver.t:g}: {message}"
            )
        length = solver.t - solver.t_old
        times = np.minimum(solver.t_old + NODES * length, before)
        at_nodes = solver.dense_output()(times).T
        to_begin = np.linalg.inv(first)
        flow = at_nodes[:, n:].reshape(-1, n, n) @ to_begin
        first = solver.y[n:].reshape(n, n)
        yield length, times, at_nodes[:, :n], flow, first @ to_begin, solver.y[:n]
