"""Numbers that are finite and yet no answer: what a simulation says of overlaps that have run away.

A network that has stopped being finite is found at its step.  Of one that is still finite the
records tell: a linear learner doubles its weights for a long time before they overflow.
"""

import numpy as np

from teacherstudent.errors import DivergenceError
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import PSD_TOLERANCE
from teacherstudent.states.physical_region import DIVERGED, bound_of_divergence, smallest_eigenvalue
from teacherstudent.tasks import MixtureTask, StructuredTask

MOVING = ("Q", "R", "v", "b")


def check_record(
    problem: Problem,
    seeds: list[int],
    T: np.ndarray,
    row: dict[str, np.ndarray],
    begin: dict[str, np.ndarray],
    time: float,
) -> str | None:
    """Check the record of all seeds at one time, of networks with the teachers T; the answer is
    what to warn of, if anything.

    `begin` is the record at t = 0, empty if there is none.  Networks diverge with their error.
    Weights that are large beyond the theory's criterion under an error that is not deserve a
    warning: activations that saturate let them be so.

    Raises DivergenceError, naming the first such seed, where a number is not finite, the error is
    beyond all bounds, or no weights have these overlaps.
    """
    words = words_of(problem)
    for name, values in row.items():
        finite = np.isfinite(values).reshape(len(seeds), -1).all(axis=1)
        if not finite.all():
            raise diverged(seeds, finite, time, f"{words.get(name, name)} is not finite")
    error, bound = np.abs(row["eps_g"]), bound_of_divergence(begin.get("eps_g", 0.0))
    if (error > bound).any():
        what = f"its {words['eps_g']} is {error.max():.3g}, more than {bound:.0e}"
        raise diverged(seeds, error <= bound, time, what)
    if not isinstance(
        problem.task, StructuredTask
    ):  # on isotropic inputs overlaps are known to rounding
        smallest = smallest_eigenvalue(row["Q"], row["R"], T)
        if (smallest < -PSD_TOLERANCE).any():
            what = (
                f"no weights have its overlaps (an eigenvalue is {smallest.min():.2g} of the "
                "largest entry)"
            )
            raise diverged(seeds, smallest >= -PSD_TOLERANCE, time, what)
    return _large(seeds, row, begin, time, words)


def words_of(problem: Problem) -> dict[str, str]:
    """What the user calls the variables of a record."""
    return (
        {"R": "m", "eps_g": "loss"} if isinstance(problem.task, MixtureTask) else {"eps_g": "eps_g"}
    )


def _large(
    seeds: list[int], row: dict, begin: dict, time: float, words: dict[str, str]
) -> str | None:
    """A sentence on the first of the overlaps, readouts and biases that is beyond the theory's
    bound.
    """
    for name in MOVING:
        sizes = np.abs(row[name]).reshape(len(seeds), -1).max(axis=1)
        if sizes.max() > bound_of_divergence(begin.get(name, 0.0)):
            return (
                f"the network of seed {seeds[int(sizes.argmax())]} has {words.get(name, name)} = "
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
