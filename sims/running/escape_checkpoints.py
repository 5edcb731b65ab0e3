"""The checkpoint of an escape: the sizes that are done, and the state of the one at work."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from sims.running.loop import Training
from teacherstudent.interruptions import UNTIL_WRITTEN, waited_for
from teacherstudent.problem import Problem
from teacherstudent.results import checkpoint_files

DECISIVE = "another problem, N, seeds, threshold, steps, learning rates, method or dtype"


class Escaped(NamedTuple):
    """What one size gave: first steps beyond the threshold (nan: none), and the overlaps at the
    last step.
    """

    step: Float[np.ndarray, "seeds directions"]
    final: Float[np.ndarray, "seeds directions"]


class Seen(NamedTuple):
    """What was seen of the size at work: first steps beyond the threshold so far, and the step of
    the last look.
    """

    step: Float[np.ndarray, "seeds directions"]
    looked: int


class EscapeKeeper:
    """What an escape has done, in one checkpoint.  With no path it is not written."""

    def __init__(self, path: str | None, problem: Problem, settings: list):
        """ValueError if there is a checkpoint of something else."""
        mark = checkpoint_files.fingerprint(problem, jax.tree.leaves(problem), ["escape", settings])
        self.writer = checkpoint_files.Writer(path, mark)
        content = {}
        if path is not None:
            content = checkpoint_files.read(path, mark, "escape", DECISIVE)
        self.content = content
        self.done = {name: part for name, part in content.items() if name.startswith("size_")}
        self.training: Training | None = None
        self.seen: Seen | None = None
        self.kept_when_interrupted = checkpoint_files.kept_when_interrupted(
            self.writer, self._write
        )

    def finished(self, number: int) -> tuple[Escaped, str] | None:
        """What the n-th size gave, and by which program, if it is done."""
        if f"size_{number}_program" not in self.done:
            return None
        step, final, program = (
            self.done[f"size_{number}_{name}"] for name in ("step", "final", "program")
        )
        return Escaped(step, final), str(program)

    def turn_to(self, training: Training) -> Seen | None:
        """Work on a size; what an earlier process saw of it, whose state the training then has."""
        self.training = training
        self.seen = None
        if "looked" in self.content:
            count = sum(name.startswith("state_") for name in self.content)
            states = [self.content[f"state_{index}"] for index in range(count)]
            training.go_on_from(states, int(self.content["done"]))
            self.seen = Seen(self.content["step"], int(self.content["looked"]))
            self.content = {}
        return self.seen

    def reach(self, step: np.ndarray, looked: int) -> None:
        """Take over what is seen of the size at work, and write it if it is time to."""
        self.seen = Seen(step, looked)
        if self.writer.is_due:
            self._write()

    def close(self, number: int, escaped: Escaped, program: str) -> None:
        """Take over what the n-th size gave."""
        self.done[f"size_{number}_step"] = escaped.step
        self.done[f"size_{number}_final"] = escaped.final
        self.done[f"size_{number}_program"] = np.asarray(program)
        self.training = self.seen = None

    def finish(self) -> None:
        """Delete the checkpoint; where it is retained, write the end of work that took long."""
        if checkpoint_files.are_retained() and self.writer.is_wanted_at_the_end:
            self._write()
        checkpoint_files.drop(self.writer.path)

    def _write(self) -> bool:
        """Write what there is, if the disk takes it; whether it did."""
        if self.writer.path is None or (self.seen is None and not self.done):
            return False
        content = dict(self.done)
        with waited_for(UNTIL_WRITTEN):
            if self.seen is not None and self.training is not None:
                for index, part in enumerate(jax.tree.leaves(self.training.state())):
                    content[f"state_{index}"] = np.asarray(part)
                content["done"] = np.asarray(self.training.done)
                content["step"] = self.seen.step
                content["looked"] = np.asarray(self.seen.looked)
            return self.writer.write(content)
