"""A fixed bank of samples (x, c) as the source of inputs, drawn with replacement."""

import hashlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from sims.inputs.source import Inputs, Source, label_noise
from teacherstudent.checking import checks
from teacherstudent.checking.checks import AnyArray


class Bank(Source):
    """Inputs x and latents c of which each step takes one at random."""

    x: Float[AnyArray, "samples inputs"]
    latent: Float[AnyArray, "samples latents"]

    def draw(self, keys: Key[Array, " samples"]) -> Inputs:
        def choose(key):
            return jax.random.randint(key, (), 0, self.x.shape[0])

        chosen = jax.vmap(choose)(keys)
        return Inputs(self.x[chosen], self.latent[chosen], label_noise(keys, self.x.dtype))

    def all(self) -> Inputs:
        """Every sample once, without label noise."""
        return Inputs(self.x, self.latent, jnp.zeros(len(self.x), self.x.dtype))


class Banks(NamedTuple):
    """The samples to train on, and those held out to measure with."""

    training: Bank
    testing: Bank | None


def checked(given, N: int, D: int, test_samples: int, mean) -> Bank:
    """The bank of a user as arrays, with the task's `mean` subtracted from its inputs.

    Raises ValueError if the arrays do not fit the task, or too few samples are left to train on.
    """
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            "bank is to be a pair (x, c) of arrays, inputs (samples, N) and latents (samples, D)."
        )
    x, c = checks.array("bank[0]", given[0]), checks.array("bank[1]", given[1])
    for name, part, size in (("bank[0]", x, N), ("bank[1]", c, D)):
        if part.ndim != 2 or part.shape[1] != size or part.shape[0] != x.shape[0]:
            raise ValueError(
                f"{name} has shape {part.shape}; give (samples, {size}), one row for each sample "
                "of (x, c)."
            )
        if not np.isfinite(part).all():
            raise ValueError(f"{name} has entries that are not finite; drop these samples.")
    if len(x) <= max(test_samples, 1):
        raise ValueError(
            f"test_samples = {test_samples} leaves none of the bank's {len(x)} samples to train "
            "on; give fewer."
        )
    return Bank(x - mean, c)


def divided(bank: Bank, held_out: int, per_step: int) -> Banks:
    """The last samples held out, the others for training.

    Raises ValueError if these are fewer than a step takes.
    """
    cut = len(bank.x) - held_out
    if per_step > cut:
        raise ValueError(
            f"batch_size: a step of all workers takes {per_step} samples, but the bank has {cut} "
            "to train on; give a smaller batch, or a larger bank."
        )
    x, c = bank.x, bank.latent
    testing = None
    if held_out:
        testing = Bank(x[cut:], c[cut:])
    return Banks(Bank(x[:cut], c[:cut]), testing)


def mark(given) -> dict:
    """What a result file says of a bank: it does not keep the samples."""
    digest = hashlib.sha256()
    for part in given:
        digest.update(np.ascontiguousarray(part, dtype=np.float64).tobytes())
    return {"samples": len(given[0]), "sha256": digest.hexdigest()[:16]}
