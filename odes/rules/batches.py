"""Mini-batches at frozen quasi-random points, for averages that do not reduce to those of one
sample.

A point holds the normal coordinates of all fields of a batch, (B, K + M) numbers, and of its label
noise, (B,) numbers.
"""

import math
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.inputs.samples import symmetric_root
from odes.rules.sampled import with_errors
from teacherstudent.averages.quasi_random import normals, uniform_points
from teacherstudent.problem import Problem


class Batches(NamedTuple):
    """What the updates need of each sample of each batch.

    - `h`: the fields.
    - `e`: the errors, with label noise.
    - `delta`: delta_k = a_k e.
    - `hidden`: the hidden units g(lambda_k).
    """

    h: Float[Array, "batches samples fields"]
    e: Float[Array, "batches samples"]
    delta: Float[Array, "batches samples students"]
    hidden: Float[Array, "batches samples students"]


def batches(
    problem: Problem,
    C: Float[Array, "fields fields"],
    v,
    samples: int,
    log2_points: int,
    replica: int = 0,
) -> Batches:
    """2^log2_points batches of `samples` samples at the covariance C.

    Each replica has other points.
    """
    xi, noise = _normal(samples, len(C), 2**log2_points, replica)
    zeta = jnp.asarray(noise)
    h = jnp.asarray(xi) @ symmetric_root(C)
    each = with_errors(problem, h.reshape(-1, len(C)), jnp.ones(()), v)
    noisy = each.e + problem.teacher.noise * zeta.ravel()
    e = noisy.reshape(zeta.shape)
    a = each.a.reshape(*zeta.shape, -1)
    hidden = each.hidden.reshape(*zeta.shape, -1)
    return Batches(h=h, e=e, delta=a * e[..., None], hidden=hidden)


@cache
def _normal(samples: int, fields: int, count: int, replica: int) -> tuple[np.ndarray, np.ndarray]:
    """Quasi-random standard normal numbers (count, samples, fields) and (count, samples).

    The noise is in the last coordinates.
    """
    of_fields = samples * fields
    uniform = uniform_points(of_fields + samples, count, replica)
    z = normals(uniform)
    return z[:, :of_fields].reshape(count, samples, fields), z[:, of_fields:]


def enough_points(samples: int, most: int = 17) -> int:
    """log2 of the number of batches that keeps the number of samples at 2^most."""
    return max(9, most - math.ceil(math.log2(samples)))
