"""Gaussian averages E[f_1(h_1) ... f_d(h_d)], d = 1 to 4, h ~ N(0, S), to ten digits, in plain
NumPy.

A second route to the numbers of `teacherstudent/averages`, which shares no code with it.  With h_1
= s_1 z_1 and the conditional means and deviations of the later fields,

    d = 1:  F_1(0)                                              F_i(m) = E[f_i(m + s_i z)]
    d = 2:  E[f_1(h_1) F_2(m_2(z_1))]
    d = 3:  E[f_1(h_1) f_2(h_2) F_3(m_3(z_1, z_2))]
    d = 4:  the mean over z_1 of such averages, of fields with means; seconds, and for correlations
    of up to 0.9

The last F is a function of one variable and is tabulated by Chebyshev polynomials on panels.  Every
integral is one of composite Gauss-Legendre panels on [-R, R].  Functions are smooth between their
`breaks`; panels end there, and at a few distances s from the points where a smoothed function meets
a break, s the width of the smoothing.  The outer axis is also cut where the lines on which two of
the inner functions meet their breaks cross.  `average` takes more nodes until two values agree, and
raises `NotConverged` where they do not.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

RADIUS = 9.5
STEPS = np.linspace(-RADIUS, RADIUS, 9)
GRADES = np.array([-6.5, -2.5, 0.0, 2.5, 6.5])  # in widths of a smoothed step
TABLE_NODES = 24
NODES = (10, 14, 20)
NODES_OF_FOUR = (7, 9, 12)
SAME = 1e-13  # 1 - correlation^2 of fields that are one field
DISTANCES = (0.8, 1.8, 3.3, 6.0, 12.0, 24.0)
GRID = (*(-x for x in reversed(DISTANCES)), 0.0, *DISTANCES)


class NotConverged(ArithmeticError):
    """Two resolutions of an integral disagree."""


class Function(NamedTuple):
    """A function of one field, its breaks, and where panels should end for it to be well
    resolved.
    """

    value: Callable[[np.ndarray], np.ndarray]
    breaks: tuple[float, ...] = ()
    grid: tuple[float, ...] = GRID

    @property
    def cuts(self) -> np.ndarray:
        return np.array(sorted({*self.breaks, *self.grid}))


def product(functions: Sequence[Function], scales: Sequence[float]) -> Function:
    """The product of f_i(scale_i h) as a function of h."""
    breaks = {c / a for f, a in zip(functions, scales, strict=True) for c in f.breaks}
    grid = {c / a for f, a in zip(functions, scales, strict=True) for c in f.grid}

    def value(h):
        result = np.ones_like(h)
        for f, a in zip(functions, scales, strict=True):
            result = result * f.value(a * h)
        return result

    return Function(value, tuple(sorted(breaks)), tuple(sorted(grid)))


def average(S: np.ndarray, functions: Sequence[Function], accuracy: float = 1e-10) -> float:
    """E[f_1(h_1) ... f_d(h_d)] for h ~ N(0, S); S may be singular.

    Raises NotConverged where the two finest resolutions differ by more than `accuracy` relative to
    max(1, |value|).
    """
    constant, S, functions = distinct_fields(np.asarray(S, dtype=float), functions)
    if not functions:
        return constant
    fine = np.nan
    for nodes in NODES if len(functions) < 4 else NODES_OF_FOUR:
        rough, fine = fine, constant * _average(S, functions, nodes)
        if abs(fine - rough) <= accuracy * max(1.0, abs(fine)):
            return fine
    raise NotConverged(f"{rough!r} and {fine!r} for S = {S.tolist()}")


def shifted_average(mean: float, variance: float, function: Function) -> float:
    """E[f(mean + sqrt(variance) z)]."""
    return float(smoothed(function, np.sqrt(max(variance, 0.0)), np.array([mean]), NODES[-1])[0])


def distinct_fields(
    S: np.ndarray, functions: Sequence[Function]
) -> tuple[float, np.ndarray, list[Function]]:
    """A factor, and the covariance and functions of the fields that remain when equal and constant
    ones are merged.
    """
    constant, groups = 1.0, []
    for i, function in enumerate(functions):
        if S[i, i] == 0:
            constant *= float(function.value(np.zeros(1))[0])
            continue
        for group in groups:
            first = group[0]
            if S[i, i] * S[first, first] - S[i, first] ** 2 <= SAME * S[i, i] * S[first, first]:
                group.append(i)
                break
        else:
            groups.append([i])
    kept = [group[0] for group in groups]
    merged = [
        product(
            [functions[i] for i in group], [S[i, group[0]] / S[group[0], group[0]] for i in group]
        )
        if len(group) > 1
        else functions[group[0]]
        for group in groups
    ]
    return constant, S[np.ix_(kept, kept)], merged


def _average(S: np.ndarray, functions: list[Function], nodes: int) -> float:
    L = triangle(S)
    first = functions[0]
    if len(functions) == 1:
        return float(smoothed(first, L[0, 0], np.zeros(1), nodes)[0])
    if len(functions) == 2:
        return _plane(L, functions, nodes)
    if len(functions) == 3:
        return _space(L, functions, nodes)
    if len(functions) == 4:
        return _four(L, functions, nodes)
    raise ValueError(f"{len(functions)} distinct fields; give at most four.")


def _plane(L: np.ndarray, functions: list[Function], nodes: int) -> float:
    first, second = functions
    cuts = np.concatenate([STEPS, first.cuts / L[0, 0], crossings(second, L[1, 0], L[1, 1])])
    z, weights = panels(cuts, nodes)
    return float(
        weights @ (first.value(L[0, 0] * z) * smoothed(second, L[1, 1], L[1, 0] * z, nodes))
    )


def _space(L: np.ndarray, functions: list[Function], nodes: int) -> float:
    F = Table(functions[2], L[2, 2], np.hypot(*L[2, :2]))
    return float(_with_table(L, np.zeros((1, 3)), functions[:2], F, nodes)[0])


def _four(L: np.ndarray, functions: list[Function], nodes: int) -> float:
    """The mean over the first axis of averages of three fields with means L_i1 z."""
    F = Table(functions[3], L[3, 3], np.sqrt(np.sum(L[3, :3] ** 2)))
    z, weights = panels(np.concatenate([STEPS, functions[0].cuts / L[0, 0]]), nodes)
    kept = weights > 1e-14
    z, weights = z[kept], weights[kept]
    rest = _with_table(L[1:, 1:], z[:, None] * L[1:, 0], functions[1:3], F, nodes)
    return float(weights @ (functions[0].value(L[0, 0] * z) * rest))


def _with_table(
    L: np.ndarray, means: np.ndarray, functions: list[Function], F: "Table", nodes: int
) -> np.ndarray:
    """E[f_1(h_1) f_2(h_2) F(m_3)] for h = means + L z, one for each row of means; F is averaged
    over the third axis.
    """
    first, second = functions
    a, b, s = L[2]
    along = a - b * L[1, 0] / L[1, 1]  # how F's argument changes on a line h_2 = const
    results = []
    for m1, m2, m3 in means:
        corners = [
            (c3 - m3 - b * (c2 - m2) / L[1, 1] + s * GRADES) / along
            for c2 in second.breaks
            for c3 in F.function.breaks
            if abs(along) > 1e-14
        ]
        cuts = [
            STEPS,
            (first.cuts - m1) / L[0, 0],
            crossings(second, L[1, 0], L[1, 1], m2),
            crossings(F.function, a, np.hypot(b, s), m3),
        ]
        z, weights = panels(np.concatenate([*cuts, *corners]), nodes)
        kept = weights > 1e-24
        z, weights = z[kept], weights[kept]
        outer = weights * first.value(m1 + L[0, 0] * z)
        total = 0.0
        for some in np.array_split(np.arange(len(z)), max(1, len(z) // 256)):
            inner = _inner(second, m2 + L[1, 0] * z[some], L[1, 1], F, m3 + a * z[some], b, nodes)
            total += outer[some] @ inner
        results.append(total)
    return np.array(results)


def _inner(
    f: Function, shift: np.ndarray, scale: float, F: "Table", base: np.ndarray, b: float, nodes: int
) -> np.ndarray:
    """E[f(shift + scale z) F(base + b z)] for each shift and base."""
    cuts = [np.broadcast_to(STEPS, (len(shift), len(STEPS))), (f.cuts - shift[:, None]) / scale]
    if abs(b) > 1e-14:
        cuts.append((F.cuts - base[:, None]) / b)
    left, right, rows = row_panels(np.concatenate(cuts, axis=1))
    t, w = legendre(nodes)
    half = (right - left) / 2
    z = (left + right)[:, None] / 2 + half[:, None] * t
    values = f.value(shift[rows][:, None] + scale * z) * F(base[rows][:, None] + b * z) * density(z)
    return np.bincount(rows, half * (values @ w), minlength=len(shift))


class Table:
    """F(m) = E[f(m + s z)] on |m| <= R deviation, by Chebyshev polynomials on panels; f itself
    where s = 0.
    """

    def __init__(self, function: Function, s: float, deviation: float):
        self.function, self.s = function, s
        breaks = np.asarray(function.breaks)
        self.cuts = np.sort(np.concatenate([function.cuts, (breaks[:, None] + s * GRADES).ravel()]))
        if s == 0:
            return
        reach = 1.0001 * RADIUS * deviation * np.sqrt(2)
        inside = self.cuts[np.abs(self.cuts) < reach]
        steps = np.linspace(-reach, reach, 9)
        self.edges = np.unique(np.concatenate([steps, inside]))
        t = np.cos(np.pi * (np.arange(TABLE_NODES) + 0.5) / TABLE_NODES)
        left, right = self.edges[:-1, None], self.edges[1:, None]
        m = (left + right) / 2 + (right - left) / 2 * t
        values = smoothed(function, s, m.ravel(), 16).reshape(m.shape)
        basis = np.cos(np.outer(np.arange(TABLE_NODES), np.arccos(t)))
        self.coefficients = 2 / TABLE_NODES * values @ basis.T
        self.coefficients[:, 0] /= 2

    def __call__(self, m: np.ndarray) -> np.ndarray:
        if self.s == 0:
            return self.function.value(m)
        flat = m.ravel()
        panel = np.searchsorted(self.edges[1:-1], flat)
        result = np.empty_like(flat)
        for n in range(len(self.edges) - 1):
            here = np.flatnonzero(panel == n)
            if len(here):
                left, right = self.edges[n], self.edges[n + 1]
                x = (2 * flat[here] - left - right) / (right - left)
                result[here] = clenshaw(self.coefficients[n], x)
        return result.reshape(m.shape)


def clenshaw(c: np.ndarray, x: np.ndarray) -> np.ndarray:
    """sum_n c_n T_n(x), without the last terms that are at rounding."""
    large = np.flatnonzero(np.abs(c) > 1e-16 * np.abs(c).max())
    c = c[: large[-1] + 1] if len(large) else c[:1]
    b1 = np.zeros_like(x)
    b2 = np.zeros_like(x)
    twice = 2 * x
    for coefficient in c[:0:-1]:
        b1, b2 = coefficient + twice * b1 - b2, b1
    return c[0] + x * b1 - b2


def smoothed(function: Function, s: float, m: np.ndarray, nodes: int) -> np.ndarray:
    """E[f(m + s z)] at each m."""
    if s == 0:
        return function.value(m)
    own = (function.cuts - m[:, None]) / s
    cuts = np.concatenate([np.broadcast_to(STEPS, (len(m), len(STEPS))), own], axis=1)
    left, right, rows = row_panels(cuts)
    t, w = legendre(nodes)
    half = (right - left) / 2
    z = (left + right)[:, None] / 2 + half[:, None] * t
    values = function.value(m[rows][:, None] + s * z) * density(z)
    return np.bincount(rows, half * (values @ w), minlength=len(m))


def crossings(function: Function, slope: float, width: float, mean: float = 0.0) -> np.ndarray:
    """z where mean + slope z meets the cuts of a function, and a few widths beside its breaks."""
    if abs(slope) < 1e-14 * max(width, 1e-300) or slope == 0:
        return np.zeros(0)
    breaks = np.asarray(function.breaks)
    return (
        np.concatenate([function.cuts, (breaks[:, None] + width * GRADES).ravel()]) - mean
    ) / slope


def panels(cuts: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes on the panels between cuts, and weights with the normal density."""
    edges = np.unique(np.clip(cuts, -RADIUS, RADIUS))
    t, w = legendre(nodes)
    half = np.diff(edges)[:, None] / 2
    z = ((edges[1:] + edges[:-1])[:, None] / 2 + half * t).ravel()
    return z, (half * w).ravel() * density(z)


def row_panels(cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left and right ends of the panels of each row that are not empty, and their rows."""
    edges = np.sort(np.clip(cuts, -RADIUS, RADIUS), axis=1)
    rows, columns = np.nonzero(np.diff(edges, axis=1) > 0)
    return edges[rows, columns], edges[rows, columns + 1], rows


def density(z: np.ndarray) -> np.ndarray:
    """The standard normal density."""
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def triangle(S: np.ndarray) -> np.ndarray:
    """The lower triangular L with L L^T = S; a last conditional variance at rounding is zero."""
    L = np.zeros_like(S)
    for i in range(len(S)):
        for j in range(i):
            rest = S[i, j] - L[i, :j] @ L[j, :j]
            L[i, j] = rest / L[j, j] if L[j, j] > 0 else 0.0
        variance = S[i, i] - L[i, :i] @ L[i, :i]
        L[i, i] = np.sqrt(variance) if variance > SAME * S[i, i] else 0.0
    return L


@cache
def legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(nodes)
