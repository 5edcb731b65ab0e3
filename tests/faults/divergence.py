"""Absurd learning rates and starts: an answer is of weights that there are, or marked, or refused
with its time.
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

import teacherstudent as ts
from teacherstudent.results.datasets import description
from teacherstudent.states.physical_region import DIVERGED, smallest_eigenvalue
from tests.faults.trial import Trial
from tests.problems import random_overlaps

RANDOM = 300  # combinations, at share 1
SIZES = (3.0, 1e3, 1e6, 1e20, 1e100, 1e200, 1e300)
ACTIVATIONS = ("linear", "erf", "relu", "quadratic")
METHODS = ("theory", "reduced", "weights")
TIMES = [0.0, 0.5, 1.0, 2.0]
RULES: dict[str, Callable[[float], object]] = {
    "SGD": lambda size: ts.SGD(size),
    "both layers": lambda size: ts.SGD(size, readout_learning_rate=size),
    "weight decay": lambda size: ts.SGD(0.1, weight_decay=size),
    "SphericalSGD": lambda size: ts.SphericalSGD(size),
    "HeavyBall": lambda size: ts.HeavyBall(size, beta=0.5),
    "SignSGD": lambda size: ts.SignSGD(size),
    "AGD": lambda size: ts.AGD(gain=size),
    "AGD, batches of 2 N": lambda size: ts.AGD(gain=size, first_scale=1.0),
}


def problem_of(rule: str, activation: str, size: float) -> ts.Problem:
    """K = M = 2 with a rule whose step has this size."""
    trained = rule == "both layers" or rule.startswith("AGD")
    batches = {"batch_ratio": 2.0} if "batches" in rule else {}
    student = ts.Student(2, activation, trained)
    return ts.Problem(
        ts.TeacherStudent(2, activation, noise=0.1), student, RULES[rule](size), **batches
    )


def two_classes(activation: str, size: float) -> ts.Problem:
    """A spiked cumulant, all parameters of the student trained."""
    rates = {"readout_learning_rate": size, "bias_learning_rate": size}
    student = ts.Student(2, activation, True, True)
    return ts.Problem(ts.SpikedCumulant(5.0, ("skewed", 0.2)), student, ts.SGD(size, **rates))


def start_for(problem: ts.Problem, scale: float = 1.0) -> ts.OrderParameters:
    if isinstance(problem.task, ts.SpikedCumulant):
        m = np.array([[0.6], [-0.4]])
        return ts.OrderParameters(m @ m.T + 0.5 * np.eye(2), m=m, v=[0.7, -0.6], b=[0.5, -0.3])
    start = random_overlaps(2, 2, v=[0.7, -0.4])
    if isinstance(problem.rule, ts.SphericalSGD):
        lengths = np.sqrt(np.diagonal(start.Q))
        return ts.OrderParameters(
            start.Q / lengths[:, None] / lengths, start.R / lengths[:, None], start.T, start.v
        )
    return ts.OrderParameters(scale**2 * start.Q, scale * start.R, start.T, start.v)


def answer(method: str, problem: ts.Problem, start: ts.OrderParameters) -> xr.Dataset:
    """Theory, chain of the overlaps, or whole weights."""
    times = [0.0, 1.0, 2.0, 40.0] if problem.batch_ratio is not None else TIMES
    if method == "theory":
        return ts.integrate(problem, start, times, progress=False, rtol=1e-6, max_steps=2000)
    return ts.simulate(
        problem, start, times, N=40, seeds=2, method=method, dtype="float64", progress=False
    )


def followed(method: str, problem: ts.Problem, scale: float = 1.0) -> Callable[[], bool]:
    """An answer must be of weights that there are; beyond the bound of divergence it must be
    marked; a refusal has its time.
    """

    def ask() -> bool:
        start = start_for(problem, scale)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                found = answer(method, problem, start)
            except ts.SolverError as error:
                if not np.isfinite(error.time) or "t = " not in str(error):
                    return False
                raise
        return right(found, start, any("divergent" in str(one.message) for one in warned))

    return ask


def right(found: xr.Dataset, start: ts.OrderParameters, marked: bool) -> bool:
    """Whether the numbers are finite, of some weights, and not beyond the bound unless `marked`."""
    second = "m" if "m" in found else "R"
    error = "loss" if second == "m" else "eps_g"
    T = np.eye(found[second].shape[-1]) if second == "m" else found["T"].values
    states = [found[name].values for name in ("Q", second, "v", error) if name in found]
    if not all(np.isfinite(values).all() for values in states):
        return False
    if smallest_eigenvalue(found.Q.values, found[second].values, T).min() < -1e-3:
        return False
    floor = description(found)["report"].get("eps_g_floor", 0.0)
    bound = DIVERGED * max(1.0, np.abs(start.Q).max(), np.abs(start.v).max())
    large = max(np.abs(values).max() for values in states[:3]) > bound
    too_large = np.abs(states[3]).max() > DIVERGED * max(
        1.0, np.abs(states[3].take(0, axis=-1)).max()
    )
    return (
        (marked or not large) and not too_large and (error == "loss" or states[3].min() >= -floor)
    )


def below_the_floor(activation: str) -> Callable[[], bool]:
    """Late in noise-free runs eps_g is rounding: the report's floor must be above its error, and
    the verdict say it.
    """

    def ask() -> bool:
        rule = ts.SGD(0.5)
        problem = ts.Problem(ts.TeacherStudent(1, activation), ts.Student(1, activation), rule)
        start, times = random_overlaps(1, 1), np.linspace(0, 300, 31)
        theory = ts.integrate(problem, start, times, progress=False)
        floor = description(theory)["report"]["eps_g_floor"]
        networks = ts.simulate(
            problem, start, times, N=100, seeds=8, method="reduced", progress=False
        )
        verdict = ts.compare(theory, networks).attrs["verdict"]
        late = np.abs(theory.eps_g.values[times > 200])
        return bool(late.max() < floor) and "below its floor of rounding" in verdict

    return ask


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Every method with a linear and a saturating student; all combinations of rule, activation and
    size, by share.
    """
    for method in METHODS:
        for activation, size in (("linear", 3.0), ("erf", 1e6)):
            problem = problem_of("SGD", activation, size)
            yield Trial(
                f"{method}, SGD({size:g}), {activation}",
                followed(method, problem),
                trains=method != "theory",
            )
    yield Trial("the floor, erf", below_the_floor("erf"), may_refuse=False)
    rng = np.random.default_rng(seed)
    cases = [
        (method, rule, activation)
        for method in METHODS
        for rule in (*RULES, "two classes")
        for activation in ACTIVATIONS
    ]
    order = rng.permutation(len(cases))
    for number in range(max(4, round(RANDOM * share))):
        method, rule, activation = cases[order[number % len(cases)]]
        size, scale = float(rng.choice(SIZES)), float(rng.choice([1e-3, 1.0, 1.0, 1e2]))
        problem = (
            two_classes(activation, size)
            if rule == "two classes"
            else problem_of(rule, activation, size)
        )
        yield Trial(
            f"{method}, {rule} {size:g}, {activation}, start {scale:g}",
            followed(method, problem, scale),
            trains=method != "theory",
        )
