"""What nobody can beat: the smallest error and square loss where the law of the inputs and all
directions u_a are known.

With s_a = u_a . x / sqrt N the fields along the directions, and q_+(s), q_-(s) the joint densities
of class and fields, which integrate to the classes' probabilities,

    error = int min(q_+, q_-) ds
    loss = min_phi E (phi(x) - y)^2 / 2 = int 2 q_+ q_- / (q_+ + q_-) ds

the latter at phi = E[y | s].  Components whose variances orthogonal to the directions differ are
told apart by |x|^2 / N for N -> infinity, so that each value of the variance has its own integral
and they add up.

The densities are the literal ones, not the quadrature nodes of the theory: closed forms for the
named latents.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import scipy  # which loads special, interpolate, ... where they are first used
from jaxtyping import Float

from teacherstudent.averages.quasi_random import normals, uniform_points
from teacherstudent.checking import arguments
from teacherstudent.checking.contracts import for_each_class
from teacherstudent.extensions.own_classes import require_our_law
from teacherstudent.tasks import (
    BoxMixture,
    Components,
    GaussianMixture,
    MixedCumulant,
    SpikedCumulant,
    Task,
)
from teacherstudent.tasks.latents import Latent
from teacherstudent.tasks.mixed_cumulant import MEDIAN

Points = Float[np.ndarray, "points directions"]
Densities = Float[np.ndarray, "points 2"]  # q_+ and q_-

# How far a Gaussian is integrated, in standard deviations.
REACH = 9.0
# Gauss-Legendre nodes along each side of a cell.
NODES = 6
# By how much the parts of a cell may differ from the whole, and how often it is halved, by the
# dimension of s.
TOLERANCE = {1: 1e-14, 2: 1e-11, 3: 1e-8}
DEEPEST = {1: 50, 2: 16, 3: 6}
# Probability that the cells may miss.
MISSING = 1e-6
# Nodes along each side of a box, for the integral of a density.
BOX_NODES = 48
# Of the quasi-random points for three and more directions.
LOG2_POINTS = 17
# Points whose densities are computed at a time: more would fill the memory.
CHUNK = 2**18


class Law(NamedTuple):
    """Classes with one orthogonal variance: their joint densities, total probability, and points to
    part each axis of s at.
    """

    densities: Callable[[Points], Densities]
    probability: float
    breaks: list[np.ndarray]


@arguments.checked
def oracle_error(task: Task) -> float:
    """The Bayes error: the smallest probability of the wrong class over all functions of x, where
    the directions are known and N -> infinity.

        error = int min(q_+(s), q_-(s)) ds

    q_+- are the joint densities of class and fields s_a = u_a . x / sqrt N.  Accuracy: 1e-9 for one
    direction, 1e-7 for two, 1e-5 for a `BoxMixture` with densities in three.  For a
    `GaussianMixture` with three or more directions it is a mean over 2^17 frozen quasi-random
    points, good to a few 1e-5.

    Raises ValueError if the task has no classes, if a component has no density (a singular
    covariance), or if the densities are too narrow to be integrated.

    >>> import teacherstudent as ts
    >>> task = ts.GaussianMixture(weights=[0.5, 0.5], labels=[1, -1], means=[[1.0], [-1.0]])
    >>> round(ts.oracle_error(task), 6)  # the normal law's P(z > 1)
    0.158655
    """
    return _overlap(task, np.minimum)


@arguments.checked
def oracle_loss(task: Task) -> float:
    """The smallest square loss over all functions of x: what it tends to at best.

        loss = min_phi E (phi(x) - y)^2 / 2
             = (1 - E[E[y | s]^2]) / 2
             = int 2 q_+ q_- / (q_+ + q_-) ds

    q_+-, accuracy and what is raised are those of `oracle_error`.

    >>> import teacherstudent as ts
    >>> task = ts.GaussianMixture(weights=[0.5, 0.5], labels=[1, -1], means=[[0.0], [0.0]])
    >>> round(ts.oracle_loss(task), 6)  # classes that nothing tells apart
    0.5
    """
    return _overlap(task, _twice_harmonic)


def _twice_harmonic(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """2 q_+ q_- / (q_+ + q_-), zero where both are."""
    both = one + other
    divisor = np.where(both > 0, both, 1.0)
    return 2 * one * (other / divisor)


def _overlap(task, combine: Callable) -> float:
    """The integral of combine(q_+, q_-) over s, summed over the orthogonal variances."""
    if not task.HAS_CLASSES:
        raise ValueError(
            f"task is a {type(task).__name__}, which has no classes; give a task such as "
            "SpikedCumulant."
        )
    require_our_law(task)
    if type(task) is GaussianMixture and task.directions > 2:
        return sum(_by_points(law, combine) for law in _by_variance(task.law()))
    return sum(_by_cells(law, combine) for law in laws(task))


@for_each_class(
    strict=True,
    remedy="its densities are not known; register them (teacherstudent.observables.oracle.laws)",
)
def laws(task) -> list[Law]:
    """The law of s for each orthogonal variance; a new task with two classes registers its own."""
    raise ValueError(
        f"the densities of the task {type(task).__name__} are not known, so that the best "
        "classifier is not either; register them, "
        "@teacherstudent.observables.oracle.laws.register(...)."
    )


@laws.register
def laws_of_spike(task: SpikedCumulant) -> list[Law]:
    def densities(s: Points) -> Densities:
        along_spike = s[:, 0]
        spiked = spiked_density(task.latent, task.rho, along_spike)
        normal = _normal(along_spike)
        return _joint(task.class_prior, spiked, normal)

    breaks = _parted(_spiked_parts(task.latent, task.rho))
    return [Law(densities, 1.0, [breaks])]


@laws.register
def laws_of_two_spikes(task: MixedCumulant) -> list[Law]:
    spread = math.sqrt(1 + task.beta_u)

    def along_v_given_u(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        if task.coupling == "independent":
            return spiked_density(task.latent, task.rho_v, v)
        width = math.sqrt(1 - task.rho_v**2)
        above = _positive_given_field(task, u)
        positive = above * _normal(v, task.rho_v, width)
        negative = (1 - above) * _normal(v, -task.rho_v, width)
        return positive + negative

    def densities(s: Points) -> Densities:
        u, v = s.T
        spiked = _normal(u, 0.0, spread) * along_v_given_u(u, v)
        normal = _normal(u) * _normal(v)
        return _joint(task.class_prior, spiked, normal)

    breaks_of_u = _parted([(0.0, 1.0), (0.0, spread)])
    breaks_of_v = _parted(_spiked_parts(task.latent, task.rho_v))
    return [Law(densities, 1.0, [breaks_of_u, breaks_of_v])]


@laws.register
def laws_of_mixture(task: GaussianMixture) -> list[Law]:
    return [_gaussian(law) for law in _by_variance(task.law())]


@laws.register
def laws_of_boxes(task: BoxMixture) -> list[Law]:
    clusters = range(len(task.weights))
    scales = [_integral_on_box(task, cluster) for cluster in clusters]

    def densities(s: Points) -> Densities:
        joint = np.zeros((len(s), 2))
        for cluster in clusters:
            box = task.boxes[cluster]
            low, high = box.T
            within = (s >= low) & (s <= high)
            inside = within.all(axis=1)
            # A density of the user's own is asked only for points of its box.
            centre = box.mean(axis=1)
            points = np.where(inside[:, None], s, centre)
            values = task.density(cluster, points)
            values = task.weights[cluster] * values / scales[cluster]
            column = _column(task.labels[cluster])
            joint[:, column] += np.where(inside, values, 0.0)
        return joint

    breaks = [np.unique(task.boxes[:, side]) for side in range(task.directions)]
    return [Law(densities, 1.0, breaks)]


def _column(label: float) -> int:
    """Where the densities of a class are: those of y = +1 come first."""
    return int(label < 0)


def _joint(prior: float, positive: np.ndarray, negative: np.ndarray) -> Densities:
    """q_+ and q_- from the densities of s given the class."""
    q_plus = prior * positive
    q_minus = (1 - prior) * negative
    return np.stack([q_plus, q_minus], axis=1)


def _normal(s: np.ndarray, mean: float = 0.0, deviation: float = 1.0) -> np.ndarray:
    """exp(-z^2 / 2) / (sqrt(2 pi) deviation), z = (s - mean) / deviation."""
    z = (s - mean) / deviation
    norm = deviation * math.sqrt(2 * math.pi)
    return np.exp(-(z**2) / 2) / norm


def spiked_density(latent: Latent, rho: float, s: np.ndarray) -> np.ndarray:
    """The density of rho g + sqrt(1 - rho^2) z."""
    width = math.sqrt(1 - rho**2)
    if latent.continuous and rho > 1e-6:
        if latent.given == "uniform":
            return _with_uniform(rho, width, np.abs(s))
        return _with_laplace(rho, width, np.abs(s))
    densities = []
    for g, weight in zip(latent.nodes, latent.weights, strict=True):
        densities.append(weight * _normal(s, rho * g, width))
    return np.sum(densities, axis=0)


def _with_uniform(rho: float, width: float, s: np.ndarray) -> np.ndarray:
    """The density for s >= 0 where rho g is uniform on [-e, e], e = sqrt 3 rho.

    (Phi((e - s) / width) - Phi((-e - s) / width)) / (2 e)
    """
    end = math.sqrt(3) * rho
    below_upper_end = scipy.special.ndtr((end - s) / width)
    below_lower_end = scipy.special.ndtr((-end - s) / width)
    return (below_upper_end - below_lower_end) / (2 * end)


def _with_laplace(rho: float, width: float, s: np.ndarray) -> np.ndarray:
    """The density for s >= 0 where rho g has the density (d / 2) exp(-d |.|), d = sqrt 2 / rho: one
    Gaussian integral for each half line.

        (d / 4) exp(-s^2 / (2 width^2)) (erfcx(a_-) + erfcx(a_+))
        a_-+ = (d width -+ s / width) / sqrt 2
    """
    decay = math.sqrt(2) / rho
    z = s / width
    near = (decay * width - z) / math.sqrt(2)
    far = (decay * width + z) / math.sqrt(2)
    gauss = np.exp(-(z**2) / 2)
    # gauss erfcx(near) = tail erfc(near), and where near < 0 only the latter does not overflow.
    exponent = decay * (decay * width**2 / 2 - s)
    tail = np.exp(np.minimum(exponent, 0.0))
    right = gauss * scipy.special.erfcx(np.maximum(near, 0.0))
    left = tail * scipy.special.erfc(np.minimum(near, 0.0))
    same_side = np.where(near > 0, right, left)
    other_side = gauss * scipy.special.erfcx(far)
    return decay / 4 * (same_side + other_side)


def _positive_given_field(task: MixedCumulant, s_u: np.ndarray) -> np.ndarray:
    """P(nu = 1 | s_u) where nu is a function of lambda.

    Given s_u, lambda is normal with the mean sqrt(beta_u) s_u / (1 + beta_u) and the variance
    1 / (1 + beta_u).
    """
    spread = math.sqrt(1 + task.beta_u)
    mean = math.sqrt(task.beta_u) * s_u / spread  # over the standard deviation of lambda given s_u
    if task.coupling == "sign":
        return scipy.special.ndtr(mean)
    median = MEDIAN * spread
    above = scipy.special.ndtr(mean - median)
    below = scipy.special.ndtr(-mean - median)
    return above + below


def _spiked_parts(latent: Latent, rho: float) -> list[tuple[float, float]]:
    """Where along s the density of either class changes, and over which width."""
    width = math.sqrt(1 - rho**2)
    if latent.given == "laplace":
        return [(0.0, 1.0), (0.0, width), (-10 * rho, rho), (10 * rho, rho)]
    centres = latent.nodes
    if latent.given == "uniform":
        centres = (-math.sqrt(3), math.sqrt(3))
    return [(0.0, 1.0), *((rho * g, width) for g in centres)]


def _parted(parts: list[tuple[float, float]], finer: float = 1.0) -> np.ndarray:
    """Points every two widths, or `finer` times as many, within reach of each centre; those close
    to another left out.
    """
    count = 1 + math.ceil(REACH * finer)
    grid = np.linspace(-REACH, REACH, count)
    around = [centre + width * grid for centre, width in parts]
    points = np.sort(np.concatenate(around))
    narrowest = min(width for _, width in parts if width > 0)
    apart = narrowest / (2 * finer)
    kept = [points[0]]
    for point in points[1:-1]:
        if point - kept[-1] > apart:
            kept.append(point)
    return np.array([*kept, points[-1]])


def _by_variance(law: Components) -> list[Components]:
    """The components of each orthogonal variance."""
    present = np.asarray(law.p) > 0
    law = Components(*(np.asarray(part)[present] for part in law))
    order = np.argsort(law.sigma2)
    ordered = Components(*(part[order] for part in law))
    rises = np.diff(ordered.sigma2) > 1e-9 * ordered.sigma2[1:]
    steps = np.flatnonzero(rises) + 1
    parts = [np.split(part, steps) for part in ordered]
    return [Components(*of_one_variance) for of_one_variance in zip(*parts, strict=True)]


def _gaussian(law: Components) -> Law:
    """The law of Gaussian components with one orthogonal variance."""
    smallest = np.linalg.eigvalsh(law.S)[:, 0]
    if (smallest <= 1e-12 * np.abs(law.S).max()).any():
        raise ValueError(
            "the task has a component whose s has no density (a variance of zero along some "
            "direction); give positive variances, or describe it as a BoxMixture."
        )
    roots = np.linalg.cholesky(law.S)

    def densities(s: Points) -> Densities:
        joint = np.zeros((len(s), 2))
        for p, y, A, root in zip(law.p, law.y, law.A, roots, strict=True):
            # With S = L L^T: z = L^-1 (s - A), and sqrt(det S) is the product of L's diagonal.
            z = np.linalg.solve(root, (s - A).T)
            norm = np.prod(np.diag(root)) * (2 * math.pi) ** (len(A) / 2)
            scale = p / norm
            square = (z**2).sum(axis=0)
            joint[:, _column(y)] += scale * np.exp(-square / 2)
        return joint

    breaks = []
    for a in range(law.A.shape[1]):
        widths = np.sqrt(law.S[:, a, a])
        # A density that is narrow along a diagonal needs finer cells than its widths say.
        ratios = widths / np.sqrt(smallest)
        oblique = min(float(ratios.max()), 10.0)
        centres = law.A[:, a].tolist()
        parts = list(zip(centres, widths.tolist(), strict=True))
        breaks.append(_parted(parts, oblique))
    return Law(densities, float(law.p.sum()), breaks)


def _integral_on_box(task: BoxMixture, cluster: int) -> float:
    """The integral of a cluster's density over its box."""
    low, high = task.boxes[cluster].T
    sides = high - low
    points, weights = _gauss_legendre(BOX_NODES, task.directions)
    values = task.density(cluster, low + sides * points)
    volume = np.prod(sides)
    return float(volume * (weights @ values))


