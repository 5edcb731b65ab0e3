"""Numbers that are finite and yet no answer: what a simulation says of overlaps that have run away.

A network that has stopped being finite is found at its step.  Of one that is still finite the
records tell: a linear learner doubles its weights for a long time before they overflow.
"""

import numpy as np

from teacherstudent.errors import DivergenceError
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import PSD_TOLERANCE
from teacherstudent.states.physical_region import DIVERGED, bound_of_divergence, smallest_eigenvalue

MOVING = ("Q", "R", "v", "b")


def check_record(
    problem: Problem,
    seeds: list[int],
    T: np.ndarray,
    row: dict[str, np.ndarray],
    begin: dict[str, np.ndarray],
    time: float,
) -> str | None:
    """Check the record of all seeds at one time; the answer is what to warn of, if anything.

    `T` are the teachers' overlaps of each seed, and `begin` is the record at t = 0, empty if there
    is none.  A network counts as diverged where its error is.  Weights may be large beyond the
    theory's criterion while the error is not, since activations saturate: that deserves a warning.

    Raises DivergenceError, naming the first such seed, where a number is not finite, the error is
    beyond all bounds, or no weights have these overlaps.
    """
    task = problem.task
    for name, values in row.items():
        finite = np.isfinite(values).reshape(len(seeds), -1).all(axis=1)
        if not finite.all():
            raise diverged(seeds, finite, time, f"{task.name_of(name)} is not finite")
    error = np.abs(row["eps_g"])
    bound = bound_of_divergence(begin.get("eps_g", 0.0))
    if (error > bound).any():
        what = f"its {task.name_of('eps_g')} is {error.max():.3g}, more than {bound:.0e}"
        raise diverged(seeds, error <= bound, time, what)
    # On isotropic inputs overlaps are known to rounding.
    if not task.HAS_MODES:
        smallest = smallest_eigenvalue(row["Q"], row["R"], T)
        if (smallest < -PSD_TOLERANCE).any():
            what = (
                f"no weights have its overlaps (an eigenvalue is {smallest.min():.2g} of the "
                "largest entry)"
            )
            raise diverged(seeds, smallest >= -PSD_TOLERANCE, time, what)
    return _large(problem, seeds, row, begin, time)


def _large(problem: Problem, seeds: list[int], row: dict, begin: dict, time: float) -> str | None:
    """A sentence on the first of the overlaps, readouts and biases that is beyond the theory's
    bound.
    """
    for name in MOVING:
        sizes = np.abs(row[name]).reshape(len(seeds), -1).max(axis=1)
        if sizes.max() > bound_of_divergence(begin.get(name, 0.0)):
            seed = seeds[int(sizes.argmax())]
            return (
                f"the network of seed {seed} has {problem.task.name_of(name)} = "
                f"{sizes.max():.3g} at t = {time:.6g}; it is finite, but beyond {DIVERGED:.0e} "
                "the theory calls overlaps divergent; lower the learning rate."
            )
    return None


def diverged(seeds: list[int], right: np.ndarray, time: float, what: str) -> DivergenceError:
    """The error that names the first seed that is not right."""
    seed = seeds[int(np.argmin(right))]
    return DivergenceError(
        f"the network of seed {seed} diverges at t = {time:.6g}: {what}; lower the learning rate, "
        "or stop before.",
        time,
    )
