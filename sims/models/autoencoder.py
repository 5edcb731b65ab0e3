"""Finite autoencoders: encoder and decoder of N inputs, trained on fresh samples.

The spikes lie along the first P unit axes.  A start is met exactly: the bulk has random weights
with the Gram matrices of the state, so that only the samples differ from the theory.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sims.models.simulation import ModelSimulation
from teacherstudent.models.autoencoder import Autoencoder
from teacherstudent.starts import orthonormal_rows, root


class AutoencoderSimulation(ModelSimulation, model=Autoencoder):
    """Online gradient descent of encoder `w` and decoder `v`, (K, N), one sample per update."""

    def check(self, model: Any, N: int, method: str) -> None:
        spikes, K = len(model.spikes), model.width
        if spikes + 2 * K > N:
            raise ValueError(
                f"N = {N} is too small for {spikes} spikes, {K} encoders and {K} decoders; give at "
                f"least {spikes + 2 * K}."
            )

    def begin(self, model, state, N, generator, method):
        K, spikes = state["w"].shape
        frame = orthonormal_rows(generator.standard_normal((2 * K, N - spikes)))
        in_bulk = np.sqrt(N) * frame
        w_bulk = root(state["bulk"]) @ in_bulk[:K]
        v_bulk = root(state["beta"]) @ in_bulk[K:]
        return {
            "w": np.concatenate([state["w"], w_bulk], axis=1),
            "v": np.concatenate([np.sqrt(N) * state["V"], v_bulk], axis=1),
        }

    def step(self, model, N, method, number, network, key):
        w, v = network["w"], network["v"]
        now = model.at(number / model.updates_per_time(N), w.dtype)
        x = inputs(now, N, key, w.dtype)
        fields = w @ x / math.sqrt(N)
        values = now.activation(fields)
        seen = jnp.asarray(now.sees, w.dtype) * values[None, :]
        missing = x[None, :] - seen @ v  # what each unit sees of x - xhat
        back = now.activation.derivative(fields) * jnp.sum(v * missing, axis=1) / N
        encoder_rate = jnp.asarray(now.encoder_rate, w.dtype) / N
        decoder_rate = jnp.asarray(now.decoder_rate, w.dtype) / N
        return {
            "w": w + encoder_rate * back[:, None] * x[None, :] / math.sqrt(N),
            "v": v + decoder_rate * values[:, None] * missing,
        }

    def state(self, model, N, method, network):
        spikes = len(model.spikes)
        w, v = network["w"].astype(float), network["v"].astype(float)
        w_bulk, v_bulk = w[:, spikes:], v[:, spikes:]
        return {
            "w": w[:, :spikes],
            "V": v[:, :spikes] / np.sqrt(N),
            "beta": v_bulk @ v_bulk.T / N,
            "bulk": w_bulk @ w_bulk.T / N,
        }


def inputs(model: Any, N: int, key, dtype) -> Float[Array, " input"]:
    """One input: a Gaussian vector with variance sigma^2, and N s_t more along the first axes."""
    of_spikes, of_noise = jax.random.split(key)
    spikes = jnp.asarray(model.spikes, dtype)
    along_spikes = jnp.sqrt(N * spikes) * jax.random.normal(of_spikes, spikes.shape, dtype)
    deviation = jnp.sqrt(jnp.asarray(model.bulk_variance, dtype))
    noise = deviation * jax.random.normal(of_noise, (N,), dtype)
    return noise.at[: len(spikes)].add(along_spikes)
