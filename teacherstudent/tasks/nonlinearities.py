"""Nonlinearities f of the features x_i = f(s_i), s_i ~ N(0, 1), and the averages that describe
them.

    a = E f(s),   b = E[s f(s)],   c = E f(s)^2,   zeta = c - a^2 - b^2
    moment(q) = E[f(s) f(s')]   for a correlation q = E[s s']

To add a nonlinearity: one entry in `NONLINEARITIES`; its averages are by quadrature unless
`CLOSED_FORMS` has them.  Goldt, Mezard, Krzakala & Zdeborova, Phys. Rev. X 10, 041044 (2020), eq.
(5) to (8).
"""

import math
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.activations.activation import ACTIVATIONS, Activation, as_function
from teacherstudent.checking import checks

# The quadrature over a standard normal number: its range, and its nodes on each smooth piece.
RADIUS = 9.0
NODES = 240
# Terms of the Hermite series of moment(q).
TERMS = 80
# Estimated error of a quadrature beyond which a nonlinearity is refused.
ALLOWED = 1e-9

NONLINEARITIES = ACTIVATIONS


class Coefficients(NamedTuple):
    """a = E f, b = E[s f], c = E f^2 over s ~ N(0, 1)."""

    a: float
    b: float
    c: float

    @property
    def zeta(self) -> float:
        """The variance of f that is not linear in s: c - a^2 - b^2."""
        return max(self.c - self.a**2 - self.b**2, 0.0)


