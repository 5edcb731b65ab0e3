"""What a run keeps until its output is written: the folder `NAME.h5.unfinished` beside `NAME.h5`.

- `lock`: held by the process that works on this output, so that there is only one.
- `experiment.json`: a fingerprint of the experiment; nothing goes on from parts of another one.
- `result.h5`: the parts that are finished, an ordinary result file to look at meanwhile.
- `*.ckpt`: the state of the part at work, and of finished ones that no file holds yet.

What is not worth keeping, because it took only a few seconds, is not kept.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import filelock
import xarray as xr

import teacherstudent as ts
from teacherstudent.checking import checks
from teacherstudent.checking.warn import warn_user
from teacherstudent.interruptions import UNTIL_WRITTEN, waited_for
from teacherstudent.results import checkpoint_files
from teacherstudent.results.atomic_files import followed, write_atomically
from teacherstudent.results.datasets import as_tree

ENDING = ".unfinished"
RESULT = "result.h5"
DESCRIPTION = "experiment.json"
LOCK = "lock"
CHECKPOINT = ".ckpt"
MOST_NAMED = 3  # checkpoints in a sentence
ATTEMPTS = 5  # to lock a folder that another process is just deleting

# Work that answers with one part of a result, and keeps its state in a file, if it is given one.
Work = Callable[[Path | None], xr.Dataset]


@dataclass(frozen=True)
class Parts:
    """Where the parts of one result belong: in a folder, or nowhere (None).

    - `group`: of a variant, its place in the file, "variants/NAME/".
    - `stem`: the same in the names of files, which its label may not suit: "variant-3-".
    """

    folder: Unfinished | None = None
    group: str = ""
    stem: str = ""

    def of_variant(self, number: int, label: str) -> Parts:
        """The parts of one of several variants."""
        return Parts(self.folder, f"variants/{label}/", f"variant-{number}-")

    def part(self, name: str, work: Work) -> xr.Dataset:
        """A part by its name, such as "simulation/N_250": what is kept of it, or the work's."""
        if self.folder is None:
            return work(None)
        checkpoint = f"{self.stem}{name.replace('/', '-')}{CHECKPOINT}"
        return self.folder.part(self.group + name, checkpoint, work)


