"""Theory against simulation: deviations, their standard errors, and what they say together.

The mean over seeds differs from the limit N -> infinity by a statistical error, which the scatter
of the seeds measures, and by a bias of order 1 / N, which it does not.  A comparison therefore
gives both: z-scores, and the coefficient c of a bias c / N that would be needed to explain what the
statistical error cannot.  What is tested, and how large a bias is allowed, is in `deviations.py`;
with several N a bias is measured, by whether it falls as 1 / N.

The verdict says what it could have seen: the smallest relative error of the scale of time, to first
order of the learning rate, that would have been found.  Where that is more than the learning rate
itself, it says UNDECIDED; where the numbers are none of a theory and of independent networks,
INVALID, and why (`comparable.py`).

Where a simulation has a test error, measured on held-out inputs, it is compared with the Gaussian
prediction at the networks' own overlaps: the two differ where the fields are not jointly Gaussian,
that is where Gaussian equivalence fails.
"""

import json
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from teacherstudent.checking import arguments
from teacherstudent.results.comparable import HUGE, Fault, check_form, check_theory, first_fault
from teacherstudent.results.datasets import (
    DESCRIPTION,
    SCHEMA,
    description,
    observables_in_common,
)
from teacherstudent.results.deviations import (
    BASE,
    CURVATURE,
    Variable,
    allowed_bias,
    critical_of_windows,
    relative_variance,
    slopes,
    tests_of_directions,
    windows,
)
from teacherstudent.results.verdict import Report, verdict_of
from teacherstudent.tasks import TASKS, StructuredTask

COMPARED = ("eps_g", "loss", "Q", "R", "m", "v", "b")
ACCURACY_ERROR = 3e-4  # of the theory's accuracy, a mean over frozen points
ARRAYS = sorted({name for task in TASKS.values() for name in task.ARRAYS})
RATES = ("learning_rate", "readout_learning_rate", "bias_learning_rate")
TIME = "scale of time (which is what a small learning rate sets)"
LARGEST_BIAS = (
    6.0  # of held-out errors on inputs that are not Gaussian, in (scale of the quantity) / N
)
TINY = np.finfo(float).tiny


@arguments.checked
def compare(
    theory: xr.Dataset,
    simulation: xr.Dataset | Sequence[xr.Dataset],
    *,
    faster: xr.Dataset | None = None,
) -> xr.Dataset:
    """Compare a theory with one simulation, or with simulations of several sizes N.

    For each X of eps_g, Q, R and (if trained) v, or with two classes loss, Q, m, v and b, and for
    each observable that both have, the answer has `X_deviation` = theory minus mean over seeds,
    `X_standard_error` = scatter of the seeds / sqrt(seeds), and `X_z` = deviation over standard
    error, along the theory's times that
    were simulated: a simulated time, which is a whole number of updates over N, belongs to the
    theory's time if the two differ by at most half an update.  With several N these carry the
    dimension `N`, and `X_rms` (root mean square over seeds, times and entries of a single network's
    deviation) is fitted by N^exponent.  X is also `test_error`, if the simulation has it: the
    Gaussian eps_g at each network's own overlaps minus its test error; with two classes
    `test_loss`, the same for the loss, and `test_accuracy`, the theory's accuracy minus that of the
    networks.

    `faster` is the theory at learning rates that are all larger by one factor, such as 1.02.  With
    it the verdict says which error of the learning rate would have been found, and without it which
    error of the scale of time; the two are the same where terms of second order in the learning
    rate are small.

    The attribute `verdict` is one line; `teacherstudent` holds the numbers behind it.  It begins
    with AGREE, DISAGREE, UNDECIDED (too few seeds, nothing but the start compared, or a test that
    could not see an error of the learning rate by a factor of two), or INVALID where some number is
    none of a theory's or of independent networks', with its seed and time.  A theory that is right
    is called wrong with a probability of about 1 percent.

    Raises TypeError or ValueError if theory and simulation are not what integrate and simulate
    return, have no time or not the same units in common, or the theory is a sweep.
    """
    several = isinstance(simulation, list | tuple)
    sims: list[xr.Dataset] = (
        list(simulation) if isinstance(simulation, list | tuple) else [simulation]
    )  # type: ignore[list-item]
    check_form(theory, sims)
    change = None if faster is None else change_of_rate(theory, faster)
    theory, sims = theory.transpose("time", ...), sorted(sims, key=_size)
    fault = first_fault(theory, sims)
    with warnings.catch_warnings(), np.errstate(all="ignore" if fault else "warn"):
        if fault:
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # means of nothing, or of what is no number
        return _compared(theory, sims, several, fault, change)


