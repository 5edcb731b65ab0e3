"""Stochastic gradient descent of the solvable model of multitask sparse parity.

The parities g_k(x) = +-1 square to one, so that a batch enters by how many of its samples have
which skill: one multinomial count.
"""

import jax
import jax.numpy as jnp

from sims.models.simulation import ModelSimulation
from teacherstudent.models.sparse_parity import SparseParity


class SparseParitySimulation(ModelSimulation, model=SparseParity):
    """Descent of both factors with the rate eta / N."""

    def begin(self, model, state, N, generator, method):
        return {"first": state["first"], "second": state["second"]}

    def step(self, model, N, method, number, network, key):
        a, b = network["first"], network["second"]
        now = model.at(number / model.updates_per_time(N))
        counts = sample_counts(now, key).astype(a.dtype)
        rate = jnp.asarray(now.learning_rate / (N * now.batch_size), a.dtype)
        pull = rate * counts * (jnp.asarray(now.target, a.dtype) - a * b)
        return {"first": a + pull * b, "second": b + pull * a}

    def state(self, model, N, method, network):
        return dict(network)


def sample_counts(model, key):
    """How many samples of a batch have which skill, (skills,)."""
    below = jnp.cumsum(model.frequencies)
    uniform = jax.random.uniform(key, (model.batch_size,), below.dtype, maxval=below[-1])
    drawn = jnp.searchsorted(below, uniform, side="right")
    return jnp.zeros(model.skills, int).at[drawn].add(1, mode="clip")
