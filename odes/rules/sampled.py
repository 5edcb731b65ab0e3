"""Student and teacher fields at nodes for N(0, C), for averages that have no closed form.

    h   = C^(1/2) xi,   xi ~ N(0, 1),   C^(1/2) symmetric, smooth in C, and defined for a singular C
    a_k = v_k g'(lambda_k)
    e   = phi - phi*

The label noise is not among the coordinates: e has none, and what depends on the noisy error
e + sigma zeta is averaged over zeta by its own formula.

The nodes: for K + M = 2 and smooth activations equidistant in a disc of radius 7.25, otherwise
frozen scrambled Sobol points with exact second moments.  They are the same at each call, so that
the equations stay as smooth in the order parameters as the integrand is in the fields.
"""

import math
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.rules.theory import Nodes
from teacherstudent.averages.field_space import normal_points
from teacherstudent.checking import checks
from teacherstudent.problem import Problem

RADIUS = 7.25


class NodeCounts(NamedTuple):
    """How many nodes.

    - `axis`: along an axis of the disc.
    - `log2_points`: the base-2 logarithm of the number of Sobol points.
    """

    axis: int
    log2_points: int


class Fields(NamedTuple):
    """Fields, hidden units and errors at the nodes, and the quadrature weights of the nodes."""

    node_weights: Float[Array, " nodes"]
    h: Float[Array, "nodes fields"]
    a: Float[Array, "nodes students"]
    hidden: Float[Array, "nodes students"]
    e: Float[Array, " nodes"]

    def mean(self, values: Float[Array, "nodes ..."]) -> Float[Array, "..."]:
        """The average of values at the nodes."""
        return jnp.tensordot(self.node_weights, values, axes=1)


def fields_at_nodes(
    problem: Problem,
    C: Float[Array, "fields fields"],
    v: Float[Array, " students"],
    counts: NodeCounts,
    replica: int = 0,
) -> Fields:
    """The fields at the nodes for the covariance C.

    Replicas have fewer nodes in the disc, or other points.
    """
    if _in_disc(problem, len(C)):
        xi, node_weights = _disc(counts.axis * (10 - replica) // 10)
    else:
        xi, node_weights = _points(len(C), 2**counts.log2_points, replica)
    h = jnp.asarray(xi) @ root(C)
    return with_errors(problem, h, jnp.asarray(node_weights), v)


def nodes_of(problem: Problem, counts: NodeCounts, signs: bool = True) -> Nodes:
    """How the nodes are called.

    In the disc they are many enough for any tolerance, unless `signs` of a noiseless error jump.
    """
    fields = problem.student.width + problem.teacher.width
    if not _in_disc(problem, fields):
        return Nodes(f"{2**counts.log2_points} frozen Sobol points in the space of {fields} fields")
    sigma = problem.teacher.noise
    noiseless = checks.is_traced(sigma) or bool(np.any(np.asarray(sigma) == 0))
    return Nodes("equidistant nodes in the plane of the two fields", rough=signs and noiseless)


def _in_disc(problem: Problem, fields: int) -> bool:
    smooth = not (problem.student.activation.cuts or problem.teacher.activation.cuts)
    return fields == 2 and smooth


def with_errors(problem: Problem, h, node_weights, v) -> Fields:
    """Hidden units, slopes a_k and errors e that follow from given fields."""
    student = problem.student.activation
    teacher = problem.teacher.activation
    K = v.shape[0]
    lam = h[:, :K]
    hidden = student(lam)
    e = hidden @ v - teacher(h[:, K:]) @ jnp.asarray(problem.teacher.v_star)
    a = v[None, :] * student.derivative(lam)
    return Fields(node_weights, h, a, hidden, e)


def root(C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
    """The symmetric square root; directions of negative variance, by rounding, have none."""
    values, vectors = jnp.linalg.eigh(C)
    scales = jnp.sqrt(jnp.maximum(values, 0.0))
    return (vectors * scales[None, :]) @ vectors.T


@cache
def _disc(axis: int) -> tuple[Float[np.ndarray, "nodes 2"], Float[np.ndarray, " nodes"]]:
    """Equidistant nodes with the normal density, inside a disc."""
    z = np.linspace(-RADIUS, RADIUS, axis)
    first, second = np.meshgrid(z, z, indexing="ij")
    xi = np.stack([first.ravel(), second.ravel()], axis=1)
    square = np.sum(xi**2, axis=1)
    inside = square <= RADIUS**2
    density = np.exp(-square[inside] / 2)
    return xi[inside], density / density.sum()


def _points(
    dimensions: int, count: int, replica: int
) -> tuple[Float[np.ndarray, "nodes fields"], Float[np.ndarray, " nodes"]]:
    return normal_points(dimensions, count, replica), np.full(count, 1 / count)


def mean_sign(e: Float[Array, " nodes"], sigma) -> Float[Array, " nodes"]:
    """E sign(e + sigma zeta) = erf(e / (sigma sqrt 2))."""
    noisy = sigma > 0
    safe = jnp.where(noisy, sigma, 1.0)
    smoothed = jax.scipy.special.erf(e / (safe * math.sqrt(2)))
    return jnp.where(noisy, smoothed, jnp.sign(e))


def moves(e: Float[Array, " nodes"], sigma) -> Float[Array, " nodes"]:
    """P(e + sigma zeta != 0): 1, but 0 for a sample without error and noise."""
    return jnp.where(sigma > 0, 1.0, jnp.abs(jnp.sign(e)))


def inverse(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 / x, and 0 where x is."""
    return jnp.where(x > 0, 1 / jnp.where(x > 0, x, 1.0), 0.0)
