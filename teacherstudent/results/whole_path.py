"""What a band predicts of a comparison: the deviations of all order parameters at all times, as one
vector with a known covariance.

Networks of N inputs have y(t) = ybar(t) + z(t) / sqrt N + b(t) / N + ..., so that the deviations of
the mean of S of them,

    d = mean y - ybar - b / N,     Cov d = Sigma / (N S),     Sigma = Cov(z(t), z(t')),

are known beforehand, between entries and between times.  Three tests follow.

**The rate.**  An error of the scale of time, or of the learning rate, by a relative amount s makes
d = s x with x = dy / d log(rate).  No estimate of s is sharper than that of generalised least
squares,

    s = w . d / w . x,     w = (Sigma / (N S) + A)^-1 x,     Var s >= 1 / (N S x^T Sigma^-1 x).

Each seed gives one number, so that Student's t is exact, whatever the accuracy of Sigma.  A is
diagonal, the square of what finite size and numerical errors may leave: without it, combinations
that hardly fluctuate would amplify it.  Of several multiples of A the one counts that would see the
smallest error; the data have no part in this choice.

**The path.**  The leading principal components of Sigma, in units of each number's own standard
deviation, give chi squared of d: any error that moves networks away from the theory together.

**The scatter.**  The same components of each network give the ratio of the measured to the
predicted scatter: copies of networks, another batch size, and noise that is not that of the
problem.

What is left of the bias is of higher order.  It is allowed for in `deviations.py`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # which loads special, linalg, ... where they are first used
import xarray as xr
from jaxtyping import Float

from teacherstudent.results.bands import has_band, valid_until, whole_covariance
from teacherstudent.results.deviations import POWER, TINY, Test, Variable

MOST_NUMBERS = 1000  # of a path; of more times than that some are left out
COMPONENTS = 12  # principal components that are tested
MULTIPLES = (1.0, 10.0, 100.0)  # of what is allowed, that regularise the weights
# Curves are nearly linear in errors as small as these tests see.
MARGIN = 1.2
SINGULAR = 1e-6  # of a variance: what is smaller is the error of a numerical covariance
# Relative errors of a predicted variance that are allowed: of its own, and per relative variance.
OF_VARIANCE, OF_VARIANCE_BY_SIZE = 0.05, 5.0


class Path(NamedTuple):
    """All order parameters at the times at which the band holds, in one axis.

    - `deviations`: of each network from the limit and its bias of order 1 / N.
    - `change`: of the limit with the logarithm of the rate.
    - `covariance`: of a single network, as the band predicts it.
    - `allowed`: what finite size and the theory's numerical errors may leave of the mean.
    - `rounding`: of the networks' numbers.
    - `times`: the first and the last.
    - `inside`: which of the times compared are before the end of the band's validity.
    - `variance`: the largest relative variance.
    """

    deviations: Float[np.ndarray, "seeds numbers"]
    change: Float[np.ndarray, " numbers"]
    covariance: Float[np.ndarray, "numbers numbers"]
    allowed: Float[np.ndarray, " numbers"]
    rounding: Float[np.ndarray, " numbers"]
    times: tuple[float, float]
    inside: np.ndarray
    variance: float

    @property
    def seeds(self) -> int:
        """How many networks there are."""
        return len(self.deviations)


class Whole(NamedTuple):
    """What the principal components of a path say.

    - `components`: how many.
    - `misfit`, `critical_misfit`: chi squared of the mean deviation, and what chance reaches.
    - `scatter`: the measured over the predicted standard deviation of networks.
    - `least_scatter`, `largest_scatter`: what chance and the band's own errors make of it.
    - `until`: the last time at which the band holds and was compared.
    - `everywhere`: whether that is the last time compared.
    """

    components: int
    misfit: float
    critical_misfit: float
    scatter: float
    least_scatter: float
    largest_scatter: float
    until: float
    everywhere: bool

    @property
    def misfits(self) -> bool:
        """Whether the mean path contradicts the theory."""
        return self.misfit > self.critical_misfit

    @property
    def scatters_otherwise(self) -> bool:
        """Whether the scatter contradicts the theory."""
        return not self.least_scatter <= self.scatter <= self.largest_scatter


def path_of(
    band: xr.Dataset,
    variables: Sequence[Variable],
    allowed: dict[str, np.ndarray],
    variance: Float[np.ndarray, " times"],
    N: int,
) -> Path | None:
    """The path of the networks; None where the theory has no band, or it holds at no time.

    `band` is at the times compared.
    """
    if not has_band(band):
        return None
    times = band["time"].values
    inside = (times > 0) & (times < valid_until(band, N))
    known = {one.name: one for one in variables}
    places = []
    for index, entry in enumerate(band["entry"].values):
        name, place = place_of(str(entry), band)
        if name in known:
            places.append((index, known[name], place))
    if not inside.any() or not places:
        return None
    kept = _thinned(np.flatnonzero(inside), len(places))
    columns: list[tuple[np.ndarray, ...]] = []
    for _, one, place in places:
        deviations = one.runs[:, kept, place] - (one.limit + one.bias)[kept, place]
        of_rounding = one.rounding_error[kept, 0]
        allowance = allowed[one.name][kept, place]
        columns.append((deviations, one.slope[kept, place], allowance, of_rounding))
    parts = [np.stack(column, axis=-1) for column in zip(*columns, strict=True)]
    deviations, change, allowance, rounding = parts
    entries = [index for index, _, _ in places]
    size = change.size
    return Path(
        deviations=deviations.reshape(len(deviations), size),
        change=change.ravel(),
        covariance=whole_covariance(band, kept, entries).reshape(size, size) / N,
        allowed=allowance.ravel(),
        rounding=rounding.ravel(),
        times=(float(times[kept[0]]), float(times[kept[-1]])),
        inside=inside,
        variance=float(variance[kept[-1]]),
    )


def place_of(entry: str, band: xr.Dataset) -> tuple[str, int]:
    """The variable of an entry such as "Q[0,1]", and its place among all entries of it."""
    name, _, indices = entry.removesuffix("]").partition("[")
    index = tuple(int(one) for one in indices.split(","))
    shape = band[name].shape[1:]
    return name, int(np.ravel_multi_index(index, shape))


def _thinned(times: np.ndarray, entries: int) -> np.ndarray:
    """Some of the times, evenly, so that a path has no more than `MOST_NUMBERS` numbers."""
    most = max(2, MOST_NUMBERS // entries)
    if len(times) <= most:
        return times
    return times[np.unique(np.linspace(0, len(times) - 1, most).astype(int))]


def test_of_rate(path: Path, level: float) -> Test | None:
    """By how much of `change` the networks are ahead of the theory; None if nothing changes."""
    if not np.any(path.change):
        return None
    critical = float(scipy.special.stdtrit(path.seeds - 1, 1 - level / 2))
    power = float(scipy.special.stdtrit(path.seeds - 1, POWER))
    candidates = []
    for multiple in MULTIPLES:
        weights = _weights(path, multiple)
        weights = weights / (weights @ path.change)
        expected = np.sqrt(weights @ path.covariance @ weights / path.seeds)
        bias = np.abs(weights) @ path.allowed
        candidates.append(((critical + power) * expected + bias, weights))
    _, weights = min(candidates, key=_first)
    projections = path.deviations @ weights
    chance = np.var(projections, ddof=1) / path.seeds
    error = float(np.sqrt(chance + ((weights * path.rounding) ** 2).sum()))
    bias = float(np.abs(weights) @ path.allowed)
    return Test(
        direction="time",
        name="",
        times=path.times,
        estimate=float(projections.mean()),
        standard_error=error,
        critical=critical,
        allowed=bias,
        seen=MARGIN * ((critical + power) * error + bias),
    )


def _first(candidate: tuple) -> float:
    return candidate[0]


def _weights(path: Path, multiple: float) -> Float[np.ndarray, " numbers"]:
    """(Cov d + A)^-1 x, in units of each number's own uncertainty."""
    total = path.covariance / path.seeds
    own = np.diagonal(total) * SINGULAR + (multiple * path.allowed) ** 2 + path.rounding**2
    total = total + np.diag(own)
    unit = np.sqrt(np.maximum(np.diagonal(total), TINY))
    correlation = total / unit / unit[:, None] + 1e-12 * np.eye(len(unit))
    try:
        factor = scipy.linalg.cho_factor(correlation)
    except np.linalg.LinAlgError:
        return times_positive_inverse(correlation, path.change / unit) / unit
    return scipy.linalg.cho_solve(factor, path.change / unit) / unit


