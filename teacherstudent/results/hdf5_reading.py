"""Reading an HDF5 file that may be damaged, or made by somebody else to do harm.

HDF5 follows links into other files, unpacks a few bytes to gigabytes, loads filters from folders,
and has no checksum on attributes.  Here every object is looked at before it is used: only what lies
in the file itself is read, and what is unpacked is bounded by the size of the file.  The numbers of
arrays stay in the file until they are asked for.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5r, h5t, h5z

from teacherstudent.results.digests import (
    DIGEST,
    DIGESTS_OF_ARRAYS,
    Group,
    Variable,
    grid_of_pieces,
)
from teacherstudent.results.global_heaps import damaged_heap
from teacherstudent.results.hdf5_opening import UnreadableFile, close, open_file, size_of_file
from teacherstudent.results.stored_arrays import StoredArray, has_variable_length

BOOKKEEPING = frozenset(  # of netCDF-4, which is not content: dimensions are kept by what they mean
    (
        "CLASS",
        "NAME",
        "DIMENSION_LIST",
        "REFERENCE_LIST",
        "_Netcdf4Dimid",
        "_Netcdf4Coordinates",
        "_NCProperties",
    )
)
LZF = 32000
# Others are loaded from folders, and could be anybody's.
FILTERS = (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, LZF)
DEEPEST = 8  # levels of groups
MOST_MEMBERS = 2000  # of one group
MOST_ATTRIBUTES = 1000  # of one object
LEAST_LIMIT = 2**26  # bytes that any file may unpack to
# A larger file may unpack to this many times its size; noisy numbers pack to no less than a half.
LARGEST_RATIO = 20


TEXT = h5py.string_dtype()
REFERENCES = h5py.vlen_dtype(h5py.ref_dtype)

CheckGroup = Callable[[tuple[str, ...], dict[str, Any]], None]


@contextmanager
def opened(path: Path, check_group: CheckGroup) -> Iterator[Group]:
    """What is in an HDF5 file, which is open as long as this lasts; see `open_lazily`."""
    file, root = open_lazily(path, check_group)
    try:
        yield root
    finally:
        close(file)


def open_lazily(path: Path, check_group: CheckGroup) -> tuple[h5py.File, Group]:
    """An HDF5 file, which is to be closed, and what is in it; its arrays are `StoredArray`s.

    `check_group(names, attributes)` is called of every group before its members are looked at, and
    may raise UnreadableFile.

    Raises FileNotFoundError, IsADirectoryError or ValueError if `path` is not a file, ValueError if
    it is not HDF5, is damaged or holds what is not read, BlockingIOError if another process has it
    open for writing.
    """
    size = size_of_file(path)
    file = open_file(path)
    try:
        lengths = file.id.get_create_plist().get_sizes()
        if lengths != (8, 8) or damaged_heap(path) is not None:
            raise UnreadableFile(
                f"{path} cannot be read: the file is damaged, where its texts lie."
            )
        return file, read_opened(file, str(path), size, check_group)
    except BaseException:
        close(file)
        raise


def read_opened(file: h5py.File, name: str, size: int, check_group: CheckGroup) -> Group:
    """What is in an open HDF5 file of `size` bytes, which is called `name` in errors."""
    reader = _Reader(file, name, size, check_group)
    try:
        return reader.group(h5g.open(file.id, b"/"), ())
    except UnreadableFile:
        raise
    except MemoryError:
        raise UnreadableFile(f"{reader.place} does not fit into memory.") from None
    except Exception as error:  # of HDF5, in whatever it stumbled over
        raise UnreadableFile(f"{reader.place} cannot be read: the file is damaged.") from error


def in_memory(group: Group) -> Group:
    """The group with its numbers read."""
    variables = {
        name: one._replace(values=one.values.whole()) for name, one in group.variables.items()
    }
    groups = {name: in_memory(one) for name, one in group.groups.items()}
    return group._replace(variables=variables, groups=groups)


def place(name: str, parts: tuple[str, ...]) -> str:
    """File and group, as an error names them."""
    if not parts:
        return name
    return f"{name}, group {'/'.join(parts)!r},"


class _Reader:
    """Walks through one file, with bounds on what it holds."""

    def __init__(self, file: h5py.File, name: str, size: int, check_group: CheckGroup):
        self.file = file
        self.name = name
        self.size = size
        self.check_group = check_group
        self.limit = max(LEAST_LIMIT, LARGEST_RATIO * size)
        self.used = 0
        self.seen: set[int] = set()
        self.plain_kinds: list[h5t.TypeID] = []  # those that were looked at and are good
        self.place = name

    def refuse(self, reason: str) -> UnreadableFile:
        return UnreadableFile(f"{self.place} {reason}")

    def use(self, count: int) -> None:
        """Count bytes that are going to be in memory."""
        self.used += count
        if self.used > self.limit:
            raise self.refuse(
                f"declares more than {self.limit / 2**20:.0f} MiB of numbers in a file of "
                f"{self.size / 2**10:.0f} KiB; no result is packed like this."
            )

    def group(self, group: h5g.GroupID, parts: tuple[str, ...]) -> Group:
        """A group with all that is in it."""
        self.place = place(self.name, parts)
        if len(parts) > DEEPEST:
            raise self.refuse("lies deeper than results do.")
        self.meet(group, "the group")
        attributes = self.attributes(group)
        digest = attributes.pop(DIGEST, None)
        digests_of_arrays = attributes.pop(DIGESTS_OF_ARRAYS, None)
        self.check_group(parts, attributes)
        datasets, groups = self.members(group)
        if parts and not datasets and not groups:
            raise self.refuse("is empty.")
        scales = self.scales(datasets)
        variables = {}
        for name, one in datasets.items():
            if not is_only_a_size(one):
                label = name.removeprefix("_nc4_non_coord_")
                variables[label] = self.variable(name, label, one, scales)
        children = {name: self.group(one, (*parts, name)) for name, one in groups.items()}
        where = place(self.name, parts)
        return Group(where, attributes, variables, children, digest, digests_of_arrays)

    def meet(self, thing, what: str) -> int:
        """The address of an object; ValueError if it was met before, as in a group that holds
        itself.
        """
        address = h5o.get_info(thing).addr
        if address in self.seen:
            raise self.refuse(
                f"holds {what} a second time, or inside itself; results do not do so."
            )
        self.seen.add(address)
        return address

    def members(
        self, group: h5g.GroupID
    ) -> tuple[dict[str, h5d.DatasetID], dict[str, h5g.GroupID]]:
        """Datasets and groups by name, opened; nothing is followed out of the file."""
        if group.get_num_objs() > MOST_MEMBERS:
            raise self.refuse(f"has more than {MOST_MEMBERS} members.")
        datasets, groups = {}, {}
        for raw in self.names(group):
            name = raw.decode("utf-8")
            if group.links.get_info(raw).type != h5l.TYPE_HARD:
                raise self.refuse(
                    f"has a link {name!r} that leads elsewhere; only what lies in the file itself "
                    "is read."
                )
            member = h5o.open(group, raw)
            if isinstance(member, h5d.DatasetID):
                datasets[name] = member
            elif isinstance(member, h5g.GroupID):
                groups[name] = member
            else:
                raise self.refuse(f"has {name!r}, which is neither a group nor an array.")
        return datasets, groups

    def names(self, group: h5g.GroupID) -> list[bytes]:
        """Names of the members, in the order in which they were made where the file knows it."""
        names: list[bytes] = []
        tracked = group.get_create_plist().get_link_creation_order() & h5py.h5p.CRT_ORDER_TRACKED
        order = h5py.h5.INDEX_CRT_ORDER if tracked else h5py.h5.INDEX_NAME
        group.links.iterate(names.append, idx_type=order)
        return names

    def scales(self, datasets: dict[str, h5d.DatasetID]) -> dict[int, str]:
        """Names of the datasets that are scales of a dimension, by address."""
        found = {}
        for name, one in datasets.items():
            address = self.meet(one, f"{name!r}")
            if h5a.exists(one, b"CLASS"):
                kind = self.attribute(h5a.open(one, b"CLASS"), "CLASS")
                if kind != "DIMENSION_SCALE":
                    continue
                found[address] = name
        return found

    def variable(
        self, name: str, label: str, dataset: h5d.DatasetID, scales: dict[int, str]
    ) -> Variable:
        """An array with its dimensions, once it is known to be harmless."""
        values = StoredArray(self.file, dataset, self.place, label, self.use)
        self.check_kind(label, values.kind)
        self.check_storage(label, values)
        return Variable(self.dims(name, dataset, scales), values, self.attributes(dataset))

    def check_storage(self, name: str, values: StoredArray) -> None:
        """Raise UnreadableFile unless all numbers lie in this file and unpack to a bounded size."""
        layout = values.how.get_layout()
        if layout == h5d.VIRTUAL or values.how.get_external_count() > 0:
            raise self.refuse(
                f"keeps {name!r} in another file; only what lies in the file itself is read."
            )
        space = values.dataset.get_space()
        if space.get_simple_extent_type() not in (h5py.h5s.SIMPLE, h5py.h5s.SCALAR):
            raise self.refuse(f"has {name!r} without any shape.")
        if layout == h5d.CHUNKED:
            self.check_chunks(name, values)
        elif values.filters:
            raise self.refuse(f"has {name!r} filtered, but not in chunks.")
        else:
            size = math.prod(values.shape) * values.kind.get_size()
            self.use(size)
            if values.dataset.get_storage_size() < size:
                raise self.refuse(f"has {name!r} declared, but not its numbers.")

    def check_kind(self, name: str, kind: h5t.TypeID) -> None:
        """Raise UnreadableFile unless a type is that of plain numbers or strings."""
        family = kind.get_class()
        if family == h5t.STRING or any(kind == one for one in self.plain_kinds):
            return
        if family in (h5t.INTEGER, h5t.FLOAT):
            dtype = kind.dtype
            if dtype.itemsize <= 8 and kind == h5t.py_create(dtype):
                self.plain_kinds.append(kind)
                return
        raise self.refuse(
            f"has {name!r} of a type that results do not have; they hold plain numbers."
        )

    def check_chunks(self, name: str, values: StoredArray) -> None:
        """Raise UnreadableFile unless all chunks are there and unpack to what they should."""
        chunk, filters = values.how.get_chunk(), values.filters
        expected = math.prod(grid_of_pieces(values.shape, chunk))
        self.use(expected * math.prod(chunk) * values.kind.get_size())
        if len(set(filters)) < len(filters) or not set(filters) <= set(FILTERS):
            raise self.refuse(
                f"has {name!r} packed with filters that results do not have; they may have gzip "
                "and lzf."
            )
        stored: list[Any] = []
        values.dataset.chunk_iter(stored.append)
        if len(stored) != expected or any(
            one.filter_mask or one.size > self.size for one in stored
        ):
            raise self.refuse(f"has {name!r} declared, but not all of its numbers.")

    def dims(self, name: str, dataset: h5d.DatasetID, scales: dict[int, str]) -> tuple[str, ...]:
        """Names of the dimensions: its own for a scale, otherwise those of the scales that it
        refers to.
        """
        if name in scales.values() and dataset.rank == 1:
            return (name,)
        if dataset.rank == 0:
            return ()
        if not h5a.exists(dataset, b"DIMENSION_LIST"):
            raise self.refuse(
                f"has {name!r} without names of its dimensions; teacherstudent did not write it."
            )
        lists = self.references(dataset, name)
        addresses = [h5o.get_info(h5r.dereference(one, self.file.id)).addr for one in lists]
        dims = tuple(scales.get(address, "") for address in addresses)
        if len(dims) != dataset.rank or "" in dims or len(set(dims)) < len(dims):
            raise self.refuse(f"has {name!r} with dimensions that are not among the group's.")
        return dims

    def references(self, dataset: h5d.DatasetID, name: str) -> list[h5r.Reference]:
        """The reference to the first scale of each dimension."""
        attribute = h5a.open(dataset, b"DIMENSION_LIST")
        kind = attribute.get_type()
        plain = kind.get_class() == h5t.VLEN and kind.get_super() == h5t.STD_REF_OBJ
        if not plain or attribute.shape != (dataset.rank,):
            raise self.refuse(f"has {name!r} with a list of dimensions that is none.")
        lists = np.empty((dataset.rank,), REFERENCES)
        attribute.read(lists)
        if not all(len(one) for one in lists):
            raise self.refuse(f"has {name!r} with a dimension without a name.")
        return [one[0] for one in lists]

    def attributes(self, thing) -> dict[str, Any]:
        """The attributes of an object, without the bookkeeping of netCDF."""
        count = int(h5a.get_num_attrs(thing))
        if count > MOST_ATTRIBUTES:
            raise self.refuse(f"has something with {count} attributes.")
        names: list[bytes] = []
        h5a.iterate(thing, lambda name, *_: names.append(name))
        found = {}
        for raw in names:
            name = raw.decode("utf-8")
            if name not in BOOKKEEPING:
                found[name] = self.attribute(h5a.open(thing, raw), name)
        return found

    def attribute(self, attribute: h5a.AttrID, name: str) -> Any:
        """The value of an attribute: a string, a number, or an array or list of them."""
        kind = attribute.get_type()
        self.check_kind(name, kind)
        extent = attribute.get_space().get_simple_extent_type()
        if extent not in (h5py.h5s.SIMPLE, h5py.h5s.SCALAR):
            raise self.refuse(f"has an attribute {name!r} without any shape.")
        has_any_length = has_variable_length(kind)
        if has_any_length and extent == h5py.h5s.SCALAR:
            self.use(kind.get_size())
            return _string(attribute)
        shape = attribute.shape
        count = math.prod(shape)
        # Each of several texts may be as long as the file.
        self.use(count * (self.size if has_any_length and count > 1 else kind.get_size()))
        values = np.empty(shape, attribute.dtype)
        attribute.read(values)
        if kind.get_class() != h5t.STRING:
            return values.reshape(-1)[0] if count == 1 else values
        strings = [_decoded(one) for one in values.flat]
        return strings[0] if count == 1 else strings


def _string(attribute: h5a.AttrID) -> str:
    """The one text of an attribute, which has any length."""
    value = np.empty((), TEXT)
    attribute.read(value)
    return _decoded(value[()])


def _decoded(text: Any) -> str:
    if isinstance(text, bytes):
        return text.decode("utf-8", "surrogateescape")
    return str(text)


def is_only_a_size(dataset: h5d.DatasetID) -> bool:
    """Whether it stands for a dimension without a coordinate, whose numbers do not exist."""
    if not h5a.exists(dataset, b"NAME"):
        return False
    attribute = h5a.open(dataset, b"NAME")
    if attribute.get_type().get_class() != h5t.STRING or attribute.shape != ():
        return False
    value = np.empty((), attribute.dtype)
    attribute.read(value)
    return _decoded(value[()]).startswith("This is a netCDF dimension but not a netCDF variable")
