"""The search for the best numbers of a schedule: L-BFGS-B from coarse to fine, with bounds."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from odes.analysis.schedule_objective import Objective

SCANNED = 9  # constant rates, from which the best one is sought
COARSEST = 4  # nodes or pieces of the first search
LONGEST_DECAY = 1e3  # times the duration: a rate that stays
SHORTEST_DECAY = 1e-3
AT_BOUND = 1e-6


class Found(NamedTuple):
    """Where a search ended.

    - `logs`: the logarithms of the numbers.
    - `value`: the objective.
    - `errors`: eps_g at all times.
    - `iterations`: of the last search.
    - `gradient`: the largest entry of the gradient that points into the bounds.
    - `at_bounds`: how many numbers sit at their bounds.
    - `message`: the optimiser's.
    """

    logs: np.ndarray
    value: float
    errors: np.ndarray
    iterations: int
    gradient: float
    at_bounds: int
    message: str


def search(
    objective: Objective,
    nodes: np.ndarray,
    start: np.ndarray,
    bounds: np.ndarray,
    most: int,
    matrix: np.ndarray | None = None,
) -> Found:
    """The best numbers near a start: all of them, or those that a matrix makes of fewer."""
    if matrix is None:
        matrix = np.eye(start.size)

    def of_few(few):
        value, gradient, _ = objective(matrix @ few, nodes)
        return value, matrix.T @ gradient

    low, high = bounds[: matrix.shape[1]].T
    few = np.clip(np.linalg.lstsq(matrix, start, rcond=None)[0], low, high)
    solution = minimize(
        of_few,
        few,
        jac=True,
        method="L-BFGS-B",
        bounds=np.stack([low, high], axis=1),
        options={"maxiter": most, "ftol": 1e-13, "gtol": 1e-7},
    )
    logs = matrix @ solution.x
    value, gradient, errors = objective(logs, nodes)
    slopes = matrix.T @ gradient
    inward = solution.x - np.clip(solution.x - slopes, low, high)
    near = np.minimum(solution.x - low, high - solution.x) < AT_BOUND
    return Found(
        logs,
        value,
        errors,
        int(solution.nit),
        float(np.max(np.abs(inward))),
        int(np.sum(near)),
        str(solution.message),
    )


def best_constant(objective: Objective, bounds: tuple[float, float], most: int) -> Found | None:
    """The best constant rate; None if the solve diverges at all of them."""
    limits = np.log([bounds])
    none = np.zeros(0)
    values = []
    scanned = np.linspace(*limits[0], SCANNED)
    for log in scanned:
        failed = objective.failures
        value, *_ = objective(np.array([log]), none)
        values.append(np.inf if objective.failures > failed else value)
    if not np.isfinite(values).any():
        return None
    best = scanned[int(np.argmin(values))]
    return search(objective, none, np.array([best]), limits, most)


def best_decay(
    objective: Objective, constant: float, bounds: tuple[float, float], duration: float, most: int
) -> Found:
    """The best decay eta_0 / (1 + t / t_0) with eta_0 in the bounds."""
    scales = np.array([SHORTEST_DECAY, LONGEST_DECAY]) * duration
    limits = np.log([bounds, scales])
    none = np.zeros(0)
    found = []
    for factor, part in ((1.0, 100.0), (1.0, 1.0), (2.0, 0.2)):
        start = np.clip(np.log([constant * factor, duration * part]), *limits.T)
        found.append(search(objective, none, start, limits, most))
    return min(found, key=lambda one: one.value)


def best_schedule(
    objective: Objective,
    nodes: np.ndarray,
    starts: list[np.ndarray],
    bounds: tuple[float, float],
    most: int,
) -> Found:
    """The best numbers of a form: from each start with a few nodes, from the best of these with
    twice as many, and so on.
    """
    form = objective.form
    limits = np.tile(np.log(bounds), (form.count, 1))
    count = min(COARSEST, form.count)
    matrix = form.coarser(count)
    found = [search(objective, nodes, start, limits, most, matrix) for start in starts]
    best = min(found, key=lambda one: one.value)
    # A start may hold more than a few nodes can say.
    fine = [search(objective, nodes, start, limits, most) for start in starts[1:2]]
    while count < form.count:
        count = min(2 * count, form.count)
        finer = search(objective, nodes, best.logs, limits, most, form.coarser(count))
        best = min(best, finer, key=lambda one: one.value)
    return min(best, *fine, key=lambda one: one.value) if fine else best


