"""Arrays of an open file as arrays of Dask, which are read when they are used."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np

from teacherstudent.results.digests import (
    Group,
    Pieces,
    Slices,
    Variable,
    piece_of,
    shape_of_pieces,
    slices_of_pieces,
)
from teacherstudent.results.stored_arrays import StoredArray

SMALL = 2**16  # bytes of an array that is read at once: to put it off costs more


def lazily_read(group: Group) -> Group:
    """The group with small arrays in memory, and arrays of Dask in the place of the others."""
    return _with_arrays(group, _array_of_dask)


def outlined(group: Group) -> Group:
    """The group with small arrays in memory, and zeros in the place of the others: what can be
    checked of a group without its numbers.
    """
    return _with_arrays(group, _zeros)


def _with_arrays(
    group: Group, replace: Callable[[StoredArray, Pieces | None], np.ndarray | Any]
) -> Group:
    """The group with small arrays in memory, and the others replaced."""
    pieces = group.pieces()
    variables = {}
    for name, one in group.variables.items():
        read = _whole if _is_read_at_once(one) else replace
        variables[name] = one._replace(values=read(one.values, pieces.get(name)))
    groups = {name: _with_arrays(one, replace) for name, one in group.groups.items()}
    return group._replace(variables=variables, groups=groups)


def _is_read_at_once(variable: Variable) -> bool:
    """Whether an array is small, or one that xarray reads at once: a coordinate, or texts."""
    values = variable.values
    is_coordinate = variable.dims == (values.name,)
    return is_coordinate or values.is_text or values.size_in_memory <= SMALL


def _whole(values: StoredArray, pieces: Pieces | None) -> np.ndarray:
    whole = values.whole()
    if pieces is not None:
        for slices in slices_of_pieces(whole.shape, pieces.shape):
            values.check(pieces, slices, piece_of(whole, slices))
    return whole


def _zeros(values: StoredArray, pieces: Pieces | None) -> np.ndarray:
    """Zeros that take no memory."""
    return np.broadcast_to(np.zeros((), values.dtype), values.shape)


def _array_of_dask(values: StoredArray, pieces: Pieces | None) -> Any:
    import dask.array as da  # late: only those wait for it who need it

    shape = pieces.shape if pieces else shape_of_pieces(values.shape, values.dtype.itemsize)
    return da.map_blocks(
        partial(_block, values, pieces),
        chunks=da.core.normalize_chunks(shape, values.shape, dtype=values.dtype),
        dtype=values.dtype,
        meta=np.empty((0,) * len(values.shape), values.dtype),
        name=f"{values.name}-{uuid4().hex}",
    )


def _block(values: StoredArray, pieces: Pieces | None, block_info: Any = None) -> np.ndarray:
    """The numbers of one block of an array of Dask, which is one piece."""
    slices: Slices = tuple(slice(*ends) for ends in block_info[None]["array-location"])
    block = values[slices]
    if pieces is not None:
        values.check(pieces, slices, block)
    return block
