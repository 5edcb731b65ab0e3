"""Opening an HDF5 file, or saying in one sentence why it cannot be opened."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

import h5py


class UnreadableFile(ValueError):
    """Says why a file is not read, with its name and the group."""


class ForeignFile(UnreadableFile):
    """Says of a file that it is none of ours, as far as can be seen."""


def size_of_file(path: Path) -> int:
    """The bytes of an ordinary file that is not empty."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist.") from None
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be read: {error.strerror}.") from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"{path} is a folder; name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(
            f"{path} is not an ordinary file (a device, a pipe or a socket); name another one."
        )
    if status.st_size == 0:
        raise ForeignFile(f"{path} is empty; it has no results in it.")
    return status.st_size


def close(file: h5py.File) -> None:
    """Close a file, which may be damaged and not close well."""
    with suppress(Exception):
        file.close()


def open_file(path: Path) -> h5py.File:
    """A file that is open for reading, and is to be closed."""
    try:
        return h5py.File(path, "r", locking="best-effort")  # without, where the disk knows no locks
    except Exception as error:
        failure = error
    if "unable to lock file" in str(failure):
        raise BlockingIOError(errno.EAGAIN, _locked(path))
    if "file is already open for" in str(failure):
        return _open_beside_writer(path)
    if isinstance(failure, PermissionError):
        raise PermissionError(errno.EACCES, f"{path} cannot be read: no permission.")
    if "truncated file: eof" in str(failure):
        raise UnreadableFile(
            f"{path} is cut off: it is shorter than it says of itself; copy it anew."
        )
    if _is_hdf5(path):
        raise UnreadableFile(f"{path} cannot be read: it is a damaged HDF5 file.")
    raise ForeignFile(f"{path} cannot be read: it is not an HDF5 file, or a damaged one.")


def _open_beside_writer(path: Path) -> h5py.File:
    """A file whose writer allows readers beside it (single writer, multiple readers)."""
    with suppress(Exception):
        return h5py.File(path, "r", swmr=True)
    raise BlockingIOError(errno.EAGAIN, _locked(path))


def _locked(path: Path) -> str:
    return (
        f"{path} is locked by another process, or by this one: it is open for writing (or its "
        "writer was killed); close it there and try again."
    )


def _is_hdf5(path: Path) -> bool:
    try:
        return bool(h5py.is_hdf5(path))
    except Exception:
        return False
