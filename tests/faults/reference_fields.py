"""The averages of `field_space.py` by Gauss-Legendre panels in NumPy: h = mean + L z, one axis
after the other.

Panels of an axis end where its own field meets a break or the grid of the activation, and near the
points where a later field, averaged over its own axis, does.  They are split until two values
agree.
"""

from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from tests.faults import gaussian_integrals as integrals
from tests.faults.reference_averages import Plain

SPLITS = ((1, 8), (1, 12), (2, 10), (4, 10), (8, 10))  # of each panel, and nodes of each part
SPLITS_IN_SPACE = ((1, 4), (1, 6), (1, 9))  # three axes that move
NEGLIGIBLE = 1e-19  # the weight of a point
LOSSES = {
    "square": (lambda phi, y: (phi - y) ** 2 / 2, lambda phi, y: phi - y),
    "logistic": (lambda phi, y: np.logaddexp(0, -y * phi), lambda phi, y: -y * expit(-y * phi)),
}


class FieldValues(NamedTuple):
    """a, J C, D, b and the loss of one component."""

    a: np.ndarray
    JC: np.ndarray
    D: np.ndarray
    b: np.ndarray
    loss: np.ndarray


def field_averages(
    activation: Plain,
    loss: str,
    mean: np.ndarray,
    C: np.ndarray,
    v: np.ndarray,
    y: float,
    accuracy: float = 1e-10,
) -> FieldValues:
    """The averages of one update over h ~ N(mean, C).

    Raises NotConverged where the two finest resolutions differ by more than `accuracy` relative to
    max(1, largest value).
    """
    fine = None
    moving = np.count_nonzero(np.diag(integrals.triangle(np.asarray(C, dtype=float))))
    for split, nodes in SPLITS if moving < 3 else SPLITS_IN_SPACE:
        rough, fine = fine, _field_averages(activation, loss, mean, C, v, y, split, nodes)
        if rough is None:
            continue
        size = max(1.0, *(np.abs(part).max() for part in fine))
        difference = max(np.abs(x - y).max() for x, y in zip(rough, fine, strict=True))
        if difference <= accuracy * size:
            return fine
    raise integrals.NotConverged(f"two resolutions differ by {difference:.1g} at C = {C.tolist()}")


def _field_averages(activation, loss, mean, C, v, y, split, nodes) -> FieldValues:
    L = integrals.triangle(np.asarray(C, dtype=float))
    z, weights = points(activation, mean, L, split, nodes)
    moved = z @ L.T
    h = mean + moved
    hidden = activation.value(h)
    phi = hidden @ v
    value, slope = (part(phi, y) for part in LOSSES[loss])
    delta = v * activation.slope(h) * slope[:, None]
    weighted = weights[:, None] * delta
    return FieldValues(
        weighted.sum(axis=0),
        weighted.T @ moved,
        weighted.T @ delta,
        (weights * slope) @ hidden,
        np.asarray(weights @ value),
    )


def points(
    activation: Plain, mean: np.ndarray, L: np.ndarray, split: int, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points z (n, K) and their weights, for functions of mean + L z."""
    t, w = integrals.legendre(nodes)
    z, weights = np.zeros((1, 0)), np.ones(1)
    for axis in range(len(L)):
        if not L[:, axis].any():
            z = np.concatenate([z, np.zeros((len(z), 1))], axis=1)
            continue
        edges = np.sort(
            np.clip(_cuts(activation, mean, L, z), -integrals.RADIUS, integrals.RADIUS), axis=1
        )
        parts = np.arange(split) / split
        edges = np.concatenate(
            [
                (edges[:, :-1, None] + np.diff(edges, axis=1)[:, :, None] * parts).reshape(
                    len(edges), -1
                ),
                edges[:, -1:],
            ],
            axis=1,
        )
        left, right, rows = integrals.row_panels(edges)
        half = (right - left) / 2
        along = (left + right)[:, None] / 2 + half[:, None] * t
        heavy = weights[rows][:, None] * half[:, None] * w * integrals.density(along)
        z = np.concatenate([np.repeat(z[rows], nodes, axis=0), along.reshape(-1, 1)], axis=1)
        weights = heavy.ravel()
        kept = weights > NEGLIGIBLE
        z, weights = z[kept], weights[kept]
    return z, weights


def _cuts(activation: Plain, mean: np.ndarray, L: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Where panels of the next axis end, for each point of the axes before."""
    axis = z.shape[1]
    cuts = [np.broadcast_to(integrals.STEPS, (len(z), len(integrals.STEPS)))]
    for j in range(axis, len(L)):
        if L[j, axis] == 0:
            continue
        base = mean[j] + z @ L[j, :axis]
        width = np.sqrt(np.sum(L[j, axis + 1 : j + 1] ** 2)) if j > axis else 0.0
        breaks = np.asarray(activation.breaks)
        targets = np.concatenate(
            [activation.grid, (breaks[:, None] + width * integrals.GRADES).ravel()]
        )
        cuts.append((targets - base[:, None]) / L[j, axis])
    if axis == 0 and not L[:, 2:].any():
        cuts.append(
            np.broadcast_to(
                _corners(activation, mean, L), (len(z), len(_corners(activation, mean, L)))
            )
        )
    return np.concatenate(cuts, axis=1)


def _corners(activation: Plain, mean: np.ndarray, L: np.ndarray) -> np.ndarray:
    """Where, on the first axis, lines in a plane cross on which two fields meet their breaks."""
    corners = []
    for i, j in combinations(range(len(L)), 2):
        lines = L[[i, j], :2] if L.shape[1] > 1 else np.zeros((2, 2))
        if abs(np.linalg.det(lines)) < 1e-12:
            continue
        for targets in product(activation.breaks, repeat=2):
            corners.append(np.linalg.solve(lines, np.array(targets) - mean[[i, j]])[0])
    return np.array(corners)
