"""How the teacher-student task draws inputs and labels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from sims.tasks import Samples, sample
from teacherstudent.tasks import TeacherStudent


@sample.register
def _(task: TeacherStudent, keys: Key[Array, " samples"], w_star: Float[Array, "teachers inputs"]) -> Samples:
    """x ~ N(0, I_N) and y = sum_m v*_m g*(w*_m . x / sqrt N) + sigma zeta, one key for each sample."""
    N, dtype = w_star.shape[-1], w_star.dtype
    x = jax.vmap(lambda key: jax.random.normal(key, (N,), dtype))(keys)
    zeta = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 1), (), dtype))(keys)
    clean = task.activation(x @ w_star.T / jnp.sqrt(jnp.asarray(N, dtype))) @ task.v_star
    return Samples(x, clean, clean + task.noise * zeta)
