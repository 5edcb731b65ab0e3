"""What can be compared: answers of the right form, and with numbers that networks and theories can
have.

A wrong form is an error of the caller's (`check_form` raises).  Numbers that are no answer, such as
nan or a seed that stands alone at 1e10, are in the data: `first_fault` says where, and no
comparison that meets them may say that theory and networks agree.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from teacherstudent.results.datasets import (
    DESCRIPTION,
    OF_THE_END,
    VARIABLES,
    description,
    error_name,
    observables_in_common,
)
from teacherstudent.results.description import family_of
from teacherstudent.states.physical_region import smallest_eigenvalue

STATES = ("Q", "R", "m", "v", "b", "eps_g", "loss")
MEASURED = ("test_error", "test_loss", "test_accuracy")  # by each network, on held-out samples
HUGE = 1e30  # nothing that a theory or a simulation answers is larger
APART = 1e3  # times larger than the others, a seed is none of them
ROUNDING = 1e-6  # of overlaps that are known exactly
ESTIMATED = 0.1  # of covariances from samples
HELD_OUT = 0.3  # of overlaps measured on held-out samples
PROBABILITIES = ("accuracy", "test_accuracy", "oracle_error")
UNITS = {"student": "student units", "teacher": "teacher units", "direction": "directions"}


def check_form(theory: xr.Dataset, simulations: Sequence[xr.Dataset]) -> None:
    """Raise TypeError or ValueError unless these are a theory's curve and simulations of a problem
    of the same shape.
    """
    check_theory("theory", theory)
    if not simulations:
        raise ValueError("there is no simulation to compare with; give at least one.")
    for simulation in simulations:
        _check_dataset("simulation", simulation, "simulation")
        _check_pair(theory, simulation)


def check_theory(name: str, theory: xr.Dataset) -> None:
    """Raise TypeError or ValueError unless the argument of this name is one curve of a theory."""
    _check_dataset(name, theory, "theory")


def _check_dataset(name: str, data, kind: str) -> None:
    if isinstance(data, xr.DataTree):
        raise TypeError(
            f"{name} is a DataTree; give one dataset of it, such as tree[{name!r}].to_dataset()."
        )
    if not isinstance(data, xr.Dataset):
        raise TypeError(
            f"{name} is of type {type(data).__name__}; give the dataset that {_verb(kind)} "
            "returned."
        )
    other = _kind(name, data)
    if other != kind:
        swapped = ""
        if {other, kind} == {"theory", "simulation"}:
            swapped = "theory and simulation are swapped; "
        raise ValueError(
            f"{swapped}{name} is a {other}; give compare(theory, simulation), as {_verb(kind)} "
            "returned it."
        )
    task = task_type(data)
    needed = (*task.START, error_name(data))
    missing = [variable for variable in needed if variable not in data]
    if missing:
        raise ValueError(
            f"{name} has no {', '.join(missing)}; pass it as {_verb(kind)} returned it."
        )
    if kind == "simulation" and "seed" not in data.dims:
        raise ValueError("the simulation has no dimension 'seed'; pass it as simulate returned it.")
    _check_dimensions(name, data, ("seed",) if kind == "simulation" else ())
    _check_times(name, data)


def _verb(kind: str) -> str:
    return "integrate" if kind == "theory" else "simulate"


def _kind(name: str, data: xr.Dataset) -> str:
    """What the dataset says that it is, if its description has all that a comparison reads."""
    try:
        record = json.loads(data.attrs[DESCRIPTION])
        family_of(record["problem"])  # ValueError for a problem that nobody knows
        known = isinstance(record["start"], dict)
        report = record["report"]
        if record["kind"] == "simulation":
            known &= (
                isinstance(report["N"], int)
                and report["N"] > 0
                and report["dtype"] in ("float32", "float64")
            )
        elif record["kind"] != "theory":
            return str(record["kind"])
    except (KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"{name} does not say what it is (attribute {DESCRIPTION!r}); give datasets that "
            "integrate and simulate returned, with their attributes."
        )
    return record["kind"]


def task_type(data: xr.Dataset) -> Any:
    """The class of ours that the task of a dataset is of, or is derived from; or of a model."""
    return family_of(description(data)["problem"])


def _check_dimensions(name: str, data: xr.Dataset, leading: tuple[str, ...]) -> None:
    """Raise unless each variable that is compared has its own dimensions, and numbers."""
    for variable in (*STATES, *MEASURED, "T", "accuracy"):
        if variable not in data:
            continue
        values, dims = data[variable], VARIABLES[variable][0]
        extra = sorted(set(map(str, values.dims)) - {*dims, *leading})
        if extra and name != "simulation":
            raise ValueError(
                f"the {name} is a sweep over {', '.join(extra)}; select one curve first "
                "(theory.sel or .isel)."
            )
        expected = (*leading, *dims) if "time" in dims else dims
        if set(values.dims) != set(expected):
            raise ValueError(
                f"{name}.{variable} has the dimensions {values.dims}; it must have {expected}. "
                "Pass the dataset whole, as returned by integrate or simulate."
            )
        if values.dtype.kind not in "fiu":
            raise ValueError(
                f"{name}.{variable} has the type {values.dtype}; it must have real numbers."
            )


def _check_times(name: str, data: xr.Dataset) -> None:
    for coordinate in ("time", "seed") if name == "simulation" else ("time",):
        if coordinate not in data.coords or data[coordinate].dtype.kind not in "fiu":
            raise ValueError(
                f"{name} has no numbers as its coordinate {coordinate!r}; pass it as "
                f"{_verb(name)} returned it."
            )
    times = data.time.values
    if (
        not times.size
        or not np.isfinite(times).all()
        or times[0] < 0
        or (np.diff(times) <= 0).any()
    ):
        raise ValueError(
            f"{name} has times that do not increase from t >= 0; pass the dataset whole."
        )


def _check_pair(theory: xr.Dataset, simulation: xr.Dataset) -> None:
    if ("loss" in theory) != ("loss" in simulation):
        raise ValueError(
            "one of theory and simulation has a teacher and the other two classes; compare "
            "answers to one problem."
        )
    for unit, plural in UNITS.items():
        if unit in theory.sizes and theory.sizes[unit] != simulation.sizes.get(unit):
            raise ValueError(
                f"the theory has {theory.sizes[unit]} {plural} but the simulation "
                f"{simulation.sizes.get(unit)}; compare answers to the same problem."
            )

    for name in observables_in_common(theory, simulation):
        expected = {"seed": simulation.sizes["seed"], **theory[name].sizes}
        expected["time"] = simulation.sizes["time"]
        if dict(simulation[name].sizes) != expected:
            raise ValueError(
                f"the theory has {name} over {theory[name].dims} and the simulation over "
                f"{simulation[name].dims}; give both verbs the same observable."
            )


def in_one_phase(theory: xr.Dataset, simulation: xr.Dataset) -> xr.Dataset:
    """The simulation at the times at which all its networks are in the phase of a protocol that
    the theory is in at the nearest time: at the same one, where it has it.
    """
    if "phase" not in theory or "phase" not in simulation:
        return simulation
    expected = theory["phase"].sel(time=simulation["time"], method="nearest")
    same = (simulation["phase"] == expected.values).all("seed").values
    return simulation.isel(time=np.flatnonzero(same))


def what_is_compared(data: xr.Dataset) -> xr.Dataset:
    """The data without what another run needs to go on, and without the phases of a protocol."""
    return data.drop_vars([*OF_THE_END, "phase", "switch_time"], errors="ignore")


class Fault(NamedTuple):
    """What is wrong with the numbers, with variable, seed and time, and whether it says of itself
    that the theory is wrong.
    """

    sentence: str
    refutes: bool = False


def first_fault(theory: xr.Dataset, simulations: Sequence[xr.Dataset]) -> Fault | None:
    """The first thing in the numbers that makes a comparison meaningless; None if all is well."""
    with np.errstate(all="ignore"):
        of_numbers = [
            *_faults_of("theory", theory),
            *chain.from_iterable(map(_faults_of_simulation, simulations)),
            *chain.from_iterable(
                _faults_together(theory, one) for one in simulations if one.sizes["seed"]
            ),
        ]
        if of_numbers:
            return Fault(of_numbers[0])
        for sentence in _outside_region("theory", theory):
            return Fault(sentence, refutes=True)
    return None


def _faults_of_simulation(simulation: xr.Dataset) -> Iterator[str]:
    seeds = simulation.seed.values
    if not seeds.size:
        yield "the simulation has no seeds"
        return
    numbers, counts = np.unique(seeds, return_counts=True)
    if counts.max() > 1:
        yield f"the simulation has seed {_number(numbers[counts.argmax()])} more than once"
    yield from _faults_of("simulation", simulation)
    yield from _impossible_errors(simulation)
    yield from _outside_region("simulation", simulation)
    yield from _alike(simulation)


def _faults_of(name: str, data: xr.Dataset) -> Iterator[str]:
    """Numbers that are not finite, or out of the range of what they measure."""
    for variable, values in data.data_vars.items():
        if values.dtype.kind != "f" or values.size == 0:
            continue
        wrong = ~(abs(values) < np.inf)
        if wrong.any():
            yield f"the {name} has {variable} = {_first(values, wrong)}"
        yield from _out_of_range(name, str(variable), values, data)


def _impossible_errors(simulation: xr.Dataset) -> Iterator[str]:
    """Standard errors larger than the mean of losses that are not negative.

    With mean mu of n samples x_i >= 0, sum x_i^2 <= (n mu)^2, so that the standard error of the
    mean is at most mu.
    """
    if _loss_may_be_negative(simulation):
        return
    for variable in ("test_loss", "test_error"):
        error = f"{variable}_se"
        if variable not in simulation or error not in simulation:
            continue
        values = simulation[error]
        wrong = values > simulation[variable] * (1 + ROUNDING) + ROUNDING
        if wrong.any():
            where = _first(values, wrong)
            yield f"the simulation has {error} = {where}, which is more than its {variable}"


def _out_of_range(
    name: str, variable: str, values: xr.DataArray, data: xr.Dataset
) -> Iterator[str]:
    low, high = _range_of(variable, data)
    wrong = (values < low) | (values > high)
    if wrong.any():
        yield f"the {name} has {variable} = {_first(values, wrong)}, which nothing can have"


def _range_of(variable: str, data: xr.Dataset) -> tuple[float, float]:
    """Between which numbers a variable can be, up to rounding."""
    if variable in PROBABILITIES:
        return -ROUNDING, 1 + ROUNDING
    if variable == "test_accuracy_se":
        return 0.0, 0.5  # the deviation of a single sample that is right or wrong
    if variable.endswith("_se"):
        return 0.0, HUGE
    if variable in ("eps_g", "test_error", "train_error"):
        return -_floor(data), HUGE
    if variable in ("loss", "test_loss", "train_loss") and not _loss_may_be_negative(data):
        return -ROUNDING, HUGE
    return -HUGE, HUGE


def _loss_may_be_negative(data: xr.Dataset) -> bool:
    """Whether the loss of a phase is -y phi, or one of a user's own, of which nothing is known."""
    facts = description(data)
    losses = [one.get("loss", "square") for one in facts.get("protocol", [facts["problem"]])]
    return any(loss == "correlation" or loss.startswith("function:") for loss in losses)


