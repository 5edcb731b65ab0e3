"""The files of results: written whole, read with care.

A file holds a `DataTree` as netCDF-4, that is HDF5, and opens with plain h5py and xarray as well.
Every array has HDF5's own checksum (fletcher32), and every group an attribute `sha256` with a
digest of its names, dimensions, attributes and numbers, which HDF5 does not protect.  Both are
verified when it is read.
"""

import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from teacherstudent.checking import arguments, checks
from teacherstudent.results import hdf5_reading
from teacherstudent.results.atomic_files import check_writable, write_atomically
from teacherstudent.results.datasets import COORDINATES, DESCRIPTION, SCHEMA, VARIABLES, as_tree
from teacherstudent.results.digests import DIGEST, Group
from teacherstudent.results.hdf5_opening import UnreadableFile

# Of HDF5: the first format with checksums on its own structure, which is read since 2016.
FORMAT = ("v110", "v110")
UNCHECKED = 1  # the last schema without checksums
DEEPEST_DESCRIPTION = 20  # levels of a description
KINDS = ("theory", "simulation", "comparison", "escape")
ENTRIES: dict[str, dict[str, type]] = {  # what a description of each kind must have, and what it is
    "theory": {"problem": dict, "start": dict, "report": dict},
    "simulation": {"problem": dict, "start": dict, "report": dict},
    "comparison": {"N": list, "seeds": list, "largest": list, "verdict": str},
    "escape": {"problem": dict, "report": dict},
}


@arguments.checked
def save(
    path: str | os.PathLike,
    tree: xr.DataTree | None = None,
    *,
    theory: xr.Dataset | None = None,
    simulation: xr.Dataset | Sequence[xr.Dataset] | None = None,
    comparison: xr.Dataset | None = None,
    escape: xr.Dataset | None = None,
    variants: Mapping[str, xr.DataTree] | None = None,
    force: bool = False,
) -> xr.DataTree:
    """Write results to one HDF5 file, atomically, and return them as a `DataTree`.

    Give the results one by one, or as the `tree` that `Experiment.run` or `load` returned.  Several
    simulations become the groups `simulation/N_250`, `simulation/N_1000`, ... by their
    dimension.  `variants` are results of several problems, `as_tree(theory=, ...)` by name, which
    become `variants/NAME/theory` and so on.  The file is written beside its place under a temporary
    name and then renamed, so that it is whole or not there at all.

    >>> import tempfile
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0, 5.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tree = ts.save(f"{folder}/line.h5", theory=theory)
    >>> list(tree.children)
    ['theory']

    Raises FileExistsError if the file exists and `force` is false, ValueError if there is nothing
    to save or the file could not be read back, OSError if the disk refuses.
    """
    path = checks.path("path", path)
    parts = {
        "theory": theory,
        "simulation": simulation,
        "comparison": comparison,
        "escape": escape,
        "variants": variants,
    }
    given = [name for name, part in parts.items() if part is not None]
    if tree is None:
        tree = as_tree(**parts)
    elif given:
        raise ValueError(
            f"tree is a whole result, and {given[0]} is given too; give one or the other."
        )
    check_writable(path, force=force)
    # The file is made in memory: where a disk is full, HDF5's own library would crash.
    write_atomically(path, encoded(tree, str(path)))
    return tree


def encoded(tree: xr.DataTree, name: str) -> memoryview:
    """The content of a file that holds a tree, with its checksums; ValueError if it could not be
    read back.
    """
    buffer = _written(tree, name)
    size = buffer.getbuffer().nbytes
    try:
        with h5py.File(buffer, "r+") as file:
            root = hdf5_reading.read_opened(file, name, size, _check_group(name))
            dict(_datasets(name, root, ()))
            _write_digests(file["/"], root)
    except UnreadableFile as error:
        raise ValueError(f"nothing is saved that could not be read again: {error}") from None
    return buffer.getbuffer()


def _written(tree: xr.DataTree, name: str) -> io.BytesIO:
    """The file in memory, without the digests."""
    buffer = io.BytesIO()
    try:
        with h5netcdf.File(buffer, "w", libver=FORMAT) as file:
            for node in _with_checksums(tree).subtree:
                node.to_dataset().dump_to_store(
                    xr.backends.H5NetCDFStore(file, group=node.path, mode="w")
                )
    except (TypeError, ValueError, h5netcdf.CompatibilityError) as error:
        raise ValueError(
            f"{name}: an attribute or an array cannot be kept in HDF5: {error}"
        ) from error
    return buffer


