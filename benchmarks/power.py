"""What a comparison of theory and networks can see: `python -m benchmarks.power [biases] [verdicts]
[bands] [CASE ...]`.

`verdicts`: networks of N = 1000 in groups of 16 seeds, against the true theory (which must agree)
and against wrong ones: another learning rate, another noise, no term of second order in the
learning rate, the teacher's units counted from the other end.  Each entry is the fraction of groups
that disagree.  `biases`: how far the mean over many networks is from the theory, times N, relative
to each variable's scale, beside the variance that is allowed for it.  `bands`: the same fractions
for theories with and without a band, and what the information in the networks would allow.
"""

import sys
import warnings
from collections.abc import Callable

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

import teacherstudent as ts
from teacherstudent.results.datasets import DESCRIPTION, description
from teacherstudent.results.deviations import BASE, CURVATURE
from tests.problems import random_overlaps

N, SEEDS, GROUPS = 1000, 16, 10
GROUPS_FOR_BANDS = 40
ERRORS = (0.01, 0.02, 0.05)  # of the learning rate
POINTS = 30
READOUT = (0.7, -0.4, 0.3, 0.6)


def problem(
    K: int, M: int, activation: str, learning_rate: float, noise: float, readout: float | None
) -> ts.Problem:
    """A student of K units and a teacher of M, on isotropic inputs."""
    rates = {} if readout is None else {"readout_learning_rate": readout}
    task = ts.TeacherStudent(M, activation, noise=noise)
    return ts.Problem(
        task, ts.Student(K, activation, readout is not None), ts.SGD(learning_rate, **rates)
    )


def nearly_symmetric(K: int) -> ts.OrderParameters:
    """A start on the way to a plateau, from which the units escape one after the other."""
    R = np.diag(0.02 * (1 - 0.25 * np.arange(K)))
    return ts.OrderParameters(np.diag(0.6 - 0.1 * np.arange(K)), R, np.eye(K))


CASES = {  # K, M, activation, learning rate, noise, readout's learning rate, last time
    "erf 1, 1": (1, 1, "erf", 0.4, 0.1, None, 30.0),
    "erf 2, 2": (2, 2, "erf", 0.4, 0.1, None, 50.0),
    "erf 2, 2, no noise": (2, 2, "erf", 0.4, 0.0, None, 50.0),
    "erf 3, 2": (3, 2, "erf", 0.4, 0.1, None, 20.0),
    "erf 3, 2, fast": (3, 2, "erf", 1.2, 0.1, None, 20.0),
    "erf 4, 2": (4, 2, "erf", 0.4, 0.1, None, 50.0),
    "erf 3, 3, plateau": (3, 3, "erf", 0.4, 0.0, None, 200.0),
    "erf 2, 2, both": (2, 2, "erf", 0.4, 0.1, 0.2, 30.0),
    "erf 4, 4, both": (4, 4, "erf", 0.4, 0.1, 0.2, 30.0),
    "relu 1, 1": (1, 1, "relu", 0.4, 0.1, None, 20.0),
    "relu 2, 2": (2, 2, "relu", 0.2, 0.1, None, 20.0),
    "relu 3, 2, both": (3, 2, "relu", 0.2, 0.1, 0.1, 20.0),
    "linear 1, 1": (1, 1, "linear", 0.4, 0.1, None, 20.0),
    "linear 2, 2": (2, 2, "linear", 0.2, 0.1, None, 20.0),
    "linear 2, 1, both": (2, 1, "linear", 0.2, 0.1, 0.2, 20.0),
}


def start_of(name: str) -> ts.OrderParameters:
    """Random overlaps of order one, or nearly symmetric ones."""
    K, M = CASES[name][:2]
    return (
        nearly_symmetric(K)
        if "plateau" in name
        else random_overlaps(K, M, v=READOUT[:K] if "both" in name else None)
    )


