"""Networks trained on Gaussian clones of a task: which moments of the classes a network has learnt
so far.

Networks that start alike and train on the clones of a task (`teacherstudent/tasks/clones.py`)
follow those trained on the task itself for as long as these have learnt no higher moments.
Refinetti, Ingrosso & Goldt, ICML 2023 (arXiv:2211.11567).
"""

import equinox as eqx
import numpy as np
import xarray as xr

from odes.integrate import integrate
from teacherstudent.checking import arguments
from teacherstudent.observables.generalisation import expected_loss
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks.clones import clone

MOMENTS = (1, 2)


@arguments.checked
def with_clones(
    problem: Problem, theory: xr.Dataset, start: OrderParameters, **options
) -> xr.Dataset:
    """The theory of a problem with what clones say beside it, along its own times.

    - `clone_loss` (clone, time): the expected loss, on the problem's own law, of networks trained
      on the clone from `start`;
    - `loss_on_clone` (clone, time): the expected loss on the clone of the networks trained on the
      problem.

    `clone` counts the moments that the clone shares with the task: 1 (means), 2 (means and
    covariances).  `options` go to `integrate`.  Raises ValueError if the task has no classes, or
    the theory is a sweep or a batch.
    """
    task = problem.classes
    if problem.sweeps or start.batch:
        raise ValueError(
            "clones are compared along one trajectory; give one problem and one start, no sweep."
        )
    trained_on_clone, tested_on_clone = [], []
    for moments in MOMENTS:
        cloned = eqx.tree_at(lambda one: one.task, problem, clone(task, moments))
        trained_on_clone.append(
            expected_loss(problem, _states(integrate(cloned, start, theory.time.values, **options)))
        )
        tested_on_clone.append(expected_loss(cloned, _states(theory)))
    about = lambda long_name, symbol: {"long_name": long_name, "symbol": symbol, "units": "1"}
    trained, tested = "expected loss of networks trained on a clone", "expected loss on a clone"
    return theory.assign_coords(
        clone=("clone", list(MOMENTS), about("moments of the classes that are kept", "moments"))
    ).assign(
        clone_loss=(("clone", "time"), np.stack(trained_on_clone), about(trained, r"$E\ell$")),
        loss_on_clone=(
            ("clone", "time"),
            np.stack(tested_on_clone),
            about(tested, r"$E_{\rm clone}\ell$"),
        ),
    )


def _states(theory: xr.Dataset) -> OrderParameters:
    """The order parameters along a theory as a batch."""
    return OrderParameters(theory.Q.values, m=theory.m.values, v=theory.v.values, b=theory.b.values)
