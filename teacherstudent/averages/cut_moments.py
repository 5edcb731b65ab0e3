"""Moments of normal fields lambda ~ N(a, C), cut to where all fields of a set are positive, for all
sets S of up to four of K fields.

With P_n of `orthants.py`, delta_j the density of lambda_j at zero, and S the fields,

    P(S)    = P_n
    m_a(S)  = E[lambda_a theta(S)]           = a_a P(S) + sum_j C_aj delta_j P(S - j | lambda_j = 0)
    M_ab(S) = E[lambda_a lambda_b theta(S)]  = a_a m_b(S) + C_ab P(S)
                                           + sum_{j != b} C_aj delta_j m_b(S - j | lambda_j = 0)

by Stein's lemma (G. M. Tallis, J. R. Stat. Soc. B 23, 223 (1961)).  All probabilities of as many
fields are computed in one call, whatever is given: compiling takes as long for many as for few.

Fields that coincide with one set to zero are given tiny parts of their own, alike and with a
correlation of 1/2 among each other: of fields that differ by independent small amounts each is
equally often the smallest.
"""

from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from teacherstudent.averages.bivariate_normal import density
from teacherstudent.averages.orthants import FIXED, all_positive

FAR = 1e3  # the height of a field without variance, whose sign is certain
LARGEST = 4  # set
# How many probabilities of so many fields, which bounds the memory: four take 24 kB each.
AT_ONCE = {1: 2**14, 2: 2**14, 3: 2**12, 4: 2**8}

# Fields that are zero, and fields that are positive.
Event = tuple[tuple[int, ...], tuple[int, ...]]


class CutMoments(NamedTuple):
    """P(S), m(S) and M(S) of all sets of one size, in the order of `itertools.combinations`."""

    P: Float[Array, " sets"]
    m: Float[Array, "sets units"]
    M: Float[Array, "sets units units"]


class Law(NamedTuple):
    """The law of the fields, and the variances that are zero up to rounding."""

    mean: Float[Array, " fields"]
    C: Float[Array, "fields fields"]
    zero: Float[Array, " fields"]

    @property
    def deviation(self) -> Float[Array, " fields"]:
        """The standard deviations."""
        variance = jnp.diag(self.C)
        varies = variance > 0
        return jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1.0)), 0.0)

    def given_zero(self, j: Int[Array, ""]) -> "Law":
        """The law of the fields where field j is zero."""
        slope = _ratio(self.C[j], self.C[j, j])
        mean = self.mean - slope * self.mean[j]
        C = self.C - slope[:, None] * self.C[j][None, :]
        fixed = jnp.diag(C) <= self.zero
        C = jnp.where(fixed[:, None] | fixed[None, :], 0.0, C)
        own = jnp.where(fixed, 2 * jnp.sign(slope) * jnp.sqrt(self.zero), 0.0)
        shares = jnp.where(np.eye(len(mean), dtype=bool), 1.0, 0.5)
        return Law(mean, C + shares * own[:, None] * own[None, :], self.zero)

    def standardised(self) -> "Standardised":
        """What probabilities need of the law."""
        deviation = self.deviation
        varies = deviation > 0
        certain = FAR * jnp.sign(self.mean)
        height = jnp.where(varies, _ratio(self.mean, deviation), certain)
        return Standardised(
            self.mean,
            self.C,
            height,
            R=jnp.clip(_ratio(self.C, deviation[:, None] * deviation[None, :]), -1.0, 1.0),
            at_zero=_ratio(density(height), deviation),
        )


class Standardised(NamedTuple):
    """Laws of fields, one for each choice of fields that are zero.

    - `height`: means over standard deviations; +-1000 where a field does not vary.
    - `R`: correlations.
    - `at_zero`: delta; none where a field does not vary.
    """

    mean: Float[Array, "laws fields"]
    C: Float[Array, "laws fields fields"]
    height: Float[Array, "laws fields"]
    R: Float[Array, "laws fields fields"]
    at_zero: Float[Array, "laws fields"]


def cut_moments(
    mean: Float[Array, " fields"], C: Float[Array, "fields fields"]
) -> dict[int, CutMoments]:
    """The moments of all sets of one to four fields, by their size."""
    table = _Table(mean, C)
    sizes = range(1, min(len(mean), LARGEST) + 1)
    return {size: table.moments(size) for size in sizes}


