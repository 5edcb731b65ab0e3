"""How the tasks with two classes draw the class and the spike fields: the literal law, not the
quadrature of the theory.

One draw is a class y = +-1, the fields s in R^r along the fixed directions, and the standard
deviation of the orthogonal noise.  To add a task: register its `spike_law`; until then its
`components` are drawn.
"""

import abc
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from teacherstudent.checking.checks import AnyArray
from teacherstudent.checking.contracts import for_each_class
from teacherstudent.starts import root
from teacherstudent.tasks import BoxMixture, MixedCumulant, MixtureTask, SpikedCumulant
from teacherstudent.tasks.latents import Latent
from teacherstudent.tasks.mixed_cumulant import MEDIAN

CELLS = {1: 4096, 2: 256, 3: 64}  # of a side of a box, by the number of directions


class Spike(NamedTuple):
    """One draw."""

    y: Float[Array, ""]
    s: Float[Array, " directions"]
    sigma: Float[Array, ""]


class SpikeLaw(eqx.Module):
    """A law of (y, s, sigma); its arrays are the parameters, so that a new value does not compile
    anew.
    """

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], dtype) -> Spike:
        """One independent draw."""


@for_each_class(strict=True)
def spike_law(task: MixtureTask) -> SpikeLaw:
    """The law of a task as its class states it, without the quadrature of the theory.

    For a class without one, or that changes the one of ours that it would inherit, each of its
    components is a cluster.
    """
    p, y, A, S, sigma2 = map(np.asarray, task.law())
    return Clusters(np.cumsum(p), y, A, np.stack([root(one) for one in S]), np.sqrt(sigma2))


def _choose(key: Key[Array, ""], cumulative: Float[AnyArray, " choices"], dtype) -> Int[Array, ""]:
    """A random index, given the cumulative sums of the probabilities."""
    index = jnp.searchsorted(
        jnp.asarray(cumulative), jax.random.uniform(key, (), dtype), side="right"
    )
    return jnp.minimum(index, cumulative.shape[0] - 1)


def _class(key: Key[Array, ""], prior: Float[AnyArray, ""], dtype) -> Float[Array, ""]:
    return jnp.where(
        jax.random.uniform(key, (), dtype) < prior, jnp.ones((), dtype), -jnp.ones((), dtype)
    )


def _draw_latent(key: Key[Array, ""], latent: Latent, dtype) -> Float[Array, ""]:
    if latent.given == "uniform":
        return jax.random.uniform(key, (), dtype, -math.sqrt(3), math.sqrt(3))
    if latent.given == "laplace":
        return jax.random.laplace(key, (), dtype) / math.sqrt(2)
    return jnp.asarray(latent.nodes, dtype)[
        _choose(key, jnp.asarray(np.cumsum(latent.weights), dtype), dtype)
    ]


class Clusters(SpikeLaw):
    """Gaussian clusters: s = A_c + S_c^(1/2) z."""

    cumulative: Float[AnyArray, "*seeds clusters"]
    y: Float[AnyArray, "*seeds clusters"]
    A: Float[AnyArray, "*seeds clusters directions"]
    roots: Float[AnyArray, "*seeds clusters directions directions"]
    sigma: Float[AnyArray, "*seeds clusters"]

    def draw(self, key: Key[Array, ""], dtype) -> Spike:
        which, noise = jax.random.split(key)
        c = _choose(which, self.cumulative, dtype)
        return Spike(
            self.y[c],
            self.A[c] + self.roots[c] @ jax.random.normal(noise, self.A.shape[-1:], dtype),
            self.sigma[c],
        )


class SpikedCumulantLaw(SpikeLaw):
    """s = rho g + sqrt(1 - rho^2) z with the probability `prior` (y = +1), else s = z (y = -1)."""

    prior: Float[AnyArray, "*seeds"]
    rho: Float[AnyArray, "*seeds"]
    latent: Latent = eqx.field(static=True)

    def draw(self, key: Key[Array, ""], dtype) -> Spike:
        of_class, of_latent, noise = jax.random.split(key, 3)
        y, g, z = (
            _class(of_class, self.prior, dtype),
            _draw_latent(of_latent, self.latent, dtype),
            jax.random.normal(noise, (1,), dtype),
        )
        return Spike(
            y,
            jnp.where(y > 0, self.rho * g + jnp.sqrt(1 - self.rho**2) * z, z),
            jnp.ones((), dtype),
        )


