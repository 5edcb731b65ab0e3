"""States of a run, from which another run goes on at their time.

A theory goes on from its order parameters, the overlaps of every mode and what its rule remembers;
a simulation from its networks, with their random streams.  All of this is in the dataset.
"""

from typing import Any

import numpy as np
import xarray as xr

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.warn import warn_user
from teacherstudent.protocol import problems_of
from teacherstudent.results.datasets import error_name
from teacherstudent.results.description import family_of
from teacherstudent.results.selection import (
    described_run,
    is_of_model,
    problem_of,
    state_of,
    whole_start,
)
from teacherstudent.starts import some_of_batch
from teacherstudent.states.kept import KeptNetworks, KeptTheory
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks.base import with_fields

CLOSE = 1e-9  # times that differ by less, relative to the last one, are the same


@arguments.checked
def last_state(data: xr.Dataset) -> Any:
    """The state at the last time of a theory or a simulation, from which another run goes on.

        more = ts.integrate(problem, ts.last_state(theory), times)

    with times on the same axis, none before the last one of `theory`.  The problem may be another
    one on the same inputs: another learning rate, another rule, another teacher readout.

    - Of a theory: Q, R (or m), v and b, with the overlaps of every mode and what the rule
      remembers.  The solver begins with a small step again, so that the answer is that of one run
      up to its tolerance.
    - Of a simulation by the chain of the overlaps (method "reduced"), or with whole weights and
      `keep="weights"`: the networks with their random streams.  A simulation that goes on is that
      of one run, bit by bit: it has the same seeds, N, method and dtype.
    - Of a simulation that kept no weights: the order parameters of every seed, a batch of starts.
      A simulation draws other weights with the same overlaps, and a momentum is forgotten.

    `integrate` takes the state of a simulation as a batch of starts, one for each seed.

    Raises ValueError if the data hold several curves, or not the last time of their run.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> state = ts.last_state(ts.integrate(problem, start, times=[0.0, 1.0]))
    >>> state.time
    1.0
    >>> more = ts.integrate(problem, state, times=[1.0, 5.0])
    >>> once = ts.integrate(problem, start, times=[0.0, 1.0, 5.0])
    >>> bool(np.allclose(more.R[-1], once.R[-1], atol=1e-9))
    True
    """
    record = described_run(data)
    _check_has_last(data, record)
    if record["kind"] == "simulation":
        return _last_networks(data, record)
    return _last_of_theory(data, record)


@arguments.checked
def state_at(data: xr.Dataset, t: float) -> Any:
    """The state at a recorded time of a theory or a simulation, from which another run goes on.

    At the last time it is `last_state`.  At an earlier one it has the order parameters alone: of a
    simulation those of every seed, a batch of starts, without weights (of other models than
    `ts.Problem` those of one seed, which is to be selected); on inputs with several eigenvalues a
    theory has them by mode only with `integrate(..., spectral=True)`.

    Raises ValueError if the time was not recorded, and names the nearest one; or if the rule
    remembers something, which is known at the last time only.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> theory = ts.integrate(problem, ts.OrderParameters([[0.5]], [[0.1]]), times=[0.0, 1.0, 5.0])
    >>> ts.state_at(theory, 1.0).time
    1.0
    """
    record = described_run(data)
    _check_has_times(data)
    t = checks.single("t", t)
    times = data["time"].values
    index = int(np.argmin(np.abs(times - t)))
    if abs(times[index] - t) > CLOSE * max(1.0, times[-1]):
        raise ValueError(
            f"t = {t:g} was not recorded; the nearest time is {times[index]:.10g}: give that, or "
            "record t."
        )
    if index == len(times) - 1 and times[-1] == record["report"]["last_time"]:
        return last_state(data)
    if "memory_last" in data:
        raise ValueError(
            f"what the rule remembers is not known at t = {t:g}, only at the last time; run to "
            "that time and take last_state."
        )
    now = data.isel(time=index)
    if is_of_model(record):
        return _of_model(state_of(now), now, float(times[index]))
    if "seed" in data.dims:
        state: Any = _unchecked(now, record, _start_of_seeds(data, record))
    else:
        state = state_of(now, batch="start")
    return _with_time(state, float(times[index]))


