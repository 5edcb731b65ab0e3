"""Finite autoencoders: encoder and decoder of N inputs, trained on fresh samples.

The spikes lie along the first P unit axes.  A start is met exactly: the bulk has random weights
with the Gram matrices of the state, so that only the samples differ from the theory.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sims.models.simulation import ModelSimulation
from teacherstudent.models.autoencoder import Autoencoder
from teacherstudent.starts import orthonormal_rows, root


class Layers(NamedTuple):
    """The weights of one autoencoder: encoder and decoder, both (K, N)."""

    w: Float[Array, "student input"]
    v: Float[Array, "student input"]


class AutoencoderSimulation(ModelSimulation, model=Autoencoder):
    """Online gradient descent of the weights, one sample per update."""

    METHODS = ("weights",)

    def begin(self, model: Any, state: dict, N: int, generator, method: str) -> Layers:
        K, P = state["w"].shape
        if N < P + 2 * K:
            raise ValueError(
                f"N = {N} is too small for {P} spikes and {K} units; give N of at least "
                f"{P + 2 * K}."
            )
        frame = orthonormal_rows(generator.standard_normal((2 * K, N - P)))
        frame *= np.sqrt(N)
        w_bulk = root(state["bulk"]) @ frame[:K]
        v_bulk = root(state["beta"]) @ frame[K:]
        return Layers(
            w=np.concatenate([state["w"], w_bulk], axis=1),
            v=np.concatenate([np.sqrt(N) * state["V"], v_bulk], axis=1),
        )

    def step(self, model: Any, N: int, method: str, number, network: Layers, key) -> Layers:
        w, v = network
        x = inputs(model, N, key, w.dtype)
        fields = w @ x / np.sqrt(N)
        values = model.activation(fields)
        slopes = model.activation.derivative(fields)
        seen = jnp.asarray(model.sees, w.dtype)
        missing = x[None, :] - (seen * values[None, :]) @ v  # what each unit sees of x - xhat
        error = slopes * jnp.sum(v * missing, axis=1)
        return Layers(
            w=w + model.encoder_rate / N * (error / N)[:, None] * (x / np.sqrt(N))[None, :],
            v=v + model.decoder_rate / N * values[:, None] * missing,
        )

    def state(self, model: Any, N: int, method: str, network: Layers) -> dict[str, Array]:
        P = len(model.spikes)
        w, v = network
        return {
            "w": w[:, :P],
            "V": v[:, :P] / np.sqrt(N),
            "beta": v[:, P:] @ v[:, P:].T / N,
            "bulk": w[:, P:] @ w[:, P:].T / N,
        }


def inputs(model: Any, N: int, key, dtype) -> Float[Array, " input"]:
    """One input: a Gaussian vector with the variances N s_t along the first axes, then sigma^2."""
    latent, noise = jax.random.split(key)
    spikes = jnp.asarray(model.spikes, dtype)
    amplitudes = jnp.sqrt(N * spikes) * jax.random.normal(latent, spikes.shape, dtype)
    x = jnp.sqrt(jnp.asarray(model.bulk_variance, dtype)) * jax.random.normal(noise, (N,), dtype)
    return x.at[: len(spikes)].add(amplitudes)

