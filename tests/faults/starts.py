"""Starts of parts of results, starts of problems, networks with few inputs, and what pictures call
what they draw.
"""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import xarray as xr

import teacherstudent as ts
from teacherstudent.results.datasets import as_tree
from teacherstudent.rules import RULES
from tests.faults.trial import Trial

RANDOM = 400  # at share 1
TIMES = [0.0, 0.5, 2.0, 7.0]
RATES = [0.1, 0.2, 0.4]
STRUCTURED = ts.GaussianEquivalent.anisotropic(
    np.linspace(0.5, 1.5, 12), width=2, activation="linear"
)
LINEAR = ts.Student(2, "linear")


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Every part of every kind of result, and random problems with random parts."""
    for kind in ("theory", "sweep", "batch", "classes", "modes", "simulation"):
        results(kind)  # not in the time of a trial
    yield from selections()
    yield from few_inputs(share)
    yield from pictures()
    rng = np.random.default_rng(seed)
    for number in range(max(8, round(share * RANDOM))):
        yield random_start(rng, number)
        yield random_selection(rng, number)


# Results, each made once


def problem_of_two(rate=0.2, noise=0.0) -> ts.Problem:
    return ts.Problem(ts.TeacherStudent(2, "linear", noise=noise), LINEAR, ts.SGD(rate))


def start_of_two(number: int = 0) -> ts.OrderParameters:
    return ts.random_start(problem_of_two(), 30, seed=number)


def batch_of_starts() -> ts.OrderParameters:
    starts = [start_of_two(number) for number in range(3)]
    parts = (np.stack([getattr(one, name) for one in starts]) for name in ("Q", "R", "T", "v"))
    return ts.OrderParameters(*parts)


@cache
def results(kind: str) -> xr.Dataset:
    """A result of each kind."""
    if kind == "theory":
        return ts.integrate(problem_of_two(), start_of_two(), TIMES)
    if kind == "sweep":
        return ts.integrate(problem_of_two(RATES, [0.0, 0.3]), start_of_two(), TIMES)
    if kind == "batch":
        return ts.integrate(problem_of_two(), batch_of_starts(), TIMES)
    if kind == "classes":
        problem = ts.Problem(ts.GaussianMixture.xor(), LINEAR, ts.SGD(0.2))
        return ts.integrate(problem, ts.random_start(problem, 30), TIMES)
    if kind == "modes":
        problem = ts.Problem(STRUCTURED, LINEAR, ts.SGD(0.2))
        return ts.integrate(problem, ts.random_start(problem), TIMES, spectral=True)
    if kind == "structured":
        return results("modes").drop_vars(["q", "r"])
    assert kind == "simulation"
    start = start_of_two()
    return ts.simulate(problem_of_two(), start, TIMES, N=30, seeds=[3, 5, 8], dtype="float64")


def is_state_of(state, data: xr.Dataset) -> bool:
    """Whether overlaps are the numbers of the data, which are one state."""
    second = "m" if "m" in data else "R"
    same = lambda name: np.allclose(getattr(state, name), data[name].values, rtol=0, atol=1e-9)
    return same("Q") and same(second) and same("v")


def starts_there(data: xr.Dataset) -> bool:
    """Whether start_of answers the state of data that are one state."""
    return is_state_of(ts.start_of(data), data)


def refuses(name: str, ask: Callable) -> Trial:
    """A trial in which any answer is wrong."""
    return Trial(name, lambda: ask() is None)


def selections() -> Iterator[Trial]:
    for kind in ("theory", "classes", "modes"):
        for index in range(len(TIMES)):
            part = lambda kind=kind, index=index: results(kind).isel(time=index)
            yield Trial(
                f"{kind} at time {index}", lambda part=part: starts_there(part()), may_refuse=False
            )
        yield refuses(
            f"{kind} from time 1 on",
            lambda kind=kind: ts.start_of(results(kind).isel(time=slice(1, None))),
        )
        yield refuses(
            f"{kind} at the list of the last",
            lambda kind=kind: ts.start_of(results(kind).isel(time=[-1])),
        )
        yield refuses(
            f"{kind} with time dropped",
            lambda kind=kind: ts.start_of(results(kind).isel(time=-1, drop=True)),
        )
        yield refuses(
            f"{kind}, mean over time",
            lambda kind=kind: ts.start_of(results(kind).mean("time", keep_attrs=True)),
        )
        yield Trial(f"{kind} as it is", lambda kind=kind: _begins(results(kind)), may_refuse=False)
        yield Trial(
            f"{kind}, its first times",
            lambda kind=kind: _begins(results(kind).isel(time=slice(0, 2))),
        )
    yield Trial(
        "theory, sel", lambda: starts_there(results("theory").sel(time=2.0)), may_refuse=False
    )
    yield Trial(
        "theory, nearest",
        lambda: starts_there(results("theory").sel(time=1.9, method="nearest")),
        may_refuse=False,
    )
    yield refuses(
        "theory backwards", lambda: ts.start_of(results("theory").isel(time=slice(None, None, -1)))
    )
    yield refuses(
        "structured inputs without modes", lambda: ts.start_of(results("structured").isel(time=-1))
    )
    yield refuses("one unit", lambda: ts.start_of(results("theory").isel(time=-1, student=[0])))
    yield refuses("the sweep at a time", lambda: ts.start_of(results("sweep").isel(time=-1)))
    yield refuses("the batch at a time", lambda: ts.start_of(results("batch").isel(time=-1)))
    yield refuses(
        "a start that dropped its number",
        lambda: ts.start_of(results("batch").isel(start=1, drop=True)),
    )
    yield refuses(
        "a rate that dropped its number",
        lambda: ts.problem_of(results("sweep").isel(learning_rate=1, drop=True)),
    )
    yield refuses("all seeds at a time", lambda: ts.start_of(results("simulation").isel(time=-1)))
    yield refuses(
        "the mean over seeds",
        lambda: ts.start_of(results("simulation").isel(time=-1).mean("seed", keep_attrs=True)),
    )
    yield Trial(
        "a seed at a time",
        lambda: starts_there(results("simulation").isel(seed=1, time=-1)),
        may_refuse=False,
    )
    yield Trial("the simulation", lambda: _begins(results("simulation")), may_refuse=False)
    for index, rate in enumerate(RATES):
        yield Trial(
            f"the rate {rate} of a sweep", lambda i=index: _one_of_sweep(i), may_refuse=False
        )
    for index in range(3):
        yield Trial(f"start {index} of a batch", lambda i=index: _one_of_batch(i), may_refuse=False)
    yield Trial("two of three rates", lambda: _two_rates(), may_refuse=False)


def _begins(data: xr.Dataset) -> bool:
    """Whether start_of answers the run's start."""
    first = data.isel(time=0) if "seed" not in data.dims else data.isel(time=0, seed=0)
    return is_state_of(ts.start_of(data), first)


