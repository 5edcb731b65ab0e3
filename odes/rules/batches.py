"""Mini-batches at frozen quasi-random points, for averages that do not reduce to those of one
sample.

A point holds the normal coordinates of all fields of a batch and of its label noise, (B, K + M) and
(B,) numbers.
"""

import math
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.rules.sampled import at, root
from teacherstudent.averages.quasi_random import normals, uniform_points
from teacherstudent.problem import Problem


class Batches(NamedTuple):
    """Fields, errors with label noise, delta_k = a_k e and hidden units, for each batch and sample
    of it.
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
    """2^log2_points batches of `samples` samples, at the covariance C; other points for each
    replica.
    """
    xi, zeta = (jnp.asarray(part) for part in _normal(samples, len(C), 2**log2_points, replica))
    h = xi @ root(C)
    fields = at(problem, h.reshape(-1, len(C)), jnp.ones(()), v)
    e = (fields.e + problem.teacher.noise * zeta.ravel()).reshape(zeta.shape)
    grouped = lambda part: part.reshape(*zeta.shape, -1)
    return Batches(h, e, grouped(fields.a) * e[..., None], grouped(fields.hidden))


@cache
def _normal(samples: int, fields: int, count: int, replica: int) -> tuple[np.ndarray, np.ndarray]:
    """Quasi-random standard normal numbers (count, samples, fields) and (count, samples), the noise
    in the last coordinates.
    """
    uniform = uniform_points(samples * (fields + 1), count, replica)
    z = normals(uniform)
    return z[:, : samples * fields].reshape(count, samples, fields), z[:, samples * fields :]


def enough_points(samples: int, most: int = 17) -> int:
    """log2 of the number of batches that keeps the number of samples at 2^most."""
    return max(9, most - math.ceil(math.log2(samples)))
