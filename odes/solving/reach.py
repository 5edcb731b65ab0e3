"""How far a theory's answer goes: up to where its overlaps are those of some weights, and no
further.

The solver stops where the state is beyond the bound of divergence.  What it answered up to there,
and what a map answered, is looked at here: an entry that is not finite, or beyond the bound, or a
covariance [[Q, R], [R^T, T]] with a negative eigenvalue ends the answer.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from odes.solving.trajectory import Trajectory
from teacherstudent.checking.checks import AnyArray
from teacherstudent.errors import DivergenceError, SolverError
from teacherstudent.problem import Problem
from teacherstudent.starts import Start
from teacherstudent.states.order_parameters import PSD_TOLERANCE
from teacherstudent.states.physical_region import DIVERGED, bound_of_divergence, smallest_eigenvalue

STATES = ("Q", "R", "v", "b", "eps_g")
# Covariances estimated from samples are not exactly those of any inputs and latents together.
ESTIMATED = 0.1


class Overlaps(NamedTuple):
    """What of the starts of several problems says whether an answer can be one of some weights."""

    Q: Float[np.ndarray, "*batch students students"]
    R: Float[np.ndarray, "*batch students teachers"]
    T: Float[np.ndarray, "*batch teachers teachers"]
    v: Float[np.ndarray, "*batch students"]
    b: Float[np.ndarray, "*batch students"]


class Reach(NamedTuple):
    """Of every curve: which times are answered, when it ended, and the smallest eigenvalue of the
    overlaps there.

    `exceeded` says that some number is beyond the bound of divergence, `unphysical` that no weights
    have such overlaps.
    """

    answered: Bool[np.ndarray, "*batch time"]
    time: Float[np.ndarray, "*batch"]
    exceeded: Bool[np.ndarray, "*batch"]
    unphysical: Bool[np.ndarray, "*batch"]
    eigenvalue: Float[np.ndarray, "*batch"]

    @property
    def failed(self) -> Bool[np.ndarray, "*batch"]:
        """Which curves end before the last time."""
        return np.asarray(~self.answered.all(axis=-1))


def tolerance(problem: Problem, rtol: float, atol: float, error: float | None) -> float:
    """How negative an eigenvalue solver, averages and estimated covariances can make, relative to
    the largest entry.
    """
    allowed = [PSD_TOLERANCE, 100 * (rtol + atol)]
    if error is not None:
        allowed.append(10 * error)
    if problem.task.HAS_MODES:
        allowed.append(ESTIMATED)
    return max(allowed)


def reach(
    answer: Trajectory, start: Start | Overlaps, times: Float[np.ndarray, " time"], allowed: float
) -> Reach:
    """How far each curve goes, if eigenvalues down to -`allowed`, and down to that of the start,
    are rounding.
    """
    lead = answer.eps_g.ndim
    sizes = {name: _largest(getattr(answer, name), lead) for name in STATES}
    finite = np.logical_and.reduce([np.isfinite(size) for size in sizes.values()])
    exceeded = np.zeros_like(finite)
    for name in STATES[:4]:
        exceeded |= finite & (sizes[name] > bound_of_divergence(getattr(start, name, 0.0)))
    T = np.asarray(start.T)[..., None, :, :]
    eigenvalue = smallest_eigenvalue(answer.Q, answer.R, T)
    first = smallest_eigenvalue(np.asarray(start.Q), np.asarray(start.R), np.asarray(start.T))
    unphysical = finite & ~exceeded & (eigenvalue < np.minimum(first, 0.0)[..., None] - allowed)
    answered = np.logical_and.accumulate(finite & ~exceeded & ~unphysical, axis=-1)
    ends = np.minimum((~answered).argmax(axis=-1), len(times) - 1)

    def at_the_end(part) -> np.ndarray:
        return np.asarray(np.take_along_axis(part, ends[..., None], axis=-1)[..., 0])

    cut = ~answered.all(axis=-1)
    unanswered = at_the_end(np.broadcast_to(times, answered.shape))
    stopped = np.asarray(answer.reached)
    ended = np.where(stopped < times[-1], np.minimum(unanswered, stopped), unanswered)
    beyond = at_the_end(exceeded) | np.asarray(answer.exceeded)
    return Reach(
        answered,
        time=np.asarray(np.where(cut, ended, times[-1])),
        exceeded=np.asarray(cut & beyond),
        unphysical=np.asarray(cut & at_the_end(unphysical)),
        eigenvalue=at_the_end(eigenvalue),
    )


def _largest(part: AnyArray, lead: int) -> np.ndarray:
    """The largest absolute value over all axes after the first `lead`; nan if there is one."""
    return np.abs(np.asarray(part).reshape(*part.shape[:lead], -1)).max(axis=-1)


def failure(reach: Reach, answer: Trajectory, max_steps: int, last: float) -> SolverError:
    """The error that says why a single curve ended before the last time."""
    t = float(reach.time)
    remedy = "lower the learning rate, or stop before."
    if reach.unphysical:
        return DivergenceError(
            f"the overlaps leave what weights can have at t = {t:.6g} (an eigenvalue of [[Q, R], "
            f"[R^T, T]] is {float(reach.eigenvalue):.2g} of the largest entry, beyond rounding); "
            f"{remedy}",
            t,
        )
    if reach.exceeded:
        return DivergenceError(
            f"the order parameters diverge at t = {t:.6g}: one of them is beyond {DIVERGED:.0e}, "
            "which is this package's criterion and no proof (networks whose activation saturates "
            f"may stay finite); {remedy}",
            t,
        )
    if answer.diverged:
        return DivergenceError(
            f"the order parameters diverge at t = {t:.6g}, or the equations are singular there: "
            f"the solver's steps become too small; {remedy}",
            t,
        )
    return SolverError(
        f"the solver used max_steps = {max_steps} steps and reached t = {t:.6g} of {last:g}; "
        "give a larger max_steps or rtol, or solver='kvaerno5' if the run is stiff.",
        t,
    )
