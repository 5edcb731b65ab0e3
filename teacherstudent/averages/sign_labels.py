"""Averages over one output field and the sign of another: a perceptron that learns a perceptron.

The student's output phi and the teacher's field u are jointly normal without means,

    q = E phi^2,   r = E phi u,   t = E u^2,   rho = r / sqrt(q t)

and the student is told y = sign u, or its opposite with probability p; c = 1 - 2 p.  An update
takes the slope f = l'(phi, y) of the loss, of which four averages matter:

    slope  = E[d f / d phi],   jump = E[d f / d u],   square = E[f^2],   loss = E[l]

Derivatives are those of distributions, so that by Stein's lemma E[f h] = Cov(h, phi) slope +
Cov(h, u) jump for every h jointly normal with phi and u.  Since f depends on u by its sign alone,

    jump = c E[f(phi, 1) - f(phi, -1) | u = 0] / sqrt(2 pi t),   phi | u = 0 ~ N(0, q (1 - rho^2)).

The probability of a told label given phi is 1/2 + (c / 2) erf(y phi rho / sqrt(2 q (1 - rho^2))).
It becomes steep as the student learns, and a loss such as the logistic one becomes steep where the
student is long, both at phi = 0: there the panels of the quadrature get shorter by factors of two.

Biehl, Riegler & Stechert, Phys. Rev. E 52, R4624 (1995); Opper & Kinzel, in Models of Neural
Networks III (1996).
"""

import math
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

RADIUS = 8.5  # standard deviations
PANELS = 26  # on each side of zero, each half as long as the next
NODES = 12  # of each panel
BESIDE = 1e-12  # a relative distance from a jump that stays on its side of it

Number = Float[Array, ""]


class SignFields(NamedTuple):
    """The law of a student's output, of the field whose sign is the label, and of the flips.

    - `q`, `r`, `t`: E phi^2, E phi u and E u^2.
    - `kept`: c = 1 - 2 p, the mean of the told label times the true one.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> law = ts.SignFields(*map(jnp.array, (1.0, 0.0, 1.0, 0.8)))
    >>> round(float(law.told_error), 9)  # without correlation half of the labels are right
    0.5
    """

    q: Number
    r: Number
    t: Number
    kept: Number

    @property
    def rest(self) -> Number:
        """The standard deviation of phi at u = 0, sqrt(q - r^2 / t)."""
        return _root(self.q - self.r**2 * _inverse(self.t))

    @property
    def correlation(self) -> Number:
        """rho = r / sqrt(q t); 0 where one of the fields has no length."""
        return self.r * _inverse(_root(self.q)) * _inverse(_root(self.t))

    @property
    def sine(self) -> Number:
        """sqrt(1 - rho^2), which keeps its digits where the two fields are nearly one."""
        return self.rest * _inverse(_root(self.q))

    @property
    def error(self) -> Number:
        """P(phi u < 0) = arccos(rho) / pi; 1/2 for an output that is zero."""
        moves = self.q > 0
        sine = jnp.where(moves, self.sine, 1.0)
        return jnp.arctan2(sine, self.correlation) / math.pi

    @property
    def told_error(self) -> Number:
        """The same of the labels that the student is told, (1 - c) / 2 + c arccos(rho) / pi."""
        return (1 - self.kept) / 2 + self.kept * self.error

    def of_jump(self, difference: Number | float) -> Number:
        """E[d f / d u] from the mean of f(phi, 1) - f(phi, -1) at u = 0."""
        return self.kept * difference * _inverse(_root(2 * math.pi * self.t))


class SignAverages(NamedTuple):
    """What an update takes of one output field and the sign of another.

    - `slope`, `jump`: E[d f / d phi] and E[d f / d u] of the loss's slope f.
    - `square`: E[f^2].
    - `loss`: E[l].

    Those of the loss -y phi, whose slope is -y, at q = t = 1, r = 0:

    >>> import math
    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> jump = jnp.array(-math.sqrt(2 / math.pi))
    >>> averages = ts.SignAverages(jnp.zeros(()), jump, jnp.ones(()), jnp.zeros(()))
    >>> float(averages.square)
    1.0
    """

    slope: Number
    jump: Number
    square: Number
    loss: Number


