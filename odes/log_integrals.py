"""Averages over a mini-batch that is divided by its own length, from averages over one sample.

For independent copies delta_b of a variable delta (or vector), b = 1..B, with 0/0 = 0,

    E[ sum_b delta_b f_b / |delta| ]   = (2 B / sqrt pi) int_0^inf ds  E[delta f e^(-s^2 delta^2)] (E e^(-s^2 delta^2))^(B-1)
    E[ sum_b delta_b delta'_b / |delta|^2 ] = 2 B int_0^inf s ds  E[delta delta' e^(-s^2 delta^2)] (E e^(-s^2 delta^2))^(B-1)
    E[ (2/pi) arcsin( delta . delta' / (|delta| |delta'|) ) ] = (2/pi^2) int int dp dq / (p q) [P(p, -q) - P(p, q)],
                                                       P(p, q) = ( E e^(-(p delta + q delta')^2 / 2) )^B
    E[ sign(sum_b x_b) ]               = (2/pi) int_0^inf dp / p  Im (E e^(i p x))^B

Integrals over scales from 0 to infinity are trapezoidal sums in the logarithm of the scale, which converge exponentially.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

STEP = 0.22  # of the logarithm, for one scale: errors of 1e-9
STEP_OF_TWO = 0.42  # for two scales: errors of 1e-5


def over_scales(integrand: Callable, low: float, high: float, step: float = STEP) -> Float[Array, "..."]:
    """int ds integrand(s), as a sum over s = e^u, u from `low` to `high`; the integrand may be an array.

    Below the first node it is taken as constant.
    """
    s = np.exp(np.arange(low, high + step, step))
    weights = step * s
    weights[0] *= 1 / -np.expm1(-step)
    values = jax.lax.map(integrand, jnp.asarray(s), batch_size=8)
    return jnp.tensordot(jnp.asarray(weights), values, axes=1)


def highest(batch: int) -> float:
    """The logarithm of the scale beyond which (E e^(-s^2 delta^2))^B ~ s^(-B) is gone."""
    return 1.5 + 20.0 / batch


def two_scale_nodes(batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """p, q and weights for int int dp dq / (p q), p = e^u cos theta, q = e^u sin theta, tan theta = e^t.

    Where a scale is small the integrand is proportional to it: the tails beyond the last nodes are added to their weights.
    """
    u = np.arange(-5.0, 1.5 + 14.0 / batch + STEP_OF_TWO, STEP_OF_TWO)
    t = np.arange(-8.0, 8.0 + STEP_OF_TWO / 2, STEP_OF_TWO)
    weight_u, weight_t = np.full(len(u), STEP_OF_TWO), np.full(len(t), STEP_OF_TWO)
    tail = lambda rate: 1 / np.expm1(rate * STEP_OF_TWO)  # sum over n >= 1 of e^(-rate n step)
    weight_u[0] *= 1 + tail(2.0)
    weight_t[[0, -1]] *= 1 + tail(1.0)
    theta = np.arctan(np.exp(t))
    p, q = np.exp(u)[:, None] * np.cos(theta), np.exp(u)[:, None] * np.sin(theta)
    return p.ravel(), q.ravel(), (weight_u[:, None] * weight_t).ravel()
