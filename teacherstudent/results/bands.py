"""The band of a theory: how networks of N inputs scatter around its curve, and what follows.

    y(t) = ybar(t) + z(t) / sqrt N + b(t) / N + ...

with the order parameters y that move, `entry` by `entry`.  A band has, at the times t_i,

    covariance    S(t_i) = Cov z(t_i)
    propagator    U(t_i): z(t_i) = U(t_i) z(t_(i-1)) + what the samples in between add

of which `propagated_from` is t_(i-1), or the time of the start.  So

    Cov(z(t_j), z(t_i)) = U(t_j) ... U(t_(i+1)) S(t_i),   j > i.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from teacherstudent.checking import arguments, checks

MARK = "band_of"  # the attribute of a band's variables, with the name of the quantity
COUNT = "entries"  # the attribute of the covariance with how many order parameters move
WORDS = {
    "_std": "standard deviation of sqrt(N) (value - limit) of",
    "_bias": "N (mean - limit) of",
    "_gradient": "gradient in the order parameters of",
    "_curvature": "1/2 (second derivatives) : covariance of",
}
SHARE = 0.1  # of a variance in the square of what fluctuates, beyond which no linear theory holds
GAP = 1e-9  # relative; times closer than this are the same


class Band(NamedTuple):
    """What is added to a theory to make its band.

    - `entries`: the names of the order parameters that move, one by one.
    - `covariance`, `propagator`: S and U.
    - `propagated_from`: the time from which U goes to each time.
    - `std`, `bias`: of quantities of the theory, by name, in their shapes.
    - `gradients`: of quantities, with the entries last.
    - `curvatures`: 1/2 hess : S of quantities that are one number.
    """

    entries: Sequence[str]
    covariance: Float[np.ndarray, "time entries entries"]
    propagator: Float[np.ndarray, "time entries entries"]
    propagated_from: Float[np.ndarray, " time"]
    std: Mapping[str, np.ndarray]
    bias: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]
    curvatures: Mapping[str, np.ndarray]


def with_band(theory: xr.Dataset, band: Band) -> xr.Dataset:
    """The theory with a band around its curve."""
    added = {}
    parts = {"_std": band.std, "_bias": band.bias, "_curvature": band.curvatures}
    for ending, values in parts.items():
        for name, array in values.items():
            added[name + ending] = _variable(theory, name, ending, theory[name].dims, array)
    for name, array in band.gradients.items():
        dims = (*theory[name].dims, "entry")
        added[f"{name}_gradient"] = _variable(theory, name, "_gradient", dims, array)
    matrix = ("time", "entry", "entry_")
    added["covariance"] = _of_all(matrix, band.covariance, "covariance of sqrt(N) (value - limit)")
    words = "linearised flow from the time before"
    added["propagator"] = _of_all(matrix, band.propagator, words)
    words = "the time before, or that of the start"
    added["propagated_from"] = _of_all(("time",), band.propagated_from, words)
    names = np.asarray(list(band.entries))
    added["covariance"][2][COUNT] = len(names)
    return theory.assign(added).assign_coords(entry=names, entry_=names)


def _variable(theory: xr.Dataset, name: str, ending: str, dims, array) -> tuple:
    of = theory[name].attrs
    symbol = of.get("symbol", name)
    attributes = {
        "long_name": f"{WORDS[ending]} {of.get('long_name', name)}",
        "symbol": f"{ending[1:]} of {symbol}",
        "units": of.get("units", "1"),
        MARK: name,
    }
    return dims, np.asarray(array), attributes


def _of_all(dims, array, words: str) -> tuple:
    return dims, np.asarray(array), {"long_name": words, "units": "1", MARK: "all entries"}


def is_of_band(data: xr.Dataset, name: str) -> bool:
    """Whether a variable is one of those that `with_band` adds."""
    return MARK in data[name].attrs


def has_band(data: xr.Dataset) -> bool:
    """Whether a dataset has a band."""
    return "covariance" in data and "propagator" in data


def is_joined(band: xr.Dataset) -> bool:
    """Whether each propagator begins at the time before its own."""
    return not _apart(band).any()


def at_some_times(band: xr.Dataset, index: np.ndarray) -> xr.Dataset:
    """A theory at some of its times, which increase; its propagators go from each of these to the
    next.
    """
    chosen = band.isel(time=index)
    if not has_band(band) or not is_joined(band):
        return chosen
    U, begins = band["propagator"].values, band["propagated_from"].values
    composed, first = [], []
    before = -1
    for place in index:
        product = U[before + 1]
        for step in range(before + 2, place + 1):
            product = U[step] @ product
        composed.append(product)
        first.append(begins[before + 1])
        before = int(place)
    return chosen.assign(
        propagator=chosen["propagator"].copy(data=np.stack(composed)),
        propagated_from=chosen["propagated_from"].copy(data=np.asarray(first)),
    )


def require_band(name: str, data: xr.Dataset) -> None:
    """Raise ValueError unless a dataset has a band."""
    if not has_band(data):
        raise ValueError(f"{name} has no band of fluctuations; give what ts.fluctuations returned.")


@arguments.checked
def band_covariance(band: xr.Dataset, quantities=None) -> xr.DataArray:
    """The covariance of quantities between all times of a band, for networks of any large N.

        C(i a, j b) = Cov(sqrt(N) (a(t_i) - limit), sqrt(N) (b(t_j) - limit))
                    = grad a(t_i)^T Cov(z(t_i), z(t_j)) grad b(t_j)
        Cov(z(t_j), z(t_i)) = U(t_j) ... U(t_(i+1)) S(t_i),   j >= i

    - `band`: what `ts.fluctuations` returned, with all its times or those from one on.
    - `quantities`: a list of names: "Q", "R" (or "m"), "v", "b" for all of their entries, an entry
      such as "Q[0,1]", or a quantity of one number with a gradient, such as "eps_g"; None is all
      that moves, and the error.

    Divided by N it is the covariance of one network of N inputs, by N n of the mean of n seeds.

    Returns an array with the dimensions (time, quantity, time_, quantity_).

    Raises ValueError for a dataset without a band, times that are not those of the band one after
    the other, and names that it does not have.

    N. G. van Kampen, Stochastic Processes in Physics and Chemistry, ch. X: the linear-noise
    approximation.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> band = ts.fluctuations(problem, start, times=[1.0, 2.0])
    >>> C = ts.band_covariance(band, ["R", "eps_g"])
    >>> C.dims, C.quantity.values.tolist()
    (('time', 'quantity', 'time_', 'quantity_'), ['R[0,0]', 'eps_g'])
    >>> bool(abs(C[1, 1, 1, 1] - band.eps_g_std[1] ** 2) < 1e-12)
    True
    """
    require_band("band", band)
    _check_times(band)
    _check_entries(band)
    names, gradients = _gradients(band, quantities)
    C = _between_times(band, gradients)
    times = band["time"].values
    coords = {"time": times, "time_": times, "quantity": names, "quantity_": names}
    dims = ("time", "quantity", "time_", "quantity_")
    attributes = {"long_name": "covariance of sqrt(N) (value - limit)", "units": "1"}
    return xr.DataArray(C, coords, dims, "band_covariance", attributes)


def whole_covariance(
    band: xr.Dataset, index: np.ndarray, entries: Sequence[int]
) -> Float[np.ndarray, "times entries times entries"]:
    """The covariance of sqrt(N) (y - limit) between some times of a band, and some entries y."""
    chosen = at_some_times(band, index)
    unit = np.eye(band.sizes["entry"])[list(entries)]
    return _between_times(chosen, np.broadcast_to(unit, (len(index), *unit.shape)))


def _between_times(
    band: xr.Dataset, gradients: Float[np.ndarray, "times quantities entries"]
) -> Float[np.ndarray, "times quantities times quantities"]:
    """The covariance of quantities between all times, by their gradients."""
    S, U = band["covariance"].values, band["propagator"].values
    count, wanted = len(S), gradients.shape[1]
    C = np.zeros((count, wanted, count, wanted))
    for i in range(count):
        between = S[i] @ gradients[i].T  # Cov(z(t_j), quantities at t_i), j = i, i + 1, ...
        for j in range(i, count):
            if j > i:
                between = U[j] @ between
            C[j, :, i, :] = gradients[j] @ between
            C[i, :, j, :] = C[j, :, i, :].T
    return C


def _apart(band: xr.Dataset) -> np.ndarray:
    """Which propagators do not begin at the time before their own; nothing of the first."""
    times, begins = band["time"].values, band["propagated_from"].values
    return np.abs(begins[1:] - times[:-1]) > GAP * max(1.0, abs(float(times[-1])))


def _check_times(band: xr.Dataset) -> None:
    """Raise ValueError unless each propagator begins at the time before its own."""
    if "time" not in band.dims:
        raise ValueError("band has no dimension time; give all its times.")
    times, begins = band["time"].values, band["propagated_from"].values
    apart = _apart(band)
    if apart.any():
        index = int(np.flatnonzero(apart)[0])
        raise ValueError(
            f"band goes from t = {times[index]:g} to {times[index + 1]:g}, but its propagator to "
            f"there begins at {begins[index + 1]:g}; give all times of the band, or ask "
            "ts.fluctuations for these times."
        )


def _check_entries(band: xr.Dataset) -> None:
    """Raise ValueError unless the band has all of its entries, which move each other."""
    matrix = band["covariance"]
    count = matrix.attrs.get(COUNT, matrix.sizes.get("entry"))
    if matrix.dims != ("time", "entry", "entry_") or matrix.shape[1:] != (count, count):
        raise ValueError(
            f"band has the entries {', '.join(map(str, np.ravel(band['entry'].values)))} of its "
            f"{count}, but these move one another; give the whole band, and select from the answer."
        )


def _gradients(band: xr.Dataset, quantities) -> tuple[list[str], np.ndarray]:
    """The names of single quantities, and their gradients (time, quantity, entry)."""
    entries = [str(one) for one in band["entry"].values]
    if quantities is None:
        quantities = [*entries, *(name for name in ("eps_g", "loss") if f"{name}_gradient" in band)]
    if isinstance(quantities, str) or not isinstance(quantities, Sequence):
        raise ValueError(
            f"quantities = {checks.shortened(quantities)}; give a list of names, such as "
            "['Q', 'eps_g']."
        )
    names: list[str] = []
    columns = []
    for wanted in quantities:
        found = [one for one in entries if one == wanted or one.split("[")[0] == wanted]
        for one in found:
            names.append(one)
            unit = np.eye(len(entries))[entries.index(one)]
            columns.append(np.broadcast_to(unit, (band.sizes["time"], len(entries))))
        gradient = f"{wanted}_gradient"
        if not found and (gradient not in band or band[gradient].dims != ("time", "entry")):
            kinds = sorted({one.split("[")[0] for one in entries})
            raise ValueError(
                f"quantities has {checks.shortened(wanted)}, which is none of the band's: "
                f"{', '.join(kinds)}, their entries, such as {entries[0]!r}, and quantities of one "
                "number, such as the error."
            )
        if not found:
            names.append(str(wanted))
            columns.append(band[gradient].values)
    return names, np.stack(columns, axis=1)


@arguments.checked
def valid_until(band: xr.Dataset, N: int) -> float:
    """The time up to which the linear theory of a band holds for networks of N inputs.

        Var z / N < 1/10 (largest that the overlap can be)^2,     Var eps_g < 1/10 eps_g^2

    for every overlap, of which Q_kl is at most sqrt(Q_kk Q_ll) and R_km at most sqrt(Q_kk T_mm);
    the readout is compared with its largest entry.  Of tasks with a teacher also the error, to
    first order, grad^T S grad / N, and to second, |hess : S| / 2 N < eps_g / sqrt 10.

    It fails where networks leave a plateau at times that are random: there S grows as
    exp(2 lambda t), to order N after the time log N / (2 lambda), and the networks' values are not
    Gaussian around the curve.  Where the answer is infinite, the theory holds at all times of the
    band.  A band may be right for a while beyond the answer, and say nothing of use.

    Returns the first recorded time at which it fails, or inf.

    Raises ValueError for a dataset without a band, or N below 1.

    N. G. van Kampen, Stochastic Processes in Physics and Chemistry, ch. X: where the linear-noise
    approximation holds.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> band = ts.fluctuations(problem, start, times=[1.0, 2.0])
    >>> ts.valid_until(band, N=1000)
    inf
    """
    require_band("band", band)
    N = checks.integer("N", N)
    failing = np.zeros(band.sizes["time"], bool)
    for share in _shares(band, N):
        over_time = share.reshape(len(share), -1).max(axis=1)
        failing |= over_time > SHARE
    if not failing.any():
        return float("inf")
    return float(band["time"].values[failing][0])


def _shares(band: xr.Dataset, N: int) -> list[np.ndarray]:
    """Variances over the square of what they are compared with, for every criterion."""
    lengths = np.diagonal(band["Q"].values, axis1=-2, axis2=-1)
    of_fixed = np.ones(1)
    if "T" in band:
        of_fixed = np.diagonal(band["T"].values, axis1=-2, axis2=-1)
    squares = {
        "Q": lengths[:, :, None] * lengths[:, None, :],
        "R": lengths[:, :, None] * of_fixed,
        "m": lengths[:, :, None] * of_fixed,
    }
    if "v" in band:
        squares["v"] = (band["v"].values ** 2).max(axis=1, keepdims=True)
    shares = []
    for name, square in squares.items():
        if f"{name}_std" in band:
            shares.append(_ratio(band[f"{name}_std"].values ** 2 / N, square))
    if "eps_g_std" in band:
        square = band["eps_g"].values ** 2
        shares.append(_ratio(band["eps_g_std"].values ** 2 / N, square))
        shares.append(_ratio((band["eps_g_curvature"].values / N) ** 2, square))
    return shares


def _ratio(values: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Their ratio; where nothing fluctuates it is zero."""
    squares = np.broadcast_to(squares, values.shape)
    positive = np.maximum(squares, np.finfo(float).tiny)
    return np.where(values > 0, values / positive, 0.0)
