"""The statistics of a comparison: whether the mean over seeds differs from the theory by more than
chance and finite size.

The mean of S independent networks of size N differs from the limit N -> infinity by chance, which
the scatter of the seeds measures, and by a bias of order 1 / N.  That bias comes from the scatter,
too: where the equations are curved, an average over networks is not the network at the averages.
So it is allowed for as

    |bias| <= scale (BASE + CURVATURE N V(t)) / N,   V(t) = largest variance / scale^2 of any order
    parameter up to t

which is more than was measured with hundreds of networks of SGD and sign-SGD on isotropic inputs
with a teacher, fast rates and a plateau among them (`python -m benchmarks.power biases`; other
rules and inputs were not), and grows by itself where networks leave a plateau at times of their
own.

Two kinds of test share the level.  One looks at a variable in a part of the times, by root mean
squares, and notices any deviation that is large.  The other projects the deviations of all
variables and times on one direction, so that each seed gives one number and Student's t is exact:
the change that another learning rate makes, if that is given, or another scale of time, t dX/dt,
the change since the start, and the size of each variable in a part of the times.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import interpolate, special

LEVEL = 0.01  # probability of calling a true theory wrong, over all tests of a comparison together
WINDOWS, PARTS = (
    5,
    3,
)  # parts of the times that are looked at one by one, by root mean squares and by directions
BASE, CURVATURE = 0.5, 3.0  # of the allowed bias
POWER = 0.95  # the probability with which a deviation that "would have been seen" is seen
# Curves are not linear in the learning rate: without it, at worst 4 of 10 such errors were found.
MARGIN = 1.5
SMOOTHING = 5  # times over which a variance is averaged before it becomes a weight


class Variable(NamedTuple):
    """A variable at the times compared: the limit, all networks, and what is known of their errors;
    entries in one axis.
    """

    name: str
    limit: Float[np.ndarray, "times entries"]
    runs: Float[np.ndarray, "seeds times entries"]
    slope: Float[
        np.ndarray, "times entries"
    ]  # d limit / d log t, or with respect to the logarithm of the learning rate
    begin: Float[np.ndarray, "1 entries"]
    scale: float
    rounding: float  # of the runs' floating-point numbers, absolute
    numerical: Float[np.ndarray, " times"]  # error of the theory's numbers, absolute
    counted: np.ndarray  # times at which it says something

    @property
    def deviation(self) -> Float[np.ndarray, "times entries"]:
        """Theory minus mean over seeds."""
        return self.limit - self.runs.mean(axis=0)

    @property
    def error(self) -> Float[np.ndarray, "times entries"]:
        """Standard error of the mean, not below rounding; nan for one seed."""
        if len(self.runs) < 2:
            return np.full(self.limit.shape, np.nan)
        size = np.abs(self.runs).max(axis=(0, 2))[:, None]
        return np.sqrt(self.runs.var(axis=0, ddof=1) / len(self.runs) + (self.rounding * size) ** 2)


class Test(NamedTuple):
    """One number of a comparison: by how much the networks differ from the theory, relative to the
    direction looked at.
    """

    direction: str  # "time", "motion" or "level"
    name: str  # the variable of a "level"
    times: tuple[float, float]
    estimate: float
    standard_error: float
    critical: float
    allowed: float  # by finite size and numerical errors
    seen: float  # the smallest that would have been found with probability POWER

    @property
    def excess(self) -> float:
        """How far the estimate is beyond chance, relative to what finite size allows; more than 1
        contradicts the theory.
        """
        beyond = abs(self.estimate) - self.critical * self.standard_error
        return max(0.0, beyond) / max(self.allowed, np.finfo(float).tiny)


def slopes(
    times: Float[np.ndarray, " times"], values: Float[np.ndarray, "times *rest"]
) -> Float[np.ndarray, "times *rest"]:
    """t dX/dt along a curve, from a monotone cubic interpolation in log(1 + t / t_1), t_1 the first
    time after 0.
    """
    later = times[times > 0]
    if len(times) < 2 or not later.size:
        return np.zeros_like(values)
    x = np.log1p(times / later[0])
    rate = interpolate.PchipInterpolator(x, values, axis=0).derivative()(x)
    chain = times / (times + later[0])
    return rate * chain.reshape(-1, *[1] * (values.ndim - 1))


def relative_variance(variables: Sequence[Variable]) -> Float[np.ndarray, " times"]:
    """V(t): the largest variance of an order parameter over the square of its scale, at any time up
    to t.
    """
    states = [one for one in variables if one.name in ("Q", "R", "m", "v", "b")]
    largest = [(one.runs.var(axis=0, ddof=1) / one.scale**2).max(axis=1) for one in states]
    return np.maximum.accumulate(np.max(largest, axis=0))


def allowed_bias(
    variable: Variable, N: int, variance: Float[np.ndarray, " times"]
) -> Float[np.ndarray, "times entries"]:
    """What finite size and the theory's own numerical error may make of a deviation."""
    by_size = variable.scale * (BASE / N + CURVATURE * variance)
    return (by_size + variable.numerical)[:, None] * np.ones_like(variable.limit)


