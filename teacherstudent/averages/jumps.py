"""What is not smooth in a function of one field, as a sum of truncated powers.

A function that is analytic between the points x_j is the sum

    f(x) = smooth(x) + sum_j sum_p c_jp (x - x_j)_+^p / p!,

where c_jp is the height by which the p-th derivative jumps at x_j, p = 0..7.  What remains has
seven continuous derivatives, so that equidistant nodes average it nearly as well as an analytic
function, wherever they lie; the truncated powers have closed forms (`truncated_powers.py`).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

ORDERS = 8  # of derivatives whose jumps are taken out, with that of f itself
BESIDE = 1e-10  # the distance from a point at which its two sides are seen
NEGLIGIBLE = 1e-8  # of a jump, relative to the derivatives on both sides
# Derivatives that grow faster than this would cancel digits against each other.
LARGEST = 1e4
REACH = 3.0


class Jumps(NamedTuple):
    """The points x_j, and for each the heights c_j0, c_j1, ... as a row."""

    points: tuple[float, ...] = ()
    heights: tuple[tuple[float, ...], ...] = ()

    def without_steps(self) -> "Jumps":
        """The same without the jumps of the function itself, of which there is no derivative."""
        return Jumps(self.points, tuple((0.0, *row[1:]) for row in self.heights))

    def of_derivative(self) -> "Jumps":
        """Those of the derivative of the function, delta functions left out."""
        return Jumps(self.points, tuple((*row[1:], 0.0) for row in self.heights))

    def as_arrays(self) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
        """The orders p that occur, the points, and their heights of these orders."""
        heights = np.asarray(self.heights).reshape(-1, ORDERS)
        orders = tuple(np.flatnonzero(heights.any(axis=0)).tolist())
        return orders, np.asarray(self.points), heights[:, list(orders)]

    def singular_part(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """sum_j sum_p c_jp (x - x_j)_+^p / p!, with half a step at x_j itself."""
        orders, *jumps = self.as_arrays()

        def with_point(total, jump):
            point, heights = jump
            beyond = jnp.maximum(x - point, 0.0)
            for order, height in zip(orders, heights, strict=True):
                power = beyond**order / math.factorial(order)
                if order == 0:
                    power = (1 + jnp.sign(x - point)) / 2
                total = total + height * power
            return total, None

        return jax.lax.scan(with_point, jnp.zeros_like(x), tuple(map(jnp.asarray, jumps)))[0]


def jumps_of(function: Callable, points: tuple[float, ...]) -> Jumps:
    """The jumps of a function and of its derivatives at known points."""
    if not points:
        return Jumps()
    x = np.asarray(points)
    beside = BESIDE * (1 + np.abs(x))
    above = _derivatives(function, x + beside)
    below = _derivatives(function, x - beside)
    return Jumps(tuple(points), tuple(map(tuple, _heights(above, below).T.tolist())))


def _heights(above: np.ndarray, below: np.ndarray) -> Float[np.ndarray, "orders points"]:
    """The jumps of each order at each point; zero from the order on that cannot be used."""
    scale = np.maximum(np.abs(above), np.abs(below))
    # Of order p only jumps above the rounding of all lower orders are seen.
    known = NEGLIGIBLE * (1e-3 + np.maximum.accumulate(scale, axis=0))
    heights = np.where(np.abs(above - below) > known, above - below, 0.0)
    factorials = np.array([math.factorial(order) for order in range(ORDERS)])
    sizes = np.abs(heights) * (REACH ** np.arange(ORDERS) / factorials)[:, None]
    unusable = ~np.isfinite(sizes) | (sizes > LARGEST)
    unusable[:2] = False
    return np.where(np.maximum.accumulate(unusable, axis=0), 0.0, heights)


def _derivatives(
    function: Callable, x: Float[np.ndarray, " points"]
) -> Float[np.ndarray, "orders points"]:
    """f, f', f'', ... at points, by differentiation."""

    def slope_of(f: Callable) -> Callable:
        def slope(x):
            return jax.jvp(f, (x,), (jnp.ones_like(x),))[1]

        return slope

    orders = [function]
    for _ in range(ORDERS - 1):
        orders.append(slope_of(orders[-1]))

    def all_orders(x):
        return jnp.stack([jnp.asarray(f(x), jnp.float64) for f in orders])

    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return np.asarray(jax.jit(all_orders)(jnp.asarray(x, jnp.float64)))
