"""What learning the next task does to the ones before: functions of a theory or a simulation."""

import numpy as np
import xarray as xr

from teacherstudent.checking import arguments, checks
from teacherstudent.models.continual_learning import ContinualLearning
from teacherstudent.results.selection import problem_of


@arguments.checked
def forgetting(data: xr.Dataset, switch: float, task: int = 0) -> xr.DataArray:
    """How much the error of a task has grown since the switch to another one.

        F(t) = eps_a(t) - eps_a(t_s),   t >= t_s

    - `data`: a theory or a simulation of `ContinualLearning`; of several seeds or numbers the
      answer has the same dimensions.
    - `switch`: t_s, one of the recorded times.
    - `task`: a, from 0.

    Raises ValueError if the data are of something else, or do not have the time or the task.

    S. Lee, S. Goldt & A. Saxe, ICML 2021.

    >>> import teacherstudent as ts
    >>> model = ts.ContinualLearning(
    ...     2,
    ...     [1, 1],
    ...     frequencies=[ts.piecewise([1.0, 0.0], [20.0]), ts.piecewise([0.0, 1.0], [20.0])],
    ... )
    >>> start = ts.continual_start(model, N=500, T=ts.teachers_of_similarity(0.5), scale=0.3)
    >>> theory = ts.integrate(model, start, [0.0, 20.0, 40.0])
    >>> bool(ts.forgetting(theory, switch=20.0)[-1] > 0.1)
    True
    """
    errors = _errors(data, task)
    return (_since(errors, switch) - _at(errors, switch)).rename("forgetting")


@arguments.checked
def transfer(data: xr.Dataset, switch: float, task: int = 1) -> xr.DataArray:
    """How much the error of a task has fallen since the switch to it.

        F(t) = eps_b(t_s) - eps_b(t),   t >= t_s

    The arguments, and what is raised, are those of `forgetting`.

    S. Lee, S. Goldt & A. Saxe, ICML 2021.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> model = ts.ContinualLearning(1, [1, 1], frequencies=[0.0, 1.0])
    >>> start = ts.continual_start(model, N=500, T=np.eye(2), scale=0.3)
    >>> theory = ts.integrate(model, start, [0.0, 20.0])
    >>> bool(ts.transfer(theory, switch=0.0)[-1] > 0)
    True
    """
    errors = _errors(data, task)
    return (_at(errors, switch) - _since(errors, switch)).rename("transfer")


@arguments.checked
def node_reuse(data: xr.Dataset, first: int = 0, second: int = 1) -> xr.Dataset:
    """For each student unit, how much of the first task it holds and how much the second uses it.

        overlap_k(t)    = |R_k, task a| = (sum over the units m of teacher a of R_km^2)^(1/2)
        activation_k(t) = |h_bk|

    Units with both large are used again; forgetting is worst where the second task uses again some
    of them and rewrites them.  The variables have the dimensions of `data` and `student`.

    - `data`: a theory or a simulation of `ContinualLearning`.
    - `first`, `second`: the tasks a and b, from 0.

    Raises ValueError if the data are of something else, or there is no such task.

    S. Lee et al., ICML 2022 (arXiv:2205.09029).

    >>> import teacherstudent as ts
    >>> model = ts.ContinualLearning(2, [1, 1], frequencies=[1.0, 0.0])
    >>> start = ts.continual_start(model, N=500)
    >>> ts.node_reuse(ts.integrate(model, start, [0.0, 1.0])).overlap.dims
    ('time', 'student')
    """
    _errors(data, first)
    _errors(data, second)
    model = problem_of(data)
    begin = sum(model.teachers[:first])
    of_first = data.R.isel(teacher=slice(begin, begin + model.teachers[first]))
    head = data.heads.isel(head=0 if model.shared_head else second)
    return xr.Dataset(
        {"overlap": np.sqrt((of_first**2).sum("teacher")), "activation": np.abs(head)}
    )


def _errors(data: xr.Dataset, task: int) -> xr.DataArray:
    """The error of one task along time."""
    if "eps" not in data or "task" not in data.eps.dims:
        raise ValueError(
            "data has no errors eps of several tasks; give a theory or a simulation of a "
            f"{ContinualLearning.__name__}."
        )
    task = checks.integer("task", task, minimum=0, maximum=data.sizes["task"] - 1)
    return data.eps.isel(task=task)


def _at(errors: xr.DataArray, switch: float) -> xr.DataArray:
    """The errors at the switch."""
    return errors.isel(time=_index(errors, switch), drop=True)


def _since(errors: xr.DataArray, switch: float) -> xr.DataArray:
    """The errors from the switch on."""
    return errors.isel(time=slice(_index(errors, switch), None))


def _index(errors: xr.DataArray, switch: float) -> int:
    """The number of the recorded time that is the switch."""
    switch = checks.single("switch", switch)
    times = errors.time.values
    nearest = int(np.argmin(np.abs(times - switch)))
    if not np.isclose(times[nearest], switch, rtol=1e-9, atol=1e-12):
        raise ValueError(
            f"switch = {switch:g} is not among the recorded times (the nearest is "
            f"{times[nearest]:g}); record at the time of the switch."
        )
    return nearest