def tests_of_directions(
    variables: Sequence[Variable], times: Float[np.ndarray, " times"], N: int
) -> list[Test]:
    """Student's t of the projections; of the time scale with half of their level, of all others
    with the rest.
    """
    later = times > 0
    variables = [one._replace(counted=one.counted & later) for one in variables]
    seeds = len(variables[0].runs)
    variance = relative_variance(variables)
    allowed = {one.name: allowed_bias(one, N, variance) for one in variables}
    weights = {one.name: _weights(one, allowed[one.name]) for one in variables}
    directions = list(_directions(variables, times))
    others = max(1, sum(kind != "time" for kind, *_ in directions))
    found = []
    for kind, name, span, direction in directions:
        level = LEVEL / 4 / (1 if kind == "time" else others)
        critical = float(special.stdtrit(seeds - 1, 1 - level / 2))
        test = _projected(variables, direction, weights, allowed)
        if test is not None:
            estimate, error, bias = test
            seen = (
                MARGIN * (critical + float(special.stdtrit(seeds - 1, POWER))) * error
                + MARGIN * bias
            )
            found.append(Test(kind, name, span, estimate, error, critical, bias, seen))
    return found


def _directions(
    variables: Sequence[Variable], times: np.ndarray
) -> Iterator[tuple[str, str, tuple, dict]]:
    everywhere = (float(times[0]), float(times[-1]))
    yield "time", "", everywhere, {one.name: one.slope for one in variables}
    yield "motion", "", everywhere, {one.name: one.limit - one.begin for one in variables}
    indices = np.flatnonzero(times > 0)
    for part in np.array_split(indices, min(PARTS, len(indices))) if len(indices) else []:
        inside = np.isin(np.arange(len(times)), part)[:, None]
        span = (float(times[part[0]]), float(times[part[-1]]))
        for one in variables:
            yield "level", one.name, span, {one.name: np.where(inside, one.limit, 0.0)}


def _weights(one: Variable, allowed: np.ndarray) -> Float[np.ndarray, "times 1"]:
    """The inverse square of what is uncertain at each time, by chance and by finite size."""
    variance = (one.error**2).mean(axis=1)
    kernel = np.ones(min(SMOOTHING, len(variance)))
    smooth = np.convolve(variance, kernel, "same") / np.convolve(
        np.ones_like(variance), kernel, "same"
    )
    uncertain = smooth + allowed[:, 0] ** 2
    return np.where(
        one.counted & (uncertain > 0), 1 / np.where(uncertain > 0, uncertain, 1.0), 0.0
    )[:, None]


def _projected(
    variables, direction: dict, weights: dict, allowed: dict
) -> tuple[float, float, float] | None:
    """By how much of a direction the networks are ahead of the theory, its standard error, and what
    is allowed.
    """
    of_seed, norm, bias, rounding = np.zeros(len(variables[0].runs)), 0.0, 0.0, 0.0
    for one in variables:
        if one.name not in direction:
            continue
        along = weights[one.name] * direction[one.name]
        of_seed = of_seed + np.einsum("sti,ti->s", one.runs - one.limit, along)
        norm += float((along * direction[one.name]).sum())
        bias += float((np.abs(along) * allowed[one.name]).sum())
        rounding += float(
            ((along * one.rounding * np.abs(one.runs).max(axis=(0, 2))[:, None]) ** 2).sum()
        )
    if not norm > 0:
        return None
    error = np.sqrt(np.var(of_seed, ddof=1) / len(of_seed) + rounding)
    return float(np.mean(of_seed)) / norm, float(error) / norm, bias / norm


class Window(NamedTuple):
    """A variable's deviation in one part of the times, by root mean squares."""

    deviation: float
    error: float
    allowed: float


def windows(deviation, error, allowed) -> list[Window]:
    """Root mean squares in at most `WINDOWS` parts of the times."""
    count = len(deviation)
    if count == 0:
        return []
    rms = lambda part: float(np.sqrt(np.mean(part**2)))
    return [
        Window(*(rms(part[index]) for part in (deviation, error, allowed)))
        for index in np.array_split(np.arange(count), min(WINDOWS, count))
    ]


def critical_of_windows(seeds: int, quantities: int, times: int) -> float:
    """What the ratio of root mean squares stays below by chance, at half of the level.

    It would be exact if all numbers of a window moved together; if they move apart, the ratio is
    smaller.
    """
    tests = 2 * min(WINDOWS, times) * quantities
    return float(special.stdtrit(seeds - 1, 1 - LEVEL / 2 / tests))
