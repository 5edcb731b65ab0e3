"""Where a function of one field is not smooth: the points at which it, its slope or its curvature
jumps, and by how much.

A user's activation is a black box that JAX can differentiate.  Differentiation sees nothing of a
jump: the derivative of sign(x) is 0 to it.  Jumps are therefore looked for in values.  On an
interval [a, b] of length h a smooth f has

    f(b) - f(a) - h (f'(a) + f'(b)) / 2 + h^2 (f''(b) - f''(a)) / 12 = O(h^5),

with derivatives by differentiation; a jump between a and b leaves its height there, however short
the interval.  The same for f' finds kinks, and without the last term, for f'', jumps of the
curvature.  Intervals in which the left side is not negligible are divided until it is, or until
they are as short as rounding allows: then there is a jump.

What is narrower than the grid and returns to the same value (an indicator of [0, 0.001]) can be
missed; name one of its points as a kink.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

# The grid is even up to FINE, which fields of variance 20 do not leave, and logarithmic from there
# to FAR.
FINE = 40.0
FAR = 1000.0
EVEN_POINTS = 10007
FAR_POINTS = 500
BATCH = 2**14  # points for each call of the compiled function
PARTS = 8  # into which an interval is divided
NEGLIGIBLE = (1e-7, 1e-7, 1e-4)  # relative to the values around: of f, f' and f''
MOST = 128  # singular points that are worth an integration between all of them
MOST_INTERVALS = 2**17  # that may need dividing at one time
NEAR = 12.0  # a function must be finite up to here


class Singularities(NamedTuple):
    """Points in increasing order, and what jumps there: f, f' and f''."""

    points: tuple[float, ...] = ()
    heights: tuple[float, ...] = ()
    slopes: tuple[float, ...] = ()

    def jumps(self) -> list[tuple[float, float]]:
        """The points where f itself jumps, with the heights f(x+) - f(x-)."""
        return [(x, height) for x, height in zip(self.points, self.heights, strict=True) if height]

    def kinks(self) -> list[tuple[float, float]]:
        """The points where f' jumps, with the heights f'(x+) - f'(x-)."""
        return [(x, slope) for x, slope in zip(self.points, self.slopes, strict=True) if slope]


def find_singularities(
    function: Callable, name: str, known: tuple[float, ...] = ()
) -> Singularities:
    """The singular points of a function that JAX can trace, those that the user names among them.

    Raises ValueError if it cannot be evaluated, is not finite, has more than 128 singular points,
    or a slope that grows without bound at one of them.
    """
    derivatives = _Derivatives(function, name)
    _check_elementwise(derivatives, name)
    grid = _grid()
    values = derivatives(grid)
    _check_finite(grid, values, name)
    jumping = [_divided(derivatives, grid, values, order, name) for order in range(3)]
    points = _merged(np.concatenate([*jumping, np.asarray(known, np.float64)]))
    if len(points) > MOST:  # First give up what no field of ordinary size reaches.
        points = [x for x in points if abs(x) < FINE]
    if len(points) > MOST:
        raise ValueError(
            f"the activation {name} has {len(points)} or more points where it or its slope jumps "
            f"(the first: {', '.join(f'{x:.6g}' for x in points[:3])}); averages are taken "
            f"between at most {MOST}."
        )
    return _measured(derivatives, points, name)


class _Derivatives:
    """f, f', f'' and f''' at points, compiled for one number of them."""

    def __init__(self, function: Callable, name: str):
        self.name = name
        self.compiled = jax.jit(_all_orders(function))

    def __call__(self, points: Float[np.ndarray, " points"]) -> Float[np.ndarray, "orders points"]:
        missing = max(BATCH - len(points), -len(points) % BATCH)
        padded = np.pad(points, (0, missing))
        try:
            with jax.enable_x64(True), jax.ensure_compile_time_eval():
                parts = [
                    np.asarray(self.compiled(jnp.asarray(part)))
                    for part in padded.reshape(-1, BATCH)
                ]
        except Exception as error:
            raise ValueError(
                f"the activation {self.name} cannot be evaluated and differentiated by JAX "
                f"({type(error).__name__}); write it with jax.numpy, as a function of one field."
            ) from error
        if any(part.shape != (4, BATCH) for part in parts):
            raise _not_elementwise(self.name)
        return np.concatenate(parts, axis=1)[:, : len(points)]


def _check_elementwise(derivatives: _Derivatives, name: str) -> None:
    """Raise ValueError if the value at a point depends on the points beside it."""
    points = np.linspace(-3.0, 3.0, 101)
    values = derivatives(points)[0]
    turned = derivatives(points[::-1])[0, ::-1]
    beside_others = derivatives(np.append(points[:1], points[1:] + 0.25))[0, :1]
    for one, other in ((values, turned), (values[:1], beside_others)):
        if not np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise _not_elementwise(name)


def _not_elementwise(name: str) -> ValueError:
    return ValueError(
        f"the activation {name} is not elementwise; give a function of one field, such as "
        "jnp.tanh, which answers with an array of the shape that it is given."
    )


