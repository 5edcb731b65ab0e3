"""What networks measured on held-out samples, beside what is predicted for it.

A test error, or test loss, is compared with the Gaussian prediction at each network's own overlaps:

    deviation = mean over seeds of eps_g(Q, R, v) - test_error

so that it is zero, up to chance, where the fields of the student and the teacher are jointly
Gaussian, and it says by how much Gaussian equivalence fails where they are not.  A test accuracy is
compared with the theory's own.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from teacherstudent.results.comparable import task_type
from teacherstudent.results.datasets import description
from teacherstudent.results.deviations import BASE, CURVATURE

ACCURACY_ERROR = 3e-4  # of the theory's accuracy, a mean over frozen points
# Of held-out errors on inputs that are not Gaussian, in (scale of the quantity) / N.
LARGEST_BIAS = 6.0
TINY = np.finfo(float).tiny
PREDICTED_BY = {"test_error": "eps_g", "test_loss": "loss"}


class HeldOut(NamedTuple):
    """A measure on held-out samples, along the times compared."""

    name: str
    prediction: Float[np.ndarray, " times"]
    deviation: Float[np.ndarray, " times"]  # prediction minus mean over seeds
    error: Float[np.ndarray, " times"]  # of the deviation, by chance
    scale: float
    structured: bool  # whether the inputs have several modes, and so fields that are not Gaussian

    def allowed(self, N: int, variance: Float[np.ndarray, " times"]) -> Float[np.ndarray, " times"]:
        """How far the measure may be from its prediction without contradicting it.

        Fields of isotropic inputs are as the prediction supposes, at every N, and an average at the
        networks' own overlaps has no bias.  Those of other inputs are Gaussian for large N only.
        An accuracy has the bias of the order parameters.
        """
        if self.name == "test_accuracy":
            return BASE / N + CURVATURE * variance
        largest = LARGEST_BIAS if self.structured else BASE
        return np.full(len(variance), largest * self.scale / N)


def held_out_measures(theory: xr.Dataset, simulation: xr.Dataset) -> list[HeldOut]:
    """All measures of a simulation that have a prediction."""
    measures = [
        _against_equivalence(simulation, name) for name in PREDICTED_BY if name in simulation
    ]
    if "test_accuracy" in simulation and "accuracy" in theory:
        measures.append(_accuracy(theory, simulation))
    return measures


def _accuracy(theory: xr.Dataset, simulation: xr.Dataset) -> HeldOut:
    prediction = theory.accuracy.values
    runs = simulation.test_accuracy.transpose("seed", "time").values
    error = np.hypot(standard_error(runs, simulation), ACCURACY_ERROR)
    deviation = prediction - runs.mean(axis=0)
    return HeldOut("test_accuracy", prediction, deviation, error, 1.0, False)


def _against_equivalence(simulation: xr.Dataset, name: str) -> HeldOut:
    """A test error beside the Gaussian prediction at the networks' own overlaps."""
    predicted = simulation[PREDICTED_BY[name]].transpose("seed", "time").values
    measured = simulation[name].transpose("seed", "time").values
    mean = predicted.mean(axis=0)
    error = standard_error(mean + measured - predicted, simulation)
    if "bank" in description(simulation)["report"]:
        # All seeds were tested on the same samples, whose scatter they have in common.
        error = np.hypot(error, simulation[f"{name}_se"].mean("seed").values)
    deviation = (predicted - measured).mean(axis=0)
    scale = max(float(np.abs(mean).max()), TINY)
    return HeldOut(name, mean, deviation, error, scale, task_type(simulation).HAS_MODES)


def standard_error(
    runs: Float[np.ndarray, "seeds *rest"], simulation: xr.Dataset
) -> Float[np.ndarray, "*rest"]:
    """Scatter over sqrt(seeds), not below the rounding of the simulation's float type."""
    seeds = len(runs)
    if seeds < 2:
        return np.full(runs.shape[1:], np.nan)
    epsilon = np.finfo(description(simulation)["report"]["dtype"]).eps
    size = np.abs(runs).max(axis=(0, *range(2, runs.ndim)), keepdims=True)[0]
    chance = runs.var(axis=0, ddof=1) / seeds
    rounding = 4 * epsilon * size
    return np.sqrt(chance + rounding**2)