def _compared(
    theory: xr.Dataset,
    sims: list[xr.Dataset],
    several: bool,
    fault: Fault | None,
    change: xr.Dataset | None,
) -> xr.Dataset:
    named = [name for name in COMPARED if name in theory]
    named += observables_in_common(theory, *sims, *([] if change is None else [change]))
    names = [name for name in named if _is_compared(name, theory, sims)]
    kept, pairs = matched(theory.time.values, sims)
    times = theory.time.values
    usable = {name: np.clip(np.nan_to_num(theory[name].values), -HUGE, HUGE) for name in names}
    in_time = {name: slopes(times, usable[name])[kept] for name in names}
    rates = in_time if change is None else {name: change[name].values[kept] for name in names}
    reports = [
        _one_size(
            theory,
            theory.isel(time=kept),
            one.isel(time=pair),
            names,
            (in_time, rates),
            fault is None,
        )
        for one, pair in zip(sims, pairs, strict=True)
    ]
    result = (
        xr.concat([r.data for r in reports], dim=_size_index(sims)) if several else reports[0].data
    )
    facts = {
        "schema": SCHEMA,
        "kind": "comparison",
        "N": [_size(one) for one in sims],
        "seeds": [one.sizes["seed"] for one in sims],
        "times_compared": len(kept),
        "times_of_theory": theory.sizes["time"],
        "differences": _differences(theory, sims[-1]),
        "largest": [r.largest for r in reports],
        "directions": [[test._asdict() for test in r.tests] for r in reports],
        "below_floor": reports[-1].below_floor,
        "fault": None if fault is None else fault.sentence,
    }
    if several and len(sims) > 1:
        facts["exponents"] = {
            name: _fitted_exponent(result[f"{name}_rms"], result[f"{name}_rms_error"])
            for name in names
        }
    verdict = verdict_of(reports, facts, TIME if change is None else "learning rate", fault)
    return result.assign_attrs(
        {"verdict": verdict, DESCRIPTION: json.dumps(facts | {"verdict": verdict})}
    )


def _is_compared(name: str, theory: xr.Dataset, sims: Sequence[xr.Dataset]) -> bool:
    """Readouts, biases and observables only if they move, in the theory or in the simulation."""
    always = name in COMPARED and name not in ("v", "b")
    return always or _moves(theory[name]) or any(_moves(one[name]) for one in sims)


def _one_size(
    whole: xr.Dataset,
    theory: xr.Dataset,
    simulation: xr.Dataset,
    names: Sequence[str],
    rates: tuple[Mapping, Mapping],
    usable: bool,
) -> Report:
    """Deviations at one N; `theory` and `simulation` are at corresponding times, in the same order."""
    data: dict[str, tuple] = {}
    largest: dict[str, dict] = {}
    N, seeds, times = _size(simulation), simulation.sizes["seed"], theory.time.values
    variables = [
        _variable(name, whole, theory, simulation, *(rate[name] for rate in rates))
        for name in names
    ]
    for one in variables:
        about, dims, shape = theory[one.name], theory[one.name].dims, theory[one.name].shape
        # Here the entries have their own axes again, in the order of the theory's.
        deviation, error = (part.reshape(shape) for part in (one.deviation, one.error))
        data |= _columns(
            one.name,
            dims,
            deviation,
            error,
            about,
            "theory minus mean over seeds",
            "the mean over seeds",
        )
        square = ((one.limit - one.runs) ** 2).mean(axis=(1, 2))
        rms = np.sqrt(square.mean())
        spread = np.std(square, ddof=1) / np.sqrt(len(square)) if len(square) > 1 else np.nan
        data[f"{one.name}_rms"] = (
            (),
            rms,
            _about(about, "root mean square deviation of one network"),
        )
        of_rms = spread / (2 * rms) if rms else 0.0
        data[f"{one.name}_rms_error"] = ((), of_rms, _about(about, "standard error of that"))
    held_out = _held_out(theory, simulation)
    for name, (_, deviation, error) in held_out.items():
        found = "prediction minus what was found"
        data |= _columns(
            name, ("time",), deviation, error, simulation[name], found, "that over seeds"
        )
    quantities = len(variables) + len(held_out)
    decided = usable and seeds > 1
    variance = relative_variance(variables) if decided else np.zeros(len(times))
    for one in variables:
        on = one.counted
        if on.any():
            allowed = allowed_bias(one, N, variance)[on]
            largest[one.name] = _largest(
                one.deviation[on],
                one.error[on],
                allowed,
                times[on],
                one.scale,
                N,
                seeds,
                quantities,
            )
    for name, (prediction, deviation, error) in held_out.items():
        scale, limit = _allowed_of_held_out(name, prediction, simulation, variance)
        deviation, error, limit = deviation[:, None], error[:, None], limit[:, None]
        largest[name] = _largest(deviation, error, limit, times, scale, N, seeds, quantities)
    tests = tests_of_directions(variables, times, N) if decided else []
    whole_answer = xr.Dataset(data, coords={"time": theory.time})
    return Report(
        whole_answer, largest, tests, _below_floor(variables, times), not (times > 0).any()
    )


