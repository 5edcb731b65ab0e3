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
from typing import Any

import numpy as np
import xarray as xr

from teacherstudent.checking import arguments
from teacherstudent.results.bands import at_some_times, has_band, is_joined
from teacherstudent.results.comparable import (
    HUGE,
    Fault,
    check_form,
    check_theory,
    first_fault,
    in_one_phase,
    moves,
    size_of,
    what_is_compared,
)
from teacherstudent.results.comparison_page import Comparison
from teacherstudent.results.datasets import (
    DESCRIPTION,
    SCHEMA,
    description,
    observables_in_common,
)
from teacherstudent.results.deviations import slopes
from teacherstudent.results.differences import differing_entries
from teacherstudent.results.size_report import Slopes, report_of_size
from teacherstudent.results.switches import Switch, first_gap
from teacherstudent.results.verdict import Report, verdict_of
from teacherstudent.results.whole_path import Whole

COMPARED = ("eps_g", "loss", "Q", "R", "m", "v", "b")
TRAINED = ("v", "b")  # which are compared only where they are trained
RATES = ("learning_rate", "readout_learning_rate", "bias_learning_rate")
RATE = "learning rate"
TIME = "scale of time (which is what a small learning rate sets)"


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

    A theory with a band, as `ts.fluctuations` returns it, is compared by what the band predicts, up
    to the time to which its linear theory holds (`ts.valid_until`).  The deviations in the verdict
    are then those beyond the predicted bias of order 1 / N.  The error of the rate is estimated by
    generalised least squares with the predicted covariance between all order parameters and times,
    which sees errors several times smaller; and the verdict says how the scatter of the networks
    compares with the predicted one, which is a test as well.

    `faster` is the theory at learning rates that are all larger by one factor, such as 1.02.  With
    it the verdict says which error of the learning rate would have been found, and without it which
    error of the scale of time; the two are the same where terms of second order in the learning
    rate are small.

    The attribute `verdict` is one line; `teacherstudent` holds the numbers behind it.  It begins
    with AGREE, DISAGREE, UNDECIDED (too few seeds, nothing but the start compared, or a test that
    could not see an error of the learning rate by a factor of two), or INVALID where some number is
    none of a theory's or of independent networks', with its seed and time.  A theory that is right
    is called wrong with a probability of about 1 percent.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0, 5.0])
    >>> networks = ts.simulate(problem, start, times=[0.0, 1.0, 5.0], N=200, seeds=20)
    >>> report = ts.compare(theory, networks)
    >>> report.attrs["verdict"].split(" at ")[0]
    'AGREE'

    Theories are of fresh samples at each update.  Of networks that trained on a fixed set of them,
    `simulate(..., data=)`, the verdict says so in a note; as it does where the phases of a protocol
    end at thresholds, and theory and networks went on at different times.  Times at which they are
    in different phases are left out.

    Raises TypeError or ValueError if theory and simulation are not what integrate and simulate
    return, have no time or not the same units in common, or the theory is a sweep.
    """
    several = isinstance(simulation, list | tuple)
    networks: list[Any] = [simulation]  # what it is, `check_form` asks
    if several:
        networks = list(simulation)
    check_form(theory, networks)
    change = None
    if faster is not None:
        change = change_of_rate(theory, faster)
    networks = sorted(networks, key=size_of)
    gap = first_gap(theory, networks[-1])
    networks = [what_is_compared(in_one_phase(theory, one)) for one in networks]
    theory = what_is_compared(theory).transpose("time", ...)
    fault = first_fault(theory, networks)
    with warnings.catch_warnings(), np.errstate(all="ignore" if fault else "warn"):
        if fault:  # which makes means of nothing, or of what is no number
            warnings.simplefilter("ignore", RuntimeWarning)
        return _compared(theory, networks, several, fault, change, gap)


def _compared(
    theory: xr.Dataset,
    networks: Sequence[xr.Dataset],
    several: bool,
    fault: Fault | None,
    change: xr.Dataset | None,
    gap: Switch | None,
) -> xr.Dataset:
    names = [name for name in COMPARED if _is_compared(name, theory, networks)]
    both = [theory, *networks]
    if change is not None:
        both.append(change)
    for name in observables_in_common(*both):
        if any(moves(one[name]) for one in (theory, *networks)):
            names.append(name)
    times, pairs = matched(theory.time.values, networks)
    begin = {name: value_at_start(name, theory) for name in names}
    derivatives = _slopes(theory, names, change, times)
    at_times = at_some_times(theory, times)
    reports = []
    for one, pair in zip(networks, pairs, strict=True):
        report = report_of_size(at_times, one.isel(time=pair), begin, derivatives, fault is None)
        reports.append(report)
    answer = reports[0].data
    if several:
        answer = xr.concat([report.data for report in reports], dim=_size_index(networks))
    record = _record(theory, networks, reports, len(times), fault)
    if gap is not None:
        record["switch"] = gap._asdict()
    if len(networks) > 1:
        deviating = [name for name in names if (answer[f"{name}_rms"] > 0).all()]
        record["exponents"] = {name: fitted_exponent(answer, name) for name in deviating}
    rate = TIME if change is None else RATE
    record["verdict"] = verdict_of(reports, record, rate, fault)
    record["verdict"] += _on_unused_band(theory, reports[-1])
    if gap is not None:
        record["verdict"] += gap.sentence()
    attributes = {"verdict": record["verdict"], DESCRIPTION: json.dumps(record)}
    return Comparison(answer.data_vars, answer.coords, attributes)


def _record(
    theory: xr.Dataset,
    networks: Sequence[xr.Dataset],
    reports: Sequence[Report],
    times: int,
    fault: Fault | None,
) -> dict[str, Any]:
    """What a comparison says of itself: the numbers behind its verdict."""
    directions = [[test._asdict() for test in report.tests] for report in reports]
    return {
        "schema": SCHEMA,
        "kind": "comparison",
        "N": [size_of(one) for one in networks],
        "seeds": [one.sizes["seed"] for one in networks],
        "times_compared": times,
        "times_of_theory": theory.sizes["time"],
        "differences": differing_entries(theory, networks[-1]),
        "fixed_samples": _fixed_samples(networks),
        "largest": [report.largest for report in reports],
        "directions": directions,
        "whole_path": [_facts(report.whole) for report in reports],
        "below_floor": reports[-1].below_floor,
        "fault": None if fault is None else fault.sentence,
    }


def _facts(whole: Whole | None) -> dict[str, Any] | None:
    """What the tests of the whole path found, where the theory has a band."""
    return None if whole is None else whole._asdict()


def _on_unused_band(theory: xr.Dataset, report: Report) -> str:
    """Why the band of a theory says nothing, if that is so."""
    if not has_band(theory) or report.whole is not None or not report.tests:
        return ""
    if not is_joined(theory):
        return (
            " NOTE: the theory's band was not used, since some of its times were left out; give it "
            "as ts.fluctuations returned it."
        )
    return " NOTE: the theory's band was not used: its linear theory holds at no time compared."


def _fixed_samples(networks: Sequence[xr.Dataset]) -> dict | None:
    """What the largest networks with a fixed training set say of it; None if there are none."""
    for one in reversed(networks):
        said = description(one)["report"].get("data")
        if said is not None:
            return said
    return None


def _is_compared(name: str, theory: xr.Dataset, networks: Sequence[xr.Dataset]) -> bool:
    """Readouts and biases only where they are trained, in the theory or in the simulation."""
    if name not in theory:
        return False
    if name not in TRAINED:
        return True
    return any(moves(one[name]) for one in (theory, *networks))


def value_at_start(name: str, theory: xr.Dataset) -> np.ndarray:
    """A variable at t = 0: of the curve if it begins there, or else what the description says.

    Descriptions have no errors.  Of one that is not known (nan) no change since the start is
    tested.
    """
    first = theory[name].isel(time=0).values
    if theory.time.values[0] == 0:
        return first
    stated = description(theory)["start"].get(name)
    if stated is None or np.shape(stated) != first.shape:
        return np.full_like(first, np.nan, dtype=np.float64)
    return np.asarray(stated, np.float64)


def _slopes(
    theory: xr.Dataset, names: Sequence[str], change: xr.Dataset | None, times: np.ndarray
) -> Slopes:
    """How the theory changes along time and with the learning rate, at the times with an index.

    Without a theory at another rate, t dX/dt stands for the derivative with respect to the
    logarithm of the rate: for small rates the two are the same.
    """
    in_time = {}
    for name in names:
        usable = np.clip(np.nan_to_num(theory[name].values), -HUGE, HUGE)
        in_time[name] = slopes(theory.time.values, usable)[times]
    if change is None:
        return Slopes(in_time, in_time)
    return Slopes(in_time, {name: change[name].values[times] for name in names})


def fitted_exponent(answer: xr.Dataset, name: str) -> tuple[float, float]:
    """Slope of log rms against log N, weighted by the errors of the rms, and its standard error."""
    rms = answer[f"{name}_rms"].values
    x = np.log(answer.N.values.astype(float))
    y = np.log(rms)
    weight = (rms / answer[f"{name}_rms_error"].values) ** 2
    if not np.isfinite(weight).all():
        return float(np.polyfit(x, y, 1)[0]), float("nan")
    distance = x - (weight * x).sum() / weight.sum()
    spread = (weight * distance**2).sum()
    slope = (weight * distance * y).sum() / spread
    return float(slope), float(1 / np.sqrt(spread))


def matched(
    times: np.ndarray, networks: Sequence[xr.Dataset]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Indices of the theory's times that every simulation has, and of the simulated times that
    belong to them.

    A simulated time is a whole number of updates over N, at most half an update away.
    """
    nearest = []
    in_all = np.ones(len(times), bool)
    for one in networks:
        simulated = one.time.values
        index = np.abs(simulated[None, :] - times[:, None]).argmin(axis=1)
        half_an_update = 0.5 / size_of(one) * (1 + 1e-9) + 1e-12
        in_all &= np.abs(simulated[index] - times) <= half_an_update
        nearest.append(index)
    kept = np.flatnonzero(in_all)
    if not kept.size:
        simulated = networks[0].time.values
        raise ValueError(
            "theory and simulation have no time in common; simulate at the times of the theory "
            f"(the theory has {times[0]:g} to {times[-1]:g}, the simulation "
            f"{simulated[0]:g} to {simulated[-1]:g})."
        )
    return kept, [index[kept] for index in nearest]


