"""The quantity of a model at whose threshold a phase of a protocol ends."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr

from teacherstudent.checking import checks
from teacherstudent.models.model import Model
from teacherstudent.protocol import Until

NAME_AND_ENTRY = re.compile(r"(\w+)(?:\[(\d+(?:, *\d+)*)\])?")


def check_quantity(until: Until, model: Model) -> None:
    """Raise ValueError unless the quantity is one number that the model records."""
    name, entry = _parts(until, model)
    dims = model.quantities()[name].dims
    if len(entry) != len(dims):
        example = name + "[" + ", ".join("0" * len(dims)) + "]"
        of = f"has the dimensions {', '.join(dims)}; give an entry, such as {example!r}"
        if not dims:
            of = f"is one number; give {name!r}"
        raise ValueError(f"until.quantity = {until.quantity!r}: {name} {of}.")
    shape = _shapes(model).get(name)
    if shape is None:
        raise ValueError(
            f"until.quantity = {until.quantity!r}, but this {type(model).__name__} has no {name}."
        )
    if any(index >= size for index, size in zip(entry, shape, strict=True)):
        raise ValueError(
            f"until.quantity = {until.quantity!r}, but {name} has the shape {shape}; give an "
            "entry of it, from 0."
        )


def _shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """The shapes of all that a model records."""
    state = {name: jax.ShapeDtypeStruct(size, float) for name, size in model.shapes.items()}
    with jax.enable_x64(True):
        observed = jax.eval_shape(lambda parts: model.at(0.0).observed(0.0, parts), state)
    return dict(model.shapes) | {name: tuple(one.shape) for name, one in observed.items()}


def value_of(until: Until, model: Model, values: Mapping[str, Any], leading: int = 1) -> Any:
    """The quantity, from all that the model records: arrays with so many leading dimensions."""
    name, entry = _parts(until, model)
    return values[name][(slice(None),) * leading + entry]


def values_along(until: Until, model: Model, data: xr.Dataset) -> np.ndarray:
    """The quantity at all times of a theory."""
    arrays = {name: data[name].values for name in model.quantities() if name in data}
    return value_of(until, model, arrays)


def _parts(until: Until, model: Model) -> tuple[str, tuple[int, ...]]:
    """The name of the quantity and the entry of it: ("eps", (1,)) of "eps[1]".

    Raises ValueError for a name that the model does not record.
    """
    known = model.quantities()
    match = None
    if isinstance(until.quantity, str):
        match = NAME_AND_ENTRY.fullmatch(until.quantity)
    name = model.name_of(match[1]) if match else ""
    if match is None or name not in known:
        raise ValueError(
            f"until.quantity = {checks.shortened(until.quantity)} is no quantity of a "
            f"{type(model).__name__}; give one of {', '.join(known)}, or an entry of one, such as "
            f"'eps[0]'{checks.hint(until.quantity, known)}"
        )
    entry = () if match[2] is None else tuple(int(one) for one in match[2].split(","))
    return name, entry
