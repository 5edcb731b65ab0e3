"""An activation of a user's own that brings its closed forms, as one would write it outside.

g(x) = sin x: its derivatives of order n are cos(x + (n - 1) pi / 2), and with all signs s

    E[prod_i cos(lambda_i + p_i)] = 2^-n sum_s exp(-s^T C s / 2) cos(s . (mean + p)).
"""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from odes.solving.quadrature_error import averages_used
from teacherstudent.averages import (
    Averages,
    ShiftedAverages,
    averages_for,
    shifted_averages_for,
)
from teacherstudent.averages.field_space import FieldSpace
from teacherstudent.averages.fields import ClosedForms, field_averages_for
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.losses import LOSSES

from .reference import evaluation, random_covariance
from .test_shifted import state


def mean_of_product(mean, C, fields, orders):
    """E[prod_i g^(order_i)(lambda_i)] over the given fields."""
    shifted = mean[jnp.array(fields)] + (jnp.array(orders, C.dtype) - 1) * math.pi / 2
    block = C[jnp.array(fields)][:, jnp.array(fields)]
    signs = jnp.array(list(itertools.product([1.0, -1.0], repeat=len(fields))))
    variance = jnp.einsum("si,ij,sj->s", signs, block, signs)
    return jnp.mean(jnp.exp(-variance / 2) * jnp.cos(signs @ shifted))


def table(mean, C, rows, columns, orders):
    """The same for all pairs."""
    return jnp.array([[mean_of_product(mean, C, (k, j), orders) for j in columns] for k in rows])


class SineAverages(Averages):
    """A student and a teacher with g(x) = sin x."""

    def pairs(self, C, orders):
        fields = range(len(C))
        return table(jnp.zeros(len(C)), C, fields, fields, orders)

    def I2(self, C):
        return self.pairs(C, (0, 0))

    def J2(self, C):
        return self.pairs(C, (1, 1))[: self.students]

    def G2(self, C):
        return self.pairs(C, (2, 0))[: self.students]

    def I4(self, C, u):
        return ShiftedSine(len(C)).I4(jnp.zeros(len(C)), C, u, 0.0)[
            : self.students, : self.students
        ]


class ShiftedSine(ShiftedAverages):
    """Fields with any means."""

    def single(self, mean, C, order):
        return jnp.array([mean_of_product(mean, C, (k,), (order,)) for k in range(self.students)])

    def pairs(self, mean, C, orders):
        return table(mean, C, range(self.students), range(self.students), orders)

    def values(self, mean, C):
        return self.single(mean, C, 0)

    def slopes(self, mean, C):
        return self.single(mean, C, 1)

    def curvatures(self, mean, C):
        return self.single(mean, C, 2)

    def I2(self, mean, C):
        return self.pairs(mean, C, (0, 0))

    def S2(self, mean, C):
        return self.pairs(mean, C, (1, 0))

    def J2(self, mean, C):
        return self.pairs(mean, C, (1, 1))

    def G2(self, mean, C):
        return self.pairs(mean, C, (2, 0))

    def I4(self, mean, C, v, y):
        units = range(self.students)

        def entry(k, l):
            total = y**2 * mean_of_product(mean, C, (k, l), (1, 1))
            for i in units:
                total -= 2 * y * v[i] * mean_of_product(mean, C, (k, l, i), (1, 1, 0))
                for j in units:
                    both = mean_of_product(mean, C, (k, l, i, j), (1, 1, 0, 0))
                    total += v[i] * v[j] * both
            return total

        return jnp.array([[entry(k, l) for l in units] for k in units])


def sine_averages(student, teacher, students, teachers):
    if student != SINE or teacher != SINE:
        return None
    return SineAverages(students, teachers)


def shifted_sine(student, students):
    if student != SINE:
        return None
    return ShiftedSine(students)


SINE = ts.Activation("sine", jnp.sin, averages=sine_averages, shifted_averages=shifted_sine)
PLAIN = ts.Activation("sine by quadrature", jnp.sin)


def test_closed_forms_of_a_teacher_equal_quadrature():
    closed, quadrature = averages_for(SINE, SINE, 1, 1), averages_for(PLAIN, PLAIN, 1, 1)
    assert type(closed) is SineAverages and type(quadrature) is QuadratureAverages
    C, u = random_covariance(2, seed=1), jnp.array([0.9, -1.1])
    expected = evaluation(quadrature)(C, u)
    for name, value in evaluation(closed)(C, u).items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("loss", ["square", "correlation"])
def test_closed_forms_with_means_equal_quadrature(loss):
    closed = field_averages_for(SINE, loss, 2)
    assert isinstance(closed, ClosedForms) and closed.description == "closed forms of sine"
    mean, C, v, y = state(2)
    found = jax.jit(closed.averages)(mean, C, v, jnp.asarray(y))
    expected = jax.jit(FieldSpace(PLAIN, LOSSES[loss], 2).averages)(mean, C, v, jnp.asarray(y))
    for name in found._fields:
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9, err_msg=name)


def test_theory_uses_them():
    start = ts.OrderParameters([[0.5]], [[0.2]])
    errors = []
    for activation in (SINE, PLAIN):
        task = ts.TeacherStudent(1, activation)
        problem = ts.Problem(task, ts.Student(1, activation), ts.SGD(0.5))
        errors.append(ts.generalisation_error(problem, start))
        words = "closed forms of sine" if activation is SINE else "quadrature, field by field"
        assert averages_used(problem).startswith(words)
    np.testing.assert_allclose(*errors, rtol=1e-10)


def test_they_are_of_no_other_function():
    other = dataclasses.replace(SINE, name="cosine", function=jnp.cos)
    assert type(averages_for(other, other, 1, 1)) is QuadratureAverages
    assert shifted_averages_for(other, 1) is None

    class Doubled(ts.Activation):
        def __call__(self, x):
            return 2 * super().__call__(x)

    doubled = ts.Student(1, Doubled(*[getattr(SINE, f.name) for f in dataclasses.fields(SINE)]))
    assert doubled.activation.averages is None
    assert float(doubled.activation(jnp.array(0.3))) == pytest.approx(2 * math.sin(0.3))


def test_wrong_answers_are_named():
    def numbers(student, teacher, students, teachers):
        return np.zeros((2, 2))

    def too_few(student, teacher, students, teachers):
        return SineAverages(1, 1)

    def of_ones_own(**closed):
        return ts.Activation("mine", jnp.sin, **closed)

    with pytest.raises(ValueError, match=r"mine: averages answers with an object of class ndarray"):
        averages_for(of_ones_own(averages=numbers), PLAIN, 1, 1)
    with pytest.raises(ValueError, match=r"closed forms for 1 student and 1 teacher units, but 2"):
        averages_for(of_ones_own(averages=too_few), PLAIN, 2, 1)
    with pytest.raises(ValueError, match=r"shifted_averages answers with an object of class int"):
        shifted_averages_for(of_ones_own(shifted_averages=lambda student, students: 3), 2)
    with pytest.raises(ValueError, match=r"Activation averages = 'erf' is not a function"):
        of_ones_own(averages="erf")
