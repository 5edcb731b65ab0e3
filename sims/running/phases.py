"""A protocol in the simulation: every seed goes through the phases by itself.

Each phase that has seeds is a training of its own, which takes the steps of all seeds; what counts
of it are the seeds in that phase.  Where a seed goes on to the next phase, its network is copied
there.  Numbers of the steps and random streams go on, so that one problem in two phases is one run,
bit by bit.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sims.running import checkpoints
from sims.running.loop import MOMENTS, Training
from teacherstudent.checking.warn import warn_user
from teacherstudent.protocol import Phase, Protocol
from teacherstudent.results import checkpoint_files
from teacherstudent.results.description import describe_protocol
from teacherstudent.schedules import values_along
from teacherstudent.states.kept import KeptNetworks

NOT_YET = -1  # the step at which a phase begins that has not begun

Begin = Callable[[int, KeptNetworks | None, int], Training]


class PhasedTraining(Training):
    """The networks of all seeds, each in its phase of a protocol.

    - `phase`: the number of each seed's phase; of one whose last phase has ended, one more.
    - `begun`: the steps at which each seed's phases began, (seeds, phases).
    """

    def __init__(self, protocol: Protocol, begin: Begin, start: Any, first_step: int):
        """`begin(number, networks, step)` makes the training of a phase, of networks that go on
        from the step, or of the start.
        """
        first = begin(0, None, first_step)
        super().__init__(
            first.problem,
            first.N,
            first.seeds,
            first.steps,
            first.place,
            first.observables,
            first_step,
        )
        self.protocol = protocol
        self.begin = begin
        self.start = start
        self.blocks = first.blocks
        self.fused = first.fused
        described = [describe_protocol(protocol), first.mark]
        values = []
        for problem in protocol.problems:
            times = np.linspace(0, first.steps[-1], MOMENTS) / problem.updates_per_time(first.N)
            values += values_along(problem.schedules, times)
        self.mark = checkpoint_files.fingerprint(first.problem, values, described)
        self.trainings = {0: first}
        self.latest: dict[int, dict[str, np.ndarray]] = {}  # what each phase recorded last
        self.phase = np.zeros(len(first.seeds), np.int64)
        self.begun = np.full((len(first.seeds), len(protocol.phases)), NOT_YET, np.int64)
        self.begun[:, 0] = first_step
        self.nearest: dict[int, float] = {}  # of each threshold the value that came nearest to it

    @property
    def phases(self) -> tuple[Phase, ...]:
        return self.protocol.phases

    def advanced(self, first, count) -> Any:
        raise AssertionError("each phase advances by itself")

    def take_steps(self, count: int) -> None:
        for number, training in self.trainings.items():
            training.counted = self.phase == number
            training.take_steps(count)
        self.done += count

    def next_stop(self) -> int:
        recorded = self.steps[len(self.rows)]
        # A run that goes on from a checkpoint may stand at the end of a phase.
        ends = [end for end in self._ends() if end >= self.done]
        return int(min([recorded, *ends]))

    def _ends(self) -> np.ndarray:
        """The steps at which the present phases of the seeds end at the latest."""
        per_time = self.problem.updates_per_time(self.N)
        ends = np.full(len(self.seeds), np.inf)
        for number, phase in enumerate(self.phases):
            inside = self.phase == number
            if inside.any() and math.isfinite(phase.longest):
                ends[inside] = self.begun[inside, number] + round(phase.longest * per_time)
        return ends

    def record(self) -> dict[str, np.ndarray]:
        self.latest = {number: one.record() for number, one in self.trainings.items()}
        return self._merged(self.latest)

    def observed(self, row: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The observables of each seed in its phase, and the number of the phase."""
        observed = {}
        for number, training in self.trainings.items():
            observed[number] = training.observed(self.latest[number])
        for number, values in observed.items():
            self.latest[number] = self.latest[number] | values
        return self._merged(observed) | {"phase": self.phase.copy()}

    def _merged(self, rows: dict[int, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Of each seed what its phase has; nan where its last phase has ended."""
        if not rows:
            return {name: np.full_like(part, np.nan) for name, part in self._empty.items()}
        merged: dict[str, np.ndarray] = {}
        for number, row in rows.items():
            inside = self.phase == number
            for name, values in row.items():
                if name not in merged:
                    merged[name] = np.full(values.shape, np.nan)
                merged[name][inside] = values[inside]
        return merged

    @property
    def _empty(self) -> dict[str, np.ndarray]:
        return {name: part for name, part in self.rows[-1].items() if name != "phase"}

    def check(self, row: dict[str, np.ndarray]) -> None:
        for number, training in self.trainings.items():
            inside = self.phase == number
            if not inside.any():
                continue
            training.warned = self.warned  # once in all phases
            training.check_seeds(row, {}, inside)
            self.warned = training.warned

    def turn(self, row: dict[str, np.ndarray]) -> None:
        """Let the seeds go on whose phase has ended; at the last step there is nowhere to go."""
        if self.done >= self.steps[-1]:
            if row:
                self._crossed()  # how near the last values came to a threshold
            return
        ended = self._ends() <= self.done
        if row:
            ended |= self._crossed()
        before = self.phase.copy()
        for number in sorted(self.trainings):
            moving = ended & (before == number)
            if moving.any():
                self._move(number, moving)
        for number in list(self.trainings):
            if not (self.phase == number).any():
                del self.trainings[number]

    def _crossed(self) -> np.ndarray:
        """Which seeds have crossed the threshold of their phase."""
        crossed = np.zeros(len(self.seeds), bool)
        for number, phase in enumerate(self.phases):
            until = phase.threshold
            inside = self.phase == number
            if until is None or not inside.any():
                continue
            values = self.trainings[number].quantity(until, self.latest[number])
            nearest = until.nearest(values[inside])
            self.nearest[number] = until.nearest([nearest, self.nearest.get(number, nearest)])
            crossed |= inside & until.is_met(values)
        return crossed

    def _move(self, number: int, moving: np.ndarray) -> None:
        """Let some seeds go on from a phase to the next."""
        following = number + 1
        self.phase[moving] = following
        if following == len(self.phases):
            return
        self.begun[moving, following] = self.done
        kept = self.trainings[number].kept(self.start)
        fresh = self.begin(following, kept, self.done)
        if following not in self.trainings:
            self.trainings[following] = fresh
            return
        there = self.trainings[following]
        count = len(self.place.filled(self.seeds))
        mask = np.pad(moving, (0, count - len(moving)), mode="edge")

        def chosen(new, old):
            shape = [1] * old.ndim
            shape[there.axis] = count
            return jnp.where(mask.reshape(shape), new, old)

        there.run = jax.tree.map(chosen, fresh.run, there.run)

    def kept(self, start: Any) -> KeptNetworks:
        (training,) = self.trainings.values()
        return training.kept(start)

    def end(self) -> dict[str, np.ndarray]:
        per_time = self.problem.updates_per_time(self.N)
        begun = self.begun[:, 1:]
        switches = np.where(begun == NOT_YET, np.nan, begun / per_time)
        end = {}
        if switches.shape[1]:
            end["switch_time"] = switches
        if len(self.trainings) == 1:  # else the networks have ended in different phases
            (training,) = self.trainings.values()
            end |= training.end()
        return end

    def warn_of_thresholds(self) -> None:
        """Warn of thresholds that some seeds did not reach before the last step."""
        for number, phase in enumerate(self.phases[:-1]):
            left = int((self.phase == number).sum())
            if not left or phase.threshold is None:
                continue
            until = phase.threshold
            extreme = "smallest" if until.falling else "largest"
            warn_user(
                f"{left} of {len(self.seeds)} seeds did not end phase {number} of the protocol, "
                f"{until}, before t = {self.now:g}: the {extreme} {until.name} is "
                f"{self.nearest.get(number, math.nan):.6g}; give another threshold, later times, "
                "or within=, the longest that it may last."
            )

    def _without_fill(self) -> Any:
        runs = [self.trainings[number]._without_fill() for number in sorted(self.trainings)]
        return [self.begun, self.phase, *runs]

    def _resume(self, checkpoint) -> None:
        saved = checkpoints.read(checkpoint, self.mark, None)
        if saved is None:
            return
        self.begun, self.phase, *leaves = saved.run
        first = self.trainings[0].kept(self.start)
        self.trainings = {}
        for number in np.unique(self.phase).tolist():
            if number == len(self.phases):
                continue
            training = self.begin(number, first if number else None, saved.done)
            like = training._without_fill()
            count = len(jax.tree.leaves(like))
            own, leaves = leaves[:count], leaves[count:]
            training.run = training._filled(jax.tree.unflatten(jax.tree.structure(like), own))
            training.done = saved.done
            self.trainings[number] = training
        self.done = saved.done
        self.rows = saved.rows
