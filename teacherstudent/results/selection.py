"""The problem and the state that a dataset, or a part of it, is of.

A dataset describes the whole run that it is from: all values of a sweep, all starts of a batch, the
start at t = 0.  A part that was selected from it (`isel`, `sel`) says by its coordinates which of
these it is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from teacherstudent.checking import arguments
from teacherstudent.models.state import State
from teacherstudent.protocol import Protocol, first_of
from teacherstudent.results.datasets import COORDINATES, DESCRIPTION, description
from teacherstudent.results.description import (
    family_of,
    phase_end_from,
    problem_from,
    start_from,
    state_from,
)
from teacherstudent.starts import Start, start_from_weights
from teacherstudent.states.order_parameters import OrderParameters, Weights
from teacherstudent.states.spectral_overlaps import SpectralOverlaps

SWEPT = [name for name in COORDINATES if name not in ("time", "seed", "start", "rho")]
LISTS = ("values", "times", "jumps")  # parameters of schedules that are lists without being swept


@arguments.checked
def problem_of(data: xr.Dataset) -> Any:
    """The problem, or the protocol, of a theory or simulation, from its own description and arrays;
    of a selected curve, with its number.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0, 5.0])
    >>> ts.problem_of(theory).rule.learning_rate
    0.3

    Raises ValueError if a function or a class of the user's made it (an activation, a generator, a
    rule), which a file cannot hold, or if it was selected from a sweep without its number
    (`drop=True`).
    """
    record = _described(data, "problem")
    _refuse_sweep(record)
    if "protocol" not in record:
        return _problem_from(data, record, record["problem"])
    phases = []
    for number, table in enumerate(record["protocol"]):
        end = phase_end_from(table, f"protocol[{number}]")
        phases.append((_problem_from(data, record, table), end))
    return Protocol(*phases)


def _problem_from(data: xr.Dataset, record: Mapping, described: dict) -> Any:
    """The problem of a description, with the arrays that the data keep of it."""
    kind = family_of(described)
    if record["kind"] == "theory":  # which needs of a generator only its covariances
        described.get("task", {}).pop("generator", None)
    for part in {"task", "rule", "model"} & set(described):
        described[part] = {
            name: _selected(data, name, value, kind) for name, value in described[part].items()
        }
    if record["kind"] == "fixed_point" and "over" in record["report"]:
        _refuse_curve(data, record)
        part, _, name = record["report"]["over"].rpartition(".")
        described[part][name] = float(data[name])
    if is_of_model(record):
        return problem_from(described)
    arrays = {name: data[name].values for name in kind.ARRAYS if name in data}
    return problem_from(described | {"task": described["task"] | arrays})


@arguments.checked
def start_of(data: xr.Dataset) -> Any:
    """The start of a theory or simulation, or the state at the time that was selected from it.

    - A dataset with its times: the run's start, with its spectrum, or its weights if they were
      given.
    - One time, `theory.isel(time=-1)` or `simulation.isel(time=-1, seed=0)`: the order parameters
      at that time, from which another run may begin.  What a rule remembers (momentum) is not in
      them.  Inputs with several eigenvalues need those of each mode: `integrate(...,
      spectral=True)`.

    - A fixed point: its order parameters.

    Of a batch of starts it is the selected one.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0, 5.0])
    >>> ts.start_of(theory.isel(time=-1)).R.round(3)
    array([[0.799]])

    Raises ValueError if the data hold no state: several values, starts or seeds at one time, times
    without the first, no overlaps by mode, numbers that are not finite.
    """
    record = _described(data, "start")
    _refuse_sweep(record)
    if record["kind"] == "fixed_point":
        return _fixed_point(data, record)
    if "time" not in data.coords:
        raise ValueError(
            "the data have no time, so that it is not known of when they are; select one with "
            "isel(time=0)."
        )
    if data["time"].ndim == 0 and float(data["time"]) != 0.0:
        return _state(data, record)
    _check_begins(data, record)
    if "continued_at" in record["report"]:
        raise ValueError(
            f"the data are of a run that went on from t = {record['report']['continued_at']:g} of "
            "another one, and have no start of their own; take state_at, or one time, "
            "isel(time=-1)."
        )
    return _run_start(data, record)


def _fixed_point(data: xr.Dataset, record: Mapping) -> Start:
    """A fixed point as a start; ValueError for a curve of them."""
    if "over" not in record["report"]:
        return _run_start(data, record)
    _refuse_curve(data, record)
    if "q_start" in data:
        raise ValueError(
            "the data are of a curve of fixed points, which keeps no overlaps by mode; take "
            "ts.fixed_point of one problem of it."
        )
    fixed = family_of(record["problem"]).name_of("R")
    overlaps: dict[str, Any] = {fixed: data[fixed].values}
    if "b" in data:
        overlaps["b"] = data["b"].values
    T = record["start"].get("T")
    return OrderParameters(_symmetric(data["Q"].values), T=T, v=data["v"].values, **overlaps)


def _refuse_curve(data: xr.Dataset, record: Mapping) -> None:
    """Raise ValueError for more than one fixed point of a curve."""
    name = record["report"]["over"].rpartition(".")[2]
    if name not in data.coords or data[name].ndim:
        raise ValueError("the data are a curve of fixed points; take one with isel(point=0).")


def _refuse_sweep(record: Mapping) -> None:
    """Raise ValueError for the whole of a sweep, or a part of it that `point_of` has not taken."""
    if "sweep" in record.get("report", {}):
        raise ValueError("the data are of a sweep, of many problems; take one with ts.point_of.")


def described_run(data: xr.Dataset) -> dict:
    """What a theory or a simulation says of itself."""
    return _described(data, "start")


def whole_start(data: xr.Dataset) -> Any:
    """The start of the whole run, also of one that went on from another: all starts of a batch, of
    a part of a theory those that were selected.
    """
    return _run_start(data, described_run(data), whole=True)


def state_of(data: xr.Dataset, batch: str = "") -> Any:
    """The order parameters at the one time of the data; of a batch those along the dimension
    `batch`.
    """
    return _state(data, described_run(data), batch)


def _described(data: xr.Dataset, part: str) -> dict:
    """What a dataset says of itself, if that holds this part."""
    if not isinstance(data, xr.Dataset):
        raise ValueError(
            f"data is a {type(data).__name__}; give a theory or a simulation, an xarray.Dataset."
        )
    if DESCRIPTION not in data.attrs:
        raise ValueError(
            "the data do not say how they were made; give a theory or a simulation, as ts made "
            "or read it."
        )
    record = description(data)
    if part not in record:
        raise ValueError(
            f"the data are a {record.get('kind', 'result')}, which has no {part}; give a theory or "
            "a simulation."
        )
    return record


def _selected(data: xr.Dataset, name: str, value: Any, kind: Any) -> Any:
    """A parameter of a sweep at the values that were selected from it; any other as it is."""
    if name == "readout":  # of a teacher, with a number for each unit: it is not swept
        return value
    if isinstance(value, Mapping):
        return _selected_schedule(data, name, value)
    if name not in (*SWEPT, *kind.NUMBERS) or not isinstance(value, list):
        return value
    return _coordinate(data, name)


def _coordinate(data: xr.Dataset, name: str) -> Any:
    """The value, or values, of a swept number that the data are of."""
    if name not in data.coords:
        raise ValueError(
            f"the data do not say of which {name} they are; select it without drop=True."
        )
    return data[name].values.tolist()


def _selected_schedule(data: xr.Dataset, name: str, table: Mapping) -> dict:
    """The table of a schedule, with its swept parameters at the values that were selected."""
    selected: dict[str, Any] = {}
    for key, value in table.items():
        inner = f"{name}_{key}"
        if key in LISTS and isinstance(value, list):
            selected[key] = [
                _selected_entry(data, f"{inner}_{index}", one) for index, one in enumerate(value)
            ]
        else:
            selected[key] = _selected_entry(data, inner, value)
    return selected


def _selected_entry(data: xr.Dataset, name: str, value: Any) -> Any:
    """A parameter of a schedule, or an entry of a list of them, such as those of `piecewise`."""
    if isinstance(value, Mapping):
        return _selected_schedule(data, name, value)
    if not isinstance(value, list):
        return value
    return _coordinate(data, name)


def _check_begins(data: xr.Dataset, record: Mapping) -> None:
    """Raise ValueError if the times are a part of the run's that begins later."""
    first = float(np.ravel(data["time"].values)[0]) if data["time"].size else np.nan
    if first not in (0.0, record["report"].get("first_time", 0.0)):
        raise ValueError(
            f"the data begin at t = {first:g}, and have no start in them; give those of the whole "
            "run, or select one time, isel(time=0), for the state at it."
        )


