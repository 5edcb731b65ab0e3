"""Hidden units given some of the fields: the mean and the variance of their weighted sum.

Given fields that were fixed, the others are Gaussian with means mu_a, variances s_a^2 and
correlations rho_ab that do not depend on where those were fixed.  With the Hermite coefficients
gamma_an of g_a(mu_a + s_a x) (`hermite_series.py`), Mehler's formula gives

    E[sum_a u_a g_a]   = sum_a u_a gamma_a0
    Var[sum_a u_a g_a] = sum_{n > 0} sum_ab u_a u_b rho_ab^n gamma_an gamma_bn.

The series falls off as fast as the gamma: exponentially for an analytic g, and where a student has
learnt a teacher its rest cancels as the two units do.  With kinks it falls off as n^(-5/2) only,
with jumps as n^(-3/2).
Then the terms a = b are Var[g_a], known without a series, and of the others

    R = sum_{n >= n_0} rho^n gamma_an gamma_bn

is added for kinks (h - x)_+ of both, of which the whole sum is known: its second derivative in rho
is s_a^2 s_b^2 times the density at the two kinks (Price's theorem),

    E[(h_a - x)_+ (h_b - y)_+] = I_a I_b + rho s_a s_b Phi(m_a) Phi(m_b)
                                 + s_a s_b int_0^rho (rho - r) e^{-q(r)} / (2 pi sqrt(1 - r^2)) dr
    q(r) = (m_a^2 - 2 r m_a m_b + m_b^2) / (2 (1 - r^2)),   m_a = (mu_a - x) / s_a,

and for jumps of both, P(h_a > x, h_b > y), whose first derivative in rho is s_a s_b times that
density.
"""

import math
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.hermite_series import (
    HermiteSeries,
    standardised,
    truncated_powers,
)
from teacherstudent.averages.jumps import Jumps, jumps_of
from teacherstudent.averages.rule import Rule

ANGLES = 20  # Gauss-Legendre nodes for the integral over the correlation


