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

A theory with a band predicts that bias.  What is allowed is then its square, relative to the scale,
and a small part of it (`allowed_bias`); the tests of the whole path are in `whole_path.py`.

Two kinds of test share the level.  One looks at a variable in a part of the times, by root mean
squares, and notices any deviation that is large.  The other projects the deviations of all
variables and times on one direction, so that each seed gives one number and Student's t is exact:
the change that another learning rate makes, if that is given, or another scale of time, t dX/dt,
the change since the start, and the size of each variable in a part of the times.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy  # which loads special, interpolate, ... where they are first used
from jaxtyping import Float

LEVEL = 0.01  # probability of calling a true theory wrong, over all tests of a comparison together
WINDOWS = 5  # parts of the times that are looked at one by one, by root mean squares
PARTS = 3  # the same, by directions
BASE = 0.5  # of the allowed bias
CURVATURE = 3.0  # of the allowed bias
OF_BIAS = 0.05  # of a predicted bias, which may be wrong in it
STATES = ("Q", "R", "m", "v", "b")
POWER = 0.95  # the probability with which a deviation that "would have been seen" is seen
# Curves are not linear in the learning rate: without it, at worst 4 of 10 such errors were found.
MARGIN = 1.5
TINY = np.finfo(float).tiny
SMOOTHING = 5  # times over which a variance is averaged before it becomes a weight


class Variable(NamedTuple):
    """A variable at the times compared, its entries in one axis.

    - `limit`: of the theory.
    - `runs`: of all networks.
    - `slope`: d limit / d log t, or the derivative with respect to the logarithm of the rate.
    - `begin`: the limit at t = 0.
    - `scale`: how large the variable is by its nature.
    - `rounding`: of the runs' floating-point numbers, relative to their size.
    - `numerical`: error of the theory's numbers, absolute.
    - `counted`: the times at which the variable says something.
    - `bias`: of the mean of networks at finite N, as a band predicts it; zero where none does.
    - `predicted`: the times at which it does.
    - `scatter`: standard deviation of one network, as a band predicts it; zero where none does.
    """

    name: str
    limit: Float[np.ndarray, "times entries"]
    runs: Float[np.ndarray, "seeds times entries"]
    slope: Float[np.ndarray, "times entries"]
    begin: Float[np.ndarray, "1 entries"]
    scale: float
    rounding: float
    numerical: Float[np.ndarray, " times"]
    counted: np.ndarray
    bias: Float[np.ndarray, "times entries"]
    predicted: np.ndarray
    scatter: Float[np.ndarray, "times entries"]

    @property
    def expected_error(self) -> Float[np.ndarray, "times entries"]:
        """Standard error of the mean, not below the predicted one.

        A handful of seeds may scatter half as much as networks do, in one window of many.
        """
        return np.maximum(self.error, self.scatter / np.sqrt(len(self.runs)))

    @property
    def unexplained(self) -> Float[np.ndarray, "times entries"]:
        """Theory, with the bias that it predicts, minus mean over seeds."""
        return self.deviation + self.bias

    @property
    def deviation(self) -> Float[np.ndarray, "times entries"]:
        """Theory minus mean over seeds."""
        return self.limit - self.runs.mean(axis=0)

    @property
    def error(self) -> Float[np.ndarray, "times entries"]:
        """Standard error of the mean, not below rounding; nan for one seed."""
        if len(self.runs) < 2:
            return np.full(self.limit.shape, np.nan)
        chance = self.runs.var(axis=0, ddof=1) / len(self.runs)
        return np.sqrt(chance + self.rounding_error**2)

    @property
    def rounding_error(self) -> Float[np.ndarray, "times 1"]:
        """Of the runs at each time, absolute."""
        return self.rounding * np.abs(self.runs).max(axis=(0, 2))[:, None]


class Direction(NamedTuple):
    """What deviations are projected on: for each variable a change along times and entries."""

    kind: str  # "time", "motion" or "level"
    name: str  # the variable of a "level"
    times: tuple[float, float]  # the first and the last
    changes: dict[str, np.ndarray]