def times_positive_inverse(
    correlation: Float[np.ndarray, "numbers numbers"], change: Float[np.ndarray, " numbers"]
) -> Float[np.ndarray, " numbers"]:
    """The inverse of a correlation, to which its numerical errors gave negative eigenvalues, times
    a change.

    Eigenvalues as small as these errors say nothing, and count as twice the largest error.
    """
    values, vectors = scipy.linalg.eigh(correlation)
    values = np.maximum(values, 2 * abs(values[0]))
    return vectors @ (vectors.T @ change / values)


def whole_of(path: Path, level_of_misfit: float, level_of_scatter: float) -> Whole | None:
    """Mean and scatter of the leading components; None if nothing fluctuates."""
    variance = np.diagonal(path.covariance) + path.seeds * path.rounding**2
    moving = variance > 0
    if not moving.any():
        return None
    unit = np.sqrt(variance[moving])
    within = path.covariance[np.ix_(moving, moving)]
    correlation = (within + np.diag(variance[moving] - np.diagonal(within))) / unit / unit[:, None]
    count = min(COMPONENTS, len(unit))
    last = len(unit) - 1
    values, vectors = scipy.linalg.eigh(correlation, subset_by_index=[last - count + 1, last])
    projections = path.deviations[:, moving] / unit @ vectors
    bias = np.abs(vectors).T @ (path.allowed[moving] / unit)
    misfit = float((projections.mean(axis=0) ** 2 / (values / path.seeds + bias**2)).sum())
    freedom = count * (path.seeds - 1)
    scatter = float((projections.var(axis=0, ddof=1) / values).mean())
    error = OF_VARIANCE + OF_VARIANCE_BY_SIZE * path.variance
    half = level_of_scatter / 2
    least = float(scipy.special.chdtri(freedom, 1 - half)) / freedom / (1 + error)
    largest = float(scipy.special.chdtri(freedom, half)) / freedom * (1 + error)
    return Whole(
        components=count,
        misfit=misfit,
        critical_misfit=float(scipy.special.chdtri(count, level_of_misfit)) * (1 + error),
        scatter=float(np.sqrt(scatter)),
        least_scatter=float(np.sqrt(least)),
        largest_scatter=float(np.sqrt(largest)),
        until=path.times[1],
        everywhere=bool(path.inside[-1]),
    )
