"""The random numbers of the reduced chain, drawn for a block of updates at once."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

from sims.inputs.normals import folded, normal_numbers
from sims.inputs.spike_laws import SpikeLaw
from sims.reduced.lengths import LIMITS, length
from sims.running.network import EXACT
from teacherstudent.checking.checks import AnyArray


class Law(eqx.Module):
    """What random numbers an update takes: arrays, and the sizes of a batch and of the frame."""

    lengths: Float[AnyArray, "lengths terms"]  # polynomials of the diagonal of the Bartlett factor
    spikes: SpikeLaw | None
    samples: int = eqx.field(static=True)
    directions: int = eqx.field(static=True)
    rows: int = eqx.field(static=True)


class Draw(NamedTuple):
    """The random numbers of some updates.

    - `s`, `e`: of every sample those along the fixed vectors, and along the student's rows.
    - `label`: its class, or its label noise.
    - `sigma`: with two classes, the standard deviation orthogonal to the fixed vectors.
    - `factor`: of every batch the Bartlett factor, its diagonal first.
    """

    s: Float[Array, "*updates samples directions seeds"]
    e: Float[Array, "*updates samples rows seeds"]
    label: Float[Array, "*updates samples seeds"]
    sigma: Float[Array, "*updates samples seeds"] | None
    factor: Float[Array, "*updates entries seeds"]


def rank(K: int, samples: int) -> int:
    """How many directions outside the frame one gradient has."""
    return min(K, samples)


def draws(law: Law, keys: Key[Array, " seeds"], numbers: UInt32[Array, " updates"]) -> Draw:
    """The random numbers of these updates.

    Those of one update of one seed depend on nothing else.
    """
    dtype = law.lengths.dtype
    q, A, rows = law.lengths.shape[0], law.directions, law.rows
    per_sample = rows
    if law.spikes is None:
        per_sample += A + 1
    in_batch = law.samples * per_sample

    def draw_update(key, number):
        key = folded(key, number)
        if law.spikes is not None:
            key, spike_key = jax.random.split(key)
        z = normal_numbers(key, in_batch + q * (q + 1) // 2, dtype)
        if law.spikes is None:
            return z, None
        sample_keys = jax.random.split(spike_key, law.samples)
        return z, jax.vmap(lambda key: law.spikes.draw(key, dtype))(sample_keys)

    with jax.default_matmul_precision(EXACT):
        of_all = jax.vmap(jax.vmap(draw_update, (None, 0)), (0, None), out_axes=-1)
        z, spikes = of_all(keys, numbers)
    of_samples = z[:, :in_batch].reshape(len(numbers), law.samples, -1, len(keys))
    factor = z[:, in_batch:]
    limit = LIMITS[str(dtype)][0]
    diagonal = [length(factor[:, i : i + 1], law.lengths[i], limit) for i in range(q)]
    factor = jnp.concatenate([*diagonal, factor[:, q:]], axis=1)
    e = of_samples[:, :, :rows]
    if spikes is not None:
        return Draw(spikes.s, e, spikes.y, spikes.sigma, factor)
    zeta = of_samples[:, :, rows + A]
    return Draw(of_samples[:, :, rows : rows + A], e, zeta, None, factor)