def _below_floor(variables: Sequence[Variable], times: np.ndarray) -> float | None:
    """The time after which eps_g is rounding up to the end, if there is one."""
    for one in variables:
        if not one.counted[-1]:
            return (
                float(times[np.flatnonzero(one.counted)[-1]])
                if one.counted.any()
                else float(times[0])
            )
    return None


def _columns(
    name: str, dims, deviation, error, about: xr.DataArray, deviation_of: str, error_of: str
) -> dict:
    """The three variables of an answer that belong to one of the simulation's."""
    with np.errstate(divide="ignore", invalid="ignore"):  # of numbers that are zero and stay so
        z = deviation / error
    return {
        f"{name}_deviation": (dims, deviation, _about(about, deviation_of)),
        f"{name}_standard_error": (dims, error, _about(about, f"standard error of {error_of}")),
        f"{name}_z": (dims, z, _about(about, "deviation over standard error")),
    }


def _variable(
    name: str,
    whole: xr.Dataset,
    theory: xr.Dataset,
    simulation: xr.Dataset,
    in_time: np.ndarray,
    rate: np.ndarray,
) -> Variable:
    dims, times = theory[name].dims, theory.time.values

    def flat(values: np.ndarray, lead: int) -> np.ndarray:
        shape = (*values.shape[:lead], int(np.prod(values.shape[lead:])))
        return np.asarray(values, np.float64).reshape(shape)

    limit = flat(theory[name].values, 1)
    runs = flat(simulation[name].transpose("seed", *dims).values, 2)
    slope = rate.reshape(limit.shape)
    scale = _scale(name, theory, simulation)
    report = description(theory)["report"]
    numerical = 10 * (report.get("rtol", 0.0) + report.get("atol", 0.0)) + report.get(
        "quadrature_error", 0.0
    )
    moved = np.abs(simulation.time.values - times) / np.where(times > 0, times, 1.0)
    floor = max(description(one)["report"].get("eps_g_floor", 0.0) for one in (theory, simulation))
    above = np.maximum(np.abs(limit), np.abs(runs).mean(axis=0)).max(axis=1) >= floor
    return Variable(
        name,
        limit,
        runs,
        slope,
        flat(_begin(name, whole), 0)[None],
        scale,
        4 * float(np.finfo(description(simulation)["report"]["dtype"]).eps),
        numerical * scale + moved * np.abs(in_time.reshape(limit.shape)).max(axis=1),
        above if name == "eps_g" else np.ones(len(times), bool),
    )


def _begin(name: str, theory: xr.Dataset) -> np.ndarray:
    """The value at the start: the curve's own at its first time, if that is t = 0, or what the
    description says.
    """
    first = theory[name].isel(time=0).values
    stated = description(theory)["start"].get("R" if name == "m" else name)
    if theory.time.values[0] > 0 and np.shape(stated) == first.shape:
        return np.asarray(stated, np.float64)
    return first if theory.time.values[0] == 0 else np.zeros_like(first)


def _scale(name: str, theory: xr.Dataset, simulation: xr.Dataset) -> float:
    """How large a variable is by its nature: of overlaps the lengths of the vectors, of a readout
    not less than a tenth.

    Of theory and networks the smaller one counts, so that a number gone astray allows for nothing.
    """
    own = _size_of(name, theory, simulation)
    length = np.sqrt(_size_of("Q", theory, simulation))
    if name == "R":
        return float(length * np.sqrt(np.abs(theory["T"]).max()))
    least = {"m": length, "b": length, "v": 0.1}.get(name, TINY)
    return float(max(least, own))


def _size_of(name: str, theory: xr.Dataset, simulation: xr.Dataset) -> float:
    of_seed = abs(simulation[name]).max([dim for dim in simulation[name].dims if dim != "seed"])
    return min(float(abs(theory[name]).max()), float(of_seed.median()))


