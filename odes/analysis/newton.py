"""Newton's method for f(y0 + B z) = 0 in a linear subspace, where the Jacobian may be singular.

Far from a root the method of Levenberg and Marquardt (SciPy's, MINPACK) brings the residual down;
near it Newton's steps converge quadratically.  Fixed points of order parameters often lie on a line
or a surface, since a symmetry of the network moves them: the shortest Newton step, by the
pseudo-inverse, then leads to the nearest of them.

The first method may end where no weights have the overlaps.  Newton's steps are then taken once
more from the start, each so short that the state stays one of some weights.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy  # which loads linalg, optimize, ... where they are first used
from jaxtyping import Float

POLISHING = (
    60  # Newton steps at most; at a root where the derivative is degenerate each halves the error
)
LEAST = 1e-10  # singular values below this fraction of the largest are zero modes
ACCURACY = 1e-10  # of a root, relative to 1 + |y|
SHORTEST = 1e-6  # share of a Newton step
WORST = 1e-7  # the same, at which a root counts as one where rounding lets no step be smaller


class Root(NamedTuple):
    """Where Newton's method ended.

    - `y`: the state.
    - `residual`: |f| there, the largest entry; `distance`: the length of the last Newton step, an
      estimate of how far the root is.
    - `found`: whether that is a root.
    """

    y: Float[np.ndarray, " entries"]
    residual: float
    distance: float
    found: bool


def find_root(
    f: Callable, jacobian: Callable, y: np.ndarray, basis: np.ndarray, allowed: Callable
) -> Root:
    """The root of f next to y in the subspace that the columns of `basis` span.

    `f` and `jacobian` are functions of y; steps follow the part of f in the subspace, but at a root
    all of f is zero.
    `allowed` says of a state whether it may be the answer.
    """

    def projected(z):
        return basis.T @ f(y + basis @ z)

    def slope(z):
        return basis.T @ jacobian(y + basis @ z) @ basis

    begin = np.zeros(basis.shape[1])
    scale = np.abs(slope(begin)).max()
    if not np.isfinite(scale):
        raise ValueError(
            "near: the equations have no finite derivative there; begin from a state with other "
            "overlaps."
        )
    scale = scale or 1.0

    def scaled(z):
        return _finite(projected(z) / scale)

    def scaled_slope(z):
        return np.nan_to_num(slope(z) / scale)

    best = scipy.optimize.least_squares(
        scaled, begin, scaled_slope, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=400
    )

    def root_from(z):
        z, distance = _polished(projected, slope, z)
        found = y + basis @ z
        size = 1 + np.abs(found).max()
        residual = float(np.abs(f(found)).max())
        # The step is also short where no step in the subspace brings f down, which is no root.
        at_rest = residual <= WORST * size * np.abs(jacobian(found)).max()
        return Root(found, residual, distance, bool(distance <= WORST * size and at_rest))

    root = root_from(best.x)
    if root.found and allowed(root.y):
        return root
    inside = _steps_inside(projected, slope, begin, lambda z: allowed(y + basis @ z))
    other = root_from(inside)
    if other.found and allowed(other.y):
        return other
    return root


def _steps_inside(f: Callable, slope: Callable, z: np.ndarray, allowed: Callable) -> np.ndarray:
    """Newton's steps from z, halved until the state is allowed and |f| falls."""
    size = np.linalg.norm(f(z))
    for _ in range(POLISHING):
        step = shortest_step(slope(z), f(z))
        share = 1.0
        while share > SHORTEST:
            there = z - share * step
            if allowed(there) and np.linalg.norm(f(there)) < size:
                break
            share /= 2
        else:
            return z
        z, size = there, np.linalg.norm(f(there))
    return z


def _finite(values: np.ndarray) -> np.ndarray:
    """The values; a huge number for what is none, which no step towards a root accepts."""
    return np.nan_to_num(values, nan=1e10, posinf=1e10, neginf=-1e10)


def _polished(f: Callable, slope: Callable, z: np.ndarray) -> tuple[np.ndarray, float]:
    """The root after Newton steps that shrink, and the length of the last of them."""
    step = shortest_step(slope(z), f(z))
    size = np.linalg.norm(step)
    for _ in range(POLISHING):
        if size <= ACCURACY * (1 + np.abs(z).max()):
            z = z - step
            break
        nearer = z - step
        step_there = shortest_step(slope(nearer), f(nearer))
        size_there = np.linalg.norm(step_there)
        if not size_there < size:  # at the level of rounding, or far from any root
            break
        z, step, size = nearer, step_there, size_there
    return z, float(size)


def shortest_step(slope: np.ndarray, f: np.ndarray) -> np.ndarray:
    """The shortest vector s that makes |slope s - f| as small as can be: Newton's step is -s.

    nan where slope or f are not finite.
    """
    if not (np.isfinite(slope).all() and np.isfinite(f).all()):
        return np.full(slope.shape[1], np.nan)
    return scipy.linalg.lstsq(slope, f, cond=LEAST)[0]
