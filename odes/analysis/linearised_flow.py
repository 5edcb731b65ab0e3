"""The order-parameter equations along a solution, linearised.

    dybar/dt = f(ybar, t)
    dU/dt    = A U,   A = df/dy at ybar,   U = 1 where a step begins

SciPy solves for ybar.  Its steps are divided until |A| times their length is at most 1, and U is
then found from A at the three Gauss-Legendre nodes of a step, by collocation:

    U_i = 1 + h sum_j a_ij A_j U_j,   U(h) = 1 + h sum_j w_j A_j U_j

of order 6, and stable where A is stiff.  The same nodes give integrals along the solution.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.analysis.entries import Frame
from odes.analysis.programs import compiled, in_batches
from teacherstudent.errors import SolverError
from teacherstudent.schedules import break_times

LEGENDRE, LENGTHS = np.polynomial.legendre.leggauss(3)
NODES = (LEGENDRE + 1) / 2  # of a step of length 1
WEIGHTS = LENGTHS / 2
# Integrals from the begin of a step to each node, of the parabola through the values at the nodes.
POWERS = NODES[:, None] ** np.arange(3)[None, :]
TO_NODES = NODES[:, None] ** np.arange(1, 4) / np.arange(1, 4) @ np.linalg.inv(POWERS)


class Piece(NamedTuple):
    """A step of the solution, before A is known.

    - `number`: of the piece of time it is in, in which nothing jumps.
    - `interval`: the number of the recorded time at or before which it ends.
    - `begin`, `end`: its times; `solution` has the states in between.
    - `latest`: the last time before what may jump.
    """

    number: int
    interval: int
    begin: float
    end: float
    solution: Callable[[np.ndarray], np.ndarray]
    latest: float

    def divided(self, count: int) -> "Iterator[Piece]":
        """The same in several steps of equal length."""
        edges = np.linspace(self.begin, self.end, count + 1)
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            yield self._replace(begin=begin, end=end)

    def at(self, shares: Float[np.ndarray, " nodes"]) -> tuple[np.ndarray, np.ndarray]:
        """Times and states at some shares of its length."""
        times = np.minimum(self.begin + shares * (self.end - self.begin), self.latest)
        return times, self.solution(times).T


class Step(NamedTuple):
    """One step along the solution.

    - `piece`, `interval`: numbers, as in `Piece`.
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
def velocity(frame: Frame, t, y: Float[Array, " entries"]) -> Array:
    """f."""
    return frame.velocity(t, y)


@compiled
def jacobians(frame: Frame, times, states) -> tuple[Array]:
    """A = df/dy at some states."""

    def at_one(moment):
        t, y = moment
        _, along = jax.linearize(partial(frame.velocity, t), y)
        return jax.vmap(along, out_axes=1)(jnp.eye(y.size))

    return (jax.lax.map(at_one, (times, states)),)


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
    pieces = _pieces(frame, begin, times, states, rtol, atol)
    if not pieces:
        return []
    A = _jacobians(frame, pieces, np.array([0.5]))
    finer: list[Piece] = []
    for piece, (middle,) in zip(pieces, A, strict=True):
        size = np.linalg.norm(middle, 2) * (piece.end - piece.begin)
        finer += piece.divided(max(1, math.ceil(size)))
    A = _jacobians(frame, finer, NODES)
    return [_step(piece, at_nodes) for piece, at_nodes in zip(finer, A, strict=True)]


def _jacobians(frame: Frame, pieces: list[Piece], shares: np.ndarray) -> np.ndarray:
    """A at some shares of the length of all pieces."""
    moments = [piece.at(shares) for piece in pieces]
    times, states = (np.concatenate(part) for part in zip(*moments, strict=True))
    (A,) = in_batches(partial(jacobians, frame), times, states)
    return A.reshape(len(pieces), len(shares), *A.shape[1:])


def _step(piece: Piece, A: Float[np.ndarray, "nodes entries entries"]) -> Step:
    """A step with its flow."""
    times, states = piece.at(NODES)
    h, n = piece.end - piece.begin, A.shape[-1]
    nodes = len(NODES)
    coupled = h * TO_NODES[:, None, :, None] * A.transpose(1, 0, 2)[None]
    matrix = np.eye(nodes * n) - coupled.reshape(nodes * n, nodes * n)
    ones = np.tile(np.eye(n), (nodes, 1))
    flow = np.linalg.solve(matrix, ones).reshape(nodes, n, n)
    last = np.eye(n) + h * np.tensordot(WEIGHTS, A @ flow, axes=1)
    return Step(piece.number, piece.interval, h, times, states, flow, last)


def _pieces(
    frame: Frame, begin: float, times: np.ndarray, states: np.ndarray, rtol: float, atol: float
) -> list[Piece]:
    """The steps of the solver for ybar."""
    breaks = {float(t) for t in break_times((frame.problem.task, frame.problem.rule))}
    pieces = []
    number = 0
    y: Any = np.asarray(frame.first)
    for interval, end in enumerate(times):
        inside = sorted(t for t in breaks if begin < t < end)
        for last in [*inside, float(end)]:
            for first, until, solution in _solved(frame, begin, last, y, rtol, atol):
                latest = np.nextafter(last, begin)
                pieces.append(Piece(number, interval, first, until, solution, latest))
                y = solution(until)
            begin = last
            number += last in breaks
        y = states[interval]  # which `integrate` knows better
    return pieces


def _solved(frame: Frame, begin: float, end: float, y, rtol: float, atol: float) -> Iterator[tuple]:
    """Begin, end and interpolation of each step where nothing jumps."""
    from scipy.integrate import DOP853  # half a second of importing

    if end <= begin:
        return
    before = np.nextafter(end, begin)  # what jumps at the end belongs to what comes after it

    def rates(t, y):
        return np.asarray(velocity(frame, np.float64(min(t, before)), y))

    solver = DOP853(rates, begin, y, end, rtol=rtol, atol=atol)
    while solver.status == "running":
        message = solver.step()
        if solver.status == "failed":
            sentence = f"the fluctuations were not solved beyond t = {solver.t:g}: {message}"
            raise SolverError(sentence, float(solver.t))
        yield solver.t_old, solver.t, solver.dense_output()
