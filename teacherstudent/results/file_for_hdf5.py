"""What HDF5's library writes to in the place of a file.

Where a write fails, as on a full disk, the library crashes when it closes the file.  Here it is
never told of a failure: the first one is kept, and raised when the library is done.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any


class FileForHDF5(io.RawIOBase):
    """An open file as h5py takes one, whose reads and writes do not fail."""

    def __init__(self, file: IO[bytes]):
        self.raw = io.FileIO(file.fileno(), "r+b", closefd=False)
        self.position = 0
        self.size = self.raw.seek(0, os.SEEK_END)
        self.failure: OSError | None = None

    @contextmanager
    def failures_raised(self) -> Iterator[None]:
        """Raise the first failure at the end, rather than what HDF5 makes of what is missing."""
        try:
            yield
        except Exception:
            if self.failure is None:
                raise
        if self.failure is not None:
            raise self.failure

    def check(self) -> None:
        """Raise the first failure, if there was one: no more needs to be written."""
        if self.failure is not None:
            raise self.failure

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = begin + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def write(self, content: Any) -> int:
        """Write what has a buffer, all of it."""
        content = memoryview(content)
        length = len(content)
        try:
            self.raw.seek(self.position)
            while self.failure is None and len(content):
                content = content[self.raw.write(content) or 0 :]
        except OSError as error:
            self.failure = error
        self.position += length
        self.size = max(self.size, self.position)
        return length

    def readinto(self, buffer: Any) -> int:
        """What is there; zeros in the place of what could not be written or read."""
        buffer = memoryview(buffer)
        filled, count = 0, None
        try:
            self.raw.seek(self.position)
            while filled < len(buffer) and count != 0:
                count = self.raw.readinto(buffer[filled:]) or 0
                filled += count
        except OSError as error:
            self.failure = self.failure or error
        buffer[filled:] = bytes(len(buffer) - filled)
        self.position += len(buffer)
        return len(buffer)

    def truncate(self, size: int | None = None) -> int:
        self.size = self.position if size is None else size
        try:
            self.raw.truncate(self.size)
        except OSError as error:
            self.failure = self.failure or error
        return self.size

    def flush(self) -> None:
        """Everything is written at once."""
