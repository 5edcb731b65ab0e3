"""The search for the best numbers of a schedule: L-BFGS-B from coarse to fine, with bounds.

There are many local minima: a network that stays on its plateau, with a rate that makes the best of
it, is one, another that leaves it, at the price of a larger error for a while, is another one.  So
rates that stay for a time and then decay are tried first, all over the bounds, and the searches
begin from the best of them.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from odes.analysis.schedule_objective import Objective

SCANNED = 24  # constant rates, from which the best one is sought
COARSEST = 5  # nodes or pieces of the first search
HELD = (0.0, 0.2, 0.4, 0.6, 0.8)  # for which part of the time a rate is held before it decays
DECAYS = (0.02, 0.2)  # parts of the time after which it has halved
TRIED = 9  # rates that are held
DIFFERENT = 0.3  # mean distance of the logarithms of rates that are two starts
LONGEST_DECAY = 1e3  # times the duration: a rate that stays
SHORTEST_DECAY = 1e-3
AT_BOUND = 1e-6


class Found(NamedTuple):
    """Where a search ended.

    - `logs`: the logarithms of the numbers.
    - `value`: the objective.
    - `iterations`: of the last search.
    - `gradient`: the largest entry of the gradient that points into the bounds.
    - `at_bounds`: how many numbers sit at their bounds.
    - `message`: the optimiser's.
    """

    logs: np.ndarray
    value: float
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
        value, gradient = objective(matrix @ few, nodes)
        return value, matrix.T @ gradient

    low, high = bounds[: matrix.shape[1]].T
    few = np.clip(np.linalg.lstsq(matrix, start, rcond=None)[0], low, high)
    solution = minimize(
        of_few,
        few,
        jac=True,
        method="L-BFGS-B",
        bounds=np.stack([low, high], axis=1),
        options={"maxiter": most, "ftol": 1e-10, "gtol": 1e-6},
    )
    logs = matrix @ solution.x
    value, gradient = objective(logs, nodes)
    slopes = matrix.T @ gradient
    inward = solution.x - np.clip(solution.x - slopes, low, high)
    near = np.minimum(solution.x - low, high - solution.x) < AT_BOUND
    return Found(
        logs,
        value,
        int(solution.nit),
        float(np.max(np.abs(inward))),
        int(np.sum(near)),
        str(solution.message),
    )


def best_constant(objective: Objective, bounds: tuple[float, float], most: int) -> Found | None:
    """The best constant rate; None if the solve diverges at all of them."""
    limits = np.log([bounds])
    none = np.zeros(0)
    scanned = np.linspace(limits[0, 0], limits[0, 1], SCANNED)
    values = np.array([objective.or_infinite(np.array([log]), none) for log in scanned])
    if not np.isfinite(values).any():
        return None
    padded = np.concatenate([[np.inf], values, [np.inf]])
    lowest = (values <= padded[:-2]) & (values <= padded[2:]) & np.isfinite(values)
    found = [search(objective, none, np.array([log]), limits, most) for log in scanned[lowest]]
    return min(found, key=_value)


def _value(found: Found) -> float:
    return found.value


def best_decay(
    objective: Objective, constant: float, bounds: tuple[float, float], duration: float, most: int
) -> Found:
    """The best decay eta_0 / (1 + t / t_0) with eta_0 in the bounds."""
    scales = np.array([SHORTEST_DECAY, LONGEST_DECAY]) * duration
    limits = np.log(np.stack([np.array(bounds), scales]))
    none = np.zeros(0)
    found = []
    for factor, part in ((1.0, 100.0), (1.0, 1.0), (2.0, 0.2)):
        start = np.clip(np.log([constant * factor, duration * part]), *limits.T)
        found.append(search(objective, none, start, limits, most))
    return min(found, key=_value)


def best_schedule(
    objective: Objective,
    nodes: np.ndarray,
    starts: list[np.ndarray],
    bounds: tuple[float, float],
    most: int,
) -> Found:
    """The best numbers of a form: from each start with a few of them, then with twice as many, and
    so on.
    """
    form = objective.form
    limits = np.tile(np.log(bounds), (form.count, 1))
    best = None
    for start in starts:
        found = None
        count = min(COARSEST, form.count)
        while True:
            # A few numbers may say less than a start does.
            begin = start if found is None else found.logs
            finer = search(objective, nodes, begin, limits, most, form.coarser(count))
            found = finer if found is None else min(found, finer, key=_value)
            if count == form.count:
                break
            count = min(2 * count, form.count)
        directly = search(objective, nodes, start, limits, most)
        for one in (found, directly):
            best = one if best is None else min(best, one, key=_value)
    assert best is not None
    return best


def promising_starts(
    objective: Objective, nodes: np.ndarray, bounds: tuple[float, float], wanted: int
) -> list[np.ndarray]:
    """The best of rates that stay for a time and then decay, each different from the others."""
    low, high = np.log(bounds)
    tried = []
    for log in np.linspace(low, high, TRIED):
        for held in HELD:
            for scale in DECAYS:
                decay = np.maximum(objective.form.parts() - held, 0.0) / scale
                logs = np.clip(log - np.log1p(decay), low, high)
                tried.append((objective.or_infinite(logs, nodes), logs))
    tried.sort(key=_first)
    starts: list[np.ndarray] = []
    for value, logs in tried:
        far = all(np.mean(np.abs(logs - other)) > DIFFERENT for other in starts)
        if len(starts) < wanted and np.isfinite(value) and far:
            starts.append(logs)
    return starts


def _first(pair: tuple) -> float:
    return pair[0]
