"""A folder of files that may be run: written by this user, and whole.

Who can change a compiled program, or the pickle that it comes in, can do all that its user can.  So
each folder, from the cache folder of the platform down, is opened from within the one above it,
follows no link, and is looked at after it is opened; so is each file.  A file begins with a code of
its name and content, keyed with a secret of this folder (HMAC, SHA-256): one flipped bit, a file
that was cut, moved from elsewhere or given another name is not read.
"""

import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SECRET = "secret"
SECRET_BYTES = 32
CODE_BYTES = 32
MOST_FILES, MOST_BYTES = 400, 2**28  # those not read for the longest time go first
LARGEST = 2**28
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
FOLDER = os.O_RDONLY | NO_LINK | getattr(os, "O_DIRECTORY", 0)
# Without waiting for the other end, should it be a pipe.
FILE = os.O_RDONLY | NO_LINK | getattr(os, "O_NONBLOCK", 0)
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK


class UnsafeFolderError(Exception):
    """A folder whose files somebody else may have written; the sentence names it, and says why."""


class PrivateFolder:
    """The folder root/names[0]/names[1]/... below `root`, the cache folder of the platform."""

    def __init__(self, root: Path, names: tuple[str, ...]):
        """Make the folder, if it is not there.

        Raises UnsafeFolderError if others can write to it, and OSError if it cannot be made or
        used.
        """
        self.root, self.names = root, names
        self.path = root.joinpath(*names)
        with self._opened(make=True) as folder:
            _check_writable(folder, self.path)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none that is this user's own and whole."""
        with suppress(OSError, UnsafeFolderError), self._opened() as folder:
            secret = _own_content(folder, SECRET, others_read=False)
            content = _own_content(folder, name)
            if secret is None or len(secret) != SECRET_BYTES or content is None:
                return None
            code, rest = content[:CODE_BYTES], content[CODE_BYTES:]
            if hmac.compare_digest(code, _code(secret, name, rest)):
                return rest
        return None

    def write(self, name: str, content: bytes) -> None:
        """Keep a file if that is possible; a reader never sees half of one."""
        with suppress(OSError, UnsafeFolderError), self._opened() as folder:
            secret = _secret(folder)
            if secret is not None and len(content) <= LARGEST - CODE_BYTES:
                _replace(folder, name, _code(secret, name, content) + content)
                _drop_oldest(folder)

    @contextmanager
    def _opened(self, make: bool = False) -> Iterator[int]:
        """The descriptor of the folder, each part of whose path is checked."""
        if not _owners_are_known():
            raise OSError("this system does not tell whose a file is.")
        if not self.root.is_absolute():
            raise UnsafeFolderError(f"the cache folder {self.root} is not an absolute path")
        if make:
            _make(self.root)
        folder = _open_folder(self.root)
        try:
            _check_folder(folder, self.root, ours=not self.names)
            path = self.root
            for name in self.names:
                path = path / name
                if make:
                    _make(name, folder)
                above, folder = folder, _open_folder(name, folder)
                os.close(above)
                _check_folder(folder, path, ours=True)
            yield folder
        finally:
            os.close(folder)


def _owners_are_known() -> bool:
    """Whether the system has owners, modes, and files opened from within a folder.

    All have but Windows.
    """
    within_folder = {os.open, os.mkdir, os.stat, os.rename, os.unlink} <= os.supports_dir_fd
    return hasattr(os, "geteuid") and hasattr(os, "O_NOFOLLOW") and within_folder


def _make(path: str | Path, within: int | None = None) -> None:
    """A new folder for this user alone, if none is there.

    Its parents must be there: a home that does not exist is not made.
    """
    with suppress(FileExistsError):
        os.mkdir(path, 0o700, dir_fd=within)


def _open_folder(path: str | Path, within: int | None = None) -> int:
    # Opening refuses a link too, but this sentence says what is wrong.
    if stat.S_ISLNK(os.stat(path, dir_fd=within, follow_symlinks=False).st_mode):
        raise UnsafeFolderError(f"the cache folder {path} is a link")
    return os.open(path, FOLDER, dir_fd=within)


def _check_folder(folder: int, path: Path, ours: bool) -> None:
    """Raise UnsafeFolderError if others can put files in an open folder.

    A folder of `ours` must belong to this user; one above it may be the system's.
    """
    found = os.fstat(folder)
    user = os.geteuid()
    if found.st_uid != user and (ours or found.st_uid != 0):
        raise UnsafeFolderError(f"the cache folder {path} belongs to another user")
    sticky = bool(found.st_mode & stat.S_ISVTX) and not ours  # nobody can move what is not his own
    if found.st_mode & OTHERS_WRITE and not sticky:
        raise UnsafeFolderError(
            f"others can write to the cache folder {path} (chmod go-w {path} forbids it)"
        )


def _check_writable(folder: int, path: Path) -> None:
    """Raise OSError if nothing can be kept in an open folder."""
    if _secret(folder) is None:
        raise OSError(f"nothing can be kept in {path}.")


def _own_content(folder: int, name: str, others_read: bool = True) -> bytes | None:
    """The content of a file that only this user can have written; None for any other."""
    try:
        file = os.open(name, FILE, dir_fd=folder)
    except OSError:
        return None
    with open(file, "rb") as stream:
        found = os.fstat(file)
        forbidden = OTHERS_WRITE if others_read else 0o077
        own = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1
        if not own or found.st_mode & forbidden or found.st_size > LARGEST:
            return None
        content = stream.read(LARGEST)
        with suppress(OSError):
            os.utime(file)  # it is the last one used
    return content


def _secret(folder: int) -> bytes | None:
    """The secret of this folder, a new one if there is none; None if none can be written."""
    secret = _own_content(folder, SECRET, others_read=False)
    if secret is None or len(secret) != SECRET_BYTES:
        with suppress(OSError):
            _replace(folder, SECRET, secrets.token_bytes(SECRET_BYTES))
        # Another process may have written one meanwhile: the last one holds for all.
        secret = _own_content(folder, SECRET, others_read=False)
    if secret is None or len(secret) != SECRET_BYTES:
        return None
    return secret


def _code(secret: bytes, name: str, content: bytes) -> bytes:
    """What nobody knows who does not know the secret."""
    return hmac.digest(secret, name.encode() + b"\0" + content, "sha256")


def _replace(folder: int, name: str, content: bytes) -> None:
    """Write a file for this user alone, all at once."""
    temporary = f"{name}.{os.getpid()}.new"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    try:
        with open(os.open(temporary, NEW_FILE, 0o600, dir_fd=folder), "wb") as stream:
            stream.write(content)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _drop_oldest(folder: int) -> None:
    """Delete what was not read for the longest time, beyond so many files or bytes."""
    found = []
    for name in os.listdir(folder):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if name != SECRET and not stat.S_ISDIR(status.st_mode):
            found.append((status.st_mtime_ns, status.st_size, name))
    bytes_left = MOST_BYTES
    for number, (_, size, name) in enumerate(sorted(found, reverse=True)):
        bytes_left -= size
        if number >= MOST_FILES or bytes_left < 0:
            os.unlink(name, dir_fd=folder)