def _with_checksums(tree: xr.DataTree) -> xr.DataTree:
    """The tree with the request that HDF5 checks its arrays; it does so in chunks, which a single
    number has not.
    """
    tree = tree.copy()
    for node in tree.subtree:
        node.attrs.pop(DIGEST, None)  # of the file from which it was read
        for variable in node.variables.values():
            if variable.size and variable.ndim and variable.dtype.kind in "fiubmM":
                variable.encoding.pop("contiguous", None)
                variable.encoding["fletcher32"] = True
    return tree


def _write_digests(stored: h5py.Group, group: Group) -> None:
    stored.attrs.create(DIGEST, group.digest, dtype=h5py.string_dtype("ascii", len(group.digest)))
    for name, child in group.groups.items():
        _write_digests(stored[name], child)


@arguments.checked
def load(path: str | os.PathLike) -> xr.DataTree:
    """Read a result file into memory.

    Nothing from the file is executed, and no other file is read.

    >>> import tempfile
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0, 5.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = ts.save(f"{folder}/line.h5", theory=theory)
    ...     tree = ts.load(f"{folder}/line.h5")
    >>> bool((tree["theory"].Q == theory.Q).all())
    True

    Raises FileNotFoundError if it is not there, ValueError if it is not HDF5, not one of our files,
    damaged, or unpacks to far more than its size, BlockingIOError if another process has it open
    for writing.
    """
    path = checks.path("path", path)
    root = hdf5_reading.read(path, _check_group(str(path)))
    if not root.groups:
        raise ValueError(
            f"{path} has neither a theory nor a simulation nor a comparison nor an escape in it."
        )
    if json.loads(root.attributes[DESCRIPTION])["schema"] > UNCHECKED or _has_digests(root):
        _check_digests(str(path), root, ())
    return xr.DataTree.from_dict(dict(_datasets(str(path), root, ())))


def _has_digests(group: Group) -> bool:
    """Whether a group, or one in it, has a digest, as none of the first schema has."""
    return group.digest_in_file is not None or any(map(_has_digests, group.groups.values()))


def _check_digests(name: str, group: Group, parts: tuple[str, ...]) -> None:
    """Raise UnreadableFile for the first group that is not what was written; the innermost say best
    where.
    """
    for child_name, child in group.groups.items():
        _check_digests(name, child, (*parts, child_name))
    if group.digest != str(group.digest_in_file):
        raise UnreadableFile(
            f"{hdf5_reading.place(name, parts)} is not what was written ({DIGEST} differs): the "
            "file is damaged, or was changed by hand; if you meant that, read it with xarray and "
            "save it anew."
        )


def _datasets(name: str, group: Group, parts: tuple[str, ...]):
    """Each group as a dataset, by path."""
    where = hdf5_reading.place(name, parts)
    _check_coding(where, "attributes", group.attributes)
    for key, one in group.variables.items():
        _check_coding(where, key, one.attributes)
    try:
        variables = {key: xr.Variable(*one) for key, one in group.variables.items()}
        data = xr.decode_cf(xr.Dataset(variables, attrs=group.attributes)).load()
    except Exception as error:
        reason = str(error).split("\n")[0]
        raise UnreadableFile(f"{where} does not make a dataset: {reason}") from None
    for label, variable in data.variables.items():
        if variable.dtype.kind not in "fiub" and (label in VARIABLES or label in COORDINATES):
            raise UnreadableFile(
                f"{where} has {label} of a type that results do not have; they hold plain numbers."
            )
        _check_dims(where, str(label), tuple(map(str, variable.dims)), data)
    yield "/" + "/".join(parts), data
    for child_name, child in group.groups.items():
        yield from _datasets(name, child, (*parts, child_name))


def _check_dims(where: str, name: str, dims: tuple[str, ...], data: xr.Dataset) -> None:
    """Raise UnreadableFile for a quantity of ours with dimensions of something else.

    More dimensions are those of a sweep; one that nothing in the group has was selected from.
    """
    if name not in VARIABLES:
        return
    expected = VARIABLES[name][0]
    in_order = [dim for dim in dims if dim in expected] == [dim for dim in expected if dim in dims]
    missing = [dim for dim in expected if dim not in dims]
    strange = [dim for dim in dims if dim not in expected and dim not in data.coords]
    if not in_order or any(dim in data.dims for dim in missing) or (missing and strange):
        raise UnreadableFile(
            f"{where} has {name} over ({', '.join(dims)}); it is to be over "
            f"({', '.join(expected)})."
        )


