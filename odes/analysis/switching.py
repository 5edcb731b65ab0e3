"""When a student has learnt a task well enough for the next one to begin."""

import numpy as np

from odes.integrate import integrate
from odes.models.crossing import crossing_time
from odes.models.theory import theory_of_model
from odes.options import Options, checked
from teacherstudent.checking import arguments, checks
from teacherstudent.errors import ThresholdError
from teacherstudent.models.continual_learning import ContinualLearning
from teacherstudent.models.state import State
from teacherstudent.protocol import Until

POINTS = 65  # of the theory that an error shows
MAX_STEPS = 100_000  # of the solver, as of `integrate`


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
    learnt: its networks too, all at this same time.  In a `ts.Protocol` with
    `ts.until("eps[0]", below=...)` each network is switched when it has learnt itself.

    The crossing is bracketed on 128 intervals up to `latest`, and then on finer ones inside, until
    it is known to the solver's tolerance; an error that falls below the threshold and rises again
    within one of the first intervals is not seen.

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
    until = Until(f"eps[{task}]", below=below)
    options = checked(Options(rtol, atol, "auto", MAX_STEPS, False, (), None, None, False))
    found = crossing_time(theory_of_model(model), options, model, start, latest, until)
    if found is None:
        theory = integrate(model, start, np.linspace(start.time, latest, POINTS), curve=False)
        raise ThresholdError(
            f"eps of task {task} stays above {below:g} until t = {latest:g}, where it is "
            f"{float(theory.eps[-1, task]):.3g}; give a later time or a larger threshold.",
            latest,
            theory,
        )
    return found
