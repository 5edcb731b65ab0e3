"""How the teacher-student task draws inputs and labels."""

import jax
from jaxtyping import Array, Float, Key

from sims.network import fields
from sims.tasks import Inputs, Labels, draw, label
from teacherstudent.tasks import TeacherStudent


@draw.register
def _(task: TeacherStudent, keys: Key[Array, " samples"], like: Float[Array, "teachers inputs"]) -> Inputs:
    """x ~ N(0, I_N) and zeta ~ N(0, 1)."""
    N, dtype = like.shape[-1], like.dtype
    return Inputs(
        x=jax.vmap(lambda key: jax.random.normal(key, (N,), dtype))(keys),
        zeta=jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 1), (), dtype))(keys),
    )


@label.register
def _(task: TeacherStudent, inputs: Inputs, w_star: Float[Array, "teachers inputs"]) -> Labels:
    """y = sum_m v*_m g*(w*_m . x / sqrt N) + sigma zeta."""
    clean = task.activation(fields(w_star, inputs.x)) @ task.v_star
    return Labels(clean, clean + task.noise * inputs.zeta)
