"""Digests of the groups of a file: what tells that a file is what was written.

HDF5 has no checksum on attributes, none that says that a group is missing, and takes a hole of
zeros for numbers with their checksum.  A group therefore has two attributes: `sha256_of_arrays`,
a table in JSON with the digests of its arrays, piece by piece, so that a part of an array can be
checked without the rest; and `sha256`, the digest of that table and of all names, dimensions and
attributes.  Files of before the table have only `sha256`, of everything in the group.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from teacherstudent.results.hdf5_opening import UnreadableFile

DIGEST = "sha256"  # the attribute of a group that holds its digest
DIGESTS_OF_ARRAYS = "sha256_of_arrays"  # the one that holds those of its arrays
LARGEST_PIECE = 2**20  # bytes of an array that have one digest, and are one chunk of HDF5

Slices = tuple[slice, ...]


@runtime_checkable
class Array(Protocol):
    """An array in memory, or in a file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, slices: Slices, /) -> Any: ...


class Variable(NamedTuple):
    """An array with the names of its dimensions."""

    dims: tuple[str, ...]
    values: Any  # an Array
    attributes: dict[str, Any]


class Group(NamedTuple):
    """What a group holds, and the digests that the file has of it, if it has them; `place` is what
    errors call it.
    """

    place: str
    attributes: dict[str, Any]
    variables: dict[str, Variable]
    groups: dict[str, "Group"]
    digest: Any = None
    digests_of_arrays: Any = None

    @property
    def has_digests(self) -> bool:
        """Whether this group, or one in it, has a digest, as none of the first schema has."""
        return self.digest is not None or any(one.has_digests for one in self.groups.values())

    def walk(self) -> Iterator["Group"]:
        """All groups, the innermost first: they say best where a damage is."""
        for one in self.groups.values():
            yield from one.walk()
        yield self

    def check_outline(self) -> None:
        """Raise UnreadableFile unless names, dimensions and attributes are what was written; of a
        file of before the table, unless everything is.
        """
        if self.digests_of_arrays is None:
            expected = digest_of_everything(self)
        else:
            expected = digest_of_outline(self, self.digests_of_arrays)
        if expected != str(self.digest):
            raise not_what_was_written(self.place)

    def pieces(self) -> dict[str, "Pieces"]:
        """The digests of the arrays; none in a file of before the table."""
        if self.digests_of_arrays is None:
            return {}
        try:
            table = json.loads(self.digests_of_arrays)
            return {
                name: Pieces.read(table[name], one.values.shape)
                for name, one in self.variables.items()
            }
        except (TypeError, ValueError, KeyError, RecursionError):
            pass
        raise UnreadableFile(
            f"{self.place} has no digests of its arrays (attribute {DIGESTS_OF_ARRAYS!r}); "
            "teacherstudent did not write it."
        )

    def check_arrays(self) -> None:
        """Raise UnreadableFile unless all numbers are what was written; those in a file are read
        piece by piece.
        """
        for name, pieces in self.pieces().items():
            values = self.variables[name].values
            for slices in slices_of_pieces(values.shape, pieces.shape):
                if not pieces.agree(values.shape, slices, piece_of(values, slices)):
                    raise not_what_was_written(self.place, name)


class Pieces(NamedTuple):
    """The digests of an array, piece by piece; all pieces have this shape, but for those at the
    ends.
    """

    shape: tuple[int, ...]
    digests: tuple[str, ...]

    @classmethod
    def of(cls, values: Array) -> "Pieces":
        """The digests of an array, which is read piece by piece."""
        shape = shape_of_pieces(values.shape, values.dtype.itemsize)
        found = [digest_of(piece_of(values, one)) for one in slices_of_pieces(values.shape, shape)]
        return cls(shape, tuple(found))

    @classmethod
    def read(cls, listed: Any, whole: tuple[int, ...]) -> "Pieces":
        """What stands in the table of a file; ValueError unless it fits an array of this shape."""
        shape, digests = listed
        lengths = all(isinstance(length, int) and length > 0 for length in shape)
        if not lengths or len(shape) != len(whole):
            raise ValueError("pieces of an array of another shape")
        if len(digests) != math.prod(grid_of_pieces(whole, tuple(shape))):
            raise ValueError("digests of an array of another length")
        return cls(tuple(shape), tuple(map(str, digests)))

    def agree(self, whole: tuple[int, ...], slices: Slices, values: np.ndarray) -> bool:
        """Whether a piece of an array of the shape `whole` is what was written."""
        number = 0
        for part, length, count in zip(
            slices, self.shape, grid_of_pieces(whole, self.shape), strict=True
        ):
            number = number * count + part.start // length
        return digest_of(values) == self.digests[number]


