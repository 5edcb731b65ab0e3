"""Sweeps: `python -m benchmarks.sweeps`.

What a sweep costs beside the plainest way of doing the same; each row times both in turn.

- A hundred times a hundred theories (K = M = 2, to t = 100) on one core, beside a loop that calls
  `integrate` for each: the loop is timed on a hundredth of them.
- The same with and without a store, and networks likewise: what it costs to lose nothing.
- Networks on two workers beside one, both processes of their own on one core each.  What the
  workers take to start and to compile is not in it: both are asked twice, for more points the
  second time, and the difference counts.
- A repeated sweep beside the first one.
- Networks with a checkpoint every so often, beside none.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import teacherstudent as ts
from benchmarks.side_by_side import compare, seconds
from teacherstudent.results import checkpoint_files
from teacherstudent.sweeps.local_cluster import local_client

START = ts.OrderParameters(Q=[[0.2, 0.1], [0.1, 0.3]], R=[[0.01, 0.0], [0.0, 0.02]])
PROBLEM = ts.Problem(ts.TeacherStudent(2), ts.Student(2), ts.SGD(0.1))
TIMES = ts.log_times(100.0, 40)
LOOP = 100  # points of the plain loop


def grid(side: int) -> dict[str, np.ndarray]:
    """Learning rates by noises."""
    return {"rule.learning_rate": np.linspace(0.05, 1, side), "task.noise": np.linspace(0, 1, side)}


def theory(side: int, out: Path | None = None) -> None:
    """A square of theories in this process."""
    ts.sweep(PROBLEM, START, TIMES, grid(side), simulation=False, workers=1, out=out, force=True)


def plain_loop(count: int) -> None:
    """What a user writes without a sweep."""
    answers = []
    for noise in np.linspace(0, 1, count):
        problem = ts.Problem(ts.TeacherStudent(2, noise=noise), ts.Student(2), ts.SGD(0.4))
        answers.append(ts.integrate(problem, START, TIMES).eps_g.values)
    np.stack(answers)


def networks(points: int, stop: float = 5.0, **options) -> None:
    """Networks at several learning rates."""
    over = {"rule.learning_rate": np.linspace(0.1, 1, points)}
    options = {"N": 1000, "seeds": 8, "theory": False} | options
    ts.sweep(PROBLEM, START, [0.0, stop], over, **options)


def without_folder(work: Callable[[Path], None]) -> Callable[[], None]:
    """A work on a new folder each time."""

    def run() -> None:
        folder = Path(tempfile.mkdtemp())
        work(folder / "sweep.h5")
        shutil.rmtree(folder)

    return run


def per_point(client, few: int, many: int) -> float:
    """Seconds of a point on the workers of a client, without what a sweep costs once."""
    first = seconds(lambda: networks(few, client=client))
    return (seconds(lambda: networks(many, client=client)) - first) / (many - few)


def two_workers(pairs: int = 3) -> tuple[float, float, list[float]]:
    """Seconds of a point on one and on two workers, and the ratios pair by pair."""
    found = []
    with local_client(1) as one, local_client(2) as two:
        for client in (one, two, two):  # the second time both of two workers have compiled
            networks(8, client=client)
        for _ in range(pairs):
            found.append((per_point(one, 8, 40), per_point(two, 8, 40)))
    single, double = np.median(found, axis=0)
    return single, double, sorted(a / b for a, b in found)


def with_checkpoints(every: float) -> Callable[[], None]:
    """One long simulation that writes its checkpoint every so many seconds."""

    def run() -> None:
        before = checkpoint_files.EVERY_SECONDS
        checkpoint_files.EVERY_SECONDS = every
        folder = Path(tempfile.mkdtemp())
        try:
            long_run(folder / "run.ckpt")
        finally:
            checkpoint_files.EVERY_SECONDS = before
            shutil.rmtree(folder)

    return run


def long_run(checkpoint: Path | None = None) -> None:
    """About ten seconds of networks."""
    ts.simulate(PROBLEM, START, [0.0, 60.0], N=2000, seeds=8, checkpoint=checkpoint)


def main() -> None:
    quick = "quick" in sys.argv[1:]
    side = 32 if quick else 100
    table = Table("", "s", "beside", "s", "ratio", "from", "to", title="sweeps")

    def add(name: str, ours: float, beside: str, other: float, *ratios: float) -> None:
        table.add_row(name, f"{ours:.3g}", beside, f"{other:.3g}", *(f"{r:.3g}" for r in ratios))

    theory(8)
    once = seconds(lambda: theory(side))
    plain_loop(2)
    loop = seconds(lambda: plain_loop(LOOP)) * side**2 / LOOP
    add(f"{side**2} theories", once, "loop of integrate (from 100)", loop, loop / once)

    half = side // 2
    kept = compare(without_folder(lambda out: theory(half, out)), lambda: theory(half), repeats=5)
    name = f"{half**2} theories, with store and file"
    add(name, kept.ours, "in memory", kept.other, kept.ratio, kept.least, kept.most)
    kept = compare(
        without_folder(lambda out: networks(12, workers=1, out=out)),
        lambda: networks(12, workers=1),
        repeats=5,
    )
    name = "12 points of networks, with store and file"
    add(name, kept.ours, "in memory", kept.other, kept.ratio, kept.least, kept.most)

    single, double, ratios = two_workers(1 if quick else 3)
    middle = ratios[len(ratios) // 2]
    add("networks, two workers", double, "one worker", single, middle, ratios[0], ratios[-1])

    folder = Path(tempfile.mkdtemp())
    first = seconds(lambda: theory(half, folder / "sweep.h5"))
    again = seconds(lambda: theory(half, folder / "sweep.h5"))
    shutil.rmtree(folder)
    add(f"{half**2} theories again", again, "the first time", first, first / again)

    kept = compare(with_checkpoints(1.0), long_run, repeats=5)
    name = "networks, a checkpoint each second"
    add(name, kept.ours, "none", kept.other, kept.ratio, kept.least, kept.most)
    Console(width=150).print(table)
    print(time.strftime("%Y-%m-%d"))


if __name__ == "__main__":
    main()
