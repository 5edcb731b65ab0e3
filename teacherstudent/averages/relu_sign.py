"""Closed forms for a student with g(x) = max(x, 0) and a teacher with g*(x) = sign(x).

Between student fields k, l the averages are those of `relu.py`.  With m, n teacher fields and theta
the step function,

    I2(k, m) = C_km / sqrt(2 pi C_mm)
    I2(m, n) = (2/pi) asin( C_mn / sqrt(C_mm C_nn) )
    J2(k, m) = E[theta(h_k) 2 delta(h_m)] = 1 / sqrt(2 pi C_mm)
    G2(k, m) = E[delta(h_k) sign(h_m)] = 0.

In I4(k, l; u), sign = 2 theta - 1 leaves probabilities P(S) that all fields of a set S are
positive, and their first moments by one integration by parts (unit variances):

    E[theta_k theta_l sign_m sign_n]   = 4 P(k, l, m, n) - 2 P(k, l, m) - 2 P(k, l, n) + P(k, l),
                                         and P(k, l) for m = n
    E[theta_k theta_l h_a theta_a sign_m] = 2 F_a(k, l, a, m) - F_a(k, l, a)
    F_a(S) = E[h_a prod_S theta] = sum_{j in S} R_aj (2 pi)^(-1/2) P(S without j | h_j = 0)

over the *distinct* fields of each set, for theta^2 = theta.  Accuracy as of `relu.py`: generic
covariances 1e-13.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.averages.base import Averages
from teacherstudent.averages.pairs import pair_number, unordered_pairs
from teacherstudent.averages.relu import COINCIDENT, ReluAverages, columns, orthant
from teacherstudent.averages.signs import correlations_of_signs, inverse_deviations

ROOT = 1 / math.sqrt(2 * math.pi)


class ReluSignAverages(Averages):
    """Averages for a student with g(x) = max(x, 0) and a teacher with g*(x) = sign(x)."""

    def __init__(self, students: int, teachers: int):
        super().__init__(students, teachers)
        self._of_students = ReluAverages(students, 0)
        self._mixed = _sets_with_a_student(students, teachers)
        self._labels = _sets_with_labels(students, teachers)

    def I2(self, C: Float[Array, "fields fields"]) -> Float[Array, "fields fields"]:
        K = self.students
        scale = inverse_deviations(C[K:, K:])
        mixed = ROOT * C[:K, K:] * scale[None, :]
        of_students = self._of_students.I2(C[:K, :K])
        of_teachers = correlations_of_signs(C[K:, K:])
        return jnp.block([[of_students, mixed], [mixed.T, of_teachers]])

    def J2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        K = self.students
        row = ROOT * inverse_deviations(C[K:, K:])
        of_teachers = jnp.broadcast_to(row[None, :], (K, self.teachers))
        of_students = self._of_students.J2(C[:K, :K])
        return jnp.concatenate([of_students, of_teachers], axis=1)

    def G2(self, C: Float[Array, "fields fields"]) -> Float[Array, "students fields"]:
        K = self.students
        of_students = self._of_students.G2(C[:K, :K])
        return jnp.pad(of_students, ((0, 0), (0, self.teachers)))

    def I4(
        self, C: Float[Array, "fields fields"], u: Float[Array, " fields"]
    ) -> Float[Array, "students students"]:
        K = self.students
        scale = inverse_deviations(C)
        R = C * scale[:, None] * scale[None, :]
        # The sign of a field that vanishes is zero, and so is a hidden unit.
        of_students = _root(jnp.diag(C)[:K])
        deviations = jnp.concatenate([of_students, jnp.ones(self.teachers)])
        weights = jnp.where(scale > 0, u, 0.0) * deviations
        k, _ = unordered_pairs(K)
        values = jnp.zeros(len(k))
        for pairs, fields in self._mixed:
            blocks = _blocks(R, fields)
            moments = jax.vmap(_moment_with_sign)(blocks)
            weight_a = weights[fields[:, 0]]
            weight_m = weights[fields[:, -1]]
            factor = 2 * weight_a * weight_m
            values = values.at[pairs].add(factor * moments)
        for pairs, fields, teachers in self._labels:
            positive = partial(_positive_with_signs, teachers=teachers)
            blocks = _blocks(R, fields)
            signs = jax.vmap(positive)(blocks)
            weight_n = weights[fields[:, -1]]
            weight_m = weights[fields[:, -teachers]]
            factor = teachers * weight_n * weight_m
            values = values.at[pairs].add(factor * signs)
        between_students = self._of_students.I4(C[:K, :K], u[:K])
        return between_students + values[pair_number(K)]


def _sets_with_a_student(students: int, teachers: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For all k <= l, a, m: the position of the pair k, l and the distinct fields, a first and m
    last; by their number.
    """
    groups: dict[int, list] = {}
    pairs_of_students = zip(*unordered_pairs(students), strict=True)
    for pair, (k, l) in enumerate(pairs_of_students):
        for a in range(students):
            for m in range(students, students + teachers):
                fields = (*dict.fromkeys((a, k, l)), m)
                rows = groups.setdefault(len(fields), [])
                rows.append((pair, fields))
    return [columns(rows) for rows in groups.values()]