def theory(name: str, times, rate: float = 1.0, noise: float | None = None) -> xr.Dataset:
    """The theory of a case, with other learning rates or another noise."""
    K, M, activation, learning_rate, own_noise, readout, _ = CASES[name]
    own = own_noise if noise is None else noise
    changed = problem(
        K, M, activation, rate * learning_rate, own, None if readout is None else rate * readout
    )
    return ts.integrate(changed, start_of(name), times, progress=False)


def gradient_flow(name: str, true: xr.Dataset) -> xr.Dataset:
    """The theory without the terms of second order in the learning rate: a thousandth of it for a
    thousand times as long.
    """
    slow = theory(name, 1000 * true.time.values, rate=1e-3)
    return slow.assign_coords(time=true.time)


def wrong_theories(name: str, true: xr.Dataset) -> dict[str, Callable[[], xr.Dataset]]:
    """Theories with one error each."""
    times = true.time.values
    wrong = {
        f"rate +{100 * s:g} %": lambda s=s: theory(name, times, rate=1 + s)
        for s in (0.01, 0.02, 0.05, 0.1)
    }
    wrong["rate -5 %"] = lambda: theory(name, times, rate=0.95)
    wrong["noise +50 %"] = lambda: theory(name, times, noise=0.15 if CASES[name][4] else 0.05)
    wrong["no eta^2"] = lambda: gradient_flow(name, true)
    if CASES[name][1] > 1:
        wrong["R swapped"] = lambda: true.assign(R=true.R.isel(teacher=slice(None, None, -1)))
    return wrong