class Test(NamedTuple):
    """By how much the networks differ from the theory along one direction, relative to it.

    - `direction`, `name`, `times`: those of the `Direction`.
    - `estimate`, `standard_error`: the projection.
    - `critical`: the z that chance does not exceed.
    - `allowed`: what finite size and numerical errors may make.
    - `seen`: the smallest that would have been found with probability POWER.
    """

    direction: str
    name: str
    times: tuple[float, float]
    estimate: float
    standard_error: float
    critical: float
    allowed: float
    seen: float

    @property
    def beyond_chance(self) -> float:
        """How much of the estimate chance does not explain."""
        return max(0.0, abs(self.estimate) - self.critical * self.standard_error)

    @property
    def excess(self) -> float:
        """The same, relative to what finite size allows; more than 1 contradicts the theory."""
        return self.beyond_chance / max(self.allowed, TINY)

    def is_repetition_of(self, other: "Test") -> bool:
        """Whether two tests, at different N, look at the same thing."""
        same_direction = self.direction == other.direction and self.name == other.name
        return same_direction and self.times[1] == other.times[1]


def slopes(
    times: Float[np.ndarray, " times"], values: Float[np.ndarray, "times *rest"]
) -> Float[np.ndarray, "times *rest"]:
    """t dX/dt along a curve.

    It comes from a monotone cubic interpolation in x = log(1 + t / t_1), t_1 the first time after
    0, for which t dx/dt = t / (t + t_1).
    """
    later = times[times > 0]
    if len(times) < 2 or not later.size:
        return np.zeros_like(values)
    first = later[0]
    x = np.log1p(times / first)
    in_x = scipy.interpolate.PchipInterpolator(x, values, axis=0).derivative()(x)
    x_in_time = times / (times + first)
    one_each = (1,) * (values.ndim - 1)
    return in_x * x_in_time.reshape(-1, *one_each)


def relative_variance(variables: Sequence[Variable]) -> Float[np.ndarray, " times"]:
    """V(t): the largest variance of an order parameter over the square of its scale, up to t."""
    # The state of a model may have none of these names: then all that is compared counts.
    states = [one for one in variables if one.name in STATES] or variables
    largest = []
    for one in states:
        scale = np.where(one.scale > 0, one.scale, np.inf)  # nothing of what is always zero
        variance = one.runs.var(axis=0, ddof=1) / scale**2
        largest.append(variance.max(axis=1))
    return np.maximum.accumulate(np.max(largest, axis=0))


def allowed_bias(
    variable: Variable, N: int, variance: Float[np.ndarray, " times"]
) -> Float[np.ndarray, "times entries"]:
    """What finite size and the theory's own numerical error may make of a deviation.

    Where the bias is predicted it is what is left: the square of that relative bias, and a part of
    the largest predicted one.
    """
    relative = BASE / N + CURVATURE * variance
    by_size = variable.scale * relative
    if variable.predicted.any():
        largest = np.maximum.accumulate(np.abs(variable.bias).max(axis=1))
        left = variable.scale * relative**2 + OF_BIAS * largest
        by_size = np.where(variable.predicted, np.minimum(left, by_size), by_size)
    return (by_size + variable.numerical)[:, None] * np.ones_like(variable.limit)


class Levels(NamedTuple):
    """Probabilities of calling a true theory wrong, of the tests of directions."""

    rate: float = LEVEL / 4
    others: float = LEVEL / 4  # all together


def tests_of_directions(
    variables: Sequence[Variable],
    times: Float[np.ndarray, " times"],
    N: int,
    levels: Levels,
    seen_otherwise: np.ndarray,
) -> list[Test]:
    """Student's t of the projections.

    The test of the scale of time leaves out the times that are `seen_otherwise`.
    """
    later = times > 0
    variables = [one._replace(counted=one.counted & later) for one in variables]
    variance = relative_variance(variables)
    allowed = {one.name: allowed_bias(one, N, variance) for one in variables}
    weights = {one.name: _weights(one, allowed[one.name]) for one in variables}
    of_rate = {name: np.where(seen_otherwise[:, None], 0.0, w) for name, w in weights.items()}
    directions = list(_directions(variables, times))
    others = sum(one.kind != "time" for one in directions)
    tests = []
    for direction in directions:
        if direction.kind == "time":
            test = _test(variables, direction, of_rate, allowed, levels.rate)
        else:
            test = _test(variables, direction, weights, allowed, levels.others / others)
        if test is not None:
            tests.append(test)
    return tests