@spike_law.register
def law_of_spike(task: SpikedCumulant) -> SpikeLaw:
    return SpikedCumulantLaw(np.asarray(task.class_prior), np.asarray(task.rho), task.latent)


class MixedCumulantLaw(SpikeLaw):
    """s = (sqrt(beta_u) lambda + z_u, rho_v nu + sqrt(1 - rho_v^2) z_v) with the probability
    `prior` (y = +1), else s = z.
    """

    prior: Float[AnyArray, "*seeds"]
    root_beta_u: Float[AnyArray, "*seeds"]
    rho_v: Float[AnyArray, "*seeds"]
    latent: Latent = eqx.field(static=True)
    coupling: str = eqx.field(static=True)

    def draw(self, key: Key[Array, ""], dtype) -> Spike:
        of_class, of_latent, noise = jax.random.split(key, 3)
        y, (z_u, z_v, lam) = (
            _class(of_class, self.prior, dtype),
            jax.random.normal(noise, (3,), dtype),
        )
        nu = self._nu(lam, of_latent, dtype)
        spiked = jnp.stack(
            [self.root_beta_u * lam + z_u, self.rho_v * nu + jnp.sqrt(1 - self.rho_v**2) * z_v]
        )
        return Spike(y, jnp.where(y > 0, spiked, jnp.stack([z_u, z_v])), jnp.ones((), dtype))

    def _nu(self, lam: Float[Array, ""], key: Key[Array, ""], dtype) -> Float[Array, ""]:
        if self.coupling == "independent":
            return _draw_latent(key, self.latent, dtype)
        return jnp.sign(lam) if self.coupling == "sign" else jnp.sign(jnp.abs(lam) - MEDIAN)


@spike_law.register
def law_of_two_spikes(task: MixedCumulant) -> SpikeLaw:
    prior, root_beta_u, rho_v = map(
        np.asarray, (task.class_prior, math.sqrt(task.beta_u), task.rho_v)
    )
    return MixedCumulantLaw(prior, root_beta_u, rho_v, task.latent, task.coupling)


class Boxes(SpikeLaw):
    """A cell of a box by its probability, and s uniform in it: exact for uniform densities, else up
    to the size of a cell.
    """

    clusters: Float[AnyArray, "*seeds clusters"]
    cells: Float[AnyArray, "*seeds clusters cells"]
    y: Float[AnyArray, "*seeds clusters"]
    low: Float[AnyArray, "*seeds clusters directions"]
    side: Float[AnyArray, "*seeds clusters directions"]
    shape: tuple[int, ...] = eqx.field(static=True)

    def draw(self, key: Key[Array, ""], dtype) -> Spike:
        of_cluster, of_cell, inside = jax.random.split(key, 3)
        c = _choose(of_cluster, self.clusters, dtype)
        uniform = jax.random.uniform(inside, (len(self.shape),), dtype)
        if self.cells.shape[-1] == 1:
            unit = uniform
        else:
            cell = jnp.stack(
                jnp.unravel_index(self._cell(c, jax.random.uniform(of_cell, (), dtype)), self.shape)
            )
            cell = cell.astype(dtype)
            unit = (cell + uniform) / jnp.asarray(self.shape, dtype)
        return Spike(self.y[c], self.low[c] + self.side[c] * unit, jnp.ones((), dtype))

    def _cell(self, c: Int[Array, ""], uniform: Float[Array, ""]) -> Int[Array, ""]:
        """The first cell of cluster c whose cumulated probability exceeds `uniform`, by bisection:
        no row of cells is copied.
        """
        last, found = self.cells.shape[-1] - 1, jnp.zeros((), c.dtype)
        for bit in reversed(range(last.bit_length())):
            beyond = jnp.minimum(found + 2**bit, last + 1)
            found = jnp.where(self.cells[c, beyond - 1] <= uniform, beyond, found)
        return jnp.minimum(found, last)


@spike_law.register
def law_of_boxes(task: BoxMixture) -> SpikeLaw:
    r, clusters = task.directions, range(len(task.weights))
    low, side = task.boxes[..., 0], task.boxes[..., 1] - task.boxes[..., 0]
    shape = (CELLS[r],) * r
    if task.densities is None:
        cells = np.ones((len(task.weights), 1))
    else:
        centres = (
            np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=1) + 0.5
        ) / np.asarray(shape)
        values = np.stack([task.density(c, low[c] + side[c] * centres) for c in clusters])
        cells = np.cumsum(values, axis=1) / values.sum(axis=1, keepdims=True)
    return Boxes(np.cumsum(task.weights), cells, task.labels, low, side, shape)
