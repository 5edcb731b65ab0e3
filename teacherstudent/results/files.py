"""The files of results: written whole, read with care.

A file holds a `DataTree` as netCDF-4, that is HDF5, and opens with plain h5py and xarray as well.
Every array has HDF5's own checksum (fletcher32), and every group an attribute `sha256` with a
digest of its names, dimensions, attributes and numbers, which HDF5 does not protect.  Both are
verified when it is read.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import xarray as xr

from teacherstudent.checking import arguments, checks
from teacherstudent.results import digests, hdf5_reading, hdf5_writing
from teacherstudent.results.atomic_files import check_writable, replacement
from teacherstudent.results.datasets import COORDINATES, DESCRIPTION, VARIABLES, as_tree
from teacherstudent.results.digests import Group
from teacherstudent.results.file_for_hdf5 import FileForHDF5
from teacherstudent.results.group_checks import UNCHECKED, group_check
from teacherstudent.results.hdf5_opening import UnreadableFile, close
from teacherstudent.results.lazy_arrays import lazily_read, outlined


@arguments.checked
def save(
    path: str | os.PathLike,
    tree: xr.DataTree | None = None,
    *,
    theory: xr.Dataset | None = None,
    simulation: xr.Dataset | Sequence[xr.Dataset] | None = None,
    comparison: xr.Dataset | None = None,
    escape: xr.Dataset | None = None,
    fixed_point: xr.Dataset | None = None,
    variants: Mapping[str, xr.DataTree] | None = None,
    force: bool = False,
) -> xr.DataTree:
    """Write results to one HDF5 file, atomically, and return them as a `DataTree`.

    Give the results one by one, or as the `tree` that `Experiment.run` or `load` returned.  Several
    simulations become the groups `simulation/N_250`, `simulation/N_1000`, ... by their
    dimension.  `variants` are results of several problems, `as_tree(theory=, ...)` by name, which
    become `variants/NAME/theory` and so on.  The file is written beside its place under a temporary
    name and then renamed, so that it is whole or not there at all.  Results may be larger than
    memory: arrays of Dask, such as those of `load(path, lazy=True)`, are computed and written one
    block after the other.

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
        "fixed_point": fixed_point,
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
    with replacement(path) as file:
        write_checked(file, tree, str(path))
    return tree


def write_checked(file: IO[bytes], tree: xr.DataTree, name: str) -> None:
    """Write a tree with its checksums into an empty file; ValueError if it could not be read back,
    OSError if the disk refuses.
    """
    target = FileForHDF5(file)
    with target.failures_raised():
        try:
            with h5py.File(target, "w", libver=hdf5_writing.FORMAT, track_order=True) as written:
                hdf5_writing.write(written, tree, target.check)
        except UnreadableFile:  # the file from which the tree was opened lazily
            raise
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: an attribute or an array cannot be kept in HDF5: {error}"
            ) from error
    with target.failures_raised():
        try:
            with h5py.File(target, "r+", libver=hdf5_writing.FORMAT) as written:
                root = hdf5_reading.read_opened(written, name, target.size, group_check(name))
                dict(datasets_of(outlined(root)))
                _write_digests(written["/"], root)
        except UnreadableFile as error:
            raise ValueError(f"nothing is saved that could not be read again: {error}") from None


def _write_digests(stored: h5py.Group, group: Group) -> None:
    table = digests.table_of(group.variables)
    hdf5_writing.write_text(stored, digests.DIGESTS_OF_ARRAYS, table)
    hdf5_writing.write_text(stored, digests.DIGEST, digests.digest_of_outline(group, table))
    for name, child in group.groups.items():
        _write_digests(stored[name], child)