def _start_of_seeds(data: xr.Dataset, record: dict) -> Any:
    """The start of a whole simulation; of a batch of starts those of the seeds that are left."""
    start = whole_start(data)
    if not start.batch:
        return start
    seeds = record["report"]["seeds"]
    return some_of_batch(start, [seeds.index(seed) for seed in data["seed"].values.tolist()])


def _check_has_times(data: xr.Dataset) -> None:
    if "time" not in data.dims or not data.sizes["time"]:
        raise ValueError("the data have no dimension time; give a theory or a simulation.")


def _check_has_last(data: xr.Dataset, record: dict) -> None:
    """Raise ValueError unless the data go to the end of their run."""
    _check_has_times(data)
    last = float(data["time"][-1])
    end = record["report"].get("last_time", last)  # files of older versions do not say
    if last != end:
        raise ValueError(
            f"the data end at t = {last:g}, but their run at t = {end}; give all its times, or "
            f"take state_at(data, {last:g})."
        )


def _with_time(state: Any, time: float, kept: Any = None) -> Any:
    return with_fields(state, {"time": time, "kept": kept})


def _of_model(state: Any, end: xr.Dataset, time: float, kept: Any = None) -> Any:
    """The state of a model, with the model that it is of: in a protocol that of its phase."""
    return with_fields(state, {"time": time, "kept": kept, "before": _model_of(end)})


def _model_of(end: xr.Dataset) -> Any:
    """The model at one time; None where a file does not have it, or seeds are in several phases."""
    try:
        problem = problem_of(end)
    except ValueError:
        return None
    phases = np.unique(end["phase"]) if "phase" in end else np.zeros(1)
    if len(phases) > 1 or phases[0] >= len(problems_of(problem)):
        return None
    return problems_of(problem)[int(phases[0])]


def _last_of_theory(data: xr.Dataset, record: dict) -> Any:
    """The order parameters at the end, with the modes and the memory of the solver."""
    end, time = data.isel(time=-1), float(data["time"][-1])
    if is_of_model(record):
        return _of_model(state_of(end), end, time)
    several = "q_last" in data
    if several:
        q = np.moveaxis(data["q_last"].values, -3, -1)
        r = np.moveaxis(data["r_last"].values, -3, -1)
        state = _by_mode(end, data, record)
    else:
        state = state_of(end, batch="start")
        q, r = state.Q[..., None], state.R[..., None]
    memory = np.zeros((*np.shape(state.v)[:-1], 0))
    if "memory_last" in data:
        memory = data["memory_last"].values
    kept = KeptTheory(_rule(record), whole_start(data), q, r, memory)
    return _with_time(state, time, kept)


def _rule(record: dict) -> str:
    """The name of the rule's class, without that of its module."""
    name = record["report"].get("last_rule", record["problem"].get("rule", {}).get("type", ""))
    return str(name).rsplit(".", 1)[-1]


def _by_mode(end: xr.Dataset, data: xr.Dataset, record: dict) -> Any:
    """The overlaps of every mode at the end.

    Rules of signs are solved in the modes of the signs, which are not those of the inputs: then the
    state shows the overlaps of all modes together.
    """
    names = {"q": "q_last", "r": "r_last"}
    modes = end.drop_vars([name for name in names if name in end])
    modes = modes.rename({late: name for name, late in names.items()})
    try:
        return state_of(modes, batch="start")
    except ValueError:
        T = np.asarray(whole_start(data).T)
        return OrderParameters(_symmetric(end["Q"].values), end["R"].values, T, end["v"].values)


def _symmetric(Q: np.ndarray) -> np.ndarray:
    return (Q + np.swapaxes(Q, -1, -2)) / 2


