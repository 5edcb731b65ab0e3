"""Sweeps whose processes are killed at random moments: a worker, the nanny of a worker, the process
that sweeps, or a scheduler that runs elsewhere.  Asked once more they end with the numbers of a
sweep that nobody has disturbed.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

import teacherstudent as ts
from tests.faults.trial import Trial

KILLS = 20
TARGETS = ("worker", "nanny", "sweep", "scheduler")
POINTS = 12
TRIES = 6
LIMIT = 300.0  # seconds that one sweep may take
ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
import numpy as np
import teacherstudent as ts
given = json.loads(sys.argv[1])
problem = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SGD(0.3))
start = ts.OrderParameters(Q=0.5 * np.eye(2), R=[[0.1], [0.2]])
over = {"rule.learning_rate": np.linspace(0.1, 1.0, given.pop("points"))}
ts.sweep(problem, start, [0.0, 10.0], over, N=400, seeds=4, progress=False, **given)
"""


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Kills at random moments, one sweep for each."""
    rng = np.random.default_rng(seed)
    for number in range(max(2, int(share * KILLS))):
        target = TARGETS[number % len(TARGETS)]
        delay = float(rng.uniform(0.0, 4.0))
        ask = functools.partial(_survives, target, delay)
        yield Trial(f"{target} killed after {delay:.2f} s", ask, may_refuse=False, trains=True)


@functools.cache
def _expected() -> dict[str, np.ndarray]:
    """The numbers of a sweep that nobody disturbs, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sweep.h5"
        process = _started(out, workers=1)
        if process.wait(LIMIT):
            raise RuntimeError("a sweep that nobody disturbs does not end")
        return _numbers(out)


def _numbers(out: Path) -> dict[str, np.ndarray]:
    tree = ts.load(out)
    found = {}
    for kind in ("theory", "simulation"):
        data = tree[kind].to_dataset()
        found |= {f"{kind}.{name}": data[name].values for name in ("Q", "R", "eps_g", "error")}
    return found


def _started(out: Path, **options) -> subprocess.Popen:
    """A process that sweeps."""
    given = json.dumps({"out": str(out), "points": POINTS, **options})
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-c", SCRIPT, given]
    return subprocess.Popen(command, env=environment, cwd=out.parent, **quiet)


def _survives(target: str, delay: float) -> bool:
    """Whether a sweep ends with the right numbers, one of whose processes is killed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sweep.h5"
        if target == "scheduler":
            _with_scheduler(out, delay)
        else:
            process = _started(out, workers=2)
            _wait_for_first_point(out, process)
            time.sleep(delay)
            _kill(target, process)
            _ended(process)
        for _ in range(TRIES):  # asked once more, it goes on
            if out.exists():
                break
            process = _started(out, workers=1)
            process.wait(LIMIT)
        found, expected = _numbers(out), _expected()
        return all(
            np.array_equal(found[name], expected[name], equal_nan=_is_float(expected[name]))
            for name in expected
        )


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"


def _wait_for_first_point(out: Path, process: subprocess.Popen) -> None:
    """Until the first answer is kept, or the process has ended."""
    limit = time.monotonic() + LIMIT
    folder = out.with_name(out.name + ".points")
    while process.poll() is None and time.monotonic() < limit:
        if any(folder.glob("*.npz")):
            return
        time.sleep(0.05)


def _kill(target: str, process: subprocess.Popen) -> None:
    """Kill one of the processes of a sweep, if it still runs."""
    try:
        ours = psutil.Process(process.pid)
        nannies = [one for one in ours.children() if "spec" in one.cmdline()]
        victims = {"sweep": [ours], "nanny": nannies, "worker": []}
        for nanny in nannies:
            for child in nanny.children():
                if "resource_tracker" not in " ".join(child.cmdline()):
                    victims["worker"].append(child)
        if victims[target]:
            victims[target][0].send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return


def _ended(process: subprocess.Popen) -> None:
    """Wait for the end of a process; one that hangs is a fault of its own."""
    try:
        process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("the sweep hangs after a kill") from None


def _with_scheduler(out: Path, delay: float) -> None:
    """A sweep on a scheduler of its own process, which is killed."""
    address = out.parent / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    where = ["--scheduler-file", str(address)]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1", *where],
        env=environment,
        **quiet,
    )
    worker = subprocess.Popen(
        [*dask, "worker", *where, "--nthreads", "1", "--no-dashboard"], env=environment, **quiet
    )
    try:
        limit = time.monotonic() + LIMIT
        while not address.exists() and time.monotonic() < limit:
            time.sleep(0.1)
        process = _started(out, scheduler=json.loads(address.read_text())["address"])
        _wait_for_first_point(out, process)
        time.sleep(delay)
        scheduler.kill()
        _ended(process)
    finally:
        for one in (scheduler, worker):
            one.kill()
            one.wait()
