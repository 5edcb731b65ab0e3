"""Checkpoints: the state of long work that is not finished, in one file that is replaced
atomically.

It is a file of arrays (`array_files`) with a fingerprint of all that decides the numbers, so that
nothing goes on from the state of something else.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from teacherstudent.checking.warn import warn_user
from teacherstudent.extensions.own_sources import own_sources
from teacherstudent.interruptions import UNTIL_A_STOP, UNTIL_WRITTEN, waited_for
from teacherstudent.results import array_files
from teacherstudent.results.description import describe_problem

EVERY_SECONDS = 60.0  # between two writings
WORTH_KEEPING = 5.0  # seconds of work

_retained: ContextVar[bool] = ContextVar("retained", default=False)


@contextmanager
def retained() -> Iterator[None]:
    """Work whose checkpoint stays at its end, until its answer is in a file as well.

    Who asks for this deletes the checkpoint.  None is left of work that did not take long.
    """
    token = _retained.set(True)
    try:
        yield
    finally:
        _retained.reset(token)


def are_retained() -> bool:
    """Whether checkpoints stay where their work is complete."""
    return _retained.get()


def drop(path: str | os.PathLike | None) -> None:
    """Delete the checkpoint of work that is complete, unless it is retained."""
    if path is not None and not _retained.get():
        Path(path).unlink(missing_ok=True)


def fingerprint(problem, arrays, settings) -> str:
    """A hash of everything that decides the numbers of one problem."""
    described = [describe_problem(problem), settings, own_sources(problem)]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def read(path: str | os.PathLike, mark: str, kind: str, decisive: str) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint; none if there is no such file.

    `kind` says of what it is, `decisive` in what another one may differ.  Raises ValueError if the
    file is no checkpoint, is damaged or belongs to something else.
    """
    path = Path(path)
    if not path.exists():
        return {}
    where = f"checkpoint = {str(path)!r}"
    if not path.is_file():
        raise ValueError(
            f"{where} is not an ordinary file (a folder, a device or a pipe); name another one."
        )
    try:
        content = array_files.read(path)
        mark_of_file = str(content.pop("fingerprint"))
    except array_files.DamagedFile:
        raise ValueError(
            f"{where} is damaged: it is not what was written; delete it to begin anew."
        ) from None
    except Exception as error:
        raise ValueError(
            f"{where} is not a checkpoint of a {kind} of this version, or a damaged one; name "
            "another file, or delete it to begin anew."
        ) from error
    if mark_of_file != mark:
        raise ValueError(
            f"{where} belongs to a {kind} with {decisive}; name another file, or delete it to "
            "begin anew."
        )
    return content


class Writer:
    """Writes one checkpoint.  With no path it does nothing.

    A disk that refuses is told in one warning, and the work goes on.
    """

    def __init__(self, path: str | os.PathLike | None, mark: str):
        self.path = None
        if path:
            self.path = Path(path)
        self.mark = mark
        self.last = self.begun = time.monotonic()
        self.refused = False

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is older than `EVERY_SECONDS`."""
        return self.path is not None and time.monotonic() - self.last >= EVERY_SECONDS

    @property
    def is_wanted_at_the_end(self) -> bool:
        """Whether finished work is worth a checkpoint."""
        return not _retained.get() or time.monotonic() - self.begun >= WORTH_KEEPING

    def write(self, content: Mapping[str, np.ndarray]) -> bool:
        """Write the arrays, if there is a path and the disk takes them; whether it did."""
        if self.path is None:
            return False
        self.last = time.monotonic()
        try:
            with waited_for(UNTIL_WRITTEN):
                marked = {**content, "fingerprint": np.asarray(self.mark)}
                array_files.write(self.path, marked)
        except OSError as error:
            self._warn(error)
            return False
        self.refused = False
        return True

    def _warn(self, error: OSError) -> None:
        """Say once that a disk refuses."""
        if self.refused:
            return
        self.refused = True
        before = "there is none"
        if self.path is not None and self.path.exists():
            before = "the one before is still there"
        reason = os.strerror(error.errno) if error.errno else str(error)
        warn_user(
            f"checkpoint = {str(self.path)!r} could not be written ({reason}), {before}; the work "
            "goes on, and it is tried again later."
        )


@contextmanager
def kept_when_interrupted(writer: Writer, keep: Callable[[], bool]) -> Iterator[None]:
    """Work which, interrupted, is kept by `keep`; the interruption says so, and passes on."""
    try:
        with waited_for(UNTIL_A_STOP):
            yield
    except (KeyboardInterrupt, SystemExit) as leaving:
        if keep():
            leaving.add_note(f"{writer.path} keeps it; the same call goes on from there.")
        raise
