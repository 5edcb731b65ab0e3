"""The labelled datasets of models that are no two-layer regression."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from teacherstudent.models.model import Model, Quantity
from teacherstudent.models.state import State
from teacherstudent.results.datasets import COORDINATES, OF_THE_END, VARIABLES, described


def model_dataset(
    kind: str,
    model: Model,
    start: State,
    coordinates: Mapping[str, Any],
    values: Mapping[str, np.ndarray],
    leading: Sequence[str],
    report: Mapping,
) -> xr.Dataset:
    """The dataset of a theory or a simulation of a model.

    `leading` are the dimensions in front of the time; a quantity that does not change with time
    has the first of its values.
    """
    quantities = type(model).quantities()
    data = {}
    for name, found in values.items():
        if name in quantities:
            data[name] = _variable(quantities[name], found, leading)
        else:
            data[name] = _of_all_results(name, found, leading)
    coords = {name: _coordinate(name, value, model) for name, value in coordinates.items()}
    named = {"error": model.ERROR, "state": list(model.STATE)}
    report = {**report, "quantities": named}
    times = np.asarray(coordinates["time"])
    if len(times):  # so that a part of the data can be told from the whole
        report["first_time"] = float(times[0])
        report["last_time"] = float(times[-1])
    return xr.Dataset(data, coords=coords, attrs=described(kind, model, report, start))


def _variable(quantity: Quantity, values: np.ndarray, leading: Sequence[str]) -> tuple:
    attributes = {"long_name": quantity.long_name, "symbol": quantity.symbol, "units": "1"}
    if quantity.along_time:
        return (*leading, "time", *quantity.dims), np.asarray(values), attributes
    front = len(leading)
    first = np.asarray(values)[(0,) * front + (0,)]
    return quantity.dims, first, attributes


def _of_all_results(name: str, values: np.ndarray, leading: Sequence[str]) -> tuple:
    """What results of every problem may have: of a protocol, or for another run to go on."""
    dims, long_name, symbol = VARIABLES[name]
    attributes = {"long_name": long_name, "symbol": symbol, "units": "1"}
    encoding = {"zlib": True, "shuffle": True, "complevel": 4} if name in OF_THE_END else {}
    return (*leading, *dims), np.asarray(values), attributes, encoding


def _coordinate(name: str, values: Any, model: Model) -> tuple:
    long_name, symbol, units = COORDINATES.get(name, (name.replace("_", " "), name, "1"))
    if name in model.sweeps:  # a number that may be of something else than layers
        long_name = name.replace("_", " ")
    if name == "time":
        long_name, symbol, units = model.TIME
    attributes = {"long_name": long_name, "symbol": symbol, "units": units}
    return name, np.asarray(values), attributes
