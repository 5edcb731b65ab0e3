"""Kills: real processes of the command line that end at random moments, by Ctrl-C, SIGTERM or
SIGKILL, and are resumed, perhaps to be ended again.  What comes out in the end is the result of a
run that nobody ended, to the last bit; no file is torn, and nothing is left behind.

Each process imports everything anew: forked from one that has imported JAX, some of them crash.
"""

import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests import interrupted_runs
from tests.faults.trial import ROOT, Trial, report

TRIALS = 100  # with two kills each on average
MOST_KILLS = 3  # of one run
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
LONGEST = 300.0  # seconds of one process
HEAD = """
title = "A run that is killed"
times = { stop = STOP, points = 12 }
"""
TEACHER = """
task = { type = "TeacherStudent", width = 2, noise = 0.1 }
student = { width = 2, train_readout = true }
start = { random = { N = 60, seed = 1 } }
"""
MIXTURE = """
task = { type = "SpikedCumulant", beta = 5.0, latent = "rademacher" }
student = { width = 2 }
loss = "logistic"
start = { random = { N = 60, seed = 1 } }
"""
ESCAPE = """
title = "An escape that is killed"
task = { type = "SpikedCumulant", beta = 5.0, latent = "rademacher" }
student = { width = 1, activation = "quadratic" }
rule = { type = "SphericalSGD", learning_rate = 0.002 }
loss = "correlation"
escape = { N = [40, 60], seeds = 8, max_steps = STOP, threshold = 0.9, method = "METHOD" }
"""


def curves(task: str, rule: str, stop: float, simulation: str) -> str:
    """The tables of an experiment with a theory and networks."""
    return f"{HEAD}{task}rule = {rule}\nsimulation = {simulation}\n".replace("STOP", f"{stop}")


SGD = '{ type = "SGD", learning_rate = 0.2 }'
MOMENTUM = '{ type = "HeavyBall", learning_rate = 0.1, gamma = 1.0 }'
SIGNS = '{ type = "SignSGD", learning_rate = 0.05 }'
CASES = {
    "theory and weights": curves(TEACHER, SGD, 400.0, "{ N = [60, 100], seeds = 4 }"),
    "theory and weights, momentum": curves(TEACHER, MOMENTUM, 400.0, "{ N = 60, seeds = 4 }"),
    "theory and weights, two classes": curves(MIXTURE, SGD, 100.0, "{ N = 60, seeds = 4 }"),
    "theory and chain": curves(
        TEACHER, SGD, 2000.0, '{ N = [60, 100], seeds = 4, method = "reduced" }'
    ),
    "theory and weights, signs": curves(
        TEACHER.replace(", train_readout = true", ""), SIGNS, 100.0, "{ N = 60, seeds = 2 }"
    ),
    "escape of weights": ESCAPE.replace("METHOD", "weights").replace("STOP", "40000"),
    "escape of the chain": ESCAPE.replace("METHOD", "reduced").replace("STOP", "200000"),
}


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Runs of all cases in turn, each killed up to a few times."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(list(CASES)).tolist()
    for number in range(max(2, int(share * TRIALS))):
        name, one_seed = names[number % len(names)], int(rng.integers(2**32))
        yield Trial(
            f"{name}, killed {one_seed}",
            functools.partial(_is_the_same, name, one_seed),
            may_refuse=False,
            trains=True,
        )


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="teacherstudent-kills-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Ended(Exception):
    """A process that ended in a way that it should not."""


def _command(folder: Path, *arguments: str) -> subprocess.Popen:
    """A command in a process of its own, with what it says in a file."""
    plan = [sys.executable, "-m", "tests.interrupted_runs", "none", "none", "0", *arguments]
    settings = os.environ | {"XDG_CACHE_HOME": str(_folder() / "cache"), "PYTHONPATH": str(ROOT)}
    settings.pop("JAX_COMPILATION_CACHE_DIR", None)
    with (folder / "said").open("a") as said:
        return subprocess.Popen(plan, cwd=folder, env=settings, stdout=said, stderr=said)


def _joined(process: subprocess.Popen, seconds: float) -> int | None:
    """The exit code of a process; None if it still runs after so many seconds."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _arguments(*more: str) -> tuple[str, ...]:
    return ("run", "case.toml", "--out", "x.h5", "--no-figure", "--quiet", *more)


def _new(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    (folder / "case.toml").write_text(CASES[name])
    return folder


@functools.cache
def _straight(name: str) -> tuple[Path, float]:
    """The result of a run that nobody ended, and the seconds of a second one, whose programs are
    compiled.
    """
    for _ in range(2):
        folder, began = _new(name), time.perf_counter()
        process = _command(folder, *_arguments())
        code = _joined(process, LONGEST)
        if not (folder / "x.h5").exists():
            raise Ended(f"{code}: {(folder / 'said').read_text()}")
    return folder / "x.h5", time.perf_counter() - began


def _is_the_same(name: str, seed: int) -> bool:
    rng = np.random.default_rng(seed)
    expected, seconds = _straight(name)
    folder = _new(name)
    more: tuple[str, ...] = ()
    for _ in range(int(rng.integers(1, MOST_KILLS + 1))):
        process = _command(folder, *_arguments(*more))
        code = _joined(process, float(rng.uniform(0.0, 1.1 * seconds)))
        which = getattr(signal, str(rng.choice(SIGNALS)))
        if code is None:
            process.send_signal(which)
        code = _joined(process, LONGEST)
        if code not in (0, 1, -which, 128 + which):
            return _fault(folder, f"ended with {code}")
        if (folder / "x.h5").exists():
            break
        more = ("--resume",)
    if not (folder / "x.h5").exists():
        _joined(_command(folder, *_arguments(*more)), LONGEST)
    said = (folder / "said").read_text()
    # Before the command line listens, Ctrl-C ends Python in its own way.
    crashed = "Traceback" in said and "KeyboardInterrupt" not in said
    if crashed or not (folder / "x.h5").exists():
        return _fault(folder, "no result")
    if not interrupted_runs.same_results(folder / "x.h5", expected):
        return _fault(folder, "other numbers")
    left = {path.name for path in folder.iterdir()} - {"x.h5", "case.toml", "said"}
    if left:
        return _fault(folder, f"left behind: {left}")
    shutil.rmtree(folder)
    return True


def _fault(folder: Path, what: str) -> bool:
    """Report a fault, with what the processes said last."""
    report(f"    {what}: {(folder / 'said').read_text()[-1000:]}")
    return False