def by_quadrature(loss: Any, law: SignFields) -> SignAverages:
    """The averages of any loss whose slope bends and jumps at the margins that it names alone.

    `loss` is a `ts.Loss` with `margins`.
    """
    slope = square = value = jnp.zeros_like(law.q)
    deviation = _root(law.q)
    steepness = law.correlation * _inverse(law.sine) / math.sqrt(2)
    for label in (1.0, -1.0):
        cuts = [label * margin for margin in loss.margins]
        z, weights = _nodes(deviation, cuts)
        phi = deviation * z
        weights = weights * _probability(law, label * z * steepness)
        y = jnp.full_like(phi, label)
        f, bend = jax.jvp(lambda phi, y=y: loss.slope(phi, y), (phi,), (jnp.ones_like(phi),))
        slope += weights @ bend + _from_jumps(loss, law, label, steepness)
        square += weights @ f**2
        value += weights @ loss.value(phi, y)
    return SignAverages(slope, law.of_jump(_difference(loss, law)), square, value)


def _probability(law: SignFields, argument: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """P(told label | phi)."""
    return 0.5 + 0.5 * law.kept * jax.scipy.special.erf(argument)


def _from_jumps(loss: Any, law: SignFields, label: float, steepness: Number) -> Number:
    """What the jumps of f add to E[d f / d phi] with one told label: heights times densities."""
    total = jnp.zeros_like(law.q)
    y = jnp.full_like(law.q, label)
    deviation = _root(law.q)
    for margin in loss.margins:
        at = label * margin
        beside = BESIDE * max(1.0, abs(at))
        height = loss.slope(jnp.full_like(y, at + beside), y) - loss.slope(
            jnp.full_like(y, at - beside), y
        )
        z = at * _inverse(deviation)
        density = jnp.exp(-(z**2) / 2) * _inverse(deviation) / math.sqrt(2 * math.pi)
        total += height * density * _probability(law, label * z * steepness)
    return total


def _difference(loss: Any, law: SignFields) -> Number:
    """E[f(phi, 1) - f(phi, -1) | u = 0]."""
    cuts = [sign * margin for margin in loss.margins for sign in (1, -1)]
    z, weights = _nodes(law.rest, cuts)
    phi = law.rest * z
    y = jnp.ones_like(phi)
    return weights @ (loss.slope(phi, y) - loss.slope(phi, -y))


def _nodes(
    deviation: Number, cuts: list[float]
) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """Gauss-Legendre nodes for N(0, 1) on panels that shrink towards zero and end at the cuts."""
    edges = jnp.asarray(_edges())
    for cut in cuts:
        scaled = jnp.where(cut == 0.0, 0.0, cut * _inverse(deviation))
        edges = jnp.append(edges, jnp.clip(scaled, -RADIUS, RADIUS))
    edges = jnp.sort(edges)
    points, lengths = np.polynomial.legendre.leggauss(NODES)
    half = jnp.diff(edges)[:, None] / 2
    z = edges[:-1, None] + half * (1 + jnp.asarray(points)[None, :])
    density = jnp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return z.ravel(), (half * jnp.asarray(lengths)[None, :] * density).ravel()


@cache
def _edges() -> Float[np.ndarray, " edges"]:
    """The ends of the panels, but for cuts."""
    right = RADIUS * 0.5 ** np.arange(PANELS)[::-1]
    return np.concatenate([-right[::-1], [0.0], right])


def _root(x: Number) -> Number:
    """The square root, 0 with derivative 0 where x is not positive."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def _inverse(x: Number) -> Number:
    """1 / x, and 0 where x is."""
    present = x > 0
    return jnp.where(present, 1 / jnp.where(present, x, 1.0), 0.0)