def _all_orders(function: Callable) -> Callable:
    """The function of points (points,) that gives f and its first three derivatives, stacked."""

    def slope_of(f: Callable) -> Callable:
        def slope(x):
            return jax.jvp(f, (x,), (jnp.ones_like(x),))[1]

        return slope

    first = slope_of(function)
    second = slope_of(first)
    third = slope_of(second)

    def all_orders(x):
        orders = [f(x) for f in (function, first, second, third)]
        return jnp.stack([jnp.asarray(order, jnp.float64) for order in orders])

    return all_orders


def _grid() -> Float[np.ndarray, " points"]:
    """Points of an odd spacing, so that none is a round number, at which functions like to jump."""
    even = np.linspace(-FINE, FINE + 1 / math.pi, EVEN_POINTS)
    far = np.geomspace(FINE + 1 / math.e, FAR, FAR_POINTS)
    return np.concatenate([-far[::-1], even, far])


def _check_finite(grid: np.ndarray, values: np.ndarray, name: str) -> None:
    """Raise ValueError if f is not finite where fields are."""
    near = np.abs(grid) < NEAR
    wrong = near & ~np.isfinite(values[0])
    if wrong.any():
        x = grid[wrong][0]
        raise ValueError(
            f"the activation {name} is {values[0][wrong][0]} at x = {x:.4g}; fields are Gaussian "
            "and meet every number, so give a function that is finite everywhere."
        )


def _divided(
    derivatives: _Derivatives, grid: np.ndarray, values: np.ndarray, order: int, name: str
) -> Float[np.ndarray, " points"]:
    """Where the derivative of this order jumps."""
    left = grid[:-1]
    right = grid[1:]
    suspect = _suspect(left, right, values[:, :-1], values[:, 1:], order)
    left = left[suspect]
    right = right[suspect]
    while (right - left > 1e-13 * (1 + np.abs(left))).any():
        if len(left) > MOST_INTERVALS:  # First give up what no field of ordinary size reaches.
            near = np.abs(left) < FINE
            left = left[near]
            right = right[near]
            _check_count(left, name)
        fractions = np.linspace(0, 1, PARTS + 1)
        ends = left[:, None] + (right - left)[:, None] * fractions[None, :]
        orders = derivatives(ends.ravel()).reshape(4, *ends.shape)
        left = ends[:, :-1]
        right = ends[:, 1:]
        suspect = _suspect(left, right, orders[..., :-1], orders[..., 1:], order)
        left = left[suspect]
        right = right[suspect]
    return (left + right) / 2


def _check_count(left: np.ndarray, name: str) -> None:
    """Raise ValueError if too many intervals need dividing."""
    if len(left) > MOST_INTERVALS:
        raise ValueError(
            f"the activation {name} is too rough: it, its slope or its curvature jumps at more "
            f"than {MOST} points, or changes too quickly (near x = {left[0]:.6g}, for one)."
        )


def _suspect(left, right, at_left, at_right, order: int):
    """Whether the derivative of this order changes between two points by more than its own slope
    explains.
    """
    with np.errstate(all="ignore"):
        width = right - left
        explained = width * (at_left[order + 1] + at_right[order + 1]) / 2
        if order < 2:
            explained -= width**2 * (at_right[order + 2] - at_left[order + 2]) / 12
        unexplained = np.abs(at_right[order] - at_left[order] - explained)
        scale = 1 + np.abs(at_left[order]) + np.abs(at_right[order])
        return np.isfinite(unexplained) & (unexplained > NEGLIGIBLE[order] * scale)


def _merged(points: np.ndarray) -> list[float]:
    """Different points in increasing order; those within rounding of a round number are that
    number.
    """
    different: list[float] = []
    for x in np.sort(points).tolist():
        rounded = round(x, 9) + 0.0  # not -0
        if abs(rounded - x) < 1e-11 * (1 + abs(x)):
            x = rounded
        if not different or x - different[-1] > 1e-9 * (1 + abs(x)):
            different.append(x)
    return different


def _measured(derivatives: _Derivatives, points: list[float], name: str) -> Singularities:
    """By how much f and f' jump at each point, from values on both sides."""
    if not points:
        return Singularities()
    x = np.asarray(points)
    close = _jumps(derivatives, x, 1e-6 * (1 + np.abs(x)))
    closer = _jumps(derivatives, x, 1e-8 * (1 + np.abs(x)))
    gap = np.abs(close - closer)
    scale = 1 + np.abs(closer)
    wrong = ~np.isfinite(closer).all(axis=0) | (gap > 1e-4 * scale).any(axis=0)
    if wrong.any():
        raise ValueError(
            f"the activation {name} changes without bound near x = {x[wrong][0]:.6g}, like a root "
            "or a logarithm; give a function with jumps and kinks of finite height."
        )
    heights, slopes = np.where(np.abs(closer) > 1e-6 * scale, closer, 0.0)
    return Singularities(tuple(points), tuple(heights.tolist()), tuple(slopes.tolist()))


def _jumps(
    derivatives: _Derivatives, x: np.ndarray, distance: np.ndarray
) -> Float[np.ndarray, "orders points"]:
    """f(x+) - f(x-) and f'(x+) - f'(x-), extrapolated to x from a distance on both sides."""
    above = derivatives(x + distance)
    below = derivatives(x - distance)
    jumps = []
    for order in range(2):
        slopes = above[order + 1] + below[order + 1]
        jumps.append(above[order] - below[order] - distance * slopes)
    return np.stack(jumps)
