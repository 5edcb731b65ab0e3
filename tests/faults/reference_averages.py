"""The averages of `teacherstudent/averages/base.py` and `field_space.py` by
`gaussian_integrals.py`, in plain NumPy.

An activation is given by its values, slopes and curvatures between its breaks, and by its jumps and
changes of slope there:

    g' = slope + sum_c jump_c delta(h - c),      g'' = curvature + sum_c kappa_c delta(h - c)

The delta functions are averages over the other field at h = c.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product as pairs

import numpy as np

from tests.faults import gaussian_integrals as integrals
from tests.faults.gaussian_integrals import GRID, Function

FINE = tuple(np.arange(-45.0, 45.1, 1.5))


@dataclass(frozen=True)
class Plain:
    """An activation in NumPy."""

    value: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    curvature: Callable[[np.ndarray], np.ndarray]
    jumps: Mapping[float, float] = field(default_factory=dict)
    slope_jumps: Mapping[float, float] = field(default_factory=dict)
    grid: tuple[float, ...] = GRID

    @property
    def breaks(self) -> tuple[float, ...]:
        return tuple(sorted({*self.jumps, *self.slope_jumps}))

    def part(self, name: str) -> Function:
        """The value, slope or curvature as a function of one field."""
        return Function(getattr(self, name), self.breaks, self.grid)


@dataclass(frozen=True)
class ReferenceAverages:
    """I2, J2, G2 and I4 for K students and M teachers."""

    student: Plain
    teacher: Plain
    students: int
    accuracy: float = 1e-10

    def I2(self, C: np.ndarray) -> np.ndarray:
        P = len(C)
        upper = {(a, b): self.mean(C, value=(a, b)) for a, b in pairs(range(P), repeat=2) if a <= b}
        return np.array([[upper[min(a, b), max(a, b)] for b in range(P)] for a in range(P)])

    def J2(self, C: np.ndarray) -> np.ndarray:
        return np.array([[self._J2(C, k, b) for b in range(len(C))] for k in range(self.students)])

    def G2(self, C: np.ndarray) -> np.ndarray:
        return np.array([[self._G2(C, k, c) for c in range(len(C))] for k in range(self.students)])

    def I4(self, C: np.ndarray, u: np.ndarray) -> np.ndarray:
        K, P = self.students, len(C)
        result = np.zeros((K, K))
        for k, l in pairs(range(K), repeat=2):
            for a, b in pairs(range(P), repeat=2):
                if k <= l and a <= b and u[a] * u[b] != 0:
                    result[k, l] += (
                        (1 + (a < b)) * u[a] * u[b] * self.mean(C, slope=(k, l), value=(a, b))
                    )
        return np.triu(result) + np.triu(result, 1).T

    def plain(self, a: int) -> Plain:
        """The activation of field a."""
        return self.student if a < self.students else self.teacher

    def mean(self, C: np.ndarray, **parts: tuple[int, ...]) -> float:
        """E[product of the parts at the given fields]."""
        factors: dict[int, list[Function]] = {}
        for name, fields in parts.items():
            for a in fields:
                factors.setdefault(a, []).append(self.plain(a).part(name))
        fields = sorted(factors)
        functions = [integrals.product(factors[a], [1.0] * len(factors[a])) for a in fields]
        return integrals.average(C[np.ix_(fields, fields)], functions, self.accuracy)

    def _J2(self, C: np.ndarray, k: int, b: int) -> float:
        regular = self.mean(C, slope=(k, b))
        slope = self.student.part("slope")
        return regular + sum(
            H * at_value(C, k, slope, b, c) for c, H in self.plain(b).jumps.items()
        )

    def _G2(self, C: np.ndarray, k: int, c: int) -> float:
        regular = self.mean(C, curvature=(k,), value=(c,))
        value = self.plain(c).part("value")
        return regular + sum(
            kappa * at_value(C, c, value, k, x) for x, kappa in self.student.slope_jumps.items()
        )


def at_value(C: np.ndarray, a: int, function: Function, b: int, c: float) -> float:
    """E[f(h_a) delta(h_b - c)]; f at a break of its own is the mean of both sides."""
    if C[b, b] == 0:
        return 0.0
    density = np.exp(-(c**2) / (2 * C[b, b])) / np.sqrt(2 * np.pi * C[b, b])
    mean, variance = C[a, b] / C[b, b] * c, C[a, a] - C[a, b] ** 2 / C[b, b]
    if variance > integrals.SAME * C[a, a]:
        return density * integrals.shifted_average(mean, variance, function)
    beside = mean + 1e-14 * max(1.0, abs(mean)) * np.array([-1.0, 1.0])
    return density * float(np.mean(function.value(beside)))