class HiddenUnit:
    """One activation, as its averages need it."""

    def __init__(self, activation: Activation, rule: Rule):
        jumps, jumps_of_square = _jumps(activation)
        self.activation = activation
        self.cuts = activation.cuts
        hidden = (rule.hidden, rule.hidden_polynomials)
        finer = (rule.hidden_line, rule.hidden_line_polynomials)
        mean = (rule.hidden, rule.hidden_polynomials[:1])
        slope = (rule.hidden_line, rule.hidden_line_polynomials[:1])
        self.series = HermiteSeries(activation, jumps, *hidden)
        self.square = HermiteSeries(self._squared, jumps_of_square, *mean)
        self.value = HermiteSeries(activation, jumps, *finer)
        self.slope = HermiteSeries(activation.derivative, jumps.of_derivative(), *slope)

    def _squared(self, h: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self.activation(h) ** 2


@lru_cache(maxsize=256)
def _jumps(activation: Activation) -> tuple[Jumps, Jumps]:
    """The jumps of g and of g^2."""
    of_function = jumps_of(activation, activation.cuts)
    return of_function, jumps_of(lambda x: activation(x) ** 2, activation.cuts)


class Group(NamedTuple):
    """Some fields, one after the other, with the same activation."""

    unit: HiddenUnit
    size: int


class Output(NamedTuple):
    """Mean and variance of a weighted sum of hidden units, at each node."""

    mean: Float[Array, " nodes"]
    variance: Float[Array, " nodes"]


def output_given(
    groups: tuple[Group, ...],
    mean: Float[Array, "fields nodes"],
    covariance: Float[Array, "fields fields"],
    u: Float[Array, " fields"],
    terms: Float[Array | np.ndarray, " terms"],
) -> Output:
    """Mean and variance of sum_a u_a g_a(h_a) for fields with means that depend on the node."""
    if not mean.shape[0]:
        nothing = jnp.zeros(mean.shape[1])
        return Output(nothing, nothing)
    deviation = safe_root(jnp.diag(covariance))
    correlation = _correlations(covariance, deviation)
    series = _by_group(groups, mean, deviation, lambda unit: unit.series)
    weights = u[:, None] * u[None, :]
    alone = np.zeros(len(u))
    for group, fields in _ranges(groups):
        alone[fields] = float(bool(group.unit.cuts))
    coupling = weights * (1 - np.diag(alone))
    powers = _powers(correlation, len(terms))[1:] * terms[1:, None, None]
    higher = series[1:]
    variance = jnp.sum(jnp.matmul(coupling[None] * powers, higher) * higher, axis=(0, 1))
    first = series[0]
    if alone.any():
        square = _by_group(groups, mean, deviation, lambda unit: unit.square)[0]
        variance += (u**2 * alone) @ (square - first**2)
        for order in (0, 1):
            variance += _beyond_series(groups, mean, deviation, correlation, u, terms, order)
    return Output(u @ first, variance)


def _powers(x: Float[Array, "*shape"], count: int) -> Float[Array, "count *shape"]:
    """1, x, x^2, ..."""
    ones = jnp.ones((1, *x.shape))
    return jnp.concatenate([ones, jnp.cumprod(jnp.broadcast_to(x, (count - 1, *x.shape)), axis=0)])


def _by_group(groups, mean, deviation, series_of) -> Float[Array, "terms fields nodes"]:
    parts = []
    for group, fields in _ranges(groups):
        series = series_of(group.unit)
        parts.append(series.coefficients(mean[fields], deviation[fields, None]))
    return jnp.concatenate(parts, axis=1)


def _ranges(groups: tuple[Group, ...]) -> list[tuple[Group, slice]]:
    ranges = []
    begin = 0
    for group in groups:
        if group.size:
            ranges.append((group, slice(begin, begin + group.size)))
        begin += group.size
    return ranges


def safe_root(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The square root, with derivative zero where x is zero."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def _correlations(covariance, deviation) -> Float[Array, "fields fields"]:
    product = deviation[:, None] * deviation[None, :]
    varies = product > 0
    correlation = jnp.where(varies, covariance / jnp.where(varies, product, 1.0), 0.0)
    return jnp.clip(correlation, -1.0, 1.0)


class Singular(NamedTuple):
    """The jumps, or the kinks, of all fields: which field, where, and how high."""

    field: list[int]
    point: list[float]
    height: list[float]


def _singular(groups: tuple[Group, ...], order: int) -> Singular:
    """The jumps (order 0) or kinks (order 1) of all fields."""
    found = Singular([], [], [])
    for group, fields in _ranges(groups):
        singularities = group.unit.activation.singularities
        points = (singularities.jumps, singularities.kinks)[order]()
        for field in range(fields.start, fields.stop):
            for point, height in points:
                found.field.append(field)
                found.point.append(point)
                found.height.append(height)
    return found


def _beyond_series(groups, mean, deviation, correlation, u, terms, order) -> Float[Array, " nodes"]:
    """What the series leaves out for the jumps, or for the kinks, of two fields."""
    found = _singular(groups, order)
    numbers = range(len(found.field))
    pairs = [(i, j) for i, j in combinations(numbers, 2) if found.field[i] != found.field[j]]
    if not pairs:
        return jnp.zeros(mean.shape[1])
    field = np.array(found.field)
    weight = u[field] * jnp.asarray(found.height)
    distance = mean[field] - jnp.asarray(found.point)[:, None]
    scale = deviation[field]
    first, second = np.array(pairs).T
    rho = correlation[field[first], field[second]]
    series = truncated_powers(distance, scale[:, None], (order,), jnp.ones(1), len(terms))
    powers = _powers(rho, len(terms)) * terms[:, None]
    known = jnp.einsum("tp,tpn,tpn->pn", powers, series[:, first], series[:, second])
    whole = _whole_series(distance, scale, rho, series, first, second, order)
    return 2 * (weight[first] * weight[second]) @ (whole - known)


def _whole_series(
    distance, scale, rho, series, first, second, order
) -> Float[Array, "pairs nodes"]:
    """E[(h_a)_+^p (h_b)_+^p] for pairs of fields with these means and deviations, p = 0 or 1."""
    m = standardised(distance, jnp.broadcast_to(scale[:, None], distance.shape))
    a, b = m[first], m[second]
    t, weights = np.polynomial.legendre.leggauss(ANGLES)
    angle = jnp.arcsin(jnp.clip(rho, -1.0, 1.0))
    # r = sin(theta), so that dr / sqrt(1 - r^2) = d theta.
    theta = angle[None, :] * jnp.asarray((t + 1) / 2)[:, None]
    r = jnp.sin(theta)
    q = (a - b)[None] ** 2 + 2 * (1 - r)[..., None] * (a * b)[None]
    density = jnp.exp(-q / (2 * jnp.cos(theta) ** 2)[..., None]) / (2 * math.pi)
    lengths = jnp.asarray(weights)[:, None] * angle[None, :] / 2
    uncorrelated = series[0, first] * series[0, second]
    if order == 0:
        return uncorrelated + jnp.sum(lengths[..., None] * density, axis=0)
    linear = rho[:, None] * series[1, first] * series[1, second]
    curved = jnp.sum((lengths * (rho[None, :] - r))[..., None] * density, axis=0)
    return uncorrelated + linear + (scale[first] * scale[second])[:, None] * curved
