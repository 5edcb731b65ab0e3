"""How inputs with given covariances are drawn.

They come from their generator, or jointly Gaussian with the latent.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from sims.inputs.source import (
    DRAWS,
    LEAST_ROWS,
    Covariances,
    Inputs,
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
from teacherstudent.starts import Start, weights_on_inputs
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import GaussianEquivalent


class JointlyGaussian(Source):
    """x = A z with z ~ N(0, 1), of which the first D numbers are the latent.

    A = [Phi, S] with S S^T = Omega - Phi Phi^T.
    """

    A: Float[AnyArray, "inputs sources"]
    latents: int = eqx.field(static=True)

    least_rows: ClassVar[int] = LEAST_ROWS

    def draw(self, keys: Key[Array, " samples"]) -> Inputs:
        z = normal_rows(keys, self.A.shape[-1], self.A.dtype)
        x = jnp.einsum("bz,nz->bn", z, self.A)
        return Inputs(x=x, latent=z[:, : self.latents], zeta=label_noise(keys, self.A.dtype))


class Generated(Source):
    """x = G(c) - mean."""

    mean: Float[AnyArray, " inputs"]
    generator: Callable = eqx.field(static=True)
    latents: int = eqx.field(static=True)

    least_rows: ClassVar[int] = LEAST_ROWS

    def draw(self, keys: Key[Array, " samples"]) -> Inputs:
        latent = normal_rows(keys, self.latents, self.mean.dtype)
        x = jax.vmap(self.generator)(latent).astype(self.mean.dtype) - self.mean[None, :]
        return Inputs(x=x, latent=latent, zeta=label_noise(keys, self.mean.dtype))


@set_up.register
def set_up_with_covariances(
    task: GaussianEquivalent, start: Start, N: int, seeds: list[int]
) -> SetUp:
    """The given weights, or some for each seed with the start's overlaps on these inputs."""
    require_unchanged(task, GaussianEquivalent, LABELLING, DRAWS)
    D = task.latent_dimension(N)
    Omega, Phi = np.asarray(task.Omega), np.asarray(task.Phi)
    if isinstance(start, OrderParameters):
        begin = stacked(start, [weights_on_inputs(Omega, Phi, start, seed) for seed in seeds])
    else:
        check_has_weights(start)
        begin = repeated(start, seeds)
    if task.generator is None:
        return SetUp(begin, _jointly_gaussian(Omega, Phi), Covariances(Omega, Phi), shared=True)
    return SetUp(
        begin, Generated(task.input_mean + np.zeros(N), task.generator, D), None, shared=True
    )


def _jointly_gaussian(
    Omega: Float[np.ndarray, "inputs inputs"], Phi: Float[np.ndarray, "inputs latents"]
):
    """A = [Phi, S], without the columns of S that vanish."""
    values, vectors = np.linalg.eigh(Omega - Phi @ Phi.T)
    present = values > 1e-12 * np.abs(Omega).max()
    return JointlyGaussian(
        np.hstack([Phi, vectors[:, present] * np.sqrt(values[present])]), Phi.shape[1]
    )
