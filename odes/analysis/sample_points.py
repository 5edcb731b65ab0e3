"""The normal numbers over which single samples are averaged: the same ones at each call.

Averages of products of up to four delta_k have no closed forms.  Up to three numbers to a sample,
and where the integrand is smooth, they are the nodes of a product of Gauss-Hermite rules; otherwise
scrambled Sobol points with exact second moments.  There are two sets of each, whose difference says
how good their mean is.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from odes.inputs.samples import RandomNumbers
from teacherstudent.averages.field_space import normal_points
from teacherstudent.checking.checks import AnyArray

MOST_AXES = 3  # of a product rule


class SamplePoints(NamedTuple):
    """Points of standard normal numbers, and how much each counts; those of every component of a
    mixture.
    """

    z: Float[AnyArray, "components points numbers"]
    weights: Float[AnyArray, "components points"]


def two_sets(wanted: RandomNumbers, points: int) -> tuple[SamplePoints, SamplePoints]:
    """Two sets of about half as many points each."""
    each = max(1, points // (2 * wanted.components))
    if wanted.smooth and wanted.numbers <= MOST_AXES:
        nodes = max(2, round(each ** (1 / wanted.numbers)))
        return product_rule(wanted, nodes), product_rule(wanted, nodes + 1)
    count = 2 ** max(0, each.bit_length() - 1)
    return scattered(wanted, count, 0), scattered(wanted, count, 1)


def described(wanted: RandomNumbers, sets: tuple[SamplePoints, SamplePoints]) -> str:
    """The points in words."""
    count = sum(one.weights.size for one in sets)
    if wanted.smooth and wanted.numbers <= MOST_AXES:
        return f"{count} nodes of two products of Gauss-Hermite rules"
    return f"{count} frozen Sobol points for {wanted.numbers} normal numbers"


@cache
def product_rule(wanted: RandomNumbers, nodes: int) -> SamplePoints:
    """The product of Gauss-Hermite rules with so many nodes on each axis."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    axes = np.meshgrid(*[x] * wanted.numbers, indexing="ij")
    z = np.stack([axis.ravel() for axis in axes], axis=-1)
    weights = np.ones(1)
    for _ in range(wanted.numbers):
        weights = np.multiply.outer(weights, w / w.sum()).ravel()
    shape = (wanted.components, *z.shape)
    return SamplePoints(
        np.broadcast_to(z, shape).copy(), np.broadcast_to(weights, shape[:2]).copy()
    )


@cache
def scattered(wanted: RandomNumbers, count: int, replica: int) -> SamplePoints:
    """Sobol points, for each component of a mixture others."""
    components = 2 ** (wanted.components - 1).bit_length()  # Sobol's numbers are powers of two
    z = normal_points(wanted.numbers, components * count, replica)
    z = z.reshape(components, count, wanted.numbers)[: wanted.components]
    return SamplePoints(z, np.full(z.shape[:2], 1 / count))