def _last_networks(data: xr.Dataset, record: dict) -> Any:
    """The networks at the end, with the order parameters of each."""
    if "seed" not in data.dims:
        raise ValueError(
            "the data have one seed or a mean over seeds; give a simulation with its dimension "
            "seed, isel(seed=[0])."
        )
    report = record["report"]
    end, time = data.isel(time=-1), float(data["time"][-1])
    start = _start_of_seeds(data, record)
    _check_all_there(data, time)
    if is_of_model(record):
        state: Any = start  # each network has a state of its own, in its chain
    else:
        state = _unchecked(end, record, start)
    facts = {
        "rule": _rule(record),
        "start": start,
        "method": report["method"],
        "N": report["N"],
        "dtype": report["dtype"],
        "seeds": data["seed"].values.tolist(),
        "step": report["last_step"],
    }
    if "chain_last" in data:
        chain = KeptNetworks(
            **facts, chain=data["chain_last"].values, chain_rows=report.get("chain_rows", 0)
        )
        if is_of_model(record):
            return _of_model(state, end, time, chain)
        return _with_time(state, time, chain)
    if is_of_model(record):
        if "phase" in data and len(np.unique(end["phase"])) > 1:
            raise ValueError(
                f"the seeds are in different phases of the protocol at t = {time:g}, and cannot go "
                "on together; select those of one phase, or let the run last until all are in one."
            )
        raise ValueError(
            "the simulation kept no systems from which another one could go on; simulate with "
            'keep="weights", or by the method "reduced".'
        )
    if "w_last" not in data:
        warn_user(
            'the simulation kept no networks (keep="weights"), so that one that goes on from here '
            "draws others with the same overlaps, and what the rule remembers is forgotten."
        )
        return _with_time(state, time)
    memory = np.zeros((len(facts["seeds"]), 0))
    if "memory_last" in data:
        memory = data["memory_last"].values
    networks = KeptNetworks(
        **facts,
        w=data["w_last"].values,
        v=np.asarray(state.v),
        b=np.asarray(state.b),
        w_star=data["w_star_last"].values,
        memory=memory,
    )
    return _with_time(state, time, networks)


def _check_all_there(data: xr.Dataset, time: float) -> None:
    """Raise ValueError if some seeds ended the last phase of a protocol before the others."""
    end = data[error_name(data)].isel(time=-1).transpose("seed", ...).values
    finite = np.isfinite(end.reshape(len(end), -1)).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"seed {int(data['seed'][np.argmin(finite)])} ended the protocol before "
            f"t = {time:g}, and has no state there; take state_at at a time at which all seeds "
            "are in it, or give the last phase a duration."
        )


def state_orders(data: xr.Dataset) -> tuple[np.ndarray, ...]:
    """Q, R (or m), T, v and b at all times of a theory or a simulation."""
    record = described_run(data)
    task = family_of(record["problem"])
    Q, R, v = (data[name].values for name in ("Q", task.name_of("R"), "v"))
    b = np.zeros(v.shape)
    if "b" in data:
        b = data["b"].values
    T = np.asarray(whole_start(data).T)
    return Q, R, T, v, b


def _unchecked(end: xr.Dataset, record: dict, start: Any) -> OrderParameters:
    """The order parameters of every seed as they were measured.

    Overlaps that were estimated from samples may be those of no weights: they are not checked.
    """
    task = family_of(record["problem"])
    Q, R, v = (end[name].values for name in ("Q", task.name_of("R"), "v"))
    seeds, K = v.shape
    b = np.zeros((seeds, K))
    if "b" in end:
        b = end["b"].values
    T = np.broadcast_to(np.asarray(start.T), (seeds, *np.shape(start.T)[-2:]))
    empty = OrderParameters(np.eye(K), np.zeros((K, R.shape[-1])))
    return with_fields(empty, {"Q": _symmetric(Q), "R": R, "T": T, "v": v, "b": b})
