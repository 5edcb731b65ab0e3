"""The equations of the shallow autoencoder (`teacherstudent/models/autoencoder.py`).

With m_kl = 1 for all pairs, or for l <= k with the truncated rule,

    dV_kt/dt  = eta_v [ s_t w_kt E g'_k - sum_l m_kl I2_kl V_lt ]
    dw_kt/dt  = eta_w s_t [ V_kt E g'_k + w_kt C_kk E g'''_k
                            - sum_l m_kl T0_kl ( w_kt E[g''_k g_l] + w_lt E[g'_k g'_l] ) ]
    db_k/dt   = eta_b [ C_kk E g''_k - sum_l m_kl T0_kl E[g'_k g_l] ]
    dbeta/dt  = -eta_v ( X + X^T ),   X = (m * I2) beta   (* entry by entry)

and dOmega/dt = 0.  Of tied weights w = V, which moves by the sum of the first two; in the bulk the
update of the encoder is smaller by 1 / N.  Refinetti & Goldt, ICML 2022 (arXiv:2201.02115); the
averages by Stein's lemma.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from odes.models.theory import ModelTheory
from teacherstudent.averages.choice import shifted_averages_for
from teacherstudent.averages.resolution import DEFAULT
from teacherstudent.models.autoencoder import Autoencoder


class AutoencoderTheory(ModelTheory, model=Autoencoder):
    """The order parameters of encoder and decoder for N -> infinity."""

    def velocity(self, model: Any, t, state: dict[str, Array]) -> dict[str, Array]:
        averages = model.averages(state)
        seen = jnp.asarray(model.sees)
        reconstruction = seen * averages.I2
        decay = reconstruction @ state["beta"]
        correlation = model.encoder(state) * jnp.asarray(model.spikes)[None, :]  # E[l_k (x . e_t)]
        explained = averages.slopes[:, None] * correlation
        of_encoder = model.encoder_rate * encoder_drift(model, state, averages, seen)
        of_decoder = model.decoder_rate * (explained - reconstruction @ state["V"])
        velocity = {"beta": -model.decoder_rate * (decay + decay.T)}
        if model.train_bias:
            velocity["b"] = model.eta_b * bias_drift(model, state, averages, seen)
        if model.tied:
            return velocity | {"V": of_encoder + of_decoder}
        return velocity | {"w": of_encoder, "V": of_decoder, "bulk": jnp.zeros_like(state["bulk"])}

    def averages(self, model: Any) -> str:
        """Closed forms, or quadrature."""
        if shifted_averages_for(model.activation, model.width) is None:
            return f"quadrature, field by field: {DEFAULT.description}"
        return f"closed forms of {model.activation.name}"


def encoder_drift(model, state, averages, seen) -> Array:
    """The velocity of w for eta_w = 1."""
    w, V = model.encoder(state), state["V"]
    spikes = jnp.asarray(model.spikes)[None, :]
    weighted = seen * model.decoder_overlap(state)
    aligned = alignment(model, state)
    along_itself = aligned * averages.thirds - jnp.sum(weighted * averages.G2, axis=1)
    along_others = (weighted * averages.J2) @ w
    gain = V * averages.slopes[:, None] + w * along_itself[:, None] - along_others
    return spikes * gain


def bias_drift(model, state, averages, seen) -> Array:
    """The velocity of b for eta_b = 1."""
    weighted = seen * model.decoder_overlap(state)
    explained = alignment(model, state) * averages.curvatures
    return explained - jnp.sum(weighted * averages.S2, axis=1)


def alignment(model, state) -> Array:
    """C_kk = sum_t s_t w_kt V_kt."""
    return (model.encoder(state) * state["V"]) @ jnp.asarray(model.spikes)
