"""How inputs with a mean are drawn."""

import numpy as np
from jaxtyping import Array, Float, Key

from sims.inputs.source import (
    DRAWS,
    Inputs,
    Isotropic,
    SetUp,
    Source,
    label_noise,
    normal_rows,
    repeated,
    set_up,
    stacked,
)
from teacherstudent.checking.checks import AnyArray
from teacherstudent.checking.contracts import require_unchanged
from teacherstudent.extensions.own_classes import LABELLING
from teacherstudent.starts import Start, random_weights
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import ShiftedTeacherStudent


class ShiftedNormal(Source):
    """x = c ~ N(mean, I_N) and zeta ~ N(0, 1)."""

    mean: Float[AnyArray, "*seeds inputs"]

    def draw(self, keys: Key[Array, " samples"]) -> Inputs:
        x = self.mean[None, :] + normal_rows(keys, self.mean.shape[-1], self.mean.dtype)
        return Inputs(x=x, latent=x, zeta=label_noise(keys, self.mean.dtype))


@set_up.register
def set_up_shifted(task: ShiftedTeacherStudent, start: Start, N: int, seeds: list[int]) -> SetUp:
    """The given weights, with one mean for all seeds, or some for each seed along a random frame,
    each with the mean that its teacher's vectors make.
    """
    require_unchanged(task, ShiftedTeacherStudent, LABELLING, DRAWS)
    assert isinstance(start, OrderParameters)
    if start.network is not None:
        begin = repeated(start, seeds)
        mean = _mean(task, start.network.w_star)
        return SetUp(begin, ShiftedNormal(mean), Isotropic(), shared=True)
    begin = stacked(start, [random_weights(start, N, seed) for seed in seeds])
    mean = _mean(task, begin.w_star)
    return SetUp(begin, ShiftedNormal(mean), Isotropic(), shared=False)


def _mean(
    task: ShiftedTeacherStudent, w_star: Float[AnyArray, "*seeds teachers inputs"]
) -> Float[np.ndarray, "*seeds inputs"]:
    """sum_m mu_m w*_m / sqrt N."""
    mu = np.broadcast_to(np.asarray(task.mean, np.float64), (task.width,))
    return np.einsum("m,...mn->...n", mu, w_star) / np.sqrt(w_star.shape[-1])
