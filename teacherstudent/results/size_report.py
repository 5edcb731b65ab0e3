"""The comparison of a theory with networks of one size N: every deviation, and the largest ones."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from teacherstudent.results.bands import has_band, is_joined, is_of_band, valid_until
from teacherstudent.results.comparable import size_of
from teacherstudent.results.datasets import description
from teacherstudent.results.deviations import (
    Levels,
    Test,
    Variable,
    allowed_bias,
    critical_of_windows,
    relative_variance,
    tests_of_directions,
    windows,
)
from teacherstudent.results.held_out import ACCURACY_ERROR, HeldOut, held_out_measures
from teacherstudent.results.verdict import Report
from teacherstudent.results.whole_path import Path, Whole, path_of, test_of_rate, whole_of

TINY = np.finfo(float).tiny
SMALLEST_READOUT = 0.1  # by its nature, which a trained readout is compared with
# The errors of means of indicators over frozen points.
OF_FROZEN_POINTS = {"accuracy": ACCURACY_ERROR, "sign_agreement": 5e-4}
OF_SLOPE = 0.1  # of a slope by interpolation, which may be wrong in it
Columns = dict[str, tuple[tuple, Any, dict[str, str]]]


class Slopes(NamedTuple):
    """Derivatives of the theory at the times compared, by the names of its variables."""

    in_time: Mapping[str, np.ndarray]  # t dX/dt
    in_rate: Mapping[str, np.ndarray]  # dX / d log(learning rate), or t dX/dt


class Deviation(NamedTuple):
    """How far theory and networks are apart along the times that count."""

    deviation: Float[np.ndarray, "times entries"]
    error: Float[np.ndarray, "times entries"]
    allowed: Float[np.ndarray, "times entries"]
    times: Float[np.ndarray, " times"]
    scale: float


def report_of_size(
    theory: xr.Dataset,
    simulation: xr.Dataset,
    begin: Mapping[str, np.ndarray],
    slopes: Slopes,
    usable: bool,
) -> Report:
    """Deviations at one N.

    `theory` and `simulation` are at corresponding times, in the same order.  `begin` holds the
    values at t = 0 of each variable that is compared.  Where the numbers are not `usable`, nothing
    is tested.
    """
    N = size_of(simulation)
    seeds = simulation.sizes["seed"]
    times = theory.time.values
    if has_band(theory) and not is_joined(theory):
        theory = without_band(theory)
    variables = [variable_of(name, theory, simulation, begin, slopes) for name in begin]
    measures = held_out_measures(theory, simulation)
    decided = usable and seeds > 1
    variance = np.zeros(len(times))
    tests: list[Test] = []
    whole = None
    if decided:
        variance = relative_variance(variables)
        allowed = {one.name: allowed_bias(one, N, variance) for one in variables}
        path = path_of(theory, variables, allowed, variance, N)
        tests, whole = all_tests(variables, times, N, path)
    deviations = deviations_by_name(variables, measures, times, N, variance)
    quantities = len(variables) + len(measures)
    largest = {name: largest_of(one, N, seeds, quantities) for name, one in deviations.items()}
    data = columns_of_variables(variables, theory) | columns_of_measures(measures, simulation)
    return Report(
        data=xr.Dataset(data, coords={"time": theory.time}),
        largest=largest,
        tests=tests,
        whole=whole,
        below_floor=time_below_floor(variables, times),
        only_start=not (times > 0).any(),
    )


def all_tests(
    variables: Sequence[Variable], times: np.ndarray, N: int, path: Path | None
) -> tuple[list[Test], Whole | None]:
    """The tests of directions, and those of the whole path where the theory has a band.

    They share one level.  With a band the test of the rate has three quarters of it, half of that
    for the times at which the band does not hold if there are any; of the rest the directions have
    one half, the mean path and its scatter a quarter each.
    """
    nowhere = np.zeros(len(times), bool)
    if path is None:
        return tests_of_directions(variables, times, N, Levels(), nowhere), None
    level = Levels().rate + Levels().others
    of_rate = 0.75 * level
    if not path.inside[-1]:
        of_rate = of_rate / 2
    quarter = level / 16
    tests = tests_of_directions(variables, times, N, Levels(of_rate, 2 * quarter), path.inside)
    test = test_of_rate(path, of_rate)
    if test is not None:
        tests.insert(0, test)
    return tests, whole_of(path, quarter, quarter)


def variable_of(
    name: str,
    theory: xr.Dataset,
    simulation: xr.Dataset,
    begin: Mapping[str, np.ndarray],
    slopes: Slopes,
) -> Variable:
    """One variable of theory and networks, its entries in one axis."""
    times = theory.time.values
    limit = in_one_axis(theory[name].values, 1)
    runs = in_one_axis(simulation[name].transpose("seed", *theory[name].dims).values, 2)
    scale = natural_scale(name, theory, simulation)
    epsilon = float(np.finfo(description(simulation)["report"]["dtype"]).eps)
    N = size_of(simulation)
    positive = np.where(times > 0, times, 1.0)
    moved_in_time = simulation.time.values - times
    moved = np.abs(moved_in_time) / positive
    in_points = OF_FROZEN_POINTS.get(name, 0.0)
    in_time = slopes.in_time[name].reshape(limit.shape)
    moved_by = moved * np.abs(in_time).max(axis=1)
    bias, scatter = np.zeros_like(limit), np.zeros_like(limit)
    predicted = np.zeros(len(times), bool)
    holds = has_band(theory) and times < valid_until(theory, N)
    if f"{name}_std" in theory:
        std = in_one_axis(theory[f"{name}_std"].values, 1) / np.sqrt(N)
        scatter = np.where(np.reshape(holds, (-1, 1)), std, 0.0)
    if f"{name}_bias" in theory:
        # The limit at the time of the networks, and what is left of that.
        predicted = np.asarray(holds)
        at_their_time = (moved_in_time / positive)[:, None] * in_time
        bias = in_one_axis(theory[f"{name}_bias"].values, 1) / N + at_their_time
        bias = np.where(predicted[:, None], bias, 0.0)
        moved_by = np.where(predicted, OF_SLOPE * moved_by, moved_by)
    counted = np.ones(len(times), bool)
    if name == "eps_g":
        counted = above_floor(limit, runs, theory, simulation)
    return Variable(
        name=name,
        limit=limit,
        runs=runs,
        slope=slopes.in_rate[name].reshape(limit.shape),
        begin=in_one_axis(begin[name], 0)[None],
        scale=scale,
        rounding=4 * epsilon,
        numerical=numerical_error(theory) * scale + moved_by + in_points,
        counted=counted,
        bias=bias,
        predicted=predicted,
        scatter=scatter,
    )


def without_band(theory: xr.Dataset) -> xr.Dataset:
    """The theory alone: of a band without some of its times nobody knows the propagators."""
    names = [str(name) for name in theory.data_vars]
    return theory.drop_vars([name for name in names if is_of_band(theory, name)])


def in_one_axis(values: np.ndarray, lead: int) -> np.ndarray:
    """Float64 values with all axes after the first `lead` ones made one."""
    entries = int(np.prod(values.shape[lead:]))
    return np.asarray(values, np.float64).reshape(*values.shape[:lead], entries)


def numerical_error(theory: xr.Dataset) -> float:
    """Of the solver and of quadrature, relative to the scale of a variable."""
    report = description(theory)["report"]
    of_solver = 10 * (report.get("rtol", 0.0) + report.get("atol", 0.0))
    return of_solver + report.get("quadrature_error", 0.0)


def above_floor(
    limit: np.ndarray, runs: np.ndarray, theory: xr.Dataset, simulation: xr.Dataset
) -> np.ndarray:
    """The times at which a generalisation error is more than rounding, in theory or networks."""
    floors = [description(one)["report"].get("eps_g_floor", 0.0) for one in (theory, simulation)]
    sizes = np.maximum(np.abs(limit), np.abs(runs).mean(axis=0))
    return sizes.max(axis=1) >= max(floors)


def natural_scale(name: str, theory: xr.Dataset, simulation: xr.Dataset) -> float:
    """How large a variable is by its nature: an overlap is as large as the lengths of its vectors.

    Of theory and networks the smaller one counts, so that a number gone astray allows for nothing.
    """
    length = 0.0
    if "Q" in theory:
        length = np.sqrt(largest_entry("Q", theory, simulation))
    if name == "R":
        T = theory["T"].values if "T" in theory else 1.0  # of a model whose teacher has length one
        return float(length * np.sqrt(np.abs(T).max()))
    least = {"m": length, "b": length, "v": SMALLEST_READOUT}.get(name, TINY)
    return float(max(least, largest_entry(name, theory, simulation)))


def largest_entry(name: str, theory: xr.Dataset, simulation: xr.Dataset) -> float:
    """The largest number of a variable: of the theory or of the median network, if that is less."""
    runs = abs(simulation[name])
    of_seed = runs.max([dim for dim in runs.dims if dim != "seed"])
    return min(float(abs(theory[name]).max()), float(of_seed.median()))


def time_below_floor(variables: Sequence[Variable], times: np.ndarray) -> float | None:
    """The time after which eps_g is rounding up to the end, if there is one."""
    for one in variables:
        if one.counted[-1]:
            continue
        if not one.counted.any():
            return float(times[0])
        return float(times[np.flatnonzero(one.counted)[-1]])
    return None


def deviations_by_name(
    variables: Sequence[Variable],
    measures: Sequence[HeldOut],
    times: Float[np.ndarray, " times"],
    N: int,
    variance: Float[np.ndarray, " times"],
) -> dict[str, Deviation]:
    """What may be far apart: variables at the times at which they say something, and measures."""
    deviations = {}
    for one in variables:
        on = one.counted
        if on.any():
            allowed = allowed_bias(one, N, variance)[on]
            deviations[one.name] = Deviation(
                one.unexplained[on], one.expected_error[on], allowed, times[on], one.scale
            )
    for measure in measures:
        allowed = measure.allowed(N, variance)[:, None]
        deviations[measure.name] = Deviation(
            measure.deviation[:, None], measure.error[:, None], allowed, times, measure.scale
        )
    return deviations


def largest_of(one: Deviation, N: int, seeds: int, quantities: int) -> dict[str, float]:
    """The largest deviation, the largest z, and the bias that chance leaves to explain.

    Single z-scores of a handful of seeds scatter wildly, since each has its own estimate of the
    scatter.  The z given here is the ratio of root mean squares of deviation and standard error
    over a fifth of the times; by chance it stays below Student's quantile, which would be exact if
    all numbers of such a window moved together.
    """
    sizes = np.nan_to_num(np.abs(one.deviation), nan=np.inf)
    place = np.unravel_index(sizes.argmax(), sizes.shape)
    largest = {
        "deviation": float(one.deviation[place]),
        "standard_error": float(one.error[place]),
        "time": float(one.times[place[0]]),
    }
    if seeds < 2:
        return largest
    critical = critical_of_windows(seeds, quantities, len(one.times))
    parts = windows(one.deviation, one.error, one.allowed)
    ratios = [part.beyond(critical) / max(part.allowed, TINY) for part in parts]
    worst = parts[int(np.argmax(ratios))]
    largest["z"] = max(part.z for part in parts)
    largest["critical_z"] = critical
    largest["bias_coefficient"] = N * worst.beyond(critical) / one.scale
    largest["allowed_coefficient"] = N * worst.allowed / one.scale
    return largest


def columns_of_variables(variables: Sequence[Variable], theory: xr.Dataset) -> Columns:
    """Deviations, standard errors, z-scores and root mean squares, with the theory's axes."""
    data: Columns = {}
    for one in variables:
        about = theory[one.name]
        deviation = one.deviation.reshape(about.shape)
        error = one.error.reshape(about.shape)
        data |= columns(one.name, about, deviation, error, MINUS_MEAN, "the mean over seeds")
        rms, rms_error = root_mean_square(one)
        single = "root mean square deviation of one network"
        data[f"{one.name}_rms"] = ((), rms, attributes(about, single))
        data[f"{one.name}_rms_error"] = ((), rms_error, attributes(about, "standard error of that"))
    return data


