"""The one vector field, written with linear algebra, against the classical sums and against its own
limits.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import teacherstudent as ts
from odes.inputs.one_update import Fixed, State
from odes.solving.vector_field import vector_field
from teacherstudent.rules import Rule
from tests.long import mostly_long
from tests.odes import plain_erf
from tests.problems import committee, random_overlaps


class Velocity(NamedTuple):
    Q: np.ndarray
    R: np.ndarray
    v: np.ndarray


def velocity(problem, start):
    """d(Q, R, v)/dt on isotropic inputs, which have one mode."""
    Q, R, T = (jnp.asarray(part)[:, :, None] for part in (start.Q, start.R, start.T))
    one = jnp.ones(1)
    speed = jax.jit(vector_field)(
        problem.for_programs(),
        Fixed(one, one, T, T[:, :, 0], one),
        State(Q, R, jnp.asarray(start.v), jnp.zeros(Q.shape[0])),
    )
    return Velocity(speed.q[:, :, 0], speed.r[:, :, 0], speed.v)


@pytest.mark.parametrize(("K", "M"), mostly_long([(3, 2), (1, 3), (4, 1)], [(3, 2)]))
def test_equals_the_classical_sums(K, M):
    v = np.linspace(0.5, 1.5, K)
    start = random_overlaps(K, M, seed=K, v=v)
    v_star = np.linspace(-1.0, 0.7, M)
    problem = ts.Problem(
        ts.TeacherStudent(M, "erf", v_star, 0.3),
        ts.Student(K, "erf", True),
        ts.SGD(0.4, 0.25, 0.05),
        batch_size=3,
    )
    expected = plain_erf.velocity(
        start.Q, start.R, start.T, v, v_star, 0.4, 0.25, 0.3, kappa=0.05, batch=3
    )
    for ours, theirs in zip(velocity(problem, start), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


def test_frozen_readout_does_not_move():
    assert not np.any(velocity(committee(), random_overlaps(3, 2)).v)


@pytest.mark.parametrize(
    ("K", "expected"),
    mostly_long(
        [(2, 0.011610840312668331), (3, 0.02029658865697687), (5, 0.036226322601835205)],
        [(3, 0.02029658865697687)],
    ),
)
def test_saad_solla_plateau_is_a_fixed_point_of_the_gradient_flow(K, expected):
    # Without the eta^2 term the drift vanishes at Q = 1/(2K-1), R = 1/sqrt(K(2K-1)).
    start = ts.OrderParameters(
        np.full((K, K), 1 / (2 * K - 1)), np.full((K, K), 1 / np.sqrt(K * (2 * K - 1)))
    )
    problem = committee(K, K, noise=0.0, learning_rate=1e-9)
    speed = velocity(problem, start)
    assert max(abs(speed.Q).max(), abs(speed.R).max()) < 1e-9 * 1e-7
    assert float(ts.generalisation_error(problem, start)) == pytest.approx(expected, abs=1e-14)


def test_spherical_rule_keeps_the_norms():
    start = random_overlaps(3, 2)
    norm = np.sqrt(np.diag(start.Q))
    start = ts.OrderParameters(start.Q / np.outer(norm, norm), start.R / norm[:, None], start.T)
    problem = ts.Problem(ts.TeacherStudent(2, noise=0.1), ts.Student(3), ts.SphericalSGD(0.5))
    speed = velocity(problem, start)
    np.testing.assert_allclose(np.diag(speed.Q), 0, atol=1e-14)
    assert abs(speed.R).max() > 0.01


def test_large_batches_approach_gradient_flow():
    start = random_overlaps(3, 2)
    single, large = (velocity(committee(batch_size=B), start).Q for B in (1, 10**6))
    flow_only = velocity(committee(noise=0.2, learning_rate=0.3, batch_size=10**9), start).Q
    assert abs(large - flow_only).max() < 1e-5 < 1e-3 < abs(single - flow_only).max()


def test_rule_without_theory_names_those_with_one():
    class Mystery(Rule):
        def update(self, layers, gradient, memory):
            return layers, memory

    with pytest.raises(
        ValueError, match=r"no theory for the rule Mystery: rules with a theory: SGD, SphericalSGD"
    ):
        velocity(ts.Problem(ts.TeacherStudent(2), ts.Student(3), Mystery()), random_overlaps(3, 2))
