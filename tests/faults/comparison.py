"""`compare` must never say AGREE on rubbish, must find wrong theories at usual sizes, and must not
call true ones wrong.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import xarray as xr
from typer.testing import CliRunner

import teacherstudent as ts
from teacherstudent.results.datasets import DESCRIPTION, as_tree, description
from tests.faults.trial import Trial
from tests.problems import committee, random_overlaps

RANDOM = 2000  # corrupted numbers, at share 1
RUBBISH = (np.nan, np.inf, -np.inf, 1e300, -1e300, 1e10, -1e10)
RATES = {"learning_rate": 0.4, "readout_learning_rate": 0.2}


@cache
def pair(name: str) -> tuple[xr.Dataset, xr.Dataset]:
    """A true theory and its networks, N = 1000 with 16 seeds where the chain of the overlaps makes
    that cheap.
    """
    chain = {"N": 1000, "seeds": 16, "method": "reduced", "progress": False}
    if name == "two classes":
        task = ts.SpikedCumulant(5.0, ("skewed", 0.2))
        student = ts.Student(2, "erf", True, True)
        problem = ts.Problem(
            task, student, ts.SGD(0.4, readout_learning_rate=0.2, bias_learning_rate=0.2)
        )
        Q, m = [[0.8, 0.1], [0.1, 0.6]], [[0.6], [-0.4]]
        start, times = (
            ts.OrderParameters(Q, m=m, v=[0.7, -0.6], b=[0.5, -0.3]),
            np.linspace(0, 4, 9),
        )
        chain = {"N": 200, "seeds": 12, "test_samples": 1000, "progress": False}
    elif name == "held out":
        problem, start, times = committee(2, 2), random_overlaps(2, 2), np.linspace(0, 6, 7)
        chain = {"N": 200, "seeds": 12, "test_samples": 1000, "progress": False}
    elif name == "both layers":
        problem, start = committee(2, 2, **RATES), random_overlaps(2, 2, v=[0.7, -0.4])
        times = ts.log_times(20.0, points=20)
    else:
        problem, start, times = (
            committee(3, 2),
            random_overlaps(3, 2),
            ts.log_times(20.0, points=20),
        )
    return ts.integrate(problem, start, times, progress=False), ts.simulate(
        problem, start, times, **chain
    )


PAIRS = ("committee", "both layers", "held out", "two classes")
VARIABLES = {
    "theory": ("Q", "R", "T", "m", "v", "b", "eps_g", "loss", "accuracy"),
    "simulation": (
        *("Q", "R", "T", "m", "v", "b", "eps_g", "loss", "test_error", "test_error_se"),
        *("test_loss", "test_loss_se", "test_accuracy", "test_accuracy_se"),
    ),
}


def verdict(theory, simulation) -> str:
    """The verdict of a comparison."""
    return ts.compare(theory, simulation).attrs["verdict"]


def changed(data: xr.Dataset, variable: str, index: tuple, value: float) -> xr.Dataset:
    """A copy with another number at one place."""
    values = data[variable].values.copy()
    values[index] = value
    return data.assign({variable: (data[variable].dims, values, data[variable].attrs)})


def corrupted(name: str, side: str, variable: str, value: float, rng) -> Callable[[], bool]:
    """A number that is none, or far beyond all others, must be named with its seed and time."""

    def ask() -> bool:
        both = dict(zip(("theory", "simulation"), pair(name), strict=True))
        data = both[side]
        index = tuple(int(rng.integers(size)) for size in data[variable].shape)
        both[side] = changed(data, variable, index, value)
        line = verdict(both["theory"], both["simulation"])
        where = dict(zip(data[variable].dims, index, strict=True))
        named = variable in line or (variable == "T" and "no weights" in line)
        if not np.isfinite(value) and side == "simulation" and "seed" in where:
            named &= (
                f"seed {int(data.seed[where['seed']])} " in line
                and f"t = {float(data.time[where['time']]):.6g}" in line
            )
        return not line.startswith("AGREE") and (named or line.startswith("DISAGREE"))

    return ask


def no_agreement(
    change: Callable[[xr.Dataset, xr.Dataset], tuple], name: str = "committee"
) -> Callable[[], bool]:
    """After some change of theory and simulation, the verdict must not begin with AGREE."""
    return lambda: not verdict(*change(*pair(name))).startswith("AGREE")


def copied(simulation: xr.Dataset, source: int, target: int) -> xr.Dataset:
    """Seed number `target` with all the numbers of seed `source`."""
    index = np.arange(simulation.sizes["seed"])
    index[target] = source
    return simulation.isel(seed=index).assign_coords(seed=simulation.seed.values)


def scaled(data: xr.Dataset, variable: str, factor: float) -> xr.Dataset:
    return data.assign({variable: (data[variable] * factor).assign_attrs(data[variable].attrs)})


def skewed(data: xr.Dataset) -> xr.Dataset:
    Q = data.Q.copy(deep=True)
    Q[{"student": 0, "student_": 1}] += 0.3
    return data.assign(Q=Q)


CHANGES: dict[str, Callable[[xr.Dataset, xr.Dataset], tuple]] = {
    "no seeds": lambda theory, sim: (theory, sim.isel(seed=slice(0))),
    "one seed": lambda theory, sim: (theory, sim.isel(seed=[0])),
    "only t = 0": lambda theory, sim: (theory.isel(time=[0]), sim.isel(time=[0])),
    "only t = 0 of the networks": lambda theory, sim: (theory, sim.isel(time=[0])),
    "a seed twice": lambda theory, sim: (theory, xr.concat([sim, sim.isel(seed=[3])], "seed")),
    "all seeds twice": lambda theory, sim: (theory, xr.concat([sim, sim], "seed")),
    "all seeds twice, renamed": lambda theory, sim: (
        theory,
        xr.concat([sim, sim], "seed").assign_coords(seed=np.arange(2 * sim.sizes["seed"])),
    ),
    "a copied seed": lambda theory, sim: (theory, copied(sim, 2, 5)),
    "identical seeds": lambda theory, sim: (
        theory,
        sim.isel(seed=[0] * 8).assign_coords(seed=np.arange(8)),
    ),
    "networks that are the theory": lambda theory, sim: (
        theory,
        sim.assign({x: sim[x] * 0 + theory[x].values for x in ("Q", "R", "v", "eps_g")}),
    ),
    "R too large, networks": lambda theory, sim: (theory, scaled(sim, "R", 3.0)),
    "R too large, theory": lambda theory, sim: (scaled(theory, "R", 3.0), sim),
    "R too large, both": lambda theory, sim: (scaled(theory, "R", 3.0), scaled(sim, "R", 3.0)),
    "negative Q": lambda theory, sim: (scaled(theory, "Q", -1.0), scaled(sim, "Q", -1.0)),
    "skew Q": lambda theory, sim: (skewed(theory), skewed(sim)),
    "negative eps_g": lambda theory, sim: (
        scaled(theory, "eps_g", -1.0),
        scaled(sim, "eps_g", -1.0),
    ),
    "theory that failed": lambda theory, sim: (
        theory.where(theory.time < 1).assign(T=theory["T"]),
        sim,
    ),
    "both failed": lambda theory, sim: (
        theory.where(theory.time < 1).assign(T=theory["T"]),
        sim.where(sim.time < 1).assign(T=sim["T"]),
    ),
    "other T": lambda theory, sim: (theory, scaled(sim, "T", 2.0)),
    "swapped": lambda theory, sim: (sim, theory),
    "a tree": lambda theory, sim: (as_tree(theory=theory, simulation=sim), sim),
    "a tree of networks": lambda theory, sim: (
        theory,
        as_tree(theory=theory, simulation=sim)["simulation"],
    ),
    "nothing": lambda theory, sim: (None, None),
    "no networks": lambda theory, sim: (theory, []),
    "a number": lambda theory, sim: (theory, 3),
    "an array": lambda theory, sim: (theory, sim.Q),
    "texts": lambda theory, sim: (theory, sim.assign(Q=sim.Q.astype(str))),
    "complex numbers": lambda theory, sim: (theory.assign(Q=theory.Q.astype(complex)), sim),
    "mean over seeds": lambda theory, sim: (theory, sim.mean("seed", keep_attrs=True)),
    "no description": lambda theory, sim: (theory.drop_attrs(), sim),
    "no description of networks": lambda theory, sim: (theory, sim.drop_attrs()),
    "broken description": lambda theory, sim: (theory.assign_attrs({DESCRIPTION: "{"}), sim),
    "empty description": lambda theory, sim: (theory, sim.assign_attrs({DESCRIPTION: "{}"})),
    "other dimensions": lambda theory, sim: (theory.rename(student="k"), sim),
    "two simulations of one N": lambda theory, sim: (theory, [sim, sim]),
    "theories": lambda theory, sim: ([theory, theory], sim),
    "one time": lambda theory, sim: (theory.isel(time=-1), sim.isel(time=-1)),
    "times that are none": lambda theory, sim: (
        theory.assign_coords(time=theory.time * np.nan),
        sim,
    ),
} | {
    f"without {x}": lambda theory, sim, x=x: (theory.drop_vars(x), sim)
    for x in ("Q", "R", "T", "v", "eps_g", "time")
}
CHANGES |= {
    f"networks without {x}": lambda theory, sim, x=x: (theory, sim.drop_vars(x))
    for x in ("Q", "R", "T", "v", "eps_g", "time", "seed")
}


def changed_rate(factor: float, name: str = "committee", described: bool = True) -> xr.Dataset:
    """The theory of a pair with other learning rates, under the description of the true one unless
    not `described` so.
    """
    true = pair(name)[0]
    problem = ts.problem_of(true)
    rates = {
        x: factor * value
        for x in ("learning_rate", "readout_learning_rate")
        if (value := getattr(problem.rule, x, None))
    }
    if problem.student.train_readout is False:
        rates.pop("readout_learning_rate", None)
    wrong = ts.Problem(problem.task, problem.student, ts.SGD(**rates))
    answer = ts.integrate(wrong, ts.start_of(true), true.time.values, progress=False)
    return answer.assign_attrs(true.attrs) if described else answer


def without_second_order(name: str) -> xr.Dataset:
    """The theory without the terms of second order in the learning rate."""
    true = pair(name)[0]
    problem = ts.problem_of(true)
    rates = {
        "learning_rate": 4e-4,
        **({"readout_learning_rate": 2e-4} if problem.student.train_readout else {}),
    }
    if not problem.student.train_readout:
        rates["learning_rate"] = 3e-4
    slow = ts.Problem(problem.task, problem.student, ts.SGD(**rates))
    answer = ts.integrate(slow, ts.start_of(true), 1000 * true.time.values, progress=False)
    return answer.assign_coords(time=true.time).assign_attrs(true.attrs)


def swapped_teacher(name: str) -> xr.Dataset:
    true = pair(name)[0]
    return true.assign(R=true.R.isel(teacher=slice(None, None, -1)))


def found(theory: Callable[[], xr.Dataset], name: str) -> Callable[[], bool]:
    """A wrong theory of a good set-up must be called wrong."""
    return lambda: verdict(theory(), pair(name)[1]).startswith("DISAGREE")


def what_would_have_been_seen(name: str, sign: int) -> Callable[[], bool]:
    """An error half as large again as the one that the verdict names must be found."""

    def ask() -> bool:
        theory, simulation = pair(name)
        report = ts.compare(theory, simulation, faster=changed_rate(1.02, name, described=False))
        seen = description(report)["directions"][0][0]["seen"]
        assert "in the learning rate" in report.attrs["verdict"]
        return verdict(changed_rate(1 + 1.5 * sign * seen, name), simulation).startswith("DISAGREE")

    return ask


def exit_code(change: Callable, code: int) -> Callable[[], bool]:
    """The command line must say it with its exit code."""

    def ask() -> bool:
        from teacherstudent.command import cli

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "result.h5"
            theory, simulation = change(*pair("committee"))
            ts.save(path, theory=theory, simulation=simulation)
            return CliRunner().invoke(cli.app, ["compare", str(path)]).exit_code == code

    return ask


def trials(share: float, seed: int) -> Iterator[Trial]:
    """All changes of form, wrong theories and true ones; random corrupted numbers by share."""
    pairs = PAIRS if share > 0.02 else PAIRS[:1]
    for name in pairs:
        agree = lambda name=name: verdict(*pair(name)).startswith("AGREE at N")
        yield Trial(f"true theory, {name}", agree, may_refuse=False, trains=True)
    for words, change in CHANGES.items():
        yield Trial(words, no_agreement(change))
    for name in pairs[:2]:
        wrong = {
            "10 % too fast": lambda name=name: changed_rate(1.1, name),
            "10 % too slow": lambda name=name: changed_rate(0.9, name),
            "no second order": lambda name=name: without_second_order(name),
            "swapped teacher": lambda name=name: swapped_teacher(name),
        }
        for words, theory in wrong.items():
            yield Trial(f"{words}, {name}", found(theory, name), may_refuse=False)
        for sign in (1, -1):
            yield Trial(
                f"what would have been seen, {name}, {sign:+}",
                what_would_have_been_seen(name, sign),
                may_refuse=False,
            )
    yield Trial(
        "exit code of agreement", exit_code(lambda theory, sim: (theory, sim), 0), may_refuse=False
    )
    for words in ("a copied seed", "R too large, networks", "theory that failed", "no seeds"):
        yield Trial(f"exit code, {words}", exit_code(CHANGES[words], 1), may_refuse=False)
    rng = np.random.default_rng(seed)
    places = [(name, side, x) for name in pairs for side, names in VARIABLES.items() for x in names]
    for number in range(max(40, round(RANDOM * share))):
        name, side, variable = places[rng.integers(len(places))]
        value = RUBBISH[number % len(RUBBISH)]
        if variable in pair(name)[side == "simulation"]:
            own = np.random.default_rng([seed, number])
            yield Trial(
                f"{value} in {side}.{variable}, {name}", corrupted(name, side, variable, value, own)
            )