def shape_of_pieces(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The shape of pieces of an array that lie in one run in memory, and are not too large."""
    remaining = max(1, LARGEST_PIECE // itemsize)
    lengths: list[int] = []
    for length in reversed(shape):
        lengths.insert(0, max(1, min(length, remaining)))
        remaining //= lengths[0]
    return tuple(lengths)


def grid_of_pieces(whole: tuple[int, ...], piece: tuple[int, ...]) -> tuple[int, ...]:
    """The number of pieces along each axis."""
    return tuple(-(-length // part) for length, part in zip(whole, piece, strict=True))


def slices_of_pieces(whole: tuple[int, ...], piece: tuple[int, ...]) -> Iterator[Slices]:
    """Where the pieces of an array are, in the order of its numbers in memory."""
    along = [
        [slice(begin, min(begin + part, length)) for begin in range(0, length, part)]
        for length, part in zip(whole, piece, strict=True)
    ]
    yield from product(*along)


def piece_of(values: Array, slices: Slices) -> np.ndarray:
    """A piece of an array, as an array also where it is a single number or text."""
    return np.asarray(values[slices], values.dtype)


def not_what_was_written(place: str, name: str = "") -> UnreadableFile:
    """The error for a group, or for an array in it, that is not what its digest says."""
    array = f" in {name!r}" if name else ""
    return UnreadableFile(
        f"{place} is not what was written{array} ({DIGEST} differs): the file is damaged, or was "
        "changed by hand; if you meant that, read it with xarray and save it anew."
    )


def table_of(variables: Mapping[str, Variable]) -> str:
    """The digests of arrays as the text that is kept of them."""
    return json.dumps({name: Pieces.of(one.values) for name, one in sorted(variables.items())})


def digest_of_outline(group: Group, table: str) -> str:
    """A hash of all that is in a group but the numbers, of which it has the table."""
    return hashlib.sha256(json.dumps([_outline(group), table]).encode()).hexdigest()


def digest_of_everything(group: Group) -> str:
    """A hash of all that is in a group and of the names of the groups in it."""
    digest = hashlib.sha256(json.dumps(_outline(group)).encode())
    for _, one in sorted(group.variables.items()):
        values = one.values
        if values.dtype.hasobject:
            digest.update(_bytes(piece_of(values, tuple(slice(0, n) for n in values.shape))))
            continue
        piece = shape_of_pieces(values.shape, values.dtype.itemsize)
        for slices in slices_of_pieces(values.shape, piece):
            digest.update(_bytes(piece_of(values, slices)))
    return digest.hexdigest()


def digest_of(values: np.ndarray) -> str:
    """A hash of the numbers, or of the texts, of an array or of a piece of one."""
    return hashlib.sha256(_bytes(values)).hexdigest()


def _outline(group: Group) -> dict[str, Any]:
    return {
        "attributes": _listed(group.attributes),
        "variables": [
            [name, one.dims, one.values.dtype.str, one.values.shape, _listed(one.attributes)]
            for name, one in sorted(group.variables.items())
        ],
        "groups": sorted(group.groups),
    }


def _listed(attributes: dict[str, Any]) -> list:
    return [[name, _plain(value)] for name, value in sorted(attributes.items())]


def _plain(value: Any) -> Any:
    """An attribute as JSON can hold it, without rounding."""
    if isinstance(value, str | list):
        return value
    return [value.dtype.str, value.shape, bytes(_bytes(value)).hex()]


def _bytes(values) -> bytes | memoryview:
    """What is hashed of an array."""
    if values.dtype.hasobject:
        return json.dumps(values.ravel().tolist()).encode()
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
