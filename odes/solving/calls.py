"""A long solve in calls of a second each, between which it may be interrupted and is kept.

The state of the solver goes out of one call and into the next, and every number is that of one
call.  The first call is of the program that begins at the start: most solves end in it.  Where it
does not, the same program is compiled once more, as one that goes on.
"""

import os
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np

from teacherstudent import __version__
from teacherstudent.extensions.own_sources import own_sources
from teacherstudent.interruptions import UNTIL_WRITTEN, deferred, waited_for
from teacherstudent.problem import Problem
from teacherstudent.protocol import Protocol, problems_of
from teacherstudent.results import checkpoint_files
from teacherstudent.results.description import describe_problem, describe_protocol
from teacherstudent.schedules import values_along
from teacherstudent.starts import Start
from teacherstudent.states.kept import KeptTheory

# Of the first call: what takes no longer is not worth compiling the program that goes on.
FIRST_SECONDS = 8.0
CALL_SECONDS = 1.0  # between two looks at the progress bar, at Ctrl-C and at the checkpoint
# What a call takes without any step (the errors at all times, say) is to be a small part of it.
CALL_OVER_NO_STEPS = 10.0
MOST_STEPS = 2**31
MOMENTS = 100  # at which schedules are looked at for the mark of a checkpoint
DECISIVE = (
    "another problem, start, times, tolerances, solver, quadrature or observables, or one of "
    "another version"
)

# The parts of a trajectory after at most so many steps in all, from a state or from the start.
Answer = Callable[[int, tuple | None], dict[str, Any]]


class Stages:
    """The solves of one call of `integrate`, one after the other, in one checkpoint.

    A protocol has one for each phase, and averages that are refined one for each resolution.  Each
    is kept at its last state, from which a finished one answers without a step.
    """

    def __init__(self, path: str | os.PathLike, mark: str):
        """ValueError if there is a checkpoint of something else."""
        self.writer = checkpoint_files.Writer(path, mark)
        content = checkpoint_files.read(path, mark, "theory", DECISIVE)
        self.states: list[tuple[np.ndarray, ...]] = []
        while f"stage_{len(self.states)}_part_0" in content:
            self.states.append(_parts(content, len(self.states)))
        self.seconds = float(content.get("seconds", 0.0))
        self.earlier = self.seconds
        self.began = time.perf_counter()
        self.number = -1

    def next(self) -> tuple[np.ndarray, ...] | None:
        """Go on to the next solve; its state, if an earlier process came so far."""
        self.number += 1
        if self.number < len(self.states):
            return self.states[self.number]
        return None

    def reach(self, state: Sequence[np.ndarray]) -> None:
        """Take over the state of the present solve, and write it if it is time to."""
        self.states[self.number :] = [tuple(state)]
        if self.writer.is_due:
            self.keep()

    def take_earlier_seconds(self) -> float:
        """The seconds of earlier processes, once: they count for the first solve."""
        seconds, self.earlier = self.earlier, 0.0
        return seconds

    def seconds_so_far(self) -> float:
        """The seconds of all processes that have worked on this."""
        return self.seconds + time.perf_counter() - self.began

    def keep(self) -> bool:
        """Write the states, if there are any and the disk takes them; whether it did."""
        if not self.states:
            return False
        content = {"seconds": np.asarray(self.seconds_so_far())}
        for number, state in enumerate(self.states):
            for index, part in enumerate(state):
                content[f"stage_{number}_part_{index}"] = np.asarray(part)
        with waited_for(UNTIL_WRITTEN):
            return self.writer.write(content)

    def finish(self) -> None:
        """Delete the checkpoint; where it is retained, write the end of work that took long."""
        if self.writer.is_wanted_at_the_end and checkpoint_files.are_retained():
            self.keep()
        checkpoint_files.drop(self.writer.path)


def _parts(content: dict[str, np.ndarray], stage: int) -> tuple[np.ndarray, ...]:
    """The state of one solve in a checkpoint."""
    parts: list[np.ndarray] = []
    while f"stage_{stage}_part_{len(parts)}" in content:
        parts.append(content[f"stage_{stage}_part_{len(parts)}"])
    return tuple(parts)


def mark_of(problem: Problem | Protocol, start: Start, times: np.ndarray, settings: list) -> str:
    """A hash of everything that decides a theory's numbers."""
    first, *later = problems_of(problem)
    described: list = [describe_problem(one) for one in later]
    described += [own_sources(one) for one in later]
    if isinstance(problem, Protocol):
        described += describe_protocol(problem)
    arrays = [times, *jax.tree.leaves((first, *later, start))]
    for one in (first, *later):
        arrays += values_along((one.task, one.rule), np.linspace(start.time, times[-1], MOMENTS))
    if isinstance(start.kept, KeptTheory):
        kept = start.kept
        arrays += [kept.q, kept.r, kept.memory, *jax.tree.leaves(kept.start)]
    versions = [__version__, *map(metadata.version, ("jax", "diffrax"))]
    return checkpoint_files.fingerprint(
        first, arrays, ["theory", start.time, settings, described, versions]
    )


class Pace:
    """How many steps a call takes, by the time that the last ones took: of no influence on
    numbers.
    """

    def __init__(self, steps: float, of_no_steps: float = 0.0):
        self.steps = int(min(max(1, steps), MOST_STEPS))
        self.of_no_steps = of_no_steps

    def measure(self, count: int, seconds: float) -> None:
        """After so many steps in so many seconds; grow to twice at most."""
        wanted = max(CALL_SECONDS, CALL_OVER_NO_STEPS * self.of_no_steps)
        of_steps = max(seconds - self.of_no_steps, 1e-9)
        self.steps = int(max(1, min(2 * self.steps, count * wanted / of_steps)))


def solved_in_calls(
    answer: Answer,
    stages: Stages,
    last: float,
    max_steps: int,
    seconds_of_a_step: Callable[[], float],
    show: Callable[[float, int], object],
) -> dict[str, Any]:
    """The trajectory up to the time `last`, in calls.

    `seconds_of_a_step()` is asked only where the solve begins; `show(t, steps)` hears how far it
    is.
    """
    state = stages.next()
    found: dict[str, Any] = {}
    pace = Pace(1.0)
    if state is None:
        pace = Pace(FIRST_SECONDS / max(seconds_of_a_step(), 1e-9))
        with deferred():
            found = answer(min(pace.steps, max_steps), None)
            stages.reach(found["loop"])
    if state is not None or not _is_over(found, last, max_steps):
        with deferred():
            found, pace.of_no_steps = _without_steps(answer, stages.states[stages.number])
    while not _is_over(found, last, max_steps):
        done = int(found["steps"])
        show(float(found["reached"]), done)
        began = time.perf_counter()
        with deferred():
            found = answer(min(done + pace.steps, max_steps), found["loop"])
            stages.reach(found["loop"])
        pace.measure(int(found["steps"]) - done, time.perf_counter() - began)
    return found


def _without_steps(answer: Answer, state: tuple) -> tuple[dict[str, Any], float]:
    """What a state answers at once, and the seconds that this takes when it is compiled."""
    answer(0, state)
    began = time.perf_counter()
    found = answer(0, state)
    return found, time.perf_counter() - began


def _is_over(found: dict[str, Any], last: float, max_steps: int) -> bool:
    """Whether no step is to follow."""
    return bool(found["reached"] >= last or found["diverged"] or int(found["steps"]) >= max_steps)
