"""Which resolution averages need, from integrals over one field.

What limits them is seen in one dimension: nodes at a distance d average g'(h)^2 g(h)^2 with an
error that shows in the difference between nodes at 0, d, 2d ... and those that are shifted; the
Hermite coefficients of g(mu + s x) say how many terms a correlation needs.  The field of largest
variance is the worst.  Several resolutions are tried, from coarse to fine, so that problems that
are alike get the same one, and with it the same compiled program.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.jumps import Jumps, jumps_of
from teacherstudent.averages.resolution import Resolution
from teacherstudent.averages.rule import hermite_polynomials

SPACINGS = (0.7, 0.6, 0.5, 0.42, 0.36, 0.3, 0.25, 0.21, 0.17, 0.14, 0.11, 0.085, 0.06, 0.045)
TERMS = (4, 8, 12, 16, 20, 26, 32, 40, 56, 80, 112, 160)
IN_PLANES = 2  # steps that pieces of a plane need beyond those of a line
PIECE_NODES = (8, 10, 12, 14, 16, 20, 24, 32, 48, 64)
FINEST_PIECE = 160
# A jump of one field and a kink of another have a series that falls off slowly.
TERMS_OF_JUMPS = 40
# Two fields that are still more correlated, given two others, are about to be one field: the rest
# of their series then cancels as the units do.
CORRELATION = 0.9
# Between the accuracy of a single average and that of the sum of many of them.
MARGIN = 0.3
FURTHEST = 14.0  # the largest radius that is tried, in deviations
OFFSETS = (0.0, 0.5, 0.27)  # of equidistant nodes, in their distances
SHIFTS = (0.0, 0.6, 1.3)  # of the mean of a field given others, in deviations


def resolution_for(
    activations: tuple[Activation, ...], variance: float, accuracy: float, finer: int = 0
) -> Resolution:
    """The coarsest resolution with averages of this accuracy for fields up to this variance.

    `finer` takes so many steps to finer ones.  Raises ValueError if an activation grows so fast
    that its averages do not exist or are out of reach.
    """
    variance = _rounded_up(variance)
    deviation = math.sqrt(variance)
    steps = [_steps(one, variance, accuracy) for one in activations]
    index = {part: max(step[part] for step in steps) + finer for part in steps[0]}
    radius = max(_radius(one, variance, accuracy) for one in activations)
    if any(one.singularities.jumps() for one in activations):
        index["terms"] = max(index["terms"], TERMS.index(TERMS_OF_JUMPS))
    terms = _entry(TERMS, index["terms"])
    return Resolution(
        spacing=_entry(SPACINGS, index["spacing"]),
        radius=radius,
        hidden_spacing=_entry(SPACINGS, index["hidden_spacing"]),
        hidden_radius=max(
            _hidden_radius(_smooth_part(one), deviation, terms, accuracy) for one in activations
        ),
        terms=terms,
        piece_nodes=_entry(PIECE_NODES, index["piece_nodes"] + IN_PLANES),
        log2_points=min(17, 14 + finer),
    )


def _entry(ladder: tuple, index: int):
    return ladder[min(index, len(ladder) - 1)]


def _rounded_up(variance: float) -> float:
    """A variance that problems with nearly the same one share: a power of the root of 2."""
    if not variance > 0:
        return 1e-3
    return 2.0 ** (math.ceil(2 * math.log2(variance) - 1e-9) / 2)


def _hidden_radius(series: Callable, deviation: float, terms: int, accuracy: float) -> float:
    """Beyond it, the normal density leaves nothing of the smooth part of g times a Hermite
    polynomial of the last order.

    he_n(x) exp(-x^2 / 4) is below 1, so that he_n(x) exp(-x^2 / 2) falls off as exp(-x^2 / 4), and
    at x^2 > 4 n faster.
    """
    digits = math.log(1 / accuracy)
    by_order = math.sqrt(2 * digits) + math.sqrt(2 * terms)
    for radius in np.arange(math.sqrt(2 * digits) + 0.3, FURTHEST, 0.25):
        x = np.array([radius, -radius])
        growth = max(np.max(np.abs(series(deviation * (x + shift)))) for shift in SHIFTS)
        if radius > by_order + math.sqrt(2 * math.log(1 + growth)):
            return float(radius)
        if growth * math.exp(-(radius**2) / 4) < accuracy:
            return float(radius)
    return FURTHEST


@lru_cache(maxsize=1024)
def _steps(activation: Activation, variance: float, accuracy: float) -> dict[str, int]:
    """The first entry of each ladder that is fine enough."""
    wanted = MARGIN * accuracy
    deviation = math.sqrt(variance)
    radius = _radius(activation, variance, accuracy)
    g, slope = _values_of(activation)
    series = _smooth_part(activation)

    def fourth(z):
        h = deviation * z
        return slope(h) ** 2 * g(h) ** 2

    first = {"spacing": 0}
    # A smooth activation beside one with kinks is integrated over pieces as well.
    cuts = np.asarray(activation.cuts or (0.0,)) / deviation
    first["piece_nodes"] = _first(
        PIECE_NODES, lambda nodes: _piece_error(fourth, nodes, cuts, radius), wanted
    )
    if not activation.cuts:
        first["spacing"] = _first(
            SPACINGS, lambda spacing: _shift_error(fourth, spacing, radius), wanted
        )
    coefficients = _coefficients(series, deviation)
    first["terms"] = _first(TERMS, lambda terms: _rest(coefficients, terms), wanted)
    terms = _entry(TERMS, first["terms"])
    edge = _hidden_radius(series, deviation, terms, accuracy)
    first["hidden_spacing"] = _first(
        SPACINGS, lambda spacing: _hidden_error(series, deviation, spacing, terms, edge), wanted
    )
    return first


def _first(ladder: tuple, error: Callable[[Any], float], wanted: float) -> int:
    for index, entry in enumerate(ladder):
        if error(entry) <= wanted:
            return index
    return len(ladder) - 1


def _shift_error(function: Callable, spacing: float, radius: float) -> float:
    """The largest difference between equidistant nodes and those that are shifted, relative to the
    average if that is above 1.
    """
    half = math.floor(radius / spacing) + 1
    z = spacing * np.arange(-half, half + 1)
    sums = []
    for offset in OFFSETS:
        nodes = z + offset * spacing
        sums.append(spacing * np.sum(function(nodes) * _density(nodes)))
    return (max(sums) - min(sums)) / max(1.0, abs(sums[0]))


def _density(z: np.ndarray) -> np.ndarray:
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _piece_error(function: Callable, nodes: int, cuts: np.ndarray, radius: float) -> float:
    """The error of Gauss-Legendre nodes on the pieces between cuts, relative to the average if that
    is above 1.
    """
    ends = np.concatenate([[-radius], np.sort(np.clip(cuts, -radius, radius)), [radius]])

    def average(count):
        t, weights = np.polynomial.legendre.leggauss(count)
        half = np.diff(ends)[:, None] / 2
        z = (ends[:-1, None] + half * (t + 1)[None, :]).ravel()
        return np.sum((half * weights[None, :]).ravel() * _density(z) * function(z))

    exact = average(FINEST_PIECE)
    return abs(average(nodes) - exact) / max(1.0, abs(exact))


def _coefficients(series: Callable, deviation: float) -> Float[np.ndarray, "terms shifts"]:
    """Many Hermite coefficients of g at a few means, those of the smooth part of g."""
    x = 0.05 * np.arange(-280, 281)
    polynomials = hermite_polynomials(x, TERMS[-1] + 40) * 0.05 * _density(x)[None, :]
    values = np.stack([series(deviation * (x + shift)) for shift in SHIFTS], axis=1)
    return polynomials @ values


def _rest(coefficients: Float[np.ndarray, "terms shifts"], terms: int) -> float:
    """What Mehler's series leaves out beyond so many terms, relative to the whole if that is above
    1.
    """
    squares = CORRELATION ** np.arange(len(coefficients)) @ coefficients**2
    n = np.arange(terms, len(coefficients))
    rest = CORRELATION**n @ coefficients[terms:] ** 2
    return float(np.max(rest / np.maximum(1.0, squares)))


def _hidden_error(
    series: Callable, deviation: float, spacing: float, terms: int, radius: float
) -> float:
    """The error of the coefficients at nodes of a distance, largest of all orders, relative to the
    largest if that is above 1.
    """
    half = math.floor(radius / spacing) + 1
    x = spacing * np.arange(-half, half + 1)
    sums = []
    for offset in OFFSETS:
        nodes = x + offset * spacing
        polynomials = hermite_polynomials(nodes, terms) * spacing * _density(nodes)[None, :]
        values = [series(deviation * (nodes + mean)) for mean in SHIFTS]
        sums.append(polynomials @ np.stack(values, axis=1))
    spread = np.max(sums, axis=0) - np.min(sums, axis=0)
    return float(np.max(spread) / max(1.0, np.max(np.abs(sums[0]))))


@lru_cache(maxsize=1024)
def _radius(activation: Activation, variance: float, accuracy: float) -> float:
    """Beyond which fields are so rare that nothing is missed, whatever the activation makes of
    them.

    Raises ValueError if there is no such radius.
    """
    g, slope = _values_of(activation)
    deviation = math.sqrt(variance)
    least = math.sqrt(2 * math.log(1 / accuracy)) + 0.3
    for radius in np.arange(least, FURTHEST, 0.25):
        z = np.linspace(-FURTHEST, FURTHEST, 2001)
        with np.errstate(all="ignore"):
            sizes = (1 + slope(deviation * z) ** 2) * (1 + g(deviation * z) ** 2) * _density(z)
            share = np.sum(sizes[np.abs(z) > radius]) / np.sum(sizes)
        if share < accuracy:
            return float(radius)
    raise ValueError(
        f"the activation {activation.name} grows so fast that its averages over fields of variance "
        f"{variance:.3g} cannot be had to {accuracy:.1g}: g'(h)^2 g(h)^2 is not negligible "
        f"{FURTHEST:g} standard deviations away, where exp(h^2 / (2 variance)) would have to be "
        "far larger; give a function that grows more slowly, or a smaller start."
    )


@lru_cache(maxsize=256)
def _values_of(activation: Activation) -> tuple[Callable, Callable]:
    """g and g' as functions of NumPy arrays."""
    return _outside(activation), _outside(activation.derivative)


@lru_cache(maxsize=256)
def _smooth_part(activation: Activation) -> Callable:
    """g without its jumps and kinks, as a function of NumPy arrays."""
    jumps: Jumps = jumps_of(activation, activation.cuts)
    return _outside(lambda h: activation(h) - jumps.singular_part(h))


def _outside(function: Callable) -> Callable:
    """A JAX function of one field, of NumPy arrays in float64, also while something is traced."""
    compiled = jax.jit(lambda x: jnp.asarray(function(x), jnp.float64))

    def evaluate(x: np.ndarray) -> np.ndarray:
        # Padded to few sizes: each needs a program of its own.
        size = 2 ** math.ceil(math.log2(max(x.size, 64)))
        padded = np.zeros(size)
        padded[: x.size] = x
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            return np.asarray(compiled(jnp.asarray(padded)))[: x.size]

    return evaluate