@arguments.checked
def load(path: str | os.PathLike, *, lazy: bool = False) -> xr.DataTree:
    """Read a result file into memory, or open it with `lazy=True`.

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

    Lazily, arrays of more than 64 KiB are arrays of Dask, whose pieces of up to 1 MiB are read and
    checked when they are used: results may be larger than memory.  Names, dimensions, attributes,
    coordinates and small arrays are checked at once.  What is not used is not looked at;
    `ts.validate` reads everything.  Files of before version 0.2 have no checksums of pieces: those
    with a checksum of the whole are read through once, piece by piece, when they are opened.
    `tree.close()` closes the file.  Saving over it does not disturb the open tree, which goes on
    reading the file that was there.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = ts.save(f"{folder}/line.h5", theory=theory)
    ...     tree = ts.load(f"{folder}/line.h5", lazy=True)
    ...     print(float(tree["theory"].eps_g.max()) == float(theory.eps_g.max()))
    ...     tree.close()
    True

    Raises FileNotFoundError if it is not there, ValueError if it is not HDF5, not one of our files,
    damaged, or unpacks to far more than its size (lazily, if need be when numbers are used),
    BlockingIOError if another process has it open for writing.
    """
    path = checks.path("path", path)
    if lazy:
        return _load_lazily(path)
    with hdf5_reading.opened(path, group_check(str(path))) as stored:
        check_has_results(path, stored)
        root = hdf5_reading.in_memory(stored)
    if has_checksums(root):
        for group in root.walk():
            group.check_outline()
            group.check_arrays()
    return xr.DataTree.from_dict(dict(datasets_of(root)))


def _load_lazily(path: Path) -> xr.DataTree:
    file, root = hdf5_reading.open_lazily(path, group_check(str(path)))
    try:
        check_has_results(path, root)
        if has_checksums(root):
            for group in root.walk():
                group.check_outline()
        tree = xr.DataTree.from_dict(dict(datasets_of(lazily_read(root))))
    except BaseException:
        close(file)
        raise
    tree.set_close(partial(close, file))
    return tree


def check_has_results(path: Path, root: Group) -> None:
    """Raise UnreadableFile for a file without any group."""
    if not root.groups:
        raise UnreadableFile(
            f"{path} has no result in it: no theory, simulation, comparison, escape or fixed point."
        )


def has_checksums(root: Group) -> bool:
    """Whether a file is to have digests, or has some."""
    return json.loads(root.attributes[DESCRIPTION])["schema"] > UNCHECKED or root.has_digests


def datasets_of(group: Group, path: str = "/") -> Iterator[tuple[str, xr.Dataset]]:
    """Each group as a dataset, by path."""
    yield path, dataset_of(group)
    for name, child in group.groups.items():
        yield from datasets_of(child, f"{path.rstrip('/')}/{name}")


def dataset_of(group: Group) -> xr.Dataset:
    """A group without those in it; UnreadableFile if its arrays are not what results have."""
    _check_coding(group.place, "attributes", group.attributes)
    for key, one in group.variables.items():
        _check_coding(group.place, key, one.attributes)
    try:
        variables = {key: xr.Variable(*one) for key, one in group.variables.items()}
        data = _decoded(variables, group.attributes)
        for label, variable in data.variables.items():
            if not hasattr(group.variables[str(label)].values, "chunks"):  # of Dask
                variable.load()
    except Exception as error:
        reason = str(error).split("\n")[0]
        raise UnreadableFile(f"{group.place} does not make a dataset: {reason}") from None
    for label, variable in data.variables.items():
        if variable.dtype.kind not in "fiub" and (label in VARIABLES or label in COORDINATES):
            raise UnreadableFile(
                f"{group.place} has {label} of a type that results do not have; they hold plain "
                "numbers."
            )
        _check_dims(group.place, str(label), tuple(map(str, variable.dims)), data)
    return data


def _decoded(variables: dict[str, xr.Variable], attributes: dict[str, Any]) -> xr.Dataset:
    """The dataset that the CF conventions make of variables, by xarray."""
    plain, decoded, coordinates = xr.conventions.decode_cf_variables(variables, attributes)
    data = xr.Dataset(plain, attrs=decoded)
    return data.set_coords(coordinates.intersection(plain))


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
