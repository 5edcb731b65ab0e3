"""Student and teacher fields at the nodes of a rule for N(0, C), for averages that have no closed
form.

    h = xi C^(1/2),   C^(1/2) symmetric, smooth in C and defined for a singular one;   a_k = v_k
    g'(lambda_k),   e = phi - phi*

The label noise is not among the coordinates: e has none, and what depends on the noisy error e +
sigma zeta is averaged over zeta by its own formula.

The nodes: K + M = 2 and smooth activations: equidistant in a disc of radius 7.25.  Otherwise frozen
scrambled Sobol points, with exact second moments.  They are the same at each call, so that the
equations stay as smooth in the order parameters as the integrand is in the fields.
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


class Fields(NamedTuple):
    """Fields, hidden units and errors at the nodes, and the weights of the nodes."""

    weights: Float[Array, " nodes"]
    h: Float[Array, "nodes fields"]
    a: Float[Array, "nodes students"]
    hidden: Float[Array, "nodes students"]
    e: Float[Array, " nodes"]

    def mean(self, values: Float[Array, "nodes ..."]) -> Float[Array, "..."]:
        """The average of values at the nodes."""
        return jnp.tensordot(self.weights, values, axes=1)


class Rule(NamedTuple):
    """How many nodes: along an axis of the disc, and the base-2 logarithm of the number of Sobol
    points.
    """

    axis: int
    log2_points: int


def fields_at_nodes(
    problem: Problem,
    C: Float[Array, "fields fields"],
    v: Float[Array, " students"],
    rule: Rule,
    replica: int = 0,
) -> Fields:
    """The fields at the nodes of a rule for the covariance C; its replicas have fewer nodes in the
    disc, or other points.
    """
    if _in_disc(problem, len(C)):
        xi, weights = _disc(rule.axis * (10 - replica) // 10)
    else:
        xi, weights = _points(len(C), 2**rule.log2_points, replica)
    return at(problem, jnp.asarray(xi) @ root(C), jnp.asarray(weights), v)


def nodes_of(problem: Problem, rule: Rule, signs: bool = True) -> Nodes:
    """How the nodes are called; in the disc they are many enough for any tolerance, unless `signs`
    of a noiseless error jump.
    """
    fields, sigma = problem.student.width + problem.teacher.width, problem.teacher.noise
    if _in_disc(problem, fields):
        noiseless = checks.is_traced(sigma) or bool(np.any(np.asarray(sigma) == 0))
        return Nodes("equidistant nodes in the plane of the two fields", rough=signs and noiseless)
    return Nodes(f"{2**rule.log2_points} frozen Sobol points in the space of {fields} fields")


def _in_disc(problem: Problem, fields: int) -> bool:
    return fields == 2 and not (problem.student.activation.cuts or problem.teacher.activation.cuts)


def at(problem: Problem, h, weights, v) -> Fields:
    """What follows from given fields."""
    student, K = problem.student.activation, v.shape[0]
    lam = h[:, :K]
    hidden = student(lam)
    e = hidden @ v - problem.teacher.activation(h[:, K:]) @ jnp.asarray(problem.teacher.v_star)
    return Fields(weights, h, v[None, :] * student.derivative(lam), hidden, e)


def root(C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
    """The symmetric square root; directions of negative variance, by rounding, have none."""
    values, vectors = jnp.linalg.eigh(C)
    return (vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :]) @ vectors.T


@cache
def _disc(axis: int) -> tuple[Float[np.ndarray, "nodes 2"], Float[np.ndarray, " nodes"]]:
    """Equidistant nodes with the normal density, inside a disc."""
    z = np.linspace(-RADIUS, RADIUS, axis)
    xi = np.stack([part.ravel() for part in np.meshgrid(z, z, indexing="ij")], axis=1)
    square = np.sum(xi**2, axis=1)
    inside = square <= RADIUS**2
    weights = np.exp(-square[inside] / 2)
    return xi[inside], weights / weights.sum()


def _points(
    dimensions: int, count: int, replica: int
) -> tuple[Float[np.ndarray, "nodes fields"], Float[np.ndarray, " nodes"]]:
    return normal_points(dimensions, count, replica), np.full(count, 1 / count)


def mean_sign(e: Float[Array, " nodes"], sigma) -> Float[Array, " nodes"]:
    """E sign(e + sigma zeta) = erf(e / (sigma sqrt 2))."""
    noisy = sigma > 0
    return jnp.where(
        noisy, jax.scipy.special.erf(e / (jnp.where(noisy, sigma, 1.0) * math.sqrt(2))), jnp.sign(e)
    )


def moves(e: Float[Array, " nodes"], sigma) -> Float[Array, " nodes"]:
    """P(e + sigma zeta != 0): 1, but 0 for a sample without error and noise."""
    return jnp.where(sigma > 0, 1.0, jnp.abs(jnp.sign(e)))


def inverse(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1 / x, and 0 where x is."""
    return jnp.where(x > 0, 1 / jnp.where(x > 0, x, 1.0), 0.0)