def _gauss_legendre(nodes: int, directions: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes (nodes^r, r) and weights on the unit cube."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    axis = (x + 1) / 2
    lengths = w / 2
    grid = np.meshgrid(*[axis] * directions, indexing="ij")
    factors = np.meshgrid(*[lengths] * directions, indexing="ij")
    points = np.stack(grid, axis=-1).reshape(-1, directions)
    weights = np.prod(factors, axis=0).ravel()
    return points, weights


def _by_cells(law: Law, combine: Callable) -> float:
    """The integral over s, on cells that are halved along every axis until their parts agree with
    the whole.
    """
    r = len(law.breaks)
    low = _all_of([points[:-1] for points in law.breaks])
    high = _all_of([points[1:] for points in law.breaks])
    # Of the 2^r parts of a cell, in units of its sides.
    corners = _all_of([np.array([0.0, 0.5])] * r)[:, None, :]
    whole = _on_cells(law, combine, low, high)
    total = np.zeros(2)
    for _ in range(DEEPEST[r]):
        side = high - low
        part_low = low + corners * side
        part_high = part_low + side / 2
        parts = _on_cells(law, combine, part_low.reshape(-1, r), part_high.reshape(-1, r))
        parts = parts.reshape(len(corners), -1, 2)
        together = parts.sum(axis=0)
        wrong = np.abs(together - whole) > TOLERANCE[r]
        rough = wrong.any(axis=1)
        total += together[~rough].sum(axis=0)
        low = part_low[:, rough].reshape(-1, r)
        high = part_high[:, rough].reshape(-1, r)
        whole = parts[:, rough].reshape(-1, 2)
        if not rough.any():
            break
    overlap, probability = total + whole.sum(axis=0)
    if abs(probability - law.probability) > MISSING:
        raise ValueError(
            f"the densities of s integrate to {probability:.8g} instead of {law.probability:.8g}: "
            "they are too narrow, or not smooth, for the cells of this integral."
        )
    return float(overlap)


def _all_of(axes: list[np.ndarray]) -> Float[np.ndarray, "cells directions"]:
    """All combinations of one number from each axis."""
    return np.array(list(product(*axes)))


def _on_cells(
    law: Law, combine: Callable, low: np.ndarray, high: np.ndarray
) -> Float[np.ndarray, "cells 2"]:
    """The integrals of combine(q_+, q_-) and of q_+ + q_- over each cell."""
    cells, directions = low.shape
    unit, weights = _gauss_legendre(NODES, directions)
    chunks = 1 + cells * len(unit) // CHUNK
    integrals = []
    for part in np.array_split(np.arange(cells), chunks):
        side = high[part] - low[part]
        s = low[part][:, None, :] + side[:, None, :] * unit
        densities = law.densities(s.reshape(-1, directions))
        q = densities.reshape(len(part), len(unit), 2)
        combined = combine(q[..., 0], q[..., 1])
        density = q.sum(axis=-1)
        values = np.stack([combined, density], axis=-1)
        volume = np.prod(side, axis=1)[:, None]
        integrals.append(np.einsum("n,cnf->cf", weights, values) * volume)
    return np.concatenate(integrals)


def _by_points(law: Components, combine: Callable) -> float:
    """The integral over s as a mean of combine(q_+, q_-) / (q_+ + q_-) over points that have the
    density q_+ + q_-.
    """
    uniform = uniform_points(law.A.shape[1] + 1, 2**LOG2_POINTS)
    cumulative = np.cumsum(law.p) / law.p.sum()
    component = np.searchsorted(cumulative, uniform[:, 0], side="right")
    component = np.minimum(component, len(cumulative) - 1)
    z = normals(uniform[:, 1:])
    # s = A + L z with S = L L^T.
    roots = np.linalg.cholesky(law.S)[component]
    s = law.A[component] + np.einsum("nab,nb->na", roots, z)
    gaussian = _gaussian(law)
    q = gaussian.densities(s)
    ratio = combine(q[:, 0], q[:, 1]) / q.sum(axis=1)
    return gaussian.probability * float(np.mean(ratio))