def _check_coding(where: str, name: str, attributes: Mapping[str, Any]) -> None:
    """Raise UnreadableFile if what says how numbers are coded is not of the right type."""
    for key in ("_FillValue", "missing_value", "scale_factor", "add_offset"):
        if np.size(attributes.get(key, 0)) != 1 or isinstance(attributes.get(key), str):
            raise UnreadableFile(f"{where} has {name} with {key} that is not a number.")
    for key in ("coordinates", "dtype", "units", "calendar"):
        if not isinstance(attributes.get(key, ""), str):
            raise UnreadableFile(f"{where} has {name} with {key} that is not a text.")


def _check_group(name: str) -> hdf5_reading.CheckGroup:
    """What is asked of each group of a file called `name` before its members are looked at."""

    def check(parts: tuple[str, ...], attributes: dict[str, Any]) -> None:
        where = hdf5_reading.place(name, parts)
        if not parts:
            _check_mark(where, attributes)
            return
        kind = _kind(parts)
        if kind is None:
            raise UnreadableFile(
                f"{where} is none that a result has ({', '.join(KINDS)}, variants)."
            )
        if kind in KINDS and (DESCRIPTION in attributes or parts[-1] != "simulation"):
            _check_description(where, kind, attributes)

    return check


def _kind(parts: tuple[str, ...]) -> str | None:
    """What a group holds, by its name; None if no result has such a group."""
    first, *rest = parts
    if first == "variants":
        if len(rest) < 2:
            return "variants"
        return None if rest[1] == "variants" else _kind(tuple(rest[1:]))
    one_of_several = first == "simulation" and len(rest) == 1 and rest[0].startswith("N_")
    if first in KINDS and (not rest or one_of_several):
        return first
    return None


def _check_mark(name: str, attributes: dict[str, Any]) -> None:
    """Raise UnreadableFile unless the attribute of the file says that it is ours, and of a schema
    that is known.
    """
    mark = _parsed(attributes.get(DESCRIPTION))
    if not isinstance(mark, dict) or "schema" not in mark or _deeper(mark, DEEPEST_DESCRIPTION):
        raise UnreadableFile(
            f"{name} is an HDF5 file, but not one that teacherstudent wrote (no attribute "
            f"{DESCRIPTION!r} with a schema)."
        )
    _check_schema(name, mark)


def _check_schema(where: str, described: dict) -> None:
    schema = described.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise UnreadableFile(
            f"{where} has schema = {str(schema)[:40]!r}; it is to be a whole number from 1 to "
            f"{SCHEMA}."
        )
    if schema > SCHEMA:
        raise UnreadableFile(
            f"{where} was written by a newer teacherstudent (schema {str(schema)[:40]}); update it."
        )


def _check_description(where: str, kind: str, attributes: dict[str, Any]) -> None:
    """Raise UnreadableFile unless a group has a description of its kind."""
    described = _parsed(attributes.get(DESCRIPTION))
    if not isinstance(described, dict) or _deeper(described, DEEPEST_DESCRIPTION):
        raise UnreadableFile(
            f"{where} has no description (attribute {DESCRIPTION!r}, a table in JSON); "
            "teacherstudent did not write it."
        )
    _check_schema(where, described)
    if described.get("kind") != kind:
        raise UnreadableFile(
            f"{where} holds kind = {str(described.get('kind'))[:40]!r}; it is to be {kind!r}."
        )
    for entry, entry_type in ENTRIES[kind].items():
        if not isinstance(described.get(entry), entry_type):
            raise UnreadableFile(
                f"{where} has a description without {entry!r}, or with one of another type."
            )
    if kind == "simulation" and type(described["report"].get("N")) is not int:
        raise UnreadableFile(f"{where} has a report without a whole number N.")


def _parsed(text: Any) -> Any:
    """What is in a JSON text; None if it is none, or nested beyond what Python can follow."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def _deeper(value: Any, levels: int) -> bool:
    """Whether lists and tables are nested in each other more than so many times."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(one, levels - 1) for one in inner)
