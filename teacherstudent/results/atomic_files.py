"""Files that are whole or not there: written beside their place under a temporary name, then
renamed.

The temporary name says which process of which machine writes it, so that what a killed process has
left behind can be told from what another one is writing now.
"""

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from teacherstudent.checking import checks

TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<host>[^.]+)-(?P<process>\d+)-[^.]+\.tmp")


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is whole or not there.

    A link is followed: the file that it names is replaced, and the link stays.

    Raises OSError that names the file, where the disk refuses; what was there before is unchanged.
    """
    with replacement(path) as file:
        file.write(content)


@contextmanager
def replacement(path: Path) -> Iterator[IO[bytes]]:
    """A file to write and read, which takes the place of `path` if all goes well to the end.

    Follows links and raises OSError as `write_atomically`.
    """
    temporary = None
    try:
        place = followed(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=place.parent, prefix=f".{place.name}.{_this_process()}-", suffix=".tmp"
        )
        with os.fdopen(handle, "w+b") as file:
            yield file
            _flush_to_disk(file)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, place)
    except OSError as error:
        raise OSError(
            error.errno, f"{path} could not be written ({error.strerror}); nothing was changed."
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def followed(path: Path) -> Path:
    """The file that a link names, whether or not it is there yet; any other path as it is."""
    if path.is_symlink():
        return Path(os.path.realpath(path))
    return path


def sweep_temporaries(path: Path) -> None:
    """Delete what processes of this machine that are dead have left half-written of a file."""
    place = followed(path)
    sweep_folder(place.parent, place.name)


def sweep_folder(folder: Path, name: str | None = None) -> None:
    """The same of all files in a folder, or of the one of a name."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            found = TEMPORARY.fullmatch(entry.name)
            if found is None or name not in (None, found["name"]) or found["host"] != _host():
                continue
            if not is_alive(int(found["process"])):
                with suppress(OSError):
                    os.unlink(entry.path)


def is_alive(process: int) -> bool:
    """Whether a process of this machine still runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def check_writable(path: str | os.PathLike, *, force: bool = False) -> None:
    """Raise before any work if a result could not be written to `path`; sweep away what killed
    processes have left of it.
    """
    path = checks.path("path", path)
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass  # it is to be made
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be written: {error.strerror}.") from None
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file, such as {path / 'result.h5'}.")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not an ordinary file (a device or a pipe); name another one.")
    if path.exists() and not force:
        raise FileExistsError(
            f"{path} exists; choose another name, or pass force (--force) to replace it."
        )
    parent = next(folder for folder in followed(path).absolute().parents if folder.exists())
    if not parent.is_dir():
        raise NotADirectoryError(
            f"{path} cannot be written: {parent} is a file, not a folder; choose another place."
        )
    if not os.access(parent, os.W_OK):
        raise PermissionError(
            f"{path} cannot be written: no permission in {parent}; choose another folder."
        )
    _check_length_of_name(followed(path), parent)
    sweep_temporaries(path)


def _check_length_of_name(path: Path, folder: Path) -> None:
    """Raise ValueError for a name that the file system takes, but not with what a temporary file
    has in addition.
    """
    try:
        longest = os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return
    added = len(f"..{_this_process()}-12345678.tmp")
    length = len(os.fsencode(path.name))
    if length + added > longest:
        raise ValueError(
            f"{path.name[:40]}... is a name of {length} bytes, and the file is written under a "
            f"temporary one that is {added} longer, of at most {longest}; choose a shorter name."
        )


def _this_process() -> str:
    return f"{_host()}-{os.getpid()}"


def _host() -> str:
    """The name of this machine, as it stands in the name of a file."""
    return re.sub(r"[^A-Za-z0-9_]", "_", socket.gethostname())[:40] or "host"


def _flush_to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
