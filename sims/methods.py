"""Which way to simulate: whole weights, or the chain of the overlaps where it is exact."""

import numpy as np

from sims.reduced.draws import rank
from sims.reduced.rules import frame
from teacherstudent.extensions.contract_checks import broken_rotation
from teacherstudent.extensions.own_classes import changed_inputs, unknown_error
from teacherstudent.problem import Problem
from teacherstudent.starts import Start
from teacherstudent.states.kept import KeptNetworks
from teacherstudent.states.order_parameters import OrderParameters

METHODS = ("weights", "reduced", "auto")


def chosen(method: str, problem: Problem, start: Start, N: int, whole_inputs: str = "") -> str:
    """The method to use, "weights" or "reduced"; `whole_inputs` names an argument that needs them,
    if one is given.

    Raises ValueError if the chain of the overlaps is asked for but does not exist.
    """
    if method == "weights":
        return method
    why = obstacle(problem, start, N)
    if why is None and whole_inputs:
        why = (
            f"{whole_inputs} is for whole inputs and weights, which the chain of the overlaps "
            "does not have"
        )
    if why is not None and method == "reduced":
        raise ValueError(f'method = "reduced": {why}; or use method = "weights".')
    if why is not None:
        return "weights"
    return "reduced"


def obstacle(problem: Problem, start: Start, N: int) -> str | None:
    """Why the overlaps of a problem are no Markov chain that can be run here; None if they are."""
    task = type(problem.task).__name__
    if problem.task.HAS_MODES:
        return (
            f"inputs of {task} are not isotropic outside the span of the weights, so that their "
            "overlaps are no Markov chain"
        )
    changed = changed_inputs(problem.task)
    if changed is not None:
        return f"{changed}, which the chain of the overlaps does not know"
    unknown = unknown_error(problem.task, problem.student.activation)
    if unknown is not None:
        return f"{unknown}, and the chain of the overlaps has no samples to measure it on"
    kept = start.kept
    if isinstance(kept, KeptNetworks):
        start = kept.start
    if not isinstance(start, OrderParameters):
        return "the start has overlaps by mode; give OrderParameters"
    if start.batch and np.ptp(start.T, axis=0).max() > 0:
        return "the starts of a batch have different T, and the chain has one frame for all of them"
    sees_axes = problem.rule.why_not_rotation_invariant()
    if sees_axes is not None:
        return f"{sees_axes}, so that their overlaps are no Markov chain"
    if problem.rule.gradients > 1:
        return (
            f"{type(problem.rule).__name__} takes {problem.rule.gradients} gradients at each "
            "update, and the chain of the overlaps draws one"
        )
    broken = broken_rotation(problem.at(start.time), N)
    if broken is not None:
        return broken
    needed = frame(problem) + rank(problem.student.width, problem.samples(N))
    if needed > N:
        return (
            f"N = {N} is less than {needed}, the dimension of weights, fixed directions and one "
            "gradient together"
        )
    return None
