"""Derivatives of errors and losses with a teacher that tells signs, which are never zero by chance.

A mean of signs at points that stay has the derivative zero.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.losses import as_loss
from teacherstudent.tasks.classifying_teacher import error_by_nodes, loss_by_nodes
from tests.long import mostly_long

CASES = {
    "committee": (ts.ClassifyingTeacher(2, "erf"), ts.Student(1, "erf")),
    "relu": (ts.ClassifyingTeacher(1), ts.Student(3, "relu")),
    "wide": (ts.ClassifyingTeacher(1), ts.Student(4, "erf")),
}


def overlaps(K, M):
    """Q, R, T and v."""
    R = 0.3 - 0.2 * jnp.arange(1.0 * K * M).reshape(K, M) / max(K * M - 1, 1)
    return 0.9 * jnp.eye(K), R, jnp.eye(M), jnp.ones(K)


@pytest.mark.parametrize("case", mostly_long(list(CASES), ["relu"]))
def test_derivatives_are_finite_differences_of_the_error_by_nodes(case):
    task, student = CASES[case]
    Q, R, T, v = overlaps(student.width, task.width)
    found = jax.jit(jax.grad(lambda R: task.error(student, "hinge", Q, R, T, v, 0 * v)))(R)

    @jax.jit
    def by_nodes(R):
        return error_by_nodes(task, student, Q, R, T, v)

    step = jnp.zeros_like(R).at[0, 0].set(1e-3)
    slope = (by_nodes(R + step) - by_nodes(R - step)) / 2e-3
    assert float(slope) < -0.02
    np.testing.assert_allclose(found[0, 0], slope, rtol=1e-3)


@pytest.mark.long
@pytest.mark.parametrize("case", ["committee", "relu", "wide"])
def test_derivatives_of_expected_losses(case):
    task, student = CASES[case]
    loss = as_loss("hinge")
    Q, R, T, v = overlaps(student.width, task.width)
    found = jax.jit(jax.grad(lambda R: task.expected_loss(student, loss, Q, R, T, v)))(R)

    @jax.jit
    def by_nodes(R):
        return loss_by_nodes(task, student, loss, Q, R, T, v)

    step = jnp.zeros_like(R).at[0, 0].set(1e-3)
    slope = (by_nodes(R + step) - by_nodes(R - step)) / 2e-3
    np.testing.assert_allclose(found[0, 0], slope, rtol=1e-3)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*may be off by")
def test_bands_of_wide_students_have_a_width():
    task, student = CASES["relu"]
    problem = ts.Problem(task, student, ts.SGD(0.5), loss="hinge")
    Q, R, T, v = overlaps(3, 1)
    begin = ts.OrderParameters(Q=Q, R=R, T=T, v=v)
    band = ts.fluctuations(problem, begin, [0.0, 0.2], points=2**10, bias=False, rtol=1e-3)
    assert float(band.eps_g_std[-1]) > 0.005
