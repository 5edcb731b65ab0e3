"""The same numbers whatever way they are computed: a matrix of problems and ways.

Each way answers once more what one plain call answers, in this process, and the bits are compared:
the call again; in another process; cut by a checkpoint; cut into two runs; with other seeds beside
each one; as the point of a sweep; and on a worker of a sweep.
"""

import contextlib
import functools
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

import teacherstudent as ts
from tests.faults.trial import Trial
from tests.sims.interruption import Stopped, stopping_after

ROOT = Path(__file__).parents[2]
TIMES = [0.0, 0.5, 1.0, 3.0]
CUT = 1.0
N = 60
# XLA orders the sums of theories that step together in another way; by that their steps are of
# other lengths, and they differ within the solver's tolerance.
TOLERANCE = 1e-8


class Case(NamedTuple):
    """A problem with its start, and the method that is run."""

    name: str
    method: str  # "theory", "weights" or "reduced"
    problem: ts.Problem
    start: ts.OrderParameters


def cases() -> dict[str, Case]:
    """Problems of every kind, with students, teachers and inputs all different."""
    square = ts.OrderParameters(
        Q=[[0.5, 0.1, 0.0], [0.1, 0.4, 0.05], [0.0, 0.05, 0.6]],
        R=[[0.1, 0.0], [0.02, 0.2], [0.0, -0.1]],
        v=[1.0, 0.8, 1.2],
    )
    classes = ts.OrderParameters(Q=[[0.5, 0.1], [0.1, 0.4]], m=[[0.2], [0.1]])
    teacher, student = ts.TeacherStudent(2, noise=0.1), ts.Student(3, train_readout=True)
    made = {
        "SGD": (ts.Problem(teacher, student, ts.SGD(0.3)), square),
        "ReLU": (
            ts.Problem(ts.TeacherStudent(2, "relu"), ts.Student(3, "relu"), ts.SGD(0.1)),
            square,
        ),
        "batches": (ts.Problem(teacher, student, ts.SGD(0.3), batch_size=3), square),
        "HeavyBall": (ts.Problem(teacher, student, ts.HeavyBall(0.05, beta=0.8)), square),
        "schedule": (
            ts.Problem(teacher, student, ts.SGD(ts.exponential(0.5, rate=0.3))),
            square,
        ),
        "two classes": (
            ts.Problem(ts.SpikedCumulant(3.0), ts.Student(2), ts.SGD(0.1), loss="correlation"),
            classes,
        ),
    }
    only_weights = {"SignSGD": (ts.Problem(teacher, student, ts.SignSGD(0.1)), square)}
    found = {}
    for name, (problem, start) in made.items():
        for method in ("theory", "weights", "reduced"):
            found[f"{name}, {method}"] = Case(name, method, problem, start)
    for name, (problem, start) in only_weights.items():
        found[f"{name}, weights"] = Case(name, "weights", problem, start)
    return found


def plain(case: Case, times=TIMES, **options) -> xr.Dataset:
    """One plain call."""
    if case.method == "theory":
        return ts.integrate(case.problem, case.start, times, progress=False, **options)
    given = {"N": N, "seeds": 3, "method": case.method} | options
    return ts.simulate(case.problem, case.start, times, progress=False, **given)


@functools.cache
def expected(name: str) -> dict[str, np.ndarray]:
    """The numbers of the plain call."""
    return numbers(plain(cases()[name]))


def numbers(data: xr.Dataset) -> dict[str, np.ndarray]:
    """What is compared: all order parameters and the error along time."""
    names = ("Q", "R", "m", "v", "b", "eps_g", "loss")
    return {name: data[name].values for name in names if name in data}


def again(case: Case) -> xr.Dataset:
    return plain(case)