def _floor(data: xr.Dataset) -> float:
    """How negative rounding can make a generalisation error.

    A report has its floor.  Older files have none, and it is guessed.
    """
    report = description(data)["report"]
    if "eps_g_floor" in report:
        return float(report["eps_g_floor"])
    largest = 1.0
    if "Q" in data and data.Q.size:
        largest = max(largest, float(np.abs(data.Q).max()))
    return 1e-4 * largest


def _outside_region(name: str, data: xr.Dataset) -> Iterator[str]:
    if "Q" not in data or not {"R", "m"} & set(data):  # a model whose state is another
        return
    other = data["m"] if "m" in data else data["R"]
    Q = data.Q.transpose(..., "student", "student_")
    T = data["T"].values if "T" in data else np.eye(other.shape[-1])
    if Q.size == 0:
        return
    R = other.transpose(*Q.dims[:-1], ...)
    eigenvalue = xr.DataArray(smallest_eigenvalue(Q.values, R.values, T), dims=Q.dims[:-2])
    eigenvalue = eigenvalue.assign_coords({dim: data[dim] for dim in eigenvalue.dims})
    wrong = eigenvalue < -_allowed(name, data)
    if wrong.any():
        region = "[[Q, m], [m^T, 1]]" if "m" in data else "[[Q, R], [R^T, T]]"
        what = _first(eigenvalue, wrong)
        if what.startswith("-inf"):
            yield (
                f"the {name} has a matrix {region} that is not symmetric{what.removeprefix('-inf')}"
            )
        yield (
            f"the {name} has overlaps of no weights: {region} has the eigenvalue {what} of its "
            "largest entry"
        )