def _run_start(data: xr.Dataset, record: Mapping, whole: bool = False) -> Any:
    described = record["start"]
    if not whole or "start" in data.coords:
        described = _of_batch(data, described)
    if is_of_model(record):
        return state_from(described)
    start = start_from(described)
    if "q_start" in data:
        rho, weights, q, r, t = (
            data[name].values for name in ("rho", "weights", "q_start", "r_start", "t")
        )
        return SpectralOverlaps(rho, weights, q, r, t, start.T, start.v, b=start.b, time=start.time)
    if "w_start" not in data:
        return start
    task = family_of(record["problem"])
    w = data["w_start"].values
    fixed = data[task.name_of("w_star")].values
    if not task.HAS_MODES:
        return OrderParameters(start.Q, start.R, start.T, start.v, Weights(w, fixed), b=start.b)
    return start_from_weights(first_of(problem_of(data)), w, start.v, fixed, start.b)


def _of_batch(data: xr.Dataset, start: Mapping) -> dict:
    """The described start, or those of a batch that were selected."""
    if np.ndim(start.get("Q", [[0.0]])) <= 2:
        return dict(start)
    if "start" not in data.coords:
        raise ValueError(
            "the data do not say of which start of the batch they are; select it without drop=True."
        )
    chosen = data["start"].values
    return {
        name: value if name == "time" else np.asarray(value)[chosen].tolist()
        for name, value in start.items()
    }


