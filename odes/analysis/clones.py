"""Networks trained on Gaussian clones of a task: which moments of the classes a network has learnt
so far.

Networks that start alike and train on the clones of a task (`teacherstudent/clones.py`)
follow those trained on the task itself for as long as these have learnt no higher moments.
Refinetti, Ingrosso & Goldt, ICML 2023 (arXiv:2211.11567).
"""

import equinox as eqx
import numpy as np
import xarray as xr

from odes.integrate import integrate
from teacherstudent.checking import arguments
from teacherstudent.clones import clone
from teacherstudent.observables.generalisation import expected_loss
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import OrderParameters

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
    covariances); times are those of the theory, t = updates / N.  `options` go to `integrate`.

    Raises ValueError if the task has no classes, or the theory is a sweep or a batch.

    Refinetti, Ingrosso & Goldt, ICML 2023 (arXiv:2211.11567).

    >>> import teacherstudent as ts
    >>> task, student = ts.GaussianMixture.xor(0.3), ts.Student(2, "quadratic")
    >>> problem = ts.Problem(task, student, ts.SGD(0.1))
    >>> start = ts.random_start(problem, N=1000, seed=0)
    >>> theory = ts.integrate(problem, start, [0.0, 1.0], rtol=1e-6)
    >>> beside = ts.with_clones(problem, theory, start, rtol=1e-6)
    >>> beside.clone_loss.dims
    ('clone', 'time')
    """
    task = problem.classes
    if problem.sweeps or start.batch:
        raise ValueError(
            "clones are compared along one trajectory; give one problem and one start, no sweep."
        )
    states = _states(theory)
    trained_on_clone, tested_on_clone = [], []
    for moments in MOMENTS:
        cloned = eqx.tree_at(lambda one: one.task, problem, clone(task, moments))
        theory_of_clone = integrate(cloned, start, theory.time.values, **options)
        trained_on_clone.append(expected_loss(problem, _states(theory_of_clone)))
        tested_on_clone.append(expected_loss(cloned, states))
    dims = ("clone", "time")
    trained = _described("expected loss of networks trained on a clone", r"$E\ell$")
    tested = _described("expected loss on a clone", r"$E_{\rm clone}\ell$")
    kept = _described("moments of the classes that are kept", "moments")
    return theory.assign_coords(clone=("clone", list(MOMENTS), kept)).assign(
        clone_loss=(dims, np.stack(trained_on_clone), trained),
        loss_on_clone=(dims, np.stack(tested_on_clone), tested),
    )


def _described(long_name: str, symbol: str) -> dict[str, str]:
    return {"long_name": long_name, "symbol": symbol, "units": "1"}


def _states(theory: xr.Dataset) -> OrderParameters:
    """The order parameters along a theory as a batch."""
    return OrderParameters(theory.Q.values, m=theory.m.values, v=theory.v.values, b=theory.b.values)
