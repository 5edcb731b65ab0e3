"""Why a fixed point is not alone: the symmetries of a network that move it along a line.

The Jacobian then has a vector of eigenvalue zero, the direction in which the symmetry moves
the order parameters.  Of a network phi = sum_k v_k g(lambda_k) these are known:

- g(a x) = a g(x) for a > 0 (ReLU, linear) and both layers trained: w_k -> a w_k, v_k -> v_k / a,
      dQ_kl = (1 + delta_kl) Q_kl,   dR_km = R_km,   dv_k = -v_k;
- g linear: any mixing w -> A w, v -> A^-T v of the units, or, with the readout held, every motion
  that leaves sum_k v_k w_k;
- two units with the same vector share a readout: dv_k = 1, dv_l = -1.

A direction is only named where the Jacobian says that it is one of its zero modes: with label noise
or at a finite learning rate most of these symmetries are broken.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy  # which loads linalg, optimize, ... where they are first used
from jaxtyping import Float

from odes.inputs.one_update import State
from teacherstudent.activations.activation import Activation
from teacherstudent.averages.pairs import unordered_pairs

# A vector is one of the zero modes if the Jacobian makes it shorter by this factor of its own size.
NEGLIGIBLE = 1e-6
ALIKE = 1e-6  # vectors that differ by less are the same, relative to their lengths


class Symmetry(NamedTuple):
    """A direction in which a symmetry would move a state, and the symmetry in words."""

    name: str
    velocity: State


def symmetries(state: State, g: Activation, trained: bool) -> Iterator[Symmetry]:
    """All symmetries that could move a fixed point, with their velocities."""
    K = state.v.shape[0]
    if is_homogeneous(g) and trained:
        for k in range(K):
            yield Symmetry(f"scale of unit {k}: w -> a w, v -> v / a", _scaling(state, k))
    if is_linear(g):
        yield from _mixings(state, trained)
    if trained:
        yield from _shared_readouts(state)


def is_homogeneous(g: Activation) -> bool:
    """Whether g(a x) = a g(x) for a > 0."""
    x = np.linspace(-3.0, 3.0, 13)
    values = np.asarray(g(x))
    return all(np.allclose(np.asarray(g(a * x)), a * values, atol=1e-6) for a in (0.5, 2.0))


def is_linear(g: Activation) -> bool:
    """Whether g(x) is a multiple of x."""
    x = np.linspace(-3.0, 3.0, 13)
    return is_homogeneous(g) and np.allclose(np.asarray(g(-x)), -np.asarray(g(x)), atol=1e-6)


def _velocity(state: State, **moved: Any) -> State:
    """The velocity of a state of which some parts move."""
    still = jax.tree.map(lambda part: np.zeros(part.shape), state)
    return still._replace(**moved)


def _moved_by(state: State, E: Any, v: Any) -> State:
    """The velocity of q and r where dw = E w, with that of the readout."""
    turned = np.einsum("kj,jlt->klt", E, state.q)
    r = np.einsum("kj,jmt->kmt", E, state.r)
    return _velocity(state, q=turned + turned.swapaxes(0, 1), r=r, v=v)


def _scaling(state: State, k: int) -> State:
    E = np.zeros((len(state.v), len(state.v)))
    E[k, k] = 1.0
    return _moved_by(state, E, v=-E @ state.v)


def _mixings(state: State, trained: bool) -> Iterator[Symmetry]:
    """dw = E w with dv = -E^T v, or, where the readout is held, with v^T E = 0."""
    K = len(state.v)
    if trained:
        for k in range(K):
            for j in range(K):
                if j == k:
                    continue
                E = np.zeros((K, K))
                E[k, j] = 1.0
                name = f"mixing of the linear units {k} and {j}: w -> A w, v -> A^-T v"
                yield Symmetry(name, _moved_by(state, E, v=-E.T @ state.v))
        return
    for column, left in enumerate(scipy.linalg.null_space(state.v[None, :]).T):
        for j in range(K):
            E = np.outer(left, np.eye(K)[j])
            name = f"motion {column} of linear units that leaves sum_k v_k w_k, along w_{j}"
            yield Symmetry(name, _moved_by(state, E, v=np.zeros(K)))


def _shared_readouts(state: State) -> Iterator[Symmetry]:
    """Units with the same vector: only the sum of their readouts matters."""
    rows = np.concatenate([state.q, state.r], axis=1)
    for k, l in zip(*unordered_pairs(len(state.v)), strict=True):
        size = np.abs(rows[[k, l]]).max()
        if k == l or np.abs(rows[k] - rows[l]).max() > ALIKE * max(size, 1e-12):
            continue
        v = np.zeros(len(state.v))
        v[k], v[l] = 1.0, -1.0
        yield Symmetry(f"readout shared by the equal units {k} and {l}", _velocity(state, v=v))


def is_mode(
    jacobian: Float[np.ndarray, "entries entries"],
    direction: Float[np.ndarray, " entries"],
    free: Float[np.ndarray, "entries directions"],
) -> bool:
    """Whether a direction is in which the Jacobian sees no change, and one that can move."""
    size = np.linalg.norm(direction)
    inside = free @ (free.T @ direction)
    if size < ALIKE or np.linalg.norm(direction - inside) > ALIKE * size:
        return False
    change = np.linalg.norm(jacobian @ direction)
    return bool(change <= NEGLIGIBLE * np.linalg.norm(jacobian, 2) * size)