def as_of(true: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """A wrong theory that claims to be of the true problem."""
    return other.assign_attrs({DESCRIPTION: true.attrs[DESCRIPTION]})


def groups(name: str, times, count: int = GROUPS) -> list[xr.Dataset]:
    """Simulations of the case with different seeds."""
    K, M, activation, learning_rate, noise, readout, _ = CASES[name]
    true = problem(K, M, activation, learning_rate, noise, readout)
    seeds = count * SEEDS
    networks = ts.simulate(
        true, start_of(name), times, N=N, seeds=seeds, method="reduced", progress=False
    )
    return [networks.isel(seed=slice(first, first + SEEDS)) for first in range(0, seeds, SEEDS)]


def verdicts(names) -> Table:
    """One line for each case: the fraction of groups of networks that disagree with each theory."""
    kinds = (
        "rate +1 %",
        "rate +2 %",
        "rate +5 %",
        "rate -5 %",
        "rate +10 %",
        "noise +50 %",
        "no eta^2",
        "R swapped",
    )
    columns = ("true", "seen", "rate + seen", "rate - seen", *kinds)
    table = Table(
        "case", *columns, title=f"N = {N}, {SEEDS} seeds: fraction of {GROUPS} groups that disagree"
    )
    for name in names:
        times = ts.log_times(CASES[name][-1], points=POINTS)
        true, networks = theory(name, times), groups(name, times)
        faster = theory(name, times, rate=1.02)
        reports = [description(ts.compare(true, one, faster=faster)) for one in networks]
        seen = np.median([report["directions"][0][0]["seen"] for report in reports])
        others = wrong_theories(name, true)
        others["rate + seen"] = lambda true=true, name=name, s=seen: theory(
            name, true.time.values, rate=1 + s
        )
        others["rate - seen"] = lambda true=true, name=name, s=seen: theory(
            name, true.time.values, rate=1 / (1 + s)
        )
        cells = [_fraction([report["verdict"] for report in reports]), f"{100 * seen:.2g} %"]
        for kind in columns[2:]:
            if kind not in others:
                cells.append("")
                continue
            other = as_of(true, others[kind]())
            cells.append(_fraction([ts.compare(other, one).attrs["verdict"] for one in networks]))
        table.add_row(name, *cells)
        print(name, *cells, sep=" | ", file=sys.stderr, flush=True)
    return table


def with_values(band: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """A theory, and its band, around the curve of another one, of which it does not tell."""
    names = [name for name in other.data_vars if "time" in other[name].dims and name in band]
    return band.assign({name: band[name].copy(data=other[name].values) for name in names})


def bands(names) -> Table:
    """Two lines for each case, without and with a band: the fraction of groups that disagree with
    the true theory, and with those at larger and smaller learning rates.
    """
    table = Table(title=f"N = {N}, {SEEDS} seeds: fraction of {GROUPS_FOR_BANDS} groups")
    wrong = [sign * error for error in ERRORS for sign in (1, -1)]
    for column in ("case", "theory", "true", "seen", "error", *(f"{100 * s:+g} %" for s in wrong)):
        table.add_column(column)
    for name in names:
        times = ts.log_times(CASES[name][-1], points=POINTS)
        K, M, activation, learning_rate, noise, readout, _ = CASES[name]
        true = problem(K, M, activation, learning_rate, noise, readout)
        band = ts.fluctuations(true, start_of(name), times, progress=False)
        networks = groups(name, times, GROUPS_FOR_BANDS)
        for kind, one in (("alone", theory(name, times)), ("band", band)):
            faster = theory(name, times, rate=1.02)
            reports = [ts.compare(one, group, faster=faster) for group in networks]
            tests = [description(report)["directions"][0][0] for report in reports]
            cells = [_fraction([report.attrs["verdict"] for report in reports])]
            for key in ("seen", "standard_error"):
                cells.append(f"{100 * np.median([test[key] for test in tests]):.2g} %")
            for error in wrong:
                other = with_values(one, theory(name, times, rate=1 + error))
                larger = theory(name, times, rate=1.02 * (1 + error))
                faster = larger.assign_attrs(theory(name, times, rate=1.02).attrs)
                found = [ts.compare(other, group, faster=faster) for group in networks]
                cells.append(_fraction([report.attrs["verdict"] for report in found]))
            table.add_row(name, kind, *cells)
            print(name, kind, *cells, sep=" | ", file=sys.stderr, flush=True)
    return table


def _fraction(lines: list[str]) -> str:
    disagree = sum(line.startswith("DISAGREE") for line in lines) / len(lines)
    others = sum(not line.startswith(("AGREE", "DISAGREE")) for line in lines)
    return f"{disagree:.3g}" + (f" ({others} undecided)" if others else "")


def biases(names, size: int = 100, seeds: int = 1000) -> Table:
    """One line for each case: N times the deviation of the mean that chance leaves, over its scale,
    and what is allowed.
    """
    table = Table(
        "case",
        "bias N / scale",
        "variance N / scale^2",
        "allowed",
        title=f"N = {size}, {seeds} seeds",
    )
    for name in names:
        times = ts.log_times(CASES[name][-1], points=POINTS)
        K, M, activation, learning_rate, noise, readout, _ = CASES[name]
        true = problem(K, M, activation, learning_rate, noise, readout)
        curve = theory(name, times)
        options = {"N": size, "seeds": seeds, "method": "reduced", "progress": False}
        networks = ts.simulate(true, start_of(name), times, **options)
        report = ts.compare(curve, networks)
        Q = float(np.abs(curve.Q).max())
        scales = {
            "Q": Q,
            "R": np.sqrt(Q * float(np.abs(curve["T"]).max())),
            "v": float(np.abs(curve.v).max()),
        }
        bias, variance = 0.0, 0.0
        for variable, scale in scales.items():
            if f"{variable}_deviation" not in report:
                continue
            gap = np.abs(report[f"{variable}_deviation"]) - 2 * report[f"{variable}_standard_error"]
            bias = max(bias, size * float(gap.max()) / scale)
            variance = max(variance, size * float(networks[variable].var("seed").max()) / scale**2)
        table.add_row(name, f"{bias:.2f}", f"{variance:.2f}", f"{BASE + CURVATURE * variance:.2f}")
    return table


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore")
    tables = {"biases": biases, "verdicts": verdicts, "bands": bands}
    given = sys.argv[1:]
    names = [name for name in given if name in CASES] or list(CASES)
    for kind in [name for name in given if name in tables] or tables:
        Console(width=170).print(tables[kind](names))


if __name__ == "__main__":
    main()
