"""Student and teacher fields at nodes for N(0, C), for averages that have no closed form.

    h   = C^(1/2) xi,   xi ~ N(0, 1),   C^(1/2) symmetric, smooth in C, and defined for a singular C
    a_k = v_k g'(lambda_k)
    e   = phi - phi*

The label noise is not among the coordinates: e has none, and what depends on the noisy error
e + sigma zeta is averaged over zeta by its own formula.

The nodes: for K + M = 2 and smooth activations in the plane of the two fields, otherwise frozen
scrambled Sobol points with exact second moments.  They are the same at each call, so that the
equations stay as smooth in the order parameters as the integrand is in the fields.

In the plane, averages over a mini-batch have equidistant nodes in a disc of radius 7.25.  Those
over one sample jump where the error changes its sign, and with a trained readout where the hidden
unit does: they have lines, along which the error of linear units grows fastest, and on each of
these Gauss-Legendre nodes on the pieces between the jumps (`line_cuts.py`).  What is averaged over
a line has a kink in its distance from the origin where two jumps meet; those of increasing
activations, and with a trained readout of such that vanish at zero alone, meet at the origin or
nowhere.  All others have the disc.
"""

import math
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from odes.inputs.samples import symmetric_root
from odes.rules.line_cuts import cut_lines
from odes.rules.theory import Nodes
from teacherstudent.activations.activation import Activation
from teacherstudent.averages.field_space import normal_points
from teacherstudent.checking import checks
from teacherstudent.problem import Problem

RADIUS = 7.25
SOME_FIELDS = np.linspace(-12.0, 12.0, 481)
LINES = 20  # in each quarter of the plane's width, for averages over one sample


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
    if _on_lines(problem, len(C)):
        return _on_cut_lines(problem, C, v, LINES * (10 - replica) // 10)
    if _in_disc(problem, len(C)):
        xi, node_weights = _disc(counts.axis * (10 - replica) // 10)
    else:
        xi, node_weights = _points(len(C), 2**counts.log2_points, replica)
    h = jnp.asarray(xi) @ symmetric_root(C)
    return with_errors(problem, h, jnp.asarray(node_weights), v)


def nodes_of(problem: Problem, counts: NodeCounts) -> Nodes:
    """How the nodes are called.

    In the plane they are many enough for any tolerance, unless a noiseless error jumps within a
    mini-batch.
    """
    fields = problem.student.width + problem.teacher.width
    if not _in_disc(problem, fields):
        return Nodes(f"{2**counts.log2_points} frozen Sobol points in the space of {fields} fields")
    if _on_lines(problem, fields):
        where = "lines in the plane of the two fields, cut where signs change"
        return Nodes(where, rough=False)
    sigma = problem.teacher.noise
    noiseless = checks.is_traced(sigma) or bool(np.any(np.asarray(sigma) == 0))
    return Nodes("equidistant nodes in the plane of the two fields", rough=noiseless)


def _on_lines(problem: Problem, fields: int) -> bool:
    """Whether averages over one sample in the plane jump on curves that meet nowhere else than at
    the origin.
    """
    if not _in_disc(problem, fields) or problem.batch_size > 1:
        return False
    student = problem.student.activation
    teacher = problem.teacher.activation
    if not _is_increasing(student):
        return False
    at_origin = _vanishes_at_zero_alone(student) and _vanishes_at_zero_alone(teacher)
    return at_origin or not problem.student.train_readout


@cache
def _is_increasing(activation: Activation) -> bool:
    """As far as one sees at a few hundred points."""
    with jax.ensure_compile_time_eval():
        slopes = np.asarray(activation.derivative(jnp.asarray(SOME_FIELDS)))
    return bool(np.all(slopes > 0))


@cache
def _vanishes_at_zero_alone(activation: Activation) -> bool:
    """And changes its sign there, as far as one sees at a few hundred points."""
    with jax.ensure_compile_time_eval():
        values = np.asarray(activation(jnp.asarray(SOME_FIELDS)))
    return bool(np.all(np.abs(np.sign(values) - np.sign(values[::-1])) == 2 * (SOME_FIELDS != 0)))


def _in_disc(problem: Problem, fields: int) -> bool:
    smooth = not (problem.student.activation.cuts or problem.teacher.activation.cuts)
    return fields == 2 and smooth


def _on_cut_lines(
    problem: Problem, C: Float[Array, "2 2"], v: Float[Array, "1"], lines: int
) -> Fields:
    """The fields on lines in the plane, cut where something changes its sign.

    With label noise sigma the sign of the error is smooth, but on a short range: cuts at 4 sigma
    hold that between them.
    """
    half = symmetric_root(C)
    u = jnp.concatenate([v, -jnp.asarray(problem.teacher.v_star)])
    along = half @ u
    length = jnp.sqrt(jnp.sum(along**2))
    along = jnp.where(length > 0, along * inverse(length), jnp.array([1.0, 0.0]))
    across = jnp.array([[0.0, -1.0], [1.0, 0.0]]) @ along
    distance, of_line = _distances(lines)
    offset = jnp.asarray(distance)[:, None] * (half @ across)[None, :]
    direction = half @ along

    def at(t: Float[Array, "lines nodes"]) -> Fields:
        h = offset[:, None, :] + t[:, :, None] * direction[None, None, :]
        return with_errors(problem, h.reshape(-1, 2), jnp.ones(()), v)

    def jumping(t: Float[Array, "lines nodes"]) -> Float[Array, "functions lines nodes"]:
        fields = at(t)
        band = 4 * problem.teacher.noise
        e = fields.e
        functions = [e - band, e, e + band]
        if problem.student.train_readout:
            functions.append(fields.hidden[:, 0])
        return jnp.stack(functions).reshape(-1, *t.shape)

    t, weights = cut_lines(jumping, len(distance), RADIUS)
    node_weights = jnp.asarray(of_line)[:, None] * weights
    return at(t)._replace(node_weights=node_weights.ravel())


def _distances(lines: int) -> tuple[Float[np.ndarray, " lines"], Float[np.ndarray, " lines"]]:
    """Gauss-Legendre nodes on four panels, of which two meet at the origin, with the density."""
    nodes, lengths = np.polynomial.legendre.leggauss(lines)
    quarter = RADIUS / 4
    middles = quarter * np.array([-3, -1, 1, 3])
    distance = (middles[:, None] + quarter * nodes[None, :]).ravel()
    density = np.exp(-(distance**2) / 2) / math.sqrt(2 * math.pi)
    return distance, np.tile(quarter * lengths, 4) * density


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
