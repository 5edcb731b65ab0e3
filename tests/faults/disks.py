"""Disks: full, read-only, or beyond their quota, at every single operation of whatever is written.

What was there before is unchanged, what is new is whole or not there, no half of a file is left,
the sentence names the file; and what had been computed is still there when the disk is good again.
"""

import atexit
import errno
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import teacherstudent as ts
from teacherstudent.command.unfinished import Unfinished
from teacherstudent.results import checkpoint_files
from tests.faults.trial import Trial, report
from tests.interrupted_runs import same_results

BEFORE = b"what was there before"
REFUSALS = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
RUNS = 300  # of whole runs
TABLES = {
    "title": "A run on a bad disk",
    "task": {"type": "TeacherStudent", "width": 1, "activation": "linear"},
    "student": {"width": 1, "activation": "linear"},
    "rule": {"type": "SGD", "learning_rate": 0.3},
    "start": {"Q": [[0.5]], "R": [[0.1]]},
    "times": {"stop": 5.0, "points": 4},
    "simulation": {"N": [30, 40], "seeds": 2},
}


class _File:
    """A file whose writing may be refused."""

    def __init__(self, file, check: Callable[[], None]):
        self.file, self.check = file, check

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.check()
        return self.file.write(content)

    def __getattr__(self, name):
        return getattr(self.file, name)


class _Disk:
    """A disk that refuses the n-th operation of one kind, and all later ones if it stays bad."""

    KINDS = ("mkstemp", "write", "fsync", "replace", "mkdir")

    def __init__(self, kind: str, number: int, refusal: int, stays: bool):
        self.kind, self.number, self.refusal, self.stays = kind, number, refusal, stays
        self.counts = dict.fromkeys(self.KINDS, 0)
        self.patches: list[Any] = []

    def _check(self, kind: str) -> None:
        self.counts[kind] += 1
        count = self.counts[kind]
        if kind == self.kind and (count == self.number or (self.stays and count > self.number)):
            raise OSError(self.refusal, os.strerror(self.refusal))

    def _watched(self, kind: str, function: Callable) -> Callable:
        def call(*arguments, **options):
            self._check(kind)
            return function(*arguments, **options)

        return call

    def __enter__(self):
        opened = os.fdopen
        check = functools.partial(self._check, "write")
        self.patches = [
            mock.patch.object(tempfile, "mkstemp", self._watched("mkstemp", tempfile.mkstemp)),
            mock.patch.object(os, "fdopen", lambda *given: _File(opened(*given), check)),
            mock.patch.object(os, "fsync", self._watched("fsync", os.fsync)),
            mock.patch.object(os, "replace", self._watched("replace", os.replace)),
            mock.patch.object(os, "mkdir", self._watched("mkdir", os.mkdir)),
        ]
        for patch in self.patches:
            patch.start()
        return self

    def __exit__(self, *_):
        for patch in self.patches:
            patch.stop()


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Every operation of each thing that is written, and of some whole runs."""
    rng = np.random.default_rng(seed)
    for name, act in ACTS.items():
        wanted = list(_operations(name))
        if name == "run" and len(wanted) > share * RUNS:
            few = max(10, int(share * RUNS))
            wanted = [wanted[i] for i in rng.choice(len(wanted), min(few, len(wanted)), False)]
        for kind, number in wanted:
            refusal, stays = int(rng.choice(REFUSALS)), bool(rng.integers(2))
            yield Trial(
                f"{name}: {kind} {number}, {errno.errorcode[refusal]}, stays {stays}",
                functools.partial(_is_whole, act, kind, number, refusal, stays),
                may_refuse=False,
                trains=True,
            )


def _operations(name: str) -> Iterator[tuple[str, int]]:
    """The operations of an act on a good disk."""
    folder = _new()
    with _eager(), _Disk("", 0, 0, False) as disk:
        ACTS[name](folder)
    for kind, count in disk.counts.items():
        for number in range(1, count + 1):
            yield kind, number


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="teacherstudent-disks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _new() -> Path:
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    for name in ("x.h5", "x.png"):
        (folder / name).write_bytes(BEFORE)
    return folder


def _eager():
    return mock.patch.multiple(checkpoint_files, EVERY_SECONDS=0.0, WORTH_KEEPING=0.0)


@functools.cache
def _experiment() -> ts.Experiment:
    return ts.Experiment.from_tables("bad-disk", TABLES)


@functools.cache
def _straight():
    return _experiment().run(progress=False)


def _save(folder: Path) -> None:
    ts.save(folder / "x.h5", _straight(), force=True)


def _plot(folder: Path) -> None:
    ts.plot(_straight(), folder / "x.png")


def _simulate(folder: Path) -> None:
    plan = _experiment().plan
    given = (plan.problem, plan.start, plan.times)
    networks = ts.simulate(*given, N=30, seeds=2, progress=False, checkpoint=folder / "sim.ckpt")
    assert np.array_equal(networks.Q, _straight()["simulation/N_30"].Q)


def _integrate(folder: Path) -> None:
    plan = _experiment().plan
    given = (plan.problem, plan.start, plan.times)
    theory = ts.integrate(*given, progress=False, checkpoint=folder / "theory.ckpt")
    assert np.array_equal(theory.Q, _straight()["theory"].Q)


def _run(folder: Path) -> None:
    """What the command line does."""
    experiment, out = _experiment(), folder / "deep" / "x.h5"
    with Unfinished.beside(out) as unfinished:
        unfinished.begin(experiment.mark(False), resume=True, anew=False)
        tree = experiment.run_in(unfinished, False, None, False)
        ts.save(out, tree, force=True)
        unfinished.delete()


WRITTEN_BY: dict[Callable, str] = {_save: "x.h5", _plot: "x.png"}
ACTS = {
    "save": _save,
    "plot": _plot,
    "simulate": _simulate,
    "integrate": _integrate,
    "run": _run,
}


def _is_whole(act: Callable, kind: str, number: int, refusal: int, stays: bool) -> bool:
    folder = _new()
    said = ""
    with _eager(), _Disk(kind, number, refusal, stays):
        try:
            act(folder)
        except OSError as error:
            said = str(error.strerror)
    if said and (str(folder) not in said or os.strerror(refusal) not in said):
        return _fault(f"the sentence does not name the file, or why: {said!r}")
    half = list(folder.rglob("*.tmp"))
    if half:
        return _fault(f"half of a file is left: {half}")
    for name in ("x.h5", "x.png"):
        content = (folder / name).read_bytes()
        new = WRITTEN_BY.get(act) == name and not said
        if (content == BEFORE) == new:
            return _fault(f"{name} was changed, or was not, and it said {said!r}")
    if act is _run:
        return _is_recovered(folder, said)
    shutil.rmtree(folder)
    return True


def _is_recovered(folder: Path, said: str) -> bool:
    """Whether the result is there, or comes from what is kept when the disk is good again."""
    out = folder / "deep" / "x.h5"
    if not said and not out.exists():
        return _fault("nothing was said, and there is no result")
    if said:
        with _eager():
            _run(folder)
    same = same_results(out, _straight())
    shutil.rmtree(folder)
    return same or _fault("other numbers")


def _fault(what: str) -> bool:
    report(f"    {what}")
    return False