def _state(data: xr.Dataset, record: Mapping, batch: str = "") -> Any:
    """The order parameters at the one time of the data, or of a batch at that time."""
    time, task = float(data["time"]), family_of(record["problem"])
    if is_of_model(record):
        return _state_of_model(data, task, time)
    _check_one_state(data, record, time, batch)
    fixed = task.name_of("R")
    if not all(np.isfinite(data[name].values).all() for name in ("Q", fixed, "v")):
        raise ValueError(
            f"the run did not reach t = {time:g}: its order parameters are not finite there."
        )
    T = record["start"].get("T")
    if T is not None and np.ndim(T) > 2 and batch != "seed":
        T = _of_batch(data, record["start"])["T"]
    if T is not None and batch in data["Q"].dims:
        T = np.broadcast_to(T, (data.sizes[batch], *np.shape(T)[-2:]))
    if task.HAS_MODES or "q_start" in data:
        return _state_by_mode(data, T, time)
    overlaps: dict[str, Any] = {fixed: data[fixed].values}
    if "b" in data:
        overlaps["b"] = data["b"].values
    return OrderParameters(_symmetric(data["Q"].values), T=T, v=data["v"].values, **overlaps)


def is_of_model(record: Mapping) -> bool:
    """Whether results are of a model that is no two-layer regression."""
    return "model" in record["problem"]


def _state_of_model(data: xr.Dataset, kind: Any, time: float) -> Any:
    """The state of a model at the one time of the data.

    What the model has only with some options may be absent.
    """
    values = {}
    for name, quantity in kind.STATE.items():
        if name not in data:
            continue
        extra = [str(dim) for dim in data[name].dims if dim not in quantity.dims]
        if extra:
            example = ", ".join(f"{dim}=0" for dim in extra)
            raise ValueError(
                f"at t = {time:g} the data have a state for each {' and '.join(extra)}; select "
                f"one, isel({example}, time=...)."
            )
        values[name] = data[name].values
        if not np.isfinite(values[name]).all():
            raise ValueError(f"the run did not reach t = {time:g}: its {name} is not finite there.")
    return State(time=time, **values)


def _check_one_state(data: xr.Dataset, record: Mapping, time: float, batch: str) -> None:
    """Raise ValueError unless the data hold one value of each overlap, or a batch of them."""
    units = ("student", "student_")
    extra = [str(name) for name in data["Q"].dims if name not in (*units, batch)]
    if extra:
        example = ", ".join(f"{name}=0" for name in extra)
        raise ValueError(
            f"at t = {time:g} the data have a state for each {' and '.join(extra)}; select one, "
            f"isel({example}, time=...)."
        )
    if data["Q"].dims[-2:] != units or set(data["Q"].dims) - {*units, batch}:
        raise ValueError(
            "the data have only some of the student's units; select no student from them."
        )
    if record["kind"] == "simulation" and "seed" not in data.coords:
        raise ValueError(
            "the data do not say of which seed they are, and a mean over seeds is no state of a "
            "network; select one with isel(seed=0)."
        )


def _state_by_mode(data: xr.Dataset, T, time: float) -> SpectralOverlaps:
    """The overlaps of every mode at the time of the data."""
    if "q" not in data or "t" not in data:
        raise ValueError(
            f"the data have no overlaps by mode at t = {time:g}, which a state on inputs with "
            "several eigenvalues needs; make them with integrate(..., spectral=True)."
        )
    rho, weights, q, r, t, v = (
        data[name].values for name in ("rho", "weights", "q", "r", "t", "v")
    )
    q = (q + q.swapaxes(-1, -2)) / 2
    sums = (
        (np.einsum("t,...tkl->...kl", weights * rho, q), "Q"),
        (np.einsum("t,...tkm->...km", weights, r), "R"),
    )
    scale = max(1.0, np.abs(data["Q"].values).max())
    if any(np.abs(total - data[name].values).max() > 1e-6 * scale for total, name in sums):
        raise ValueError(
            f"the overlaps by mode at t = {time:g} are those of the modes of signs, which are not "
            "the eigenvectors of the inputs; there is no start with them."
        )
    b = np.zeros(v.shape)
    if "b" in data:
        b = data["b"].values
    return SpectralOverlaps(rho, weights, q, r, t, T, v, b=b)


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    """The matrix without the rounding that sets its two triangles apart."""
    return (matrix + np.swapaxes(matrix, -1, -2)) / 2
