"""How the teacher-student task draws inputs."""

import numpy as np
from jaxtyping import Array, Float, Key

from sims.inputs.source import (
    DRAWS,
    Inputs,
    Isotropic,
    SetUp,
    Source,
    check_has_weights,
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
from teacherstudent.tasks import TeacherStudent


class StandardNormal(Source):
    """x = c ~ N(0, I_N) and zeta ~ N(0, 1); `like` has the dimension and the float type."""

    like: Float[AnyArray, " inputs"]

    def draw(self, keys: Key[Array, " samples"]) -> Inputs:
        x = normal_rows(keys, self.like.shape[-1], self.like.dtype)
        return Inputs(x=x, latent=x, zeta=label_noise(keys, self.like.dtype))


@set_up.register
def set_up_isotropic(task: TeacherStudent, start: Start, N: int, seeds: list[int]) -> SetUp:
    """The given weights, or some for each seed along a random frame: only overlaps matter."""
    require_unchanged(task, TeacherStudent, LABELLING, DRAWS)
    if not isinstance(start, OrderParameters) or start.network is not None:
        check_has_weights(start)
        begin = repeated(start, seeds)
    else:
        begin = stacked(start, [random_weights(start, N, seed) for seed in seeds])
    return SetUp(begin, StandardNormal(np.zeros(N)), Isotropic(), shared=True)
