"""Arrays of an open file as arrays of Dask, which are read when they are used."""

from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np

from teacherstudent.results.digests import (
    Group,
    Pieces,
    Slices,
    piece_of,
    shape_of_pieces,
    slices_of_pieces,
)
from teacherstudent.results.stored_arrays import StoredArray

SMALL = 2**16  # bytes of an array that is read at once: to put it off costs more


def lazily_read(group: Group) -> Group:
    """The group with small arrays in memory, and arrays of Dask in the place of the others."""
    pieces = group.pieces()
    variables = {
        name: one._replace(values=_lazy(one.dims, one.values, pieces.get(name)))
        for name, one in group.variables.items()
    }
    groups = {name: lazily_read(one) for name, one in group.groups.items()}
    return group._replace(variables=variables, groups=groups)


def _lazy(dims: tuple[str, ...], values: StoredArray, pieces: Pieces | None) -> Any:
    is_coordinate = dims == (values.name,)
    if is_coordinate or values.is_text or values.size_in_memory <= SMALL:
        return _whole(values, pieces)
    import dask.array as da

    shape = pieces.shape if pieces else shape_of_pieces(values.shape, values.dtype.itemsize)
    return da.map_blocks(
        partial(_block, values, pieces),
        chunks=da.core.normalize_chunks(shape, values.shape, dtype=values.dtype),
        dtype=values.dtype,
        meta=np.empty((0,) * len(values.shape), values.dtype),
        name=f"{values.name}-{uuid4().hex}",
    )


def _whole(values: StoredArray, pieces: Pieces | None) -> np.ndarray:
    whole = values.whole()
    if pieces is not None:
        for slices in slices_of_pieces(whole.shape, pieces.shape):
            values.check(pieces, slices, piece_of(whole, slices))
    return whole


def _block(values: StoredArray, pieces: Pieces | None, block_info: Any = None) -> np.ndarray:
    """The numbers of one block of an array of Dask, which is one piece."""
    slices: Slices = tuple(slice(*ends) for ends in block_info[None]["array-location"])
    block = values[slices]
    if pieces is not None:
        values.check(pieces, slices, block)
    return block
