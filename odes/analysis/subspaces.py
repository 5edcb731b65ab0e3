"""Linear subspaces of the order parameters: what cannot move, and what is alike by symmetry.

A subspace is given by an orthonormal basis, the columns of a matrix B; a state y0 moves in it as
y0 + B z.

- Units that are frozen do not move, nor do the lengths |w_k|^2 / N under a rule that holds them:
  the directions that are left are those of every motion of the problem.
- Where the student's units of a group are alike, Q, R, v and b do not change when two of them are
  exchanged.  No motion leaves that subspace unless it is pushed; plateaus lie in it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # which loads linalg, optimize, ... where they are first used
from jaxtyping import Float

from odes.analysis.flat_field import FlatField
from odes.inputs.one_update import State
from odes.rules.theory import theory_of
from odes.solving.packing import pack
from teacherstudent.checking import checks

Basis = Float[np.ndarray, "entries _"]
Constraint = str | Sequence[Sequence[int]] | Callable | None
LEAST = 1e-9  # relative singular value below which a direction is none


def free_directions(field: FlatField) -> Basis:
    """The basis of all that can move: not frozen units, nor lengths that the rule holds."""
    moving = np.asarray(pack_state(field, _moves(field.problem.student.moving, field)))
    basis = np.eye(len(field.y))[:, moving > 0]
    if not theory_of(field.problem.rule).holds_lengths(field.problem.rule):
        return basis
    return within(basis, _lengths(field))


def within(basis: Basis, conserved: Float[np.ndarray, "rows entries"]) -> Basis:
    """The directions of a basis along which none of some linear functions of y changes."""
    return basis @ scipy.linalg.null_space(conserved @ basis, rcond=LEAST)


def constrained(field: FlatField, basis: Basis, constraint: Constraint) -> Basis:
    """The directions of a basis that keep units alike which the constraint says are alike."""
    if constraint is None:
        return basis
    symmetric = symmetric_directions(field, constraint)
    # Of both subspaces: what projecting on one and then on the other leaves as it is.
    left, overlap, _ = np.linalg.svd(basis.T @ symmetric, full_matrices=False)
    return basis @ left[:, overlap > 1 - LEAST]


def symmetric_directions(field: FlatField, constraint: Constraint) -> Basis:
    """The basis of the states that a constraint allows."""
    if callable(constraint):
        return _directions_of_map(field, constraint)
    groups = _groups(constraint, field.problem.student.width)
    labels = np.asarray(pack_state(field, _labels(groups, field)))
    columns = []
    for label in np.unique(labels):
        alike = labels == label
        columns.append(alike / np.sqrt(alike.sum()))
    return np.stack(columns, axis=1)


def _directions_of_map(field: FlatField, constraint: Callable) -> Basis:
    """The range of a linear map of vectors y on the vectors that are allowed."""
    with jax.enable_x64(True):
        y = jnp.asarray(field.y)
        try:
            matrix = np.asarray(jax.jacfwd(constraint)(y))
            image = np.asarray(constraint(y))
        except Exception as error:
            raise ValueError(
                f"constraint fails on a vector of {len(field.y)} order parameters "
                f"({checks.first_line(error)}); give a JAX function of y, as ts.vector_field has "
                "it, that answers with a vector of the same length."
            ) from error
    square = matrix.shape == (len(field.y), len(field.y))
    if not square or np.abs(matrix @ field.y - image).max() > 1e-8:
        raise ValueError(
            "constraint is not a linear function of y with as many entries as y; give a "
            "projection, such as the average of y over a symmetry."
        )
    return scipy.linalg.orth(matrix, rcond=LEAST)


def _groups(constraint: Any, width: int) -> list[int]:
    """The number of the group that each unit is in."""
    if constraint == "symmetric":
        return [0] * width
    if isinstance(constraint, str):
        raise ValueError(
            f'constraint = "{constraint}" is unknown; give "symmetric", groups of units that are '
            "alike, such as [[0, 1], [2]], or a linear function of y."
        )
    groups = [
        checks.entries("constraint", group) for group in checks.entries("constraint", constraint)
    ]
    units = [checks.integer("constraint", unit, minimum=0) for group in groups for unit in group]
    if sorted(units) != list(range(width)):
        raise ValueError(
            f"constraint = {checks.shortened(constraint)} does not have each of the {width} units "
            "0 to "
            f"{width - 1} once; give groups of units that are alike, such as [[0, 1], [2]]."
        )
    of_unit = {unit: number for number, group in enumerate(groups) for unit in group}
    return [of_unit[unit] for unit in range(width)]


def _labels(groups: Sequence[int], field: FlatField) -> State:
    """A number for each entry of a state, the same for entries that exchanges turn into another."""
    state = field.state
    K, M, modes = state.r.shape
    numbers = np.asarray(groups)
    count = int(numbers.max()) + 1
    low = np.minimum(numbers[:, None], numbers[None, :])
    high = np.maximum(numbers[:, None], numbers[None, :])
    pairs = 2 * (low * count + high) + np.eye(K, dtype=int)
    of_mode = np.arange(modes)
    # Ranges of numbers that do not overlap: one for Q, one for R, one each for v and b.
    size = 2 * count**2 * modes
    rows = numbers[:, None] * M + np.arange(M)[None, :]
    q = pairs[:, :, None] * modes + of_mode
    r = size + rows[:, :, None] * modes + of_mode
    size = size + count * M * modes
    memory = _numbered(state.memory, size + 2 * count)
    entries: tuple[Any, ...] = (q, r, size + numbers, size + count + numbers, memory)
    return State(*entries)


def _numbered(memory: Any, first: int) -> Any:
    """What a rule remembers with a number of its own for each entry."""
    leaves, structure = jax.tree.flatten(memory)
    numbered = []
    for leaf in leaves:
        numbered.append(first + np.arange(leaf.size).reshape(leaf.shape))
        first += leaf.size
    return jax.tree.unflatten(structure, numbered)


def _moves(moving: Any, field: FlatField) -> State:
    """1 for each entry of a state that moves, 0 for those of frozen units."""
    state = field.state
    either = np.maximum(moving[:, None], moving[None, :])
    q = np.broadcast_to(either[:, :, None], state.q.shape)
    r = np.broadcast_to(moving[:, None, None], state.r.shape)
    memory = jax.tree.map(lambda leaf: np.ones(leaf.shape), state.memory)
    entries: tuple[Any, ...] = (q, r, moving, moving, memory)
    return State(*entries)


def _lengths(field: FlatField) -> Float[np.ndarray, "students entries"]:
    """The lengths |w_k|^2 / N = sum_tau p q_kk as linear functions of y, one in each row."""
    state = field.state
    rows = []
    for k in range(state.v.shape[0]):
        q = np.zeros(state.q.shape)
        q[k, k] = field.fractions
        zero = jax.tree.map(lambda leaf: np.zeros(leaf.shape), state)
        rows.append(pack_state(field, zero._replace(q=q)))
    return np.stack(rows)


def pack_state(field: FlatField, state: State) -> Float[np.ndarray, " entries"]:
    """The parts of a state that move, as one vector; q is given as a symmetric matrix."""
    parts = jax.tree.leaves(pack(state, field.problem))
    return np.concatenate([np.ravel(part) for part in parts]).astype(np.float64)
