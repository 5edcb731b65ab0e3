"""Arrays that lie in an open HDF5 file: their shape is known, their numbers are read when they are
used.
"""

import math
import zlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5s, h5t, h5z

from teacherstudent.results.digests import Pieces, Slices, not_what_was_written
from teacherstudent.results.hdf5_opening import UnreadableFile


class StoredArray:
    """An array of numbers or texts in an open file, at `place` under `name`.

    `use(count)` is told how many bytes a text has in memory, and may raise UnreadableFile.
    """

    def __init__(
        self,
        file: h5py.File,
        dataset: h5d.DatasetID,
        place: str,
        name: str,
        use: Callable[[int], None],
    ):
        self.file = file  # which closes when nobody holds it any more
        self.dataset = dataset
        self.place = place
        self.name = name
        self.use = use
        self.shape: tuple[int, ...] = dataset.shape
        self.kind = dataset.get_type()
        self.how = dataset.get_create_plist()
        self.is_text = has_variable_length(self.kind)
        self.filters = [self.how.get_filter(one)[0] for one in range(self.how.get_nfilters())]
        self.unpacks_well = h5z.FILTER_DEFLATE not in self.filters

    def __getitem__(self, slices: Slices) -> np.ndarray:
        """A part of the numbers, as HDF5's checksums let them pass."""
        if not self.dataset.valid:
            raise UnreadableFile(
                f"{self.place} cannot be read any more, because the file was closed; load it again."
            )
        try:
            self._check_unpacking()
            return self._texts(slices) if self.is_text else self._numbers(slices)
        except UnreadableFile:
            raise
        except MemoryError:
            raise self._refuse(f"has more numbers of {self.name!r} than memory holds.") from None
        except Exception:  # of HDF5, in whatever it stumbled over
            reason = "cannot be read"
            if h5z.FILTER_FLETCHER32 in self.filters:
                reason = "do not match their checksum"
            raise self._refuse(
                f"has numbers of {self.name!r} that {reason}: the file is damaged."
            ) from None

    @cached_property
    def dtype(self) -> np.dtype:
        return np.dtype(object) if self.is_text else self.kind.dtype

    @property
    def size_in_memory(self) -> int:
        """Bytes of its numbers, or of the references to its texts."""
        return math.prod(self.shape) * self.dtype.itemsize

    def whole(self) -> np.ndarray:
        """All of the numbers, or texts."""
        return self[tuple(slice(0, length) for length in self.shape)]

    def check(self, pieces: Pieces, slices: Slices, values: np.ndarray) -> None:
        """Raise UnreadableFile unless the numbers of a piece are what was written."""
        if not pieces.agree(self.shape, slices, values):
            raise not_what_was_written(self.place, self.name)

    def _numbers(self, slices: Slices) -> np.ndarray:
        values = np.empty([part.stop - part.start for part in slices], self.dtype)
        if values.shape == self.shape:
            self.dataset.read(h5s.ALL, h5s.ALL, values)
        elif values.size:
            begin = tuple(part.start for part in slices)
            space = self.dataset.get_space()
            space.select_hyperslab(begin, values.shape)
            self.dataset.read(h5s.create_simple(values.shape), space, values)
        return values

    def _texts(self, slices: Slices) -> np.ndarray:
        """The texts one by one, since many may be the same long one."""
        begin = [part.start for part in slices]
        values = np.empty([part.stop - part.start for part in slices], object)
        # h5py's own reading of one entry takes ten times as long as HDF5's.
        encoding = h5py.check_string_dtype(self.dataset.dtype).encoding
        text = np.empty((1,), self.dataset.dtype)
        space, one = self.dataset.get_space(), h5s.create_simple((1,))
        for index in np.ndindex(values.shape):
            if self.shape:
                space.select_hyperslab(tuple(np.add(begin, index).tolist()), (1,) * len(self.shape))
            self.dataset.read(one, space, text)
            values[index] = text[0].decode(encoding)
            self.use(len(values[index]))
        return values

    def _check_unpacking(self) -> None:
        """Raise UnreadableFile if gzip makes more of a chunk than its numbers; HDF5 would unpack
        all of it.
        """
        if self.unpacks_well:
            return
        chunk = self.how.get_chunk()
        size = math.prod(chunk) * self.dtype.itemsize
        if h5z.FILTER_FLETCHER32 in self.filters:
            size += 4
        stored: list[Any] = []
        self.dataset.chunk_iter(stored.append)
        for one in stored:
            self._check_unpacked(self.dataset.read_direct_chunk(one.chunk_offset)[1], size)
        self.unpacks_well = True

    def _check_unpacked(self, packed: bytes, size: int) -> None:
        unpacking = zlib.decompressobj()
        try:
            count = len(unpacking.decompress(packed, size + 1))
        except zlib.error:
            raise self._refuse(
                f"has numbers of {self.name!r} that cannot be unpacked: the file is damaged."
            ) from None
        if count > size:
            raise self._refuse(f"has {self.name!r} packed to unpack to more than it declares.")

    def _refuse(self, reason: str) -> UnreadableFile:
        return UnreadableFile(f"{self.place} {reason}")


def has_variable_length(kind: h5t.TypeID) -> bool:
    return kind.get_class() == h5t.STRING and bool(kind.is_variable_str())
