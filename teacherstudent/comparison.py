"""Theory against simulation: deviations, their standard errors, and what they say together.

The mean over seeds differs from the limit N -> infinity by a statistical error, which the scatter of the seeds measures,
and by a bias of order 1 / N, which it does not.  A comparison therefore gives both: z-scores, and the coefficient c of a
bias c / N that would be needed to explain what the statistical error cannot.

Where a simulation has a test error, measured on held-out inputs, it is compared with the Gaussian prediction at the networks' own
overlaps: the two differ where the fields are not jointly Gaussian, that is where Gaussian equivalence fails.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import special

from teacherstudent import arguments
from teacherstudent.results import DESCRIPTION, SCHEMA, description, listed_simulations
from teacherstudent.tasks import TASKS

COMPARED = ("eps_g", "loss", "Q", "R", "m", "v", "b")
LEVEL = 0.01  # probability of calling a true theory wrong, over all numbers of a comparison together
ACCURACY_ERROR = 3e-4  # of the theory's accuracy, a mean over frozen points
ARRAYS = sorted({name for task in TASKS.values() for name in task.ARRAYS})
WINDOWS = 5  # parts of the times that are tested one by one
WEAK = 10.0  # a test that needs a larger z than this to notice anything decides nothing (fewer than 6 seeds)
LARGEST_BIAS = 10.0  # a bias up to this times (scale of the quantity) / N counts as a finite-size effect


@arguments.checked
def compare(theory: xr.Dataset, simulation: xr.Dataset | Sequence[xr.Dataset]) -> xr.Dataset:
    """Compare a theory with one simulation, or with simulations of several sizes N.

    For each X of eps_g, Q, R and (if trained) v, or with two classes loss, Q, m, v and b, the answer has `X_deviation` = theory
    minus mean over seeds, `X_standard_error` = scatter of the seeds / sqrt(seeds), and `X_z` = deviation over standard error,
    along the theory's times that were simulated: a simulated time, which is a whole number of updates over N, belongs to the
    theory's time if the two differ by at most half an update.  With several N these carry the dimension `N`, and `X_rms` (root
    mean square over seeds, times and entries of a single network's deviation) is fitted by N^exponent.  X is also `test_error`,
    if the simulation has it: the Gaussian eps_g at each network's own overlaps minus its test error; with two classes
    `test_loss`, the same for the loss, and `test_accuracy`, the theory's accuracy minus that of the networks.

    The attribute `verdict` is one line; `teacherstudent` holds the numbers behind it.

    Raises ValueError if theory and simulation have no time or not the same units in common, or the theory is a sweep.
    """
    several = not isinstance(simulation, xr.Dataset)
    sims: list[xr.Dataset] = sorted(listed_simulations(simulation), key=_size)
    if not sims:
        raise ValueError("there is no simulation to compare with; give at least one.")
    for one in sims:
        _check_shapes(theory, one)
    names = [name for name in COMPARED if name in theory and (name not in ("v", "b") or _moves(theory[name]))]
    kept, pairs = _matched(theory.time.values, sims)
    reports = [
        _one_size(theory.isel(time=kept), one.isel(time=pair), names) for one, pair in zip(sims, pairs, strict=True)
    ]
    result = xr.concat([r.data for r in reports], dim=_size_index(sims)) if several else reports[0].data
    facts = {
        "schema": SCHEMA,
        "kind": "comparison",
        "N": [_size(one) for one in sims],
        "seeds": [one.sizes["seed"] for one in sims],
        "times_compared": len(kept),
        "times_of_theory": theory.sizes["time"],
        "differences": _differences(theory, sims[-1]),
        "largest": [r.largest for r in reports],
    }
    if several and len(sims) > 1:
        facts["exponents"] = {
            name: _fitted_exponent(result[f"{name}_rms"], result[f"{name}_rms_error"]) for name in names
        }
    verdict = _verdict(reports[-1], facts)
    return result.assign_attrs({"verdict": verdict, DESCRIPTION: json.dumps(facts | {"verdict": verdict})})


class _Report(NamedTuple):
    data: xr.Dataset
    largest: dict[str, dict]


def _one_size(theory: xr.Dataset, simulation: xr.Dataset, names: Sequence[str]) -> _Report:
    """Deviations at one N; both datasets are already at corresponding times, in the same order."""
    data, largest = {}, {}
    for name in names:
        dims = theory[name].dims
        runs = simulation[name].transpose("seed", *dims).values
        limit = theory[name].values
        deviation = limit - runs.mean(axis=0)
        error = _standard_error(runs, simulation)
        data[f"{name}_deviation"] = (dims, deviation, _about(theory[name], "theory minus mean over seeds"))
        data[f"{name}_standard_error"] = (dims, error, _about(theory[name], "standard error of the mean over seeds"))
        data[f"{name}_z"] = (dims, deviation / error, _about(theory[name], "deviation over standard error"))
        square = ((limit - runs) ** 2).reshape(len(runs), -1).mean(axis=1)
        rms = np.sqrt(square.mean())
        spread = np.std(square, ddof=1) / np.sqrt(len(square)) if len(square) > 1 else np.nan
        data[f"{name}_rms"] = ((), rms, _about(theory[name], "root mean square deviation of one network"))
        data[f"{name}_rms_error"] = ((), spread / (2 * rms), _about(theory[name], "standard error of that"))
        largest[name] = _largest(limit, deviation, error, theory.time.values, _size(simulation), len(runs), len(names))
    for name, (prediction, deviation, error) in _held_out(theory, simulation).items():
        about = simulation[name]
        data[f"{name}_deviation"] = (("time",), deviation, _about(about, "prediction minus what was found"))
        data[f"{name}_standard_error"] = (("time",), error, _about(about, "standard error of that over seeds"))
        data[f"{name}_z"] = (("time",), deviation / error, _about(about, "deviation over standard error"))
        shape = (theory.time.values, _size(simulation), simulation.sizes["seed"], len(names))
        largest[name] = _largest(prediction, deviation, error, *shape)
    return _Report(xr.Dataset(data, coords={"time": theory.time}), largest)


def _held_out(theory: xr.Dataset, simulation: xr.Dataset) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For what was measured on held-out samples: the prediction, how far it is above the mean, and the error of that."""
    found = {}
    for name, predicted in (("test_error", "eps_g"), ("test_loss", "loss")):
        if name in simulation:
            found[name] = _equivalence(simulation, predicted, name)
    if "test_accuracy" in simulation and "accuracy" in theory:
        runs = simulation.test_accuracy.transpose("seed", "time").values
        error = np.hypot(_standard_error(runs, simulation), ACCURACY_ERROR)
        found["test_accuracy"] = (theory.accuracy.values, theory.accuracy.values - runs.mean(axis=0), error)
    return found


