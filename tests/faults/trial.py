"""One attempt to make the package answer wrongly, and the names of what may come of it."""

import enum
import linecache
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import TypeCheckError

ROOT = Path(__file__).parents[2]
PACKAGES = tuple(str(ROOT / name) for name in ("teacherstudent", "odes", "sims"))
OURS = (
    ValueError,
    TypeError,
    OSError,
    RuntimeError,
)  # DivergenceError and SolverError are RuntimeErrors
LONG = 10.0  # seconds


class Outcome(enum.Enum):
    """What the package made of one attempt; the last two are faults, and so is a trial over `LONG`
    seconds.
    """

    RIGHT = "right"
    REFUSED = "refused"
    WRONG = "silently wrong"
    FOREIGN = "foreign exception"


@dataclass(frozen=True)
class Trial:
    """One attempt: `ask` answers whether the package's answer is right, or lets its refusal pass.

    `ask` returns True for a right answer (or one that is marked as doubtful by the package itself),
    and False for one that is silently wrong.  `may_refuse` is False where the input is good: a
    refusal then counts as silently wrong.  `trains` is True where networks are trained for the
    answer, which takes as long as it takes.
    """

    name: str
    ask: Callable[[], bool]
    may_refuse: bool = True
    trains: bool = False


@dataclass(frozen=True)
class Result:
    """What came of a trial."""

    name: str
    outcome: Outcome
    seconds: float
    message: str = ""
    trains: bool = False

    @property
    def long(self) -> bool:
        """Whether it took longer than a user should have to wait for a refusal."""
        return self.seconds > LONG and not self.trains

    @property
    def fault(self) -> bool:
        """Whether it is one of the outcomes that must not occur."""
        return self.outcome in (Outcome.WRONG, Outcome.FOREIGN)


def tried(trial: Trial) -> Result:
    """The result of a trial, whatever happens in it."""
    began, worked = time.perf_counter(), time.process_time()
    message = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = Outcome.RIGHT if trial.ask() else Outcome.WRONG
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        outcome = Outcome.FOREIGN
        if is_ours(error):
            outcome = Outcome.REFUSED if trial.may_refuse else Outcome.WRONG
        else:
            message += " | " + " <- ".join(
                traceback.format_tb(error.__traceback__)[-1].split("\n")[:2]
            )
    # What others do on the same machine makes a trial wait, but not work.
    seconds = min(time.perf_counter() - began, time.process_time() - worked)
    return Result(trial.name, outcome, seconds, message, trial.trains)


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised on purpose: by a `raise` statement of the package, as one of the
    kinds it documents.
    """
    if isinstance(
        error, TypeCheckError
    ):  # The tests' own check of arguments, which stands before ours.
        return "checking the parameters" in str(error)
    if not isinstance(error, OURS) or error.__traceback__ is None:
        return False
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = (linecache.getline(frame.filename, frame.lineno or 0)).strip()
    return frame.filename.startswith(PACKAGES) and line.startswith("raise")


def report(message: str) -> None:
    """Say something beside the table."""
    print(message, file=sys.stderr, flush=True)
