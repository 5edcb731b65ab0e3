"""How finely the averages of a theory are computed: as finely as its accuracy needs.

The resolution follows from the accuracy and from the largest variance that a field has
(`teacherstudent/averages/choice_of_resolution.py`).  That is known at the start; where vectors have
grown, or the estimated error along the solution is larger than wanted, the theory is computed again
with a finer one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from odes.solving.precision import exact
from odes.solving.quadrature_error import has_finer_nodes, needs_quadrature
from teacherstudent.averages.choice_of_resolution import resolution_for
from teacherstudent.averages.mixture_fields import component_fields
from teacherstudent.averages.resolution import Quadrature
from teacherstudent.problem import Problem
from teacherstudent.starts import Start
from teacherstudent.tasks.base import with_fields
from teacherstudent.tasks.sweeping import each_task

BEST, ROUGHEST = 1e-10, 1e-5  # the accuracy that follows from the solver's tolerance
GROWTH = 1.2  # of variances that the first resolution allows for
ATTEMPTS = 3
# Times the wanted accuracy, an estimated error that is good enough: estimates are cautious.
ENOUGH = 10.0


class Refinement(NamedTuple):
    """What a resolution is chosen for.

    - `quadrature`: what was asked for.
    - `accuracy`: of averages.
    - `variance`: the largest of a field.
    - `finer`: steps to finer resolutions than these need.
    """

    quadrature: Quadrature
    accuracy: float
    variance: float
    finer: int = 0

    def of(self, problem: Problem) -> Problem:
        """The problem with its resolution."""
        if self.quadrature.is_complete:
            return with_fields(problem, {"resolution": self.quadrature.of_nodes()})
        activations = {problem.student.activation}
        if not problem.task.HAS_CLASSES:
            activations.add(problem.teacher.activation)
        chosen = resolution_for(
            tuple(activations), self.variance * GROWTH, self.accuracy, self.finer
        )
        return with_fields(problem, {"resolution": self.quadrature.changed(chosen)})

    def after(self, problem: Problem, T, Q, R, b, error: float | None) -> "Refinement | None":
        """That of the next attempt, from the states of one; None if it was good enough."""
        if error is None or self.quadrature.is_complete or self.finer + 1 >= ATTEMPTS:
            return None
        if error <= ENOUGH * self.accuracy or not has_finer_nodes(problem):
            return None
        grown = largest_variance(problem, T, Q, R, b) / GROWTH
        variance = max(self.variance, grown)
        return self._replace(variance=variance, finer=self.finer + 1)


def first_refinement(
    problem: Problem, start: Start, quadrature: Quadrature | None, rtol: float
) -> Refinement | None:
    """The resolution for a start; None if averages are closed forms."""
    if not needs_quadrature(problem):
        return None
    quadrature = quadrature or Quadrature()
    accuracy = quadrature.accuracy or float(np.clip(rtol, BEST, ROUGHEST))
    variance = largest_variance(problem, start.T, start.Q, start.R, start.b)
    return Refinement(quadrature, accuracy, variance)


def largest_variance(problem: Problem, T, Q, R, b) -> float:
    """The largest variance of a field at one or many states."""
    Q = np.asarray(Q)
    if not problem.task.HAS_CLASSES:
        diagonals = [np.diagonal(np.asarray(part), axis1=-2, axis2=-1) for part in (Q, T)]
        return float(max(np.max(part, initial=0.0, where=np.isfinite(part)) for part in diagonals))
    states = zip(*(_flat(part, count) for part, count in ((Q, 2), (R, 2), (b, 1))), strict=True)
    finite = [state for state in states if np.isfinite(state[0]).all()]
    if not finite:
        return 1.0
    widest = max(finite, key=lambda state: np.trace(state[0]))
    with jax.enable_x64(True):
        variances = []
        for task in each_task(problem.task):
            law = exact(task.for_programs()).law()
            C = component_fields(law, *map(jnp.asarray, widest)).C
            variances.append(float(jnp.max(jnp.diagonal(C, axis1=1, axis2=2))))
    return max(variances)


def _flat(part, dimensions: int) -> np.ndarray:
    """All states one after the other."""
    part = np.asarray(part)
    return part.reshape(-1, *part.shape[part.ndim - dimensions :])
