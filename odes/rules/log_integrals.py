"""Averages over a mini-batch that is divided by its own length, from averages over one sample.

For independent copies delta_b of a variable delta (or vector), b = 1..B, with 0/0 = 0,

    E[ sum_b delta_b f_b / |delta| ]
        = (2 B / sqrt pi) int_0^inf ds  E[delta f e^(-s^2 delta^2)] (E e^(-s^2 delta^2))^(B-1)

    E[ sum_b delta_b delta'_b / |delta|^2 ]
        = 2 B int_0^inf s ds  E[delta delta' e^(-s^2 delta^2)] (E e^(-s^2 delta^2))^(B-1)

    E[ sign(sum_b x_b) ]
        = (2/pi) int_0^inf dp / p  Im (E e^(i p x))^B

Integrals over scales from 0 to infinity are trapezoidal sums in the logarithm of the scale, which
converge exponentially.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# The step of the logarithm: errors of 1e-7, below those of the nodes for the fields.
STEP = 0.3
# That of integrands that oscillate, the characteristic functions.
FINE_STEP = 0.22
# The logarithm of the first scale: with errors of 1e-7, since e^(-s^2 delta^2) is even in s.
LOWEST = -10.0
# The factors of the step, and how much further the sum goes, in the theory and in its replicas,
# which see what lies beyond: where delta is tiny for many samples, for one.
STEPS = (1.0, 0.9, 0.8, 0.7)
FURTHER = (0.0, 8.0, 20.0, 40.0)


def over_scales(
    integrand: Callable, low: float, high: float, replica: int = 0, step: float = STEP
) -> Float[Array, "..."]:
    """int ds integrand(s), as a sum over s = e^u, u from `low` to `high`.

    The integrand may be an array.  Below the first node it is taken as constant.  A replica has a
    finer step and goes further.
    """
    step = step * STEPS[replica]
    s = np.exp(np.arange(low, high + FURTHER[replica] + step, step))
    weights = step * s
    weights[0] *= 1 / -np.expm1(-step)
    values = jax.lax.map(integrand, jnp.asarray(s), batch_size=8)
    return jnp.tensordot(jnp.asarray(weights), values, axes=1)


def highest(batch: int) -> float:
    """The logarithm of the scale beyond which (E e^(-s^2 delta^2))^B ~ s^(-B) is gone."""
    return 1.5 + 20.0 / batch