def resumed(case: Case) -> xr.Dataset:
    """Cut by its checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.ckpt"
        for stop in (N // 2, 2 * N):
            with contextlib.suppress(Stopped), stopping_after(stop):
                plain(case, checkpoint=path)
        return plain(case, checkpoint=path)


def continued(case: Case) -> xr.Dataset:
    """Two runs, one from the last state of the other."""
    keep = {"keep": "weights"} if case.method == "weights" else {}
    first = plain(case, [one for one in TIMES if one <= CUT], **keep)
    later = [one for one in TIMES if one >= CUT]
    second = ts.simulate(case.problem, ts.last_state(first), later, progress=False)
    along = [name for name in numbers(first) if "time" in first[name].dims]
    joined = [part[along] for part in (first, second.isel(time=slice(1, None)))]
    return xr.concat(joined, "time")


def beside_others(case: Case) -> xr.Dataset:
    """Its seeds beside and after others."""
    return plain(case, seeds=[7, 2, 0, 5, 1]).sel(seed=[0, 1, 2])


def in_sweep(case: Case, workers: int = 1) -> xr.Dataset:
    """As one of the points of a sweep."""
    path, value = "batch_size", case.problem.batch_size
    over = {path: [value, value + 1]}
    kinds = {"theory": case.method == "theory", "simulation": False}
    if case.method != "theory":
        kinds["simulation"] = {"method": case.method}
    tree = ts.sweep(
        *(case.problem, case.start, TIMES, over), N=N, seeds=3, workers=workers, **kinds
    )
    kind = "theory" if case.method == "theory" else "simulation"
    return tree[kind].to_dataset().isel(batch_size=0)


def on_worker(case: Case) -> xr.Dataset:
    return in_sweep(case, workers=2)


@functools.cache
def _elsewhere() -> dict[str, dict[str, np.ndarray]]:
    """The numbers of all cases in another process."""
    code = (
        "import pickle, sys; from tests.faults import bit_identity as one; "
        "sys.stdout.buffer.write(pickle.dumps({name: one.expected(name) for name in one.cases()}))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    return pickle.loads(run.stdout)


class Way(NamedTuple):
    """A way to the same numbers, for some methods, up to `tolerance` of theories."""

    run: Callable[[Case], xr.Dataset] | None  # None: in another process
    methods: tuple[str, ...]
    tolerance: float = 0.0


SIMULATIONS = ("weights", "reduced")
ALL = ("theory", *SIMULATIONS)
WAYS = {
    "again": Way(again, ALL),
    "another process": Way(None, ALL),
    "resumed": Way(resumed, SIMULATIONS),
    "two runs": Way(continued, SIMULATIONS),
    "other seeds beside": Way(beside_others, SIMULATIONS),
    "in a sweep": Way(in_sweep, ALL, TOLERANCE),
    "on a worker": Way(on_worker, ALL, TOLERANCE),
}


def difference(name: str, way: str) -> float | None:
    """The largest relative difference of a case computed in another way; None where the way is none
    for its method.
    """
    case, one = cases()[name], WAYS[way]
    if case.method not in one.methods:
        return None
    found = _elsewhere()[name] if one.run is None else numbers(one.run(case))
    largest = 0.0
    for key, value in expected(name).items():
        scale = max(np.abs(value).max(), 1e-300)
        largest = max(largest, float(np.abs(found[key] - value).max() / scale))
    return largest


def trials(share: float, seed: int) -> Iterator[Trial]:
    """Every problem in every way; a part of them at random."""
    rng = np.random.default_rng(seed)
    pairs = [(name, way) for name in cases() for way in WAYS]
    for index in rng.permutation(len(pairs))[: max(4, int(share * len(pairs)))]:
        name, way = pairs[index]
        if cases()[name].method in WAYS[way].methods:
            ask = functools.partial(_is_same, name, way)
            yield Trial(f"{name}: {way}", ask, may_refuse=False, trains=True)


def _is_same(name: str, way: str) -> bool:
    allowed = WAYS[way].tolerance if cases()[name].method == "theory" else 0.0
    found = difference(name, way)
    return found is not None and found <= allowed


def matrix() -> str:
    """All of it as a table in Markdown: "=" for the same bits."""
    lines = ["| | " + " | ".join(WAYS) + " |", "| --- |" + " --- |" * len(WAYS)]
    for name in cases():
        cells = []
        for way in WAYS:
            found = difference(name, way)
            cells.append("" if found is None else "=" if found == 0 else f"{found:.0e}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(matrix())
