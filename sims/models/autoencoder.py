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
        K, spikes = state["V"].shape
        frame = orthonormal_rows(generator.standard_normal((2 * K, N - spikes)))
        in_bulk = np.sqrt(N) * frame
        v_bulk = root(state["beta"]) @ in_bulk[K:]
        network = {"v": np.concatenate([np.sqrt(N) * state["V"], v_bulk], axis=1)}
        if not model.tied:
            w_bulk = root(state["bulk"]) @ in_bulk[:K]
            network["w"] = np.concatenate([state["w"], w_bulk], axis=1)
        if model.train_bias:
            network["b"] = state["b"]
        return network

    def step(self, model, N, method, number, network, key):
        v = network["v"]
        w = v / math.sqrt(N) if model.tied else network["w"]
        now = model.at(number / model.updates_per_time(N), v.dtype)
        x = inputs(now, N, key, v.dtype)
        fields = w @ x / math.sqrt(N)
        if model.train_bias:
            fields = fields + network["b"]
        values = now.activation(fields)
        seen = jnp.asarray(now.sees, v.dtype) * values[None, :]
        missing = x[None, :] - seen @ v  # what each unit sees of x - xhat
        back = now.activation.derivative(fields) * jnp.sum(v * missing, axis=1) / N
        of_encoder = _over(now.encoder_rate, N, v) * back[:, None] * x[None, :] / math.sqrt(N)
        of_decoder = _over(now.decoder_rate, N, v) * values[:, None] * missing
        moved = {"v": v + of_decoder}
        if model.tied:
            moved["v"] += math.sqrt(N) * of_encoder
        else:
            moved["w"] = w + of_encoder
        if model.train_bias:
            moved["b"] = network["b"] + _over(now.eta_b, N, v) * back
        return moved

    def state(self, model, N, method, network):
        spikes = len(model.spikes)
        v = network["v"].astype(float)
        v_bulk = v[:, spikes:]
        state = {"V": v[:, :spikes] / np.sqrt(N), "beta": v_bulk @ v_bulk.T / N}
        if not model.tied:
            w = network["w"].astype(float)
            w_bulk = w[:, spikes:]
            state |= {"w": w[:, :spikes], "bulk": w_bulk @ w_bulk.T / N}
        if model.train_bias:
            state["b"] = network["b"]
        return state


def _over(rate, N: int, like: Float[Array, "..."]) -> Array:
    """A rate over N, in the type of some weights."""
    return jnp.asarray(rate, like.dtype) / N


def inputs(model: Any, N: int, key, dtype) -> Float[Array, " input"]:
    """One input: a Gaussian vector with variance sigma^2, and N s_t more along the first axes."""
    of_spikes, of_noise = jax.random.split(key)
    spikes = jnp.asarray(model.spikes, dtype)
    along_spikes = jnp.sqrt(N * spikes) * jax.random.normal(of_spikes, spikes.shape, dtype)
    deviation = jnp.sqrt(jnp.asarray(model.bulk_variance, dtype))
    noise = deviation * jax.random.normal(of_noise, (N,), dtype)
    return noise.at[: len(spikes)].add(along_spikes)