class _Table:
    """The probabilities of all events that the moments of K fields need."""

    def __init__(self, mean: Float[Array, " fields"], C: Float[Array, "fields fields"]):
        self.fields = len(mean)
        self.laws = _laws(mean, C)
        self.position: dict[Event, int] = {}
        self.probability: dict[int, Float[Array, " events"]] = {0: jnp.ones(1, C.dtype)}
        for size in range(1, min(self.fields, LARGEST) + 1):
            events = self._events(size)
            self.position.update({event: n for n, event in enumerate(events)})
            self.probability[size] = self._probabilities(events)

    def _events(self, size: int) -> list[Event]:
        """All events with `size` positive fields, of LARGEST fields at most, two of them zero."""
        events = []
        for zeros in range(min(2, LARGEST - size) + 1):
            for zero in combinations(range(self.fields), zeros):
                others = [i for i in range(self.fields) if i not in zero]
                events += [(zero, positive) for positive in combinations(others, size)]
        return events

    def _law(self, zero: tuple[int, ...]) -> int:
        """The number of the law given that some fields are zero."""
        if not zero:
            return 0
        if len(zero) == 1:
            return 1 + zero[0]
        return 1 + self.fields * (1 + zero[0]) + zero[1]

    def _arrays(self, events: list[Event]) -> tuple[np.ndarray, np.ndarray]:
        """The laws of events and their positive fields."""
        laws = np.array([self._law(zero) for zero, _ in events])
        return laws, np.array([positive for _, positive in events], dtype=int)

    def _probabilities(self, events: list[Event]) -> Float[Array, " events"]:
        laws, units = self._arrays(events)
        height = self.laws.height[laws[:, None], units]
        R = self.laws.R[laws[:, None, None], units[:, :, None], units[:, None, :]]
        at_once = AT_ONCE[len(events[0][1])]
        if len(events) <= at_once:
            return jax.vmap(all_positive)(height, R)
        return jax.lax.map(lambda one: all_positive(*one), (height, R), batch_size=at_once)

    def _probability_of(self, events: list[Event]) -> Float[Array, " events"]:
        """Of events with equally many positive fields."""
        size = len(events[0][1])
        if size == 0:
            return jnp.broadcast_to(self.probability[0], (len(events),))
        return self.probability[size][np.array([self.position[event] for event in events])]

    def first_moments(
        self, events: list[Event]
    ) -> tuple[Float[Array, " events"], Float[Array, "events units"]]:
        """P and m of events with equally many positive fields."""
        laws, units = self._arrays(events)
        P = self._probability_of(events)
        on_boundary = [
            (tuple(sorted((*zero, j))), _without(positive, j))
            for zero, positive in events
            for j in positive
        ]
        of_others = self._probability_of(on_boundary).reshape(units.shape)
        density_there = self.laws.at_zero[laws[:, None], units] * of_others
        C = self.laws.C[laws[:, None, None], units[:, :, None], units[:, None, :]]
        mean = self.laws.mean[laws[:, None], units]
        return P, mean * P[:, None] + jnp.einsum("eaj,ej->ea", C, density_there)

    def moments(self, size: int) -> CutMoments:
        """The moments of all sets of one size."""
        sets = list(combinations(range(self.fields), size))
        units = np.array(sets)
        P, m = self.first_moments([((), positive) for positive in sets])
        mean = self.laws.mean[0][units]
        C = self.laws.C[0][units[:, :, None], units[:, None, :]]
        M = mean[:, :, None] * m[:, None, :] + C * P[:, None, None]
        if size == 1:
            return CutMoments(P, m, M)
        on_boundary: list[Event] = [
            ((j,), _without(positive, j)) for positive in sets for j in positive
        ]
        _, of_others = self.first_moments(on_boundary)
        # m_b(S - j | lambda_j = 0) at row j, with zeros where b = j.
        row, column = np.nonzero(~np.eye(size, dtype=bool))
        given = jnp.zeros(C.shape, C.dtype)
        given = given.at[:, row, column].set(of_others.reshape(len(sets), -1))
        given = self.laws.at_zero[0][units][:, :, None] * given
        return CutMoments(P, m, M + jnp.einsum("saj,sjb->sab", C, given))


def _laws(mean: Float[Array, " fields"], C: Float[Array, "fields fields"]) -> Standardised:
    """The laws given that no field, one, or two are zero."""
    free = Law(mean, C, jax.lax.stop_gradient(FIXED * jnp.diag(C)))
    fields = jnp.arange(len(mean))
    one = jax.vmap(free.given_zero)(fields)
    two = jax.vmap(lambda law: jax.vmap(law.given_zero)(fields))(one)
    two = jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), two)
    laws = jax.tree.map(lambda *parts: jnp.concatenate(parts), _as_one(free), one, two)
    return jax.vmap(Law.standardised)(laws)


def _as_one(law: Law) -> Law:
    """With a leading axis."""
    return jax.tree.map(lambda part: part[None], law)


def _without(units: tuple[int, ...], j: int) -> tuple[int, ...]:
    return tuple(i for i in units if i != j)


def _ratio(x: Float[Array, "*shape"], y: Float[Array, "*#shape"]) -> Float[Array, "*shape"]:
    """x / y, and zero with derivative zero where y = 0."""
    return jnp.where(y > 0, x / jnp.where(y > 0, y, 1.0), 0.0)
