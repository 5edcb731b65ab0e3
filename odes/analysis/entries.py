"""The order parameters that move as one vector, with a name for each of its entries."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.solving.packing import pack, unpack
from odes.solving.vector_field import vector_field
from teacherstudent.averages.pairs import unordered_pairs
from teacherstudent.observables.generalisation import error_of
from teacherstudent.problem import Problem


class Frame(NamedTuple):
    """A problem on isotropic inputs, whose state is one vector y of the numbers that move.

    y = (Q_kl for k <= l, R_km, v_k and b_k where they are trained)
    """

    problem: Problem
    fixed: Fixed  # what does not move
    begin: State

    @property
    def first(self) -> Float[Array, " entries"]:
        """The numbers at the start."""
        return as_numbers(self.begin, self.problem)

    def state(self, y: Float[Array, " entries"]) -> State:
        """The state with these numbers."""
        parts, begin = [], 0
        for part in pack(self.begin, self.problem):
            size = np.size(part)
            parts.append(y[begin : begin + size].reshape(part.shape))
            begin += size
        return unpack(tuple(parts), self.problem, self.begin)

    def velocity(self, t, y: Float[Array, " entries"]) -> Float[Array, " entries"]:
        """f(y, t)."""
        now = self.problem.at(t)
        return as_numbers(vector_field(now, self.fixed, self.state(y)), self.problem)

    def error(self, t, y: Float[Array, " entries"]) -> Float[Array, ""]:
        """eps_g, or the expected loss."""
        return error_of(self.problem.at(t), *self.overlaps(y))

    def overlaps(self, y: Float[Array, " entries"]) -> tuple[Array, ...]:
        """Q, R, T, v and b of these numbers."""
        state = self.state(y)
        Q, R = overlaps(self.fixed, state)
        return Q, R, self.fixed.T, state.v, state.b


def as_numbers(state: State, problem: Problem) -> Float[Array, " entries"]:
    """The parts of a state of one mode that move, one after the other."""
    return jnp.concatenate([jnp.ravel(part) for part in pack(state._replace(memory=()), problem)])


def entry_names(problem: Problem) -> list[str]:
    """The names of the numbers that move, such as "Q[0,1]", "R[0,2]" and "v[1]"."""
    K = problem.student.width
    R = problem.task.name_of("R")
    names = [f"Q[{k},{l}]" for k, l in zip(*unordered_pairs(K), strict=True)]
    names += [f"{R}[{k},{m}]" for k in range(K) for m in range(problem.task.directions)]
    if problem.student.train_readout:
        names += [f"v[{k}]" for k in range(K)]
    if problem.student.train_bias:
        names += [f"b[{k}]" for k in range(K)]
    return names


def by_name(problem: Problem, values: Float[np.ndarray, "*time entries"]) -> dict[str, np.ndarray]:
    """Values of all entries in the shapes of Q, R, v and b, those of the latter two if trained."""
    K, M = problem.student.width, problem.task.directions
    first, second = unordered_pairs(K)
    pairs = len(first)
    before = values.shape[:-1]
    Q = np.zeros((*before, K, K))
    Q[..., first, second] = Q[..., second, first] = values[..., :pairs]
    named = {"Q": Q, "R": values[..., pairs : pairs + K * M].reshape(*before, K, M)}
    begin = pairs + K * M
    trained = {"v": problem.student.train_readout, "b": problem.student.train_bias}
    for name, moves in trained.items():
        if moves:
            named[name] = values[..., begin : begin + K]
            begin += K
    return named


def in_entries(problem: Problem, Q, R, v, b) -> Float[np.ndarray, "*time entries"]:
    """The entries of order parameters at many times."""
    first, second = unordered_pairs(problem.student.width)
    parts = [Q[..., first, second], R.reshape(*R.shape[:-2], -1)]
    if problem.student.train_readout:
        parts.append(v)
    if problem.student.train_bias:
        parts.append(b)
    return np.concatenate(parts, axis=-1)