def change_of_rate(theory: xr.Dataset, faster: xr.Dataset) -> xr.Dataset:
    """The derivative of the theory with respect to the logarithm of all its learning rates.

    Raises ValueError unless `faster` is the same theory at rates that are all larger, or smaller,
    by the same factor.
    """
    check_theory("faster", faster)
    factor = factor_of_rates(theory, faster)
    if factor is None or not np.array_equal(theory.time.values, faster.time.values):
        raise ValueError(
            "faster is not this theory at learning rates that are all larger by one factor, at "
            "the same times; give integrate(problem with larger rates, start, times)."
        )
    change = {}
    names = [name for name in COMPARED if name in theory]
    for name in [*names, *observables_in_common(theory, faster)]:
        difference = faster[name].transpose(*theory[name].dims) - theory[name]
        change[name] = difference / np.log(factor)
    return xr.Dataset(change).transpose("time", ...)


def factor_of_rates(theory: xr.Dataset, faster: xr.Dataset) -> float | None:
    """By which factor all learning rates of two theories differ; None if by none, or by several."""
    slow, fast = (_part_with_rates(one) for one in (theory, faster))
    factors = [_factor(slow[name], fast[name]) for name in RATES if slow.get(name)]
    if not factors or not np.allclose(factors, factors[0]) or factors[0] == 1:
        return None
    return factors[0]


def _part_with_rates(data: xr.Dataset) -> Mapping:
    """What of a description has the learning rates: the rule, or the model itself."""
    problem = description(data)["problem"]
    return problem.get("model", problem.get("rule"))


def _factor(slow, fast) -> float:
    """By which factor a described rate is larger than another one; nan of other schedules."""
    if not isinstance(slow, Mapping) and not isinstance(fast, Mapping):
        return float(fast) / float(slow)
    if isinstance(fast, Mapping) and fast.get("of") == slow:
        return float(fast["factor"])
    return np.nan


def _size_index(networks: Sequence[xr.Dataset]) -> xr.DataArray:
    """The coordinate N of an answer for several sizes."""
    sizes = [size_of(one) for one in networks]
    if len(set(sizes)) < len(sizes):
        raise ValueError(
            f"two of the simulations have the same N ({sizes}); give each N once, with all its "
            "seeds."
        )
    about = {"long_name": "input dimension", "symbol": "$N$", "units": "1"}
    return xr.DataArray(sizes, dims="N", name="N", attrs=about)