def _equivalence(simulation: xr.Dataset, predicted_: str, found_: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The Gaussian prediction at the networks' own overlaps, how far it is above their test error, and the error of that."""
    predicted, found = (simulation[name].transpose("seed", "time").values for name in (predicted_, found_))
    mean = predicted.mean(axis=0)
    error = _standard_error(mean + found - predicted, simulation)
    if "bank" in description(simulation)["report"]:  # all seeds were tested on the same samples
        error = np.hypot(error, simulation[f"{found_}_se"].mean("seed").values)
    return mean, (predicted - found).mean(axis=0), error


def _standard_error(runs: Float[np.ndarray, "seeds *rest"], simulation: xr.Dataset) -> Float[np.ndarray, "*rest"]:
    """Scatter over sqrt(seeds), not below the rounding of the simulation's float type."""
    if len(runs) < 2:
        return np.full(runs.shape[1:], np.nan)
    rounding = 4 * np.finfo(description(simulation)["report"]["dtype"]).eps
    size = np.abs(runs).max(axis=(0, *range(2, runs.ndim)), keepdims=True)[0]
    return np.sqrt(runs.var(axis=0, ddof=1) / len(runs) + (rounding * size) ** 2)


def _largest(limit, deviation, error, times, N: int, seeds: int, quantities: int) -> dict:
    """The largest deviation, the largest z, and the bias coefficient that the statistical error leaves to explain.

    Single z-scores of a handful of seeds scatter wildly, since each has its own estimate of the scatter.  The z given here
    is the ratio of root mean squares of deviation and standard error over a fifth of the times; by chance it stays below
    Student's quantile, which would be exact if all numbers of such a window moved together.
    """
    at = np.unravel_index(np.abs(deviation).argmax(), deviation.shape)
    found = {"deviation": float(deviation[at]), "standard_error": float(error[at]), "time": float(times[at[0]])}
    if seeds < 2:
        return found
    windows = np.array_split(np.arange(len(times)), min(WINDOWS, len(times)))
    square, variance = (np.array([(part[window] ** 2).mean() for window in windows]) for part in (deviation, error))
    critical = float(special.stdtrit(seeds - 1, 1 - LEVEL / (2 * len(windows) * quantities)))
    unexplained = np.sqrt(np.clip(square - critical**2 * variance, 0, None)).max()
    return found | {
        "z": float(np.sqrt(square / variance).max()),
        "critical_z": critical,
        "bias_coefficient": float(N * unexplained / max(np.abs(limit).max(), np.finfo(float).tiny)),
    }


def _verdict(report: _Report, facts: Mapping) -> str:
    """One sentence on the largest N."""
    N, seeds = facts["N"][-1], facts["seeds"][-1]
    name, worst = max(
        report.largest.items(), key=lambda item: item[1].get("bias_coefficient", 0) or item[1].get("z", 0)
    )
    where = f"largest deviation in {name}: {abs(worst['deviation']):.2g} at t = {worst['time']:.4g}"
    if seeds < 2:
        line = f"UNDECIDED at N = {N}: one seed has no standard error ({where}); use more seeds."
    elif worst["bias_coefficient"] <= LARGEST_BIAS and worst["critical_z"] > WEAK:
        line = (
            f"UNDECIDED at N = {N}: with {seeds} seeds chance alone reaches z = {worst['critical_z']:.0f}; largest z = "
            f"{worst['z']:.1f} in {name} ({where} +- {worst['standard_error']:.2g}); use at least 6 seeds."
        )
    elif worst["bias_coefficient"] == 0:
        line = (
            f"AGREE at N = {N} within the statistical error of {seeds} seeds: largest z = {worst['z']:.1f} in {name}, "
            f"by chance up to {worst['critical_z']:.1f} ({where} +- {worst['standard_error']:.2g})."
        )
    elif worst["bias_coefficient"] <= LARGEST_BIAS:
        line = (
            f"AGREE at N = {N} within the statistical error of {seeds} seeds plus a finite-size bias of "
            f"{worst['bias_coefficient']:.1f}/N ({worst['bias_coefficient'] / N:.1%}) of {name} "
            f"({where} +- {worst['standard_error']:.2g})."
        )
    else:
        line = (
            f"DISAGREE at N = {N}: {where} +- {worst['standard_error']:.2g}, z = {worst['z']:.1f}; a finite-size bias "
            f"would need the coefficient {worst['bias_coefficient']:.0f}/N, more than {LARGEST_BIAS:.0f}."
        )
    if report.largest.get("test_error", {}).get("bias_coefficient", 0) > LARGEST_BIAS:
        gap = report.largest["test_error"]
        line += (
            f" GAUSSIAN EQUIVALENCE FAILS: the test error differs from the Gaussian prediction at the networks' own overlaps by "
            f"{abs(gap['deviation']):.2g} +- {gap['standard_error']:.2g} at t = {gap['time']:.4g}."
        )
    if "exponents" in facts:
        fits = ", ".join(f"{name} {value:.2f} +- {error:.2f}" for name, (value, error) in facts["exponents"].items())
        line += f" One network's deviation falls as N to the power: {fits} (theory: -0.5)."
    if facts["times_compared"] < facts["times_of_theory"]:
        line += f" Only {facts['times_compared']} of the theory's {facts['times_of_theory']} times were simulated."
    if facts["differences"]:
        line = line.replace("AGREE", "AGREE DESPITE DIFFERENT PROBLEMS", 1) if line.startswith("AGREE") else line
        line += f" NOTE: theory and simulation differ in {', '.join(facts['differences'])}."
    return line


def _fitted_exponent(rms: xr.DataArray, error: xr.DataArray) -> tuple[float, float]:
    """Slope and its standard error of log rms against log N, weighted by the errors of the rms."""
    x, y = np.log(rms.N.values.astype(float)), np.log(rms.values)
    weight = (rms.values / error.values) ** 2
    if not np.isfinite(weight).all():
        return float(np.polyfit(x, y, 1)[0]), float("nan")
    centre = (weight * x).sum() / weight.sum()
    spread = (weight * (x - centre) ** 2).sum()
    return float((weight * (x - centre) * y).sum() / spread), float(1 / np.sqrt(spread))


def _matched(times: np.ndarray, sims: Sequence[xr.Dataset]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Indices of the theory's times that every simulation has, and of the simulated times that belong to them."""
    nearest = [np.abs(one.time.values[None, :] - times[:, None]).argmin(axis=1) for one in sims]
    close = [
        np.abs(one.time.values[index] - times) <= 0.5 / _size(one) * (1 + 1e-9) + 1e-12
        for one, index in zip(sims, nearest, strict=True)
    ]
    kept = np.flatnonzero(np.logical_and.reduce(close))
    if not kept.size:
        raise ValueError(
            "theory and simulation have no time in common; simulate at the times of the theory "
            f"(the theory has {times[0]:g} to {times[-1]:g}, the simulation {sims[0].time.values[0]:g} to "
            f"{sims[0].time.values[-1]:g})."
        )
    return kept, [index[kept] for index in nearest]


def _check_shapes(theory: xr.Dataset, simulation: xr.Dataset) -> None:
    if ("loss" in theory) != ("loss" in simulation):
        raise ValueError(
            "one of theory and simulation has a teacher and the other two classes; compare answers to one problem."
        )
    extra = set(theory.Q.dims) - {"time", "student", "student_"}
    if extra:
        raise ValueError(
            f"the theory is a sweep over {', '.join(sorted(extra))}; select one curve first (theory.sel or .isel)."
        )
    if "seed" not in simulation.dims:
        raise ValueError("the simulation has no dimension 'seed'; pass it as simulate returned it.")
    for unit, plural in (("student", "student units"), ("teacher", "teacher units"), ("direction", "directions")):
        if unit in theory.sizes and theory.sizes[unit] != simulation.sizes.get(unit):
            raise ValueError(
                f"the theory has {theory.sizes[unit]} {plural} but the simulation {simulation.sizes.get(unit)}; "
                "compare answers to the same problem."
            )


def _differences(theory: xr.Dataset, simulation: xr.Dataset) -> list[str]:
    """Where the two descriptions of problem and start disagree; a selected value of a sweep counts as that value."""
    ours, theirs = (_flat({key: description(one)[key] for key in ("problem", "start")}) for one in (theory, simulation))
    selected = {name: float(theory[name]) for name in theory.coords if theory[name].ndim == 0}
    if "start" in selected:  # one of a batch of starts
        ours |= {key: value[int(selected["start"])] for key, value in ours.items() if key.startswith("start.")}
    ours |= {key: selected[key.rsplit(".", 1)[-1]] for key in ours if key.rsplit(".", 1)[-1] in selected}
    different = [key for key in ours.keys() | theirs.keys() if not _same(ours.get(key), theirs.get(key))]
    arrays = [name for name in ARRAYS if name in theory and name in simulation]
    different += [f"problem.task.{name}" for name in arrays if not _same(theory[name].values, simulation[name].values)]
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
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _moves(values: xr.DataArray) -> bool:
    return bool((values != values.isel(time=0)).any())


def _size(simulation: xr.Dataset) -> int:
    return description(simulation)["report"]["N"]


def _size_index(sims: Sequence[xr.Dataset]) -> xr.DataArray:
    sizes = [_size(one) for one in sims]
    if len(set(sizes)) < len(sizes):
        raise ValueError(f"two of the simulations have the same N ({sizes}); give each N once, with all its seeds.")
    return xr.DataArray(
        sizes, dims="N", name="N", attrs={"long_name": "input dimension", "symbol": "$N$", "units": "1"}
    )


def _about(values: xr.DataArray, what: str) -> dict[str, str]:
    return {"long_name": f"{values.attrs['long_name']}: {what}", "symbol": values.attrs["symbol"], "units": "1"}