def _one_of_sweep(index: int) -> bool:
    one = results("sweep").isel(learning_rate=index, noise=1, time=-1)
    problem = ts.problem_of(one)
    alone = ts.integrate(problem_of_two(RATES[index], 0.3), start_of_two(), TIMES).isel(time=-1)
    numbers = (problem.rule.learning_rate, problem.task.noise) == (RATES[index], 0.3)
    return numbers and starts_there(one) and np.allclose(alone.Q, one.Q, atol=1e-7)


def _two_rates() -> bool:
    problem = ts.problem_of(results("sweep").isel(learning_rate=[0, 2]))
    return np.array_equal(problem.rule.learning_rate, [RATES[0], RATES[2]])


def _one_of_batch(index: int) -> bool:
    one = results("batch").isel(start=index)
    return is_state_of(ts.start_of(one), one.isel(time=0)) and starts_there(one.isel(time=-1))


# Networks with few inputs


def few_inputs(share: float) -> Iterator[Trial]:
    if share >= 0.1:  # it trains networks
        yield Trial(
            "K = 10, M = 2, N = 3, theory and networks", _agree_with_few_inputs, may_refuse=False
        )
    yield refuses("the chain with few inputs", lambda: _few("reduced"))
    problem = ts.Problem(ts.TeacherStudent(2), ts.Student(10), ts.SGD(0.05))
    full = ts.random_start(problem, 100)
    yield refuses(
        "overlaps of rank 12 in N = 3", lambda: ts.simulate(problem, full, [0, 1], N=3, seeds=1)
    )


def few_weights() -> tuple[ts.Problem, ts.OrderParameters]:
    rng = np.random.default_rng(0)
    task = ts.TeacherStudent(2, "erf", readout=0.5, noise=1e-3**0.5)
    problem = ts.Problem(task, ts.Student(10), ts.SGD(0.05))
    w, w_star = rng.standard_normal((10, 3)), rng.standard_normal((2, 3))
    return problem, ts.start_from_weights(problem, w, np.full(10, 0.1), w_star)


def _few(method: str) -> xr.Dataset:
    problem, start = few_weights()
    return ts.simulate(problem, start, [0, 5, 50], seeds=16, method=method)


def _agree_with_few_inputs() -> bool:
    problem, start = few_weights()
    theory, found = ts.integrate(problem, start, [0, 5, 50]).eps_g, _few("weights").eps_g
    return bool((abs(found.mean("seed") - theory) < 0.02 * theory).all())


# Pictures