def _relu_moment(q: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """(s + (pi - t) q) / (2 pi) with q = cos t and s = sin t."""
    s = np.sqrt(np.clip(1 - q**2, 0, None))
    t = np.arccos(q)
    return (s + (math.pi - t) * q) / (2 * math.pi)


CLOSED_FORMS: dict[Activation, tuple[Coefficients, Callable]] = {
    NONLINEARITIES["sign"]: (
        Coefficients(0.0, math.sqrt(2 / math.pi), 1.0),
        lambda q: 2 / math.pi * np.arcsin(q),
    ),
    NONLINEARITIES["erf"]: (
        Coefficients(0.0, 1 / math.sqrt(math.pi), 1 / 3),
        lambda q: 2 / math.pi * np.arcsin(q / 2),
    ),
    NONLINEARITIES["linear"]: (Coefficients(0.0, 1.0, 1.0), lambda q: q),
    NONLINEARITIES["relu"]: (Coefficients(1 / math.sqrt(2 * math.pi), 0.5, 0.5), _relu_moment),
}


def as_nonlinearity(given, argument: str = "task.nonlinearity") -> Activation:
    """The nonlinearity meant by a name, polynomial coefficients, or an elementwise JAX function.

    Raises ValueError for an unknown name, for what is not elementwise, and for a function that is
    too rough to be averaged.
    """
    if isinstance(given, str) and given in NONLINEARITIES:
        return NONLINEARITIES[given]
    if isinstance(given, Activation) and NONLINEARITIES.get(given.name, given) != given:
        raise ValueError(
            f"{argument}: Activation({checks.shortened(given.name)}, ...) would be mistaken for "
            "ours; give it another name."
        )
    if isinstance(given, str) and not given.startswith("function:"):
        near = get_close_matches(given, NONLINEARITIES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"{argument} = {checks.shortened(given)} is not a known nonlinearity; known are "
            f"{', '.join(NONLINEARITIES)}, a list of polynomial coefficients, or an elementwise "
            f"JAX function.{hint}"
        )
    return as_function(given, argument)


@cache
def coefficients(f: Activation) -> Coefficients:
    """a, b and c: closed forms where `CLOSED_FORMS` has them, quadrature otherwise.

    Raises ValueError if the quadrature does not converge, as for a step that is too narrow to be
    found.
    """
    if f in CLOSED_FORMS:
        return CLOSED_FORMS[f][0]
    return _by_quadrature(f)


def _by_quadrature(f: Activation) -> Coefficients:
    fine = _integrals(f, NODES, RADIUS)
    coarse = _integrals(f, NODES * 3 // 4, RADIUS - 1)
    error = max(abs(x - y) for x, y in zip(fine, coarse, strict=True))
    if not error < ALLOWED * max(1.0, fine.c):
        raise ValueError(
            f"task.nonlinearity {f.name}: its averages over a normal number are uncertain by "
            f"{error:.1g}; if it differs on a very short interval, name its ends: "
            "ts.Activation(name, function, kinks=(0.5, 0.5001)); it must grow slower than "
            "exp(s^2 / 4)."
        )
    return fine


def moment(f: Activation, q: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """E[f(s) f(s')] for unit normal s, s' with correlation q, |q| <= 1.

    Without a closed form, by 80 terms of the Hermite series sum_n (E[f He_n])^2 q^n / n!, and c
    exactly where q = 1; `moment_error` bounds what the other terms hold.
    """
    if f in CLOSED_FORMS:
        return CLOSED_FORMS[f][1](np.clip(q, -1, 1))
    series = np.polynomial.polynomial.polyval(q, _hermite(f, TERMS, NODES) ** 2)
    return np.where(q >= 1 - 1e-12, coefficients(f).c, series)


def moment_error(f: Activation, largest: float) -> float:
    """A bound on the error of `moment` for |q| <= largest < 1.

    The terms left out are not negative, and sum to c at q = 1.
    """
    if f in CLOSED_FORMS:
        return 0.0
    left_out = coefficients(f).c - np.sum(_hermite(f, TERMS, NODES) ** 2)
    return float(max(left_out, 0.0) * largest**TERMS)


def hermite_expansion(f: Activation, orders: int) -> Float[np.ndarray, " orders"]:
    """E[f(s) He_n(s)] over s ~ N(0, 1) for n = 0..orders-1, He_n the probabilists' Hermite
    polynomials.
    """
    factorials = [float(math.factorial(n)) for n in range(orders)]
    return _hermite(f, orders, NODES) * np.sqrt(factorials)


def _hermite(f: Activation, terms: int, nodes: int) -> Float[np.ndarray, " terms"]:
    """E[f(s) He_n(s)] / sqrt(n!) for n = 0..terms-1, with He_n the probabilists' Hermite
    polynomials.
    """
    s, weights = normal_rule(f.cuts, nodes)
    values = _values(f, s) * weights
    basis = [np.ones_like(s), s]
    for n in range(1, terms - 1):
        # He_(n+1) = s He_n - n He_(n-1), each over the root of its factorial.
        following = s * basis[n] - math.sqrt(n) * basis[n - 1]
        basis.append(following / math.sqrt(n + 1))
    return np.stack(basis[:terms]) @ values


def _integrals(f: Activation, nodes: int, radius: float) -> Coefficients:
    s, weights = normal_rule(f.cuts, nodes, radius)
    values = _values(f, s)
    a = weights @ values
    b = weights @ (s * values)
    c = weights @ values**2
    return Coefficients(float(a), float(b), float(c))


def _values(f: Activation, s: Float[np.ndarray, " nodes"]) -> Float[np.ndarray, " nodes"]:
    with jax.enable_x64(True):
        return np.asarray(f(jnp.asarray(s)))


def normal_rule(
    kinks: tuple[float, ...], nodes: int, radius: float = RADIUS
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes between the kinks in [-radius, radius], weighted with the normal
    density.
    """
    ends = [-radius, *sorted(kink for kink in kinks if abs(kink) < radius), radius]
    t, w = np.polynomial.legendre.leggauss(nodes)
    pieces = []
    lengths = []
    for left, right in zip(ends[:-1], ends[1:], strict=True):
        middle = (left + right) / 2
        half = (right - left) / 2
        pieces.append(middle + half * t)
        lengths.append(half * w)
    s = np.concatenate(pieces)
    weights = np.concatenate(lengths)
    return s, weights * np.exp(-(s**2) / 2) / math.sqrt(2 * math.pi)