def _allowed_of_held_out(
    name: str, prediction, simulation: xr.Dataset, variance
) -> tuple[float, np.ndarray]:
    """The scale of a held-out measure, and how far it may be from its prediction without
    contradicting it.

    Fields of isotropic inputs are as the prediction supposes, at every N, and an average at the
    networks' own overlaps has no bias.  Those of other inputs are Gaussian for large N only.  An
    accuracy is compared with the theory's own.
    """
    N, scale = _size(simulation), max(float(np.abs(prediction).max()), np.finfo(float).tiny)
    if name == "test_accuracy":
        return 1.0, BASE / N + CURVATURE * variance
    structured = issubclass(
        TASKS[description(simulation)["problem"]["task"]["type"]], StructuredTask
    )
    return scale, np.full(len(variance), (LARGEST_BIAS if structured else BASE) * scale / N)


def _held_out(
    theory: xr.Dataset, simulation: xr.Dataset
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For what was measured on held-out samples: the prediction, how far it is above the mean, and
    the error of that.
    """
    found = {}
    for name, predicted in (("test_error", "eps_g"), ("test_loss", "loss")):
        if name in simulation:
            found[name] = _equivalence(simulation, predicted, name)
    if "test_accuracy" in simulation and "accuracy" in theory:
        runs = simulation.test_accuracy.transpose("seed", "time").values
        error = np.hypot(_standard_error(runs, simulation), ACCURACY_ERROR)
        found["test_accuracy"] = (
            theory.accuracy.values,
            theory.accuracy.values - runs.mean(axis=0),
            error,
        )
    return found


def _equivalence(
    simulation: xr.Dataset, predicted_: str, found_: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The Gaussian prediction at the networks' own overlaps, how far it is above their test error,
    and the error of that.
    """
    predicted, found = (
        simulation[name].transpose("seed", "time").values for name in (predicted_, found_)
    )
    mean = predicted.mean(axis=0)
    error = _standard_error(mean + found - predicted, simulation)
    if "bank" in description(simulation)["report"]:  # all seeds were tested on the same samples
        error = np.hypot(error, simulation[f"{found_}_se"].mean("seed").values)
    return mean, (predicted - found).mean(axis=0), error


def _standard_error(
    runs: Float[np.ndarray, "seeds *rest"], simulation: xr.Dataset
) -> Float[np.ndarray, "*rest"]:
    """Scatter over sqrt(seeds), not below the rounding of the simulation's float type."""
    if len(runs) < 2:
        return np.full(runs.shape[1:], np.nan)
    rounding = 4 * np.finfo(description(simulation)["report"]["dtype"]).eps
    size = np.abs(runs).max(axis=(0, *range(2, runs.ndim)), keepdims=True)[0]
    return np.sqrt(runs.var(axis=0, ddof=1) / len(runs) + (rounding * size) ** 2)


def _largest(
    deviation, error, allowed, times, scale: float, N: int, seeds: int, quantities: int
) -> dict:
    """The largest deviation, the largest z, and the bias coefficient that the statistical error
    leaves to explain.

    Single z-scores of a handful of seeds scatter wildly, since each has its own estimate of the
    scatter.  The z given here is the ratio of root mean squares of deviation and standard error
    over a fifth of the times; by chance it stays below Student's quantile, which would be exact if
    all numbers of such a window moved together.
    """
    at = np.unravel_index(np.nan_to_num(np.abs(deviation), nan=np.inf).argmax(), deviation.shape)
    found = {
        "deviation": float(deviation[at]),
        "standard_error": float(error[at]),
        "time": float(times[at[0]]),
    }
    if seeds < 2:
        return found
    critical = critical_of_windows(seeds, quantities, len(times))
    parts = windows(deviation, error, allowed)
    beyond = [max(0.0, part.deviation - critical * part.error) for part in parts]
    worst = int(
        np.argmax(
            [value / max(part.allowed, TINY) for value, part in zip(beyond, parts, strict=True)]
        )
    )
    return found | {
        "z": max(part.deviation / part.error if part.error else 0.0 for part in parts),
        "critical_z": critical,
        "bias_coefficient": N * beyond[worst] / scale,
        "allowed_coefficient": N * parts[worst].allowed / scale,
    }


def _fitted_exponent(rms: xr.DataArray, error: xr.DataArray) -> tuple[float, float]:
    """Slope and its standard error of log rms against log N, weighted by the errors of the rms."""
    x, y = np.log(rms.N.values.astype(float)), np.log(rms.values)
    weight = (rms.values / error.values) ** 2
    if not np.isfinite(weight).all():
        return float(np.polyfit(x, y, 1)[0]), float("nan")
    centre = (weight * x).sum() / weight.sum()
    spread = (weight * (x - centre) ** 2).sum()
    return float((weight * (x - centre) * y).sum() / spread), float(1 / np.sqrt(spread))


def matched(times: np.ndarray, sims: Sequence[xr.Dataset]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Indices of the theory's times that every simulation has, and of the simulated times that
    belong to them.
    """
    nearest = [np.abs(one.time.values[None, :] - times[:, None]).argmin(axis=1) for one in sims]
    close = [
        np.abs(one.time.values[index] - times) <= 0.5 / _size(one) * (1 + 1e-9) + 1e-12
        for one, index in zip(sims, nearest, strict=True)
    ]
    kept = np.flatnonzero(np.logical_and.reduce(close))
    if not kept.size:
        raise ValueError(
            "theory and simulation have no time in common; simulate at the times of the theory "
            f"(the theory has {times[0]:g} to {times[-1]:g}, the simulation "
            f"{sims[0].time.values[0]:g} to {sims[0].time.values[-1]:g})."
        )
    return kept, [index[kept] for index in nearest]


def _differences(theory: xr.Dataset, simulation: xr.Dataset) -> list[str]:
    """Where the two descriptions of problem and start disagree; a selected value of a sweep counts
    as that value.
    """
    ours, theirs = (
        _flat({key: description(one)[key] for key in ("problem", "start")})
        for one in (theory, simulation)
    )
    selected = {name: float(theory[name]) for name in theory.coords if theory[name].ndim == 0}
    if "start" in selected:  # one of a batch of starts
        ours |= {
            key: value[int(selected["start"])]
            for key, value in ours.items()
            if key.startswith("start.")
        }
    ours |= {
        key: selected[key.rsplit(".", 1)[-1]] for key in ours if key.rsplit(".", 1)[-1] in selected
    }
    different = [
        key for key in ours.keys() | theirs.keys() if not _same(ours.get(key), theirs.get(key))
    ]
    arrays = [name for name in ARRAYS if name in theory and name in simulation]
    different += [
        f"problem.task.{name}"
        for name in arrays
        if not _same(theory[name].values, simulation[name].values)
    ]
    return sorted(different)


def _same(one, other) -> bool:
    """Equality, of numbers up to rounding."""
    try:
        return np.allclose(one, other, rtol=1e-9, atol=1e-12)
    except (TypeError, ValueError):
        return one == other


def _flat(tables: Mapping, prefix: str = "") -> dict:
    flat: dict = {}
    for key, value in tables.items():
        flat |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{key}": value}
        )
    return flat


def _moves(values: xr.DataArray) -> bool:
    return bool((values != values.isel(time=0)).any())


def change_of_rate(theory: xr.Dataset, faster: xr.Dataset) -> xr.Dataset:
    """The derivative of the theory with respect to the logarithm of all its learning rates.

    Raises ValueError unless `faster` is the same theory at rates that are all larger, or smaller,
    by the same factor.
    """
    check_theory("faster", faster)
    rules = [description(one)["problem"]["rule"] for one in (theory, faster)]
    factors = [float(rules[1][key]) / float(rules[0][key]) for key in RATES if rules[0].get(key)]
    same_times = np.array_equal(theory.time.values, faster.time.values)
    if not factors or not np.allclose(factors, factors[0]) or factors[0] == 1 or not same_times:
        raise ValueError(
            "faster is not this theory at learning rates that are all larger by one factor, at "
            "the same times; give integrate(problem with larger rates, start, times)."
        )
    names = [name for name in COMPARED if name in theory]
    names += observables_in_common(theory, faster)
    change = {
        name: (faster[name].transpose(*theory[name].dims) - theory[name]) / np.log(factors[0])
        for name in names
    }
    return xr.Dataset(change).transpose("time", ...)


def _size(simulation: xr.Dataset) -> int:
    return description(simulation)["report"]["N"]


def _size_index(sims: Sequence[xr.Dataset]) -> xr.DataArray:
    sizes = [_size(one) for one in sims]
    if len(set(sizes)) < len(sizes):
        raise ValueError(
            f"two of the simulations have the same N ({sizes}); give each N once, with all its "
            "seeds."
        )
    return xr.DataArray(
        sizes,
        dims="N",
        name="N",
        attrs={"long_name": "input dimension", "symbol": "$N$", "units": "1"},
    )


def _about(values: xr.DataArray, what: str) -> dict[str, str]:
    return {
        "long_name": f"{values.attrs['long_name']}: {what}",
        "symbol": values.attrs["symbol"],
        "units": "1",
    }
