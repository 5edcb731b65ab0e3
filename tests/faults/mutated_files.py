"""Experiment files with mutations: each reads as an experiment, or is refused in one sentence that names the file."""

import random
from collections.abc import Iterator
from pathlib import Path

from tests.faults.trial import Trial


def trials(number: int, rng: random.Random, folder: Path) -> Iterator[Trial]:
    return iter(())
