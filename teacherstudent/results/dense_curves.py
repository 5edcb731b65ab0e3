"""The dense curve that a theory keeps beside its recorded times, for drawing.

Its variables are those of the theory with `curve_` before their names, along `curve_time`.  They
are no part of what is compared, selected or gone on from: whoever looks for quantities along `time`
does not meet them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

PREFIX = "curve_"
CURVE_TIME = PREFIX + "time"
COMPRESSED = {"zlib": True, "shuffle": True, "complevel": 4}
KEPT = ("Q", "R", "m", "v", "b", "eps_g", "loss", "accuracy")  # however many numbers they are
MOST_NUMBERS = 32  # at one time, of an observable


def with_curve(data: xr.Dataset, times: np.ndarray, values: Mapping[str, np.ndarray]) -> xr.Dataset:
    """A theory with the dense curves of those of its variables that have values; a time that is
    there twice is kept once.
    """
    increasing = np.diff(times, prepend=-np.inf) > 0
    curves = {}
    for name, array in values.items():
        if not np.isfinite(array).any():  # it would have been costly at so many times
            continue
        if name not in data or (name not in KEPT and array[0].size > MOST_NUMBERS):
            continue
        dims = (CURVE_TIME, *data[name].dims[1:])
        finite = np.where(np.isfinite(array), array, np.nan)[increasing]
        curves[PREFIX + name] = (dims, finite, data[name].attrs, COMPRESSED)
    time = (CURVE_TIME, times[increasing], data["time"].attrs)
    return data.assign(curves).assign_coords({CURVE_TIME: time})


def is_of_curve(name: object) -> bool:
    """Whether a variable of a theory is one of its dense curve."""
    return str(name).startswith(PREFIX)


def curve_of(data: xr.Dataset) -> xr.Dataset:
    """The dense curve under the names of its quantities, along `time`; of data without one what was
    recorded.

    A quantity that the curve does not have is not in it.  Datasets that were joined along `time`
    may have a curve at each of their times: this is none.
    """
    if CURVE_TIME not in data.dims:
        return data
    names = []
    for name, variable in data.variables.items():
        if is_of_curve(name) and CURVE_TIME in variable.dims and "time" not in variable.dims:
            names.append(str(name))
    if CURVE_TIME not in names:
        return data
    curve = data[names].drop_vars("time", errors="ignore")
    return curve.rename({name: name.removeprefix(PREFIX) for name in names})


def joined_curve(parts: Sequence[xr.Dataset]) -> dict[str, xr.DataArray]:
    """The curve through all phases of a protocol, of what each of them has a curve of.

    The time of a switch is the end of the phase before it.
    """
    if not all(CURVE_TIME in part.dims for part in parts):
        return {}
    names = []
    for name in parts[0].data_vars:
        if is_of_curve(name) and all(name in part for part in parts):
            names.append(name)
    pieces = [parts[0]]
    for part in parts[1:]:
        later = part[CURVE_TIME].values > part[CURVE_TIME].values[0]
        pieces.append(part.isel({CURVE_TIME: np.flatnonzero(later)}))
    return {str(name): xr.concat([piece[name] for piece in pieces], CURVE_TIME) for name in names}