def _allowed(name: str, data: xr.Dataset) -> float:
    """How negative an eigenvalue may be, relative to the largest entry, by the errors of what was
    measured or solved.
    """
    report, allowed = description(data)["report"], ROUNDING
    if task_type(data).HAS_MODES:
        allowed = ESTIMATED
    if report.get("overlaps") == "held-out samples":
        allowed = HELD_OUT
    if name == "theory":
        solver = 100 * (report.get("rtol", 0.0) + report.get("atol", 0.0))
        allowed = max(allowed, solver, 10 * report.get("quadrature_error", 0.0))
    return allowed


def _alike(simulation: xr.Dataset) -> Iterator[str]:
    """Seeds with the same numbers: independent networks have none in common once they have learnt
    something.
    """
    later = simulation.isel(time=np.flatnonzero(simulation.time.values > 0))
    if later.sizes["time"] == 0 or later.sizes["seed"] < 2:
        return
    for variable in ("Q", "R", "m", "eps_g", "loss"):
        if variable not in later:
            continue
        pair = _first_pair(later[variable])
        if pair is not None and (pair.others or moves(simulation[variable])):
            seeds = simulation.seed.values
            yield (
                f"the simulation has the same {variable} in seeds {_number(seeds[pair.first])} and "
                f"{_number(seeds[pair.second])}, which are no independent networks"
            )