MINUS_MEAN = "theory minus mean over seeds"
MINUS_MEASURED = "prediction minus what was found"


def root_mean_square(one: Variable) -> tuple[float, float]:
    """Of the deviation of a single network, over seeds, times and entries; and its error."""
    square = ((one.limit - one.runs) ** 2).mean(axis=(1, 2))
    rms = np.sqrt(square.mean())
    if not rms:
        return rms, 0.0
    if len(square) < 2:
        return rms, np.nan
    spread = np.std(square, ddof=1) / np.sqrt(len(square))
    return rms, spread / (2 * rms)


def columns_of_measures(measures: Sequence[HeldOut], simulation: xr.Dataset) -> Columns:
    """The same of what was measured on held-out samples, along time."""
    data: Columns = {}
    for one in measures:
        about = simulation[one.name].isel(seed=0)
        data |= columns(
            one.name, about, one.deviation, one.error, MINUS_MEASURED, "that over seeds"
        )
    return data


def columns(
    name: str,
    about: xr.DataArray,
    deviation: np.ndarray,
    error: np.ndarray,
    meaning: str,
    meaning_of_error: str,
) -> Columns:
    """The three variables of an answer that belong to one of the simulation's."""
    with np.errstate(divide="ignore", invalid="ignore"):  # of numbers that are zero and stay so
        z = deviation / error
    chance = f"standard error of {meaning_of_error}"
    over = "deviation over standard error"
    return {
        f"{name}_deviation": (about.dims, deviation, attributes(about, meaning)),
        f"{name}_standard_error": (about.dims, error, attributes(about, chance)),
        f"{name}_z": (about.dims, z, attributes(about, over)),
    }


def attributes(values: xr.DataArray, meaning: str) -> dict[str, str]:
    """What a variable of the answer is called."""
    return {
        "long_name": f"{values.attrs['long_name']}: {meaning}",
        "symbol": values.attrs["symbol"],
        "units": "1",
    }
