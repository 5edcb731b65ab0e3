"""What a sweep has computed, point by point, in a folder beside its output.

Each file holds what one job answered: a few points of a theory, or one point of a simulation.  It
is whole or not there, and has a digest; a point is found by its name (`keys.py`).  One process
writes, so that no file is ever changed: HDF5 files cannot grow so, and a kill in the middle costs
no more than the jobs that were running.
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import filelock

from teacherstudent.checking.warn import warn_user
from teacherstudent.results import array_files
from teacherstudent.results.atomic_files import (
    check_writable,
    followed,
    sweep_folder,
    write_atomically,
)
from teacherstudent.sweeps.values import Answers, answers_from

ENDING = ".points"
PROGRESS = "progress.json"
SO_FAR = "so_far.h5"
LOCK = "lock"


def folder_of(out: Path) -> Path:
    """The folder of the store of an output."""
    place = followed(out)
    return place.with_name(place.name + ENDING)


class Store:
    """The answers in a folder; `close` it, so that another sweep may use it.

    Raises BlockingIOError if another process uses it now.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        check_writable(folder / PROGRESS, force=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise BlockingIOError(
                f"{folder} is in use by another sweep that runs now; wait for it, or give another "
                "out."
            ) from None
        except NotImplementedError:  # a file system without locks
            pass
        sweep_folder(folder)
        self._files: dict[str, Path] = {}  # by the name of a point
        self._index()

    def __contains__(self, key: str) -> bool:
        return key in self._files

    def add(self, answers: Answers) -> None:
        """Keep the answers of a job; when this returns they are on the disk.

        Raises OSError where the disk refuses.
        """
        path = self.folder / f"{answers.keys[0][:32]}-{len(answers.keys)}.npz"
        array_files.write(path, answers.arrays())
        for key in answers.keys:
            self._files[key] = path

    def read(self, keys: Iterable[str]) -> Iterator[Answers]:
        """All answers that have one of these points."""
        paths = dict.fromkeys(self._files[key] for key in keys)
        for path in paths:
            yield answers_from(array_files.read(path))

    def note_progress(self, **facts: Any) -> None:
        """Write how far the sweep is, for `status`; a full disk does not stop it for that."""
        facts["time"] = time.time()
        with suppress(OSError):
            write_atomically(self.folder / PROGRESS, json.dumps(facts).encode())

    def close(self) -> None:
        """Let others use the folder."""
        self._lock.release()

    def _index(self) -> None:
        """Find what is there; a damaged file is set aside, and its points are computed anew."""
        for path in sorted(self.folder.glob("*.npz")):
            try:
                keys = answers_from(array_files.read(path)).keys
            except Exception:  # each layer of NumPy and zipfile has errors of its own
                path.rename(path.with_suffix(".damaged"))
                warn_user(
                    f"{path} is damaged: it is set aside as {path.stem}.damaged, and its points "
                    "are computed anew."
                )
                continue
            for key in keys:
                self._files[key] = path


def is_in_use(folder: Path) -> bool:
    """Whether a sweep writes to a folder now."""
    lock = filelock.FileLock(folder / LOCK)
    try:
        with lock.acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True
    except NotImplementedError:  # a file system without locks, which cannot tell
        return False


def progress_of(folder: Path) -> dict | None:
    """What the last sweep in a folder noted of its progress; None if it noted nothing."""
    try:
        facts = json.loads((folder / PROGRESS).read_text())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None