class Pair(NamedTuple):
    """Two seeds with the same numbers, and whether there are seeds with others."""

    first: int
    second: int
    others: bool


def _first_pair(values: xr.DataArray) -> Pair | None:
    """The first seed with the numbers of one before it; None if all differ."""
    runs = values.transpose("seed", ...).values
    runs = runs.reshape(len(runs), -1)
    distinct, first, which = np.unique(runs, axis=0, return_index=True, return_inverse=True)
    twins = first[which.ravel()]
    repeated = np.flatnonzero(twins != np.arange(len(runs)))
    if not len(repeated):
        return None
    second = int(repeated[0])
    return Pair(int(twins[second]), second, len(distinct) > 1)


def size_of(simulation: xr.Dataset) -> int:
    """The input dimension N of the networks."""
    return description(simulation)["report"]["N"]


def moves(values: xr.DataArray) -> bool:
    """Whether a variable changes along time."""
    return bool((values != values.isel(time=0)).any())


def _faults_together(theory: xr.Dataset, simulation: xr.Dataset) -> Iterator[str]:
    """Teachers that differ; a seed whose numbers stand far apart from those of all others and of
    the theory.
    """
    if "T" in theory and "T" in simulation:
        ours, theirs = theory["T"].values, simulation["T"].values
        if not np.allclose(ours, theirs, rtol=1e-6, atol=1e-9):
            place = np.unravel_index(np.abs(ours - theirs).argmax(), ours.shape)
            yield (
                f"theory and simulation have teachers of different T ({ours[place]:.6g} and "
                f"{theirs[place]:.6g})"
            )
    for variable in (*STATES, *MEASURED):
        if variable not in simulation:
            continue
        runs = abs(simulation[variable].transpose("seed", "time", ...))
        sizes = runs.max(dim=[dim for dim in runs.dims if dim != "seed"])
        usual = float(sizes.median())
        if variable in theory:
            usual = min(usual, float(abs(theory[variable]).max()))
        wrong = runs > APART * max(usual, _least(variable, theory))
        if wrong.any() and simulation.sizes["seed"] > 1:
            yield (
                f"the simulation has |{variable}| = {_first(runs, wrong)}, far beyond what other "
                f"seeds and the theory have ({usual:.3g})"
            )


def _least(variable: str, theory: xr.Dataset) -> float:
    """What is small for a variable by its nature: readouts and overlaps may be zero for long."""
    if variable in ("v", "b", "R", "m"):
        return 1e-2 * max(1.0, float(np.abs(theory.Q).max()))
    return 1e-6


def _first(values: xr.DataArray, wrong: xr.DataArray) -> str:
    """The first wrong number, with its seed and its time."""
    place = np.unravel_index(int(np.argmax(np.asarray(wrong))), wrong.shape)
    text = f"{float(np.asarray(values)[place]):.6g}"
    index = dict(zip(values.dims, place, strict=True))
    for dim, words in (("seed", " for seed"), ("time", " at t =")):
        if dim in index and dim in values.coords:
            text += f"{words} {_number(values[dim].values[index[dim]])}"
    return text


def _number(value) -> str:
    return f"{float(value):.6g}"