def _sets_with_labels(students: int, teachers: int) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """For all k <= l and m <= n: the position of the pair, the distinct fields, and how many of
    them are the teacher's.
    """
    groups: dict[tuple[int, int], list] = {}
    pairs_of_students = zip(*unordered_pairs(students), strict=True)
    for pair, (k, l) in enumerate(pairs_of_students):
        for m, n in zip(*unordered_pairs(teachers), strict=True):
            of_students = dict.fromkeys((k, l))
            of_teachers = dict.fromkeys((m + students, n + students))
            fields = (*of_students, *of_teachers)
            pattern = (len(fields), len(of_teachers))
            rows = groups.setdefault(pattern, [])
            rows.append((pair, fields))
    sets = []
    for (_, of_teacher), rows in groups.items():
        sets.append((*columns(rows), of_teacher))
    return sets


def _blocks(R: Float[Array, "fields fields"], fields: np.ndarray) -> Float[Array, "sets n n"]:
    """The correlations within each set of fields; 1 on the diagonal, also of one that vanishes."""
    blocks = R[fields[:, :, None], fields[:, None, :]]
    diagonal = np.eye(fields.shape[1], dtype=bool)
    return jnp.where(diagonal[None], 1.0, blocks)


def _moment_with_sign(R: Float[Array, "n n"]) -> Float[Array, ""]:
    """E[h_0 theta(h_0) .. theta(h_{n-2}) sign(h_{n-1})]."""
    with_teacher = _first_moment(R)
    of_students = _first_moment(R[:-1, :-1])
    return 2 * with_teacher - of_students


def _first_moment(R: Float[Array, "n n"]) -> Float[Array, ""]:
    """F = E[h_0 prod theta] over all n fields."""
    total = jnp.zeros(())
    for j in range(len(R)):
        others = _all_but(j, len(R))
        total += R[0, j] * ROOT * _orthant_given_zero(R, j, others)
    return total


def _all_but(one: int, size: int) -> np.ndarray:
    """All indices below `size` but one."""
    return np.array([i for i in range(size) if i != one], dtype=int)


def _orthant_given_zero(R: Float[Array, "n n"], j: int, others: np.ndarray) -> Float[Array, ""]:
    """The probability that the others are positive given h_j = 0.

    A field that coincides with h_j is positive or negative with equal chances, and two such fields
    have the correlation 1/2: the limits of fields that differ by independent small amounts.
    """
    if not len(others):
        return jnp.ones(())
    block = R[others][:, others]
    with_j = R[others, j]
    given = block - with_j[:, None] * R[j, others][None, :]
    fixed = jnp.diag(given) < COINCIDENT
    any_fixed = fixed[:, None] | fixed[None, :]
    both_fixed = fixed[:, None] & fixed[None, :]
    limit = jnp.where(both_fixed, jnp.sign(block) / 2, 0.0)
    diagonal = np.eye(len(others), dtype=bool)
    limit = jnp.where(diagonal, 1.0, limit)
    correlations = jnp.where(any_fixed, limit, given)
    return orthant(correlations)


def _positive_with_signs(R: Float[Array, "n n"], teachers: int) -> Float[Array, ""]:
    """E[prod theta(h_s) sign(h_m) sign(h_n)]: the last one or two fields are the teacher's m <= n,
    the others students.
    """
    of_students = R[:-teachers, :-teachers]
    if teachers == 1:
        return orthant(of_students)
    without_m = _all_but(len(R) - 2, len(R))
    with_one = orthant(R[:-1, :-1]) + orthant(R[without_m][:, without_m])
    return 4 * orthant(R) - 2 * with_one + orthant(of_students)


def _root(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0)
