"""When a student has learnt a task well enough for the next one to begin."""

import numpy as np

from odes.integrate import integrate
from teacherstudent.checking import arguments, checks
from teacherstudent.errors import ThresholdError
from teacherstudent.models.continual_learning import ContinualLearning
from teacherstudent.models.state import State

POINTS = 65  # of the grids on which a crossing is bracketed
FINEST = 1e-8  # of the time, to which a crossing is known


@arguments.checked
def time_learnt(
    model: ContinualLearning,
    start: State,
    below: float,
    task: int = 0,
    *,
    latest: float = 1000.0,
    rtol: float = 1e-8,
    atol: float = 1e-10,
) -> float:
    """The first time at which the error of a task is below a threshold, in the theory.

        t_s = min { t : eps_a(t) <= below }

    Another model with its frequencies piecewise at t_s then has its tasks switched by what was
    learnt: its networks too, all at this same time.

    The crossing is bracketed on 65 times up to `latest`, and then on finer ones inside, until it is
    known to 1e-8 of t_s; an error that falls below the threshold and rises again between two of the
    first times is not seen.

    - `below`: the threshold; `task`: a, from 0.
    - `latest`: the last time that is looked at.
    - `rtol`, `atol`: tolerances of the solver, as of `integrate`.

    Raises ThresholdError, with the theory in `partial`, if the error stays above until `latest`,
    and ValueError for arguments that do not fit.

    >>> import teacherstudent as ts
    >>> model = ts.ContinualLearning(2, [1, 1], frequencies=[1.0, 0.0])
    >>> start = ts.continual_start(model, N=500, T=ts.teachers_of_similarity(0.5), scale=0.3)
    >>> t_s = ts.time_learnt(model, start, below=0.01, latest=100.0)
    >>> theory = ts.integrate(model, start, [0.0, t_s])
    >>> print(theory.eps[-1, 0].values.round(6))
    0.01
    """
    below = checks.positive("below", below)
    task = checks.integer("task", task, minimum=0, maximum=len(model.teachers) - 1)
    latest = checks.positive("latest", latest)
    if model.sweeps:
        raise ValueError(f"{next(iter(model.sweeps))} is a sequence; give one number.")
    if latest <= start.time:
        raise ValueError(f"latest = {latest:g} is not after t = {start.time:g}, that of the start.")
    times = np.linspace(start.time, latest, POINTS)
    theory = integrate(model, start, times, rtol=rtol, atol=atol, curve=False)
    learnt = theory.eps.values[:, task] <= below
    if not learnt.any():
        raise ThresholdError(
            f"eps of task {task} stays above {below:g} until t = {latest:g}, where it is "
            f"{float(theory.eps[-1, task]):.3g}; give a later time or a larger threshold.",
            latest,
            theory,
        )
    first = int(np.argmax(learnt))
    while first > 0 and times[first] - times[first - 1] > FINEST * times[first]:
        times = np.linspace(times[first - 1], times[first], POINTS)
        theory = integrate(model, start, times, rtol=rtol, atol=atol, curve=False)
        learnt = theory.eps.values[:, task] <= below
        learnt[-1] = True  # as the solve before found, to the solver's tolerance
        first = int(np.argmax(learnt))
    return float(times[first])