def _directions(variables: Sequence[Variable], times: np.ndarray) -> Iterator[Direction]:
    everywhere = (float(times[0]), float(times[-1]))
    along_time = {one.name: one.slope for one in variables}
    since_start = {one.name: one.limit - one.begin for one in variables}
    yield Direction("time", "", everywhere, along_time)
    yield Direction("motion", "", everywhere, since_start)
    later = np.flatnonzero(times > 0)
    if not len(later):
        return
    for part in np.array_split(later, min(PARTS, len(later))):
        inside = np.isin(np.arange(len(times)), part)[:, None]
        span = (float(times[part[0]]), float(times[part[-1]]))
        for one in variables:
            level = np.where(inside, one.limit, 0.0)
            yield Direction("level", one.name, span, {one.name: level})


def _weights(one: Variable, allowed: np.ndarray) -> Float[np.ndarray, "times 1"]:
    """The inverse square of what is uncertain at each time, by chance and by finite size."""
    chance = _smooth((one.error**2).mean(axis=1))
    uncertain = chance + allowed[:, 0] ** 2
    known = one.counted & (uncertain > 0)
    weights = np.zeros(len(uncertain))
    weights[known] = 1 / uncertain[known]
    return weights[:, None]


def _smooth(values: Float[np.ndarray, " times"]) -> Float[np.ndarray, " times"]:
    """Averages over neighbouring times."""
    kernel = np.ones(min(SMOOTHING, len(values)))
    neighbours = np.convolve(np.ones_like(values), kernel, "same")
    return np.convolve(values, kernel, "same") / neighbours


def _test(
    variables: Sequence[Variable],
    direction: Direction,
    weights: dict[str, np.ndarray],
    allowed: dict[str, np.ndarray],
    level: float,
) -> Test | None:
    """By how much of a direction the networks are ahead of the theory; None if it has no length."""
    seeds = len(variables[0].runs)
    projections = np.zeros(seeds)
    norm = 0.0
    bias = 0.0
    rounding = 0.0
    for one in variables:
        if one.name not in direction.changes:
            continue
        change = direction.changes[one.name]
        along = weights[one.name] * change
        apart = one.runs - (one.limit + one.bias)
        projections = projections + np.einsum("sti,ti->s", apart, along)
        norm += float((along * change).sum())
        bias += float((np.abs(along) * allowed[one.name]).sum())
        rounding += float(((along * one.rounding_error) ** 2).sum())
    if not norm > 0:
        return None
    chance = np.var(projections, ddof=1) / seeds
    error = float(np.sqrt(chance + rounding)) / norm
    bias = bias / norm
    critical = float(scipy.special.stdtrit(seeds - 1, 1 - level / 2))
    power = float(scipy.special.stdtrit(seeds - 1, POWER))
    return Test(
        direction=direction.kind,
        name=direction.name,
        times=direction.times,
        estimate=float(np.mean(projections)) / norm,
        standard_error=error,
        critical=critical,
        allowed=bias,
        seen=MARGIN * (critical + power) * error + MARGIN * bias,
    )


class Window(NamedTuple):
    """A variable's deviation in one part of the times, by root mean squares."""

    deviation: float
    error: float
    allowed: float

    @property
    def z(self) -> float:
        """Deviation over standard error."""
        if not self.error:
            return 0.0
        return self.deviation / self.error

    def beyond(self, critical: float) -> float:
        """How much of the deviation chance does not explain, if it reaches z = `critical`."""
        return max(0.0, self.deviation - critical * self.error)


def root_mean_square(values: np.ndarray) -> float:
    """Over all entries."""
    return float(np.sqrt(np.mean(values**2)))


def windows(deviation, error, allowed) -> list[Window]:
    """Root mean squares in at most `WINDOWS` parts of the times."""
    count = len(deviation)
    if count == 0:
        return []
    found = []
    for index in np.array_split(np.arange(count), min(WINDOWS, count)):
        sizes = [root_mean_square(part[index]) for part in (deviation, error, allowed)]
        found.append(Window(*sizes))
    return found


def critical_of_windows(seeds: int, quantities: int, times: int) -> float:
    """What the ratio of root mean squares stays below by chance, at half of the level.

    It would be exact if all numbers of a window moved together; if they move apart, the ratio is
    smaller.
    """
    tests = 2 * min(WINDOWS, times) * quantities
    return float(scipy.special.stdtrit(seeds - 1, 1 - LEVEL / 2 / tests))
