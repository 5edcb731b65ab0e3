"""What a theory will cost, told before it starts.

The time of one step is measured on the program itself, which is run with so few steps that this
costs little beside the solve.  The number of steps is not known beforehand: in the first units of
time they are short, later about as long as stability allows.
"""

import time
from collections.abc import Callable

from teacherstudent.checking.warn import warn_user
from teacherstudent.problem import Problem

LONG = 60.0  # seconds of a theory that is worth a warning
WORTH_MEASURING = 5.0  # seconds, by a rough count of operations
# Steps to t = 1, 10, 100, 1000, 10000 were 3 to 7, 10 to 25, 32 to 122, 174 to 1110 and 1234 to
# 19576 (erf and ReLU, learning rates 0.2 to 1, rtol 1e-6 and 1e-8): this is right to a factor of 5.
FIRST_STEPS = 5
STEPS_PER_TIME = 0.4
# Of closed forms, on one core.
SECONDS_PER_ENTRY = 1e-8  # of the fourth average
SECONDS_PER_PRODUCT = 1e-9  # of modes and averages
EVALUATIONS = 12  # in one step


def steps_expected(duration: float, max_steps: int) -> float:
    """A rough guess of the number of steps."""
    return float(min(FIRST_STEPS + STEPS_PER_TIME * duration, max_steps))


def seconds_expected(of_one_step: float, duration: float, max_steps: int) -> float:
    """How long a solve takes, from the measured seconds of one step of all its curves."""
    return of_one_step * steps_expected(duration, max_steps)


def may_be_long(
    by_quadrature: bool, problem: Problem, modes: int, curves: int, duration: float, max_steps: int
) -> bool:
    """Whether it is worth measuring: averages by quadrature, or many operations."""
    if by_quadrature:
        return True
    step = EVALUATIONS * curves * seconds_of_closed_forms(problem, modes)
    return seconds_expected(step, duration, max_steps) > WORTH_MEASURING


def seconds_of_closed_forms(problem: Problem, modes: int) -> float:
    """The seconds of one right-hand side, by a rough count of its operations."""
    K, M = problem.student.width, problem.task.directions
    entries = K**2 * (K + M) ** 2 / 4
    products = modes * K * (K + M) ** 2
    return SECONDS_PER_ENTRY * entries + SECONDS_PER_PRODUCT * products


def seconds_of_a_step(
    run: Callable[[int], object], enough: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """The seconds of one step; `run(n)` takes at most n steps.

    What a solve of no steps takes is left out only where it matters: where all together is above
    `enough`.
    """

    def seconds(steps: int) -> float:
        began = clock()
        run(steps)
        return clock() - began

    run(0)  # it compiles
    together = seconds(1)
    if together <= enough:
        return together
    return max(together - seconds(0), 0.0)


def warn_if_long(seconds: float, rtol: float, curves: int) -> None:
    """Say that a solve will be long, and what makes it cheaper."""
    if seconds <= LONG:
        return
    remedies = [f"a larger rtol than {rtol:g}", "fewer units", "shorter times"]
    if curves > 1:
        remedies.insert(2, f"fewer curves than {curves}")
    warn_user(
        f"this theory will take about {readable(seconds)}, to within a factor of a few; cheaper "
        f"are {', '.join(remedies)}, or simulate.",
    )


def readable(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{seconds:.0f} seconds"


def are_closed(averages: str) -> bool:
    """Whether averages, as `averages_used` describes them, are closed forms of ours."""
    return averages.startswith("closed forms")