def pictures() -> Iterator[Trial]:
    yield Trial(
        "the time of AGD's map",
        lambda: _time_labels(_map_of_batches()) == {"time $t$ = updates"},
        may_refuse=False,
    )
    yield Trial(
        "time of online rules",
        lambda: _time_labels(results("theory")) == {"time $t$ = updates / $N$"},
        may_refuse=False,
    )
    yield Trial("variants of two classes", _variants_of_classes, may_refuse=False)
    yield Trial("variants with different times", _mixed_variants, may_refuse=False)
    yield Trial("one seed of a simulation", _one_network, may_refuse=False)
    yield refuses("one time", lambda: ts.plot(results("theory").isel(time=-1)))


def _map_of_batches() -> xr.Dataset:
    problem = ts.Problem(
        ts.TeacherStudent(2, "linear"), LINEAR, ts.AGD(first_scale=2.0), batch_ratio=3.0
    )
    return ts.integrate(problem, start_of_two(), [0, 1, 5])


def _time_labels(data: xr.Dataset) -> set[str]:
    return {axes.get_xlabel() for axes in ts.plot(data).axes}


def _variants(**theories: xr.Dataset):
    (axes,) = ts.plot(
        as_tree(variants={name: as_tree(theory=one) for name, one in theories.items()})
    ).axes
    return axes


def _variants_of_classes() -> bool:
    label = _variants(one=results("classes"), other=results("classes")).get_ylabel()
    return "loss" in label and "epsilon_g" not in label


def _mixed_variants() -> bool:
    axes = _variants(online=results("theory"), batches=_map_of_batches())
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    return names == ["online (t = updates / N)", "batches (t = updates)"]


def _one_network() -> bool:
    legends = ts.plot(results("simulation").isel(seed=0)).legends
    names = [text.get_text() for legend in legends for text in legend.get_texts()]
    return any("network, N = 30" in name for name in names)


# Random ones


def random_start(rng: np.random.Generator, number: int) -> Trial:
    """A random start of a random problem is one that the problem takes."""
    kinds = {
        "TeacherStudent": lambda: ts.TeacherStudent(2),
        "HiddenManifold": lambda: ts.HiddenManifold(2, "erf", "sign", 0.6),
        "GaussianEquivalent": lambda: ts.GaussianEquivalent.anisotropic(
            rng.uniform(0.5, 2.0, 12), width=2
        ),
        "SpikedCumulant": lambda: ts.SpikedCumulant(2.0),
        "GaussianMixture": lambda: ts.GaussianMixture.xor(),
    }
    task, name = str(rng.choice(list(kinds))), str(rng.choice(list(RULES)))
    width, N, seed = int(rng.integers(1, 8)), 12, int(rng.integers(1000))
    numbers: dict[str, dict] = {"AGD": {}, "GradientFlow": {}}
    numbers["HeavyBall"] = {"learning_rate": 0.1, "beta": 0.5}
    rule = RULES[name](**numbers.get(name, {"learning_rate": 0.1}))

    def ask() -> bool:
        problem = ts.Problem(kinds[task](), ts.Student(width), rule)
        problem.check_start(ts.random_start(problem, N, seed))
        return True

    return Trial(f"{number}: random start, {task}, {name}, K = {width}", ask, may_refuse=False)


def random_selection(rng: np.random.Generator, number: int) -> Trial:
    """A random part of a result: its start is the state there, the run's start, or refused."""
    kind = str(
        rng.choice(["theory", "sweep", "batch", "classes", "modes", "structured", "simulation"])
    )
    dims = [
        dim
        for dim in ("time", "seed", "start", "learning_rate", "noise")
        if dim in results_dims(kind)
    ]
    chosen: dict[str, int | slice] = {}
    for dim in dims:
        size = results(kind).sizes[dim]
        pick = rng.random()
        if pick < 0.5:
            chosen[dim] = int(rng.integers(size))
        elif pick < 0.8:
            first = int(rng.integers(size))
            chosen[dim] = slice(first, int(rng.integers(first, size)) + 1)
    return Trial(f"{number}: {kind}, {chosen}", lambda: _right_start(results(kind).isel(chosen)))


def results_dims(kind: str) -> tuple[str, ...]:
    return tuple(map(str, results(kind)["Q"].dims))


def _right_start(data: xr.Dataset) -> bool:
    state = ts.start_of(data)
    moment = data if data["time"].ndim == 0 else data.isel(time=0)
    extra = [dim for dim in moment.Q.dims if dim not in ("student", "student_")]
    if data["time"].ndim > 0 and float(data.time[0]) > 0:
        return False
    if extra == ["start"]:
        return is_state_of(state, moment)
    one = moment.isel(dict.fromkeys(extra, 0))  # of a sweep or of seeds the start is one, at t = 0
    return is_state_of(state, one) and (not extra or float(moment.time) == 0)
