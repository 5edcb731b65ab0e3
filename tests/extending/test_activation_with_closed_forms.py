"""An activation of one's own with closed forms: g(x) = sin x.

With g^(n)(x) = cos(x + (n - 1) pi / 2) and fields h ~ N(0, C),

    E[prod_i cos(h_i + p_i)] = 2^-n sum_s exp(-s^T C s / 2) cos(s . p),

the sum being over all signs s = (+-1, ..., +-1).
"""

import itertools
import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from tests.long import mostly_long


def product(C, fields, orders):
    """E[prod_i g^(n_i)(h_i)] over some of the fields, with n_i the orders."""
    phases = (jnp.array(orders, C.dtype) - 1) * math.pi / 2
    block = C[jnp.array(fields)][:, jnp.array(fields)]
    signs = jnp.array(list(itertools.product([1.0, -1.0], repeat=len(fields))))
    variances = jnp.einsum("si,ij,sj->s", signs, block, signs)
    return jnp.mean(jnp.exp(-variances / 2) * jnp.cos(signs @ phases))


class SineAverages(ts.Averages):
    """A student and a teacher with g(x) = sin x."""

    def table(self, C, rows, orders):
        columns = range(len(C))
        return jnp.array([[product(C, (a, b), orders) for b in columns] for a in range(rows)])

    def I2(self, C):
        return self.table(C, len(C), (0, 0))

    def J2(self, C):
        return self.table(C, self.students, (1, 1))

    def G2(self, C):
        return self.table(C, self.students, (2, 0))

    def I4(self, C, u):
        units, fields = range(self.students), range(len(C))

        def entry(k, l):
            pairs = itertools.product(fields, fields)
            return sum(u[a] * u[b] * product(C, (k, l, a, b), (1, 1, 0, 0)) for a, b in pairs)

        return jnp.array([[entry(k, l) for l in units] for k in units])


def sine_averages(student, teacher, students, teachers):
    """The averages of two sines; none are known here of any other pair."""
    if student != SINE or teacher != SINE:
        return None
    return SineAverages(students, teachers)


SINE = ts.Activation("sine", jnp.sin, averages=sine_averages)
START = ts.OrderParameters(Q=[[0.5]], R=[[0.2]])
TIMES = [0.0, 1.0, 3.0]


def problem(activation) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(1, activation), ts.Student(1, activation), ts.SGD(0.5))


@pytest.mark.long
def test_closed_forms_equal_quadrature():
    theory = ts.integrate(problem(SINE), START, TIMES)
    assert json.loads(theory.attrs["teacherstudent"])["report"]["averages"] == (
        "closed forms of sine"
    )
    by_quadrature = ts.integrate(problem(jnp.sin), START, TIMES)
    for name in ("Q", "R", "eps_g"):
        np.testing.assert_allclose(theory[name], by_quadrature[name], rtol=1e-7)


@pytest.mark.parametrize("method", mostly_long(["weights", "reduced"], ["weights"]))
def test_theory_agrees_with_networks(method, tmp_path):
    theory = ts.integrate(problem(SINE), START, TIMES)
    networks = ts.simulate(problem(SINE), START, TIMES, N=100, seeds=8, method=method)
    comparison = ts.compare(theory, networks)
    for name in ("Q_z", "R_z", "eps_g_z"):
        assert float(abs(comparison[name]).max()) < 4, name
    ts.save(tmp_path / "own.h5", theory=theory, simulation=networks, comparison=comparison)
    ts.plot(ts.load(tmp_path / "own.h5"), tmp_path / "own.png")