class Unfinished:
    """The folder of one run, locked while it is open as a context."""

    def __init__(self, path: str | os.PathLike):
        self.path = checks.path("unfinished", path)
        self.finished: dict[str, xr.Dataset] = {}
        self.checkpoints: list[str] = []  # of finished parts that no file holds yet
        self.goes_on = False
        self.unwritten = False
        self.made: list[Path] = []

    @classmethod
    def beside(cls, out: Path) -> Unfinished:
        """The folder of an output; of a link, beside the file that it names."""
        place = followed(out)
        return cls(place.with_name(place.name + ENDING))

    def __enter__(self) -> Unfinished:
        """Lock the folder.  Raises FileExistsError if another process has it."""
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise FileExistsError(
                f"{self.path} is a file or a link, where this run is to keep what is unfinished; "
                "move it away."
            )
        self.lock = filelock.FileLock(self.path / LOCK)
        for _ in range(ATTEMPTS):
            self._make()
            with suppress(FileNotFoundError):  # another process has just deleted it
                self._acquire()
                if (self.path / LOCK).exists():
                    break
                self.lock.release()
        self.began = self.saved = time.monotonic()
        return self

    def _make(self) -> None:
        """Make the folder, and remember what was made for it."""
        if self.path.exists():
            return
        missing = [one for one in (self.path, *self.path.parents) if not one.exists()]
        self.made = missing[1:]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                error.errno, f"{self.path} could not be made ({error.strerror}); nothing was done."
            ) from error

    def _acquire(self) -> None:
        try:
            self.lock.acquire(timeout=0)
        except filelock.Timeout:
            raise FileExistsError(
                f"{self.path} is in use: another process works on the same output; wait for it, or "
                "give another --out."
            ) from None
        except NotImplementedError:  # a file system without locks
            return
        except FileNotFoundError:
            raise
        except OSError as error:
            raise OSError(
                error.errno,
                f"{self.path / LOCK} could not be made ({error.strerror}); nothing was done.",
            ) from error

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        """Keep what is finished and worth it, and unlock; a folder with nothing in it goes."""
        with waited_for(UNTIL_WRITTEN):
            if self.path.exists():
                if not self._is_worth_keeping():
                    self.delete()
                elif self.unwritten:
                    self._write_finished()
                if self.path.exists() and not self.has_something():
                    self.delete()
            self.lock.release()

    def _is_worth_keeping(self) -> bool:
        seconds = time.monotonic() - self.began
        return self.goes_on or seconds >= checkpoint_files.WORTH_KEEPING

    def has_something(self) -> bool:
        """Whether an earlier run has left something to go on from."""
        return (self.path / RESULT).exists() or bool(self._names_of_checkpoints())

    def _names_of_checkpoints(self) -> list[str]:
        with suppress(OSError):
            names = sorted(os.listdir(self.path))
            return [name for name in names if CHECKPOINT in name and not name.startswith(".")]
        return []

    def begin(self, mark: str, resume: bool, anew: bool) -> None:
        """Take over what is there, if it is of this experiment and `resume` asks for it.

        With `anew` it is deleted.  Raises FileExistsError if neither is asked for, or if it is of
        another experiment.
        """
        if self.has_something():
            if anew:
                self._empty()
            else:
                self._check(mark, resume)
                self._take_over()
        described = {"experiment": mark, "teacherstudent": ts.__version__}
        write_atomically(self.path / DESCRIPTION, json.dumps(described).encode())

    def _check(self, mark: str, resume: bool) -> None:
        """Raise FileExistsError for what may not be taken over."""
        if self.mark_there() != mark:
            self.goes_on = True  # it stays
            raise FileExistsError(
                f"{self.path} has what an interrupted run of another experiment, or of another "
                "version, has done; give another --out, or begin anew with --force, which deletes "
                "it."
            )
        if not resume:
            self.goes_on = True
            raise FileExistsError(
                f"{self.path} has what an interrupted run of this experiment has done; go on with "
                "--resume, or begin anew with --force, which deletes it."
            )

    def mark_there(self) -> str | None:
        """The fingerprint of the experiment that the folder is of; None if it has none."""
        try:
            return json.loads((self.path / DESCRIPTION).read_text())["experiment"]
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _take_over(self) -> None:
        self.goes_on = True
        if (self.path / RESULT).exists():
            self.finished = parts_of(ts.load(self.path / RESULT))

    def part(self, group: str, checkpoint: str, work: Work) -> xr.Dataset:
        """A part that is finished, or the work's answer, which then is."""
        if group in self.finished:
            return self.finished[group]
        with checkpoint_files.retained():
            answer = work(self.path / checkpoint)
        self.finished[group] = answer
        self.checkpoints.append(checkpoint)
        self.unwritten = True
        if time.monotonic() - self.saved >= checkpoint_files.WORTH_KEEPING:
            self._write_finished()
        return answer

    def _write_finished(self) -> None:
        """Write the finished parts; where the disk refuses, their checkpoints stay."""
        self.saved = time.monotonic()
        try:
            with waited_for(UNTIL_WRITTEN):
                ts.save(self.path / RESULT, tree_of(self.finished), force=True)
        except OSError as error:
            warn_user(f"{error.strerror or error} The work goes on.")
            return
        self.unwritten = False
        for name in self.checkpoints:
            for found in self._names_of_checkpoints():
                if found == name or found.startswith(f"{name}."):  # of a group of seeds
                    (self.path / found).unlink(missing_ok=True)
        self.checkpoints = []

    def sentence(self) -> str:
        """What is kept where, and how to go on; "" if nothing is."""
        kept = []
        if (self.path / RESULT).exists():
            kept.append(f"finished parts in {RESULT}")
        checkpoints = self._names_of_checkpoints()
        if checkpoints:
            kept.append(
                f"checkpoints {', '.join(checkpoints[:3])}{' ...' * (len(checkpoints) > 3)}"
            )
        if not kept:
            return ""
        return f"{self.path} keeps {' and '.join(kept)}; the same command with --resume goes on."

    def left(self) -> str:
        """The same of a process that ends, also without leaving the context; a folder with nothing
        in it goes.
        """
        if not self.has_something():
            self.delete()
        return self.sentence()

    def _empty(self) -> None:
        """Delete all but the lock."""
        for entry in list(self.path.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != LOCK:
                entry.unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete the folder, and folders that were made for it and are empty."""
        with suppress(OSError):
            self._empty()
            (self.path / LOCK).unlink(missing_ok=True)
            self.path.rmdir()
            for folder in self.made:
                folder.rmdir()


# Groups of a result with one dataset each, which a run makes beside theory and networks.
OF_ONE_DATASET = ("escape", "fixed_point")


def tree_of(parts: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """The result that has these parts, by their places in the file."""
    groups: dict[str, dict[str, xr.Dataset]] = {}
    for place, data in parts.items():
        kind, _, rest = place.partition("/")
        groups.setdefault(kind, {})[rest] = data
    variants: dict[str, dict[str, xr.Dataset]] = {}
    for place, data in groups.get("variants", {}).items():
        label, _, rest = place.partition("/")
        variants.setdefault(label, {})[rest] = data
    return as_tree(
        theory=groups.get("theory", {}).get(""),
        simulation=list(groups.get("simulation", {}).values()) or None,
        **{kind: groups.get(kind, {}).get("") for kind in OF_ONE_DATASET},
        variants={label: tree_of(one) for label, one in variants.items()} or None,
    )


def parts_of(tree: xr.DataTree) -> dict[str, xr.Dataset]:
    """The parts of a result that `tree_of` made, by their places."""
    parts = {}
    for node in tree.subtree:
        if node.data_vars:
            parts[node.path.strip("/")] = node.to_dataset()
    return parts
