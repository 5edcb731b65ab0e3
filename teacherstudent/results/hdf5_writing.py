"""Writing a tree as netCDF-4 with plain h5py.

The library that reads netCDF for xarray, h5netcdf, would write it too, but asks HDF5 for everything
again at every array: the many small ones of our results took most of a second for each problem.
What a netCDF-4 file is, beside HDF5: a dimension is an array that is a scale, its own coordinate or
a size without numbers, and other arrays refer to their dimensions (https://docs.unidata.ucar.edu,
"NetCDF-4 Format").
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import h5py
import numpy as np
import xarray as xr
from h5py import h5a, h5ds, h5s, h5t

from teacherstudent.results.digests import DIGEST, DIGESTS_OF_ARRAYS, shape_of_pieces

# Of HDF5: the first format with checksums on its own structure, which is read since 2016.
FORMAT = ("v110", "v110")
WITHOUT_COORDINATE = "This is a netCDF dimension but not a netCDF variable. {:>10d}"
TEXT = h5t.py_create(h5py.string_dtype(), logical=True)
SINGLE = h5s.create(h5s.SCALAR)


class UnsuitableValue(ValueError):
    """Says which attribute or array HDF5 cannot keep."""


def write(file: h5py.File, tree: xr.DataTree, check: Callable[[], None]) -> None:
    """Write all groups of a tree; arrays of Dask are computed block by block.

    `check()` is called after each block, and may raise what stops the writing.

    Raises UnsuitableValue for what HDF5 cannot keep.
    """
    numbers = count()  # netCDF numbers the dimensions of a file, not those of each group
    for node in tree.subtree:
        group = file["/"]
        if node.path != "/":
            group = file.create_group(node.path, track_order=True)
        variables, attributes = _encoded(node.to_dataset())
        for name, value in attributes.items():
            if name not in (DIGEST, DIGESTS_OF_ARRAYS):  # of the file from which they were read
                _write_attribute(group, str(name), value)
        scales = _write_scales(group, variables, numbers)
        for name, variable in variables.items():
            stored = _written_outline(group, name, variable, scales)
            _write_numbers(stored, variable, check)


def write_text(thing: h5py.HLObject, name: str, text: str) -> None:
    """Write an attribute that is a text."""
    attribute = h5a.create(thing.id, name.encode(), TEXT, SINGLE)
    attribute.write(np.array(text, object))


def _written_outline(
    group: h5py.Group,
    name: str,
    variable: xr.Variable,
    scales: Mapping[Any, h5py.Dataset],
) -> h5py.Dataset:
    """An array with its dimensions and attributes, whose numbers are still to be written."""
    if name in scales and variable.dims == (name,):
        stored = scales[name]
    else:
        stored = _create(group, f"_nc4_non_coord_{name}" if name in scales else name, variable)
        for axis, dim in enumerate(variable.dims):
            h5ds.attach_scale(stored.id, scales[dim].id, axis)
    for key, value in variable.attrs.items():
        _write_attribute(stored, key, value)
    return stored


def _encoded(data: xr.Dataset) -> tuple[dict[Any, xr.Variable], dict[Any, Any]]:
    """The variables and attributes as the CF conventions have them, by xarray.

    NaN is NaN in HDF5: it needs no number that stands for it.
    """
    try:
        plain, attributes = xr.conventions.encode_dataset_coordinates(data)
        for name, variable in plain.items():
            variable = variable.copy(deep=False)
            variable.encoding.setdefault("_FillValue", None)
            plain[name] = variable
        variables, attributes = xr.conventions.cf_encoder(plain, attributes)
    except Exception as error:
        raise UnsuitableValue(str(error).split("\n")[0]) from error
    return variables, attributes


def _write_scales(
    group: h5py.Group, variables: Mapping[Any, xr.Variable], numbers: Iterator[int]
) -> dict[Any, h5py.Dataset]:
    """The dimensions: arrays of their coordinates, or of sizes alone."""
    sizes: dict[Any, int] = {}
    for variable in variables.values():
        sizes |= variable.sizes
    scales = {}
    for dim, length in sizes.items():
        coordinate = variables.get(dim)
        if coordinate is not None and coordinate.dims == (dim,):
            scale, title = _create(group, dim, coordinate), str(dim)
        else:
            scale = group.create_dataset(_checked_name(dim), (length,), ">f4")
            title = WITHOUT_COORDINATE.format(length)
        h5ds.set_scale(scale.id, title.encode())
        number = h5a.create(scale.id, b"_Netcdf4Dimid", h5t.NATIVE_INT32, SINGLE)
        number.write(np.array(next(numbers), np.int32))
        scales[dim] = scale
    return scales


def _create(group: h5py.Group, name: str, variable: xr.Variable) -> h5py.Dataset:
    """An array, whose numbers are still to be written; those that are packed or have checksums are
    in chunks, which a single number has not.
    """
    shape, dtype = variable.shape, variable.dtype
    if dtype.kind == "U" or (dtype.kind == "O" and _all_texts(variable.values)):
        return group.create_dataset(_checked_name(name), shape, h5py.string_dtype())
    if dtype.kind not in "iuf":
        raise UnsuitableValue(f"{name!r} is an array of {dtype}; give numbers or texts")
    how: dict[str, Any] = {}
    if variable.ndim and variable.size:
        how = {"chunks": shape_of_pieces(shape, dtype.itemsize), "fletcher32": True}
        how |= _packing(variable.encoding)
    return group.create_dataset(_checked_name(name), shape, dtype, **how)


def _packing(encoding: Mapping[str, Any]) -> dict[str, Any]:
    """How an array is to be packed, in the words of h5py."""
    packed = {"shuffle": bool(encoding.get("shuffle"))}
    if encoding.get("zlib") or encoding.get("compression") in ("zlib", "gzip"):
        level = encoding.get("complevel") or encoding.get("compression_opts") or 4
        return packed | {"compression": "gzip", "compression_opts": level}
    if encoding.get("compression"):
        return packed | {"compression": encoding["compression"]}
    return packed


def _checked_name(name: Any) -> str:
    if not isinstance(name, str) or "/" in name or not name:
        raise UnsuitableValue(f"{name!r} is no name of an array in HDF5; give a text without /")
    return name


def _write_numbers(stored: h5py.Dataset, variable: xr.Variable, check: Callable[[], None]) -> None:
    """Write numbers, or texts: all at once if they are in memory, otherwise block by block."""
    if not variable.size:
        return
    data = variable.data
    if hasattr(data, "chunks"):
        for slices, block in _blocks(data):
            stored[slices] = np.asarray(block.compute())
            check()
    elif data.dtype.kind in "OU":
        stored[...] = data.astype(object)
    else:
        stored.id.write(h5s.ALL, h5s.ALL, np.asarray(data, order="C"))
    check()


def _blocks(data: Any) -> Iterator[tuple[tuple[slice, ...], Any]]:
    """The blocks of an array of Dask, and where they are."""
    ends = [np.cumsum(lengths).tolist() for lengths in data.chunks]
    for index in np.ndindex(*data.numblocks):
        slices = tuple(
            slice(end[number] - lengths[number], end[number])
            for end, lengths, number in zip(ends, data.chunks, index, strict=True)
        )
        yield slices, data.blocks[index]


def _write_attribute(thing: h5py.HLObject, name: str, value: Any) -> None:
    """Write a text, a number, or an array or a list of them."""
    if value is None and name == "_FillValue":
        return
    if isinstance(value, str):
        write_text(thing, name, value)
        return
    values = np.asarray(value)
    if values.dtype.kind == "U" or (values.dtype.kind == "O" and _all_texts(values)):
        thing.attrs.create(name, values.astype(object), dtype=h5py.string_dtype())
    elif values.dtype.kind in "iuf":
        thing.attrs.create(name, values)
    else:
        raise UnsuitableValue(
            f"the attribute {name!r} is a {type(value).__name__}; give texts or numbers"
        )


def _all_texts(values: np.ndarray) -> bool:
    return all(isinstance(one, str) for one in values.flat)
