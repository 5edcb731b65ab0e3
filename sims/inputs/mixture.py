"""How inputs of two classes are drawn: spike fields along the fixed directions, white noise
orthogonal to them.

    x = sigma_c (z - U^T U z) + U^T s,   z ~ N(0, I_N),   U the directions as orthonormal rows

which for whitened spikes is exactly S (sqrt(beta / N) g u + z): on u, S multiplies by 1 / sqrt(1 +
beta), elsewhere by 1.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from sims.inputs.source import (
    Inputs,
    Isotropic,
    SetUp,
    Source,
    normal_rows,
    repeated,
    set_up,
    stacked,
)
from sims.inputs.spike_laws import SpikeLaw, spike_law
from teacherstudent.checking.checks import AnyArray
from teacherstudent.starts import Start, random_weights
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import MixtureTask


class Spiked(Source):
    """Inputs with spike fields of a law along the orthonormal rows of U.

    `zeta` of an input is its class.
    """

    U: Float[AnyArray, "*seeds directions inputs"]
    law: SpikeLaw

    def draw(self, keys: Key[Array, " samples"]) -> Inputs:
        dtype, U = self.U.dtype, jnp.asarray(self.U)
        y, s, sigma = jax.vmap(lambda key: self.law.draw(jax.random.fold_in(key, 1), dtype))(keys)
        z = normal_rows(keys, U.shape[-1], dtype)
        x = sigma[:, None] * z + (s - sigma[:, None] * (z @ U.T)) @ U
        return Inputs(x=x, latent=x, zeta=y)


@set_up.register
def set_up_classes(task: MixtureTask, start: Start, N: int, seeds: list[int]) -> SetUp:
    """The given weights and directions, or some for each seed along a random frame.

    Only their overlaps matter.
    """
    assert isinstance(start, OrderParameters)
    if start.network is not None:
        begin = repeated(start, seeds)
    else:
        begin = stacked(start, [random_weights(start, N, seed) for seed in seeds])
    return SetUp(begin, spiked_source(task, begin.w_star), Isotropic(), shared=False)


def spiked_source(
    task: MixtureTask, directions: Float[np.ndarray, "seeds directions inputs"]
) -> Spiked:
    """The source of each seed's inputs, with directions of length sqrt N."""
    seeds, _, N = directions.shape
    law = jax.tree.map(
        lambda leaf: np.broadcast_to(leaf, (seeds, *np.shape(leaf))), spike_law(task)
    )
    return Spiked(directions / np.sqrt(N), law)
