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
    cumulative = np.cumsum(p)
    roots = np.stack([root(covariance) for covariance in S])
    return Clusters(cumulative, y, A, roots, np.sqrt(sigma2))


def _choose(key: Key[Array, ""], cumulative: Float[AnyArray, " choices"], dtype) -> Int[Array, ""]:
    """A random index, given the cumulative sums of the probabilities."""
    cumulative = jnp.asarray(cumulative)
    uniform = jax.random.uniform(key, (), dtype)
    index = jnp.searchsorted(cumulative, uniform, side="right")
    # The sum of all may miss 1 by rounding.
    last = cumulative.shape[0] - 1
    return jnp.minimum(index, last)


def _class(key: Key[Array, ""], prior: Float[AnyArray, ""], dtype) -> Float[Array, ""]:
    """y = +1 with the probability `prior`, else y = -1."""
    positive = jax.random.uniform(key, (), dtype) < prior
    one = jnp.ones((), dtype)
    return jnp.where(positive, one, -one)


def _draw_latent(key: Key[Array, ""], latent: Latent, dtype) -> Float[Array, ""]:
    if latent.given == "uniform":
        return jax.random.uniform(key, (), dtype, -math.sqrt(3), math.sqrt(3))
    if latent.given == "laplace":
        return jax.random.laplace(key, (), dtype) / math.sqrt(2)
    nodes = jnp.asarray(latent.nodes, dtype)
    cumulative = jnp.asarray(np.cumsum(latent.weights), dtype)
    return nodes[_choose(key, cumulative, dtype)]


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
        directions = self.A.shape[-1:]
        z = jax.random.normal(noise, directions, dtype)
        s = self.A[c] + self.roots[c] @ z
        return Spike(self.y[c], s, self.sigma[c])


class SpikedCumulantLaw(SpikeLaw):
    """s = rho g + sqrt(1 - rho^2) z with the probability `prior` (y = +1), else s = z (y = -1)."""

    prior: Float[AnyArray, "*seeds"]
    rho: Float[AnyArray, "*seeds"]
    latent: Latent = eqx.field(static=True)

    def draw(self, key: Key[Array, ""], dtype) -> Spike:
        of_class, of_latent, noise = jax.random.split(key, 3)
        y = _class(of_class, self.prior, dtype)
        g = _draw_latent(of_latent, self.latent, dtype)
        z = jax.random.normal(noise, (1,), dtype)
        spiked = self.rho * g + jnp.sqrt(1 - self.rho**2) * z
        s = jnp.where(y > 0, spiked, z)
        sigma = jnp.ones((), dtype)
        return Spike(y, s, sigma)


@spike_law.register
def law_of_spike(task: SpikedCumulant) -> SpikeLaw:
    prior = np.asarray(task.class_prior)
    rho = np.asarray(task.rho)
    return SpikedCumulantLaw(prior, rho, task.latent)


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
        y = _class(of_class, self.prior, dtype)
        z_u, z_v, lam = jax.random.normal(noise, (3,), dtype)
        nu = self._nu(lam, of_latent, dtype)
        along_u = self.root_beta_u * lam + z_u
        along_v = self.rho_v * nu + jnp.sqrt(1 - self.rho_v**2) * z_v
        spiked = jnp.stack([along_u, along_v])
        normal = jnp.stack([z_u, z_v])
        s = jnp.where(y > 0, spiked, normal)
        sigma = jnp.ones((), dtype)
        return Spike(y, s, sigma)

    def _nu(self, lam: Float[Array, ""], key: Key[Array, ""], dtype) -> Float[Array, ""]:
        if self.coupling == "independent":
            return _draw_latent(key, self.latent, dtype)
        if self.coupling == "sign":
            return jnp.sign(lam)
        return jnp.sign(jnp.abs(lam) - MEDIAN)


@spike_law.register
def law_of_two_spikes(task: MixedCumulant) -> SpikeLaw:
    prior = np.asarray(task.class_prior)
    root_beta_u = np.asarray(math.sqrt(task.beta_u))
    rho_v = np.asarray(task.rho_v)
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
            number = self._cell(c, jax.random.uniform(of_cell, (), dtype))
            along_sides = jnp.unravel_index(number, self.shape)
            cell = jnp.stack(along_sides).astype(dtype)
            unit = (cell + uniform) / jnp.asarray(self.shape, dtype)
        s = self.low[c] + self.side[c] * unit
        sigma = jnp.ones((), dtype)
        return Spike(self.y[c], s, sigma)

    def _cell(self, c: Int[Array, ""], uniform: Float[Array, ""]) -> Int[Array, ""]:
        """The first cell of cluster c whose cumulated probability exceeds `uniform`, by bisection:
        no row of cells is copied.
        """
        last = self.cells.shape[-1] - 1
        found = jnp.zeros((), c.dtype)
        for bit in reversed(range(last.bit_length())):
            beyond = jnp.minimum(found + 2**bit, last + 1)
            found = jnp.where(self.cells[c, beyond - 1] <= uniform, beyond, found)
        return jnp.minimum(found, last)


@spike_law.register
def law_of_boxes(task: BoxMixture) -> SpikeLaw:
    r = task.directions
    clusters = len(task.weights)
    low = task.boxes[..., 0]
    side = task.boxes[..., 1] - low
    shape = (CELLS[r],) * r
    if task.densities is None:
        cells = np.ones((clusters, 1))
    else:
        numbers = np.arange(math.prod(shape))
        corners = np.stack(np.unravel_index(numbers, shape), axis=1)
        centres = (corners + 0.5) / np.asarray(shape)
        densities = [task.density(c, low[c] + side[c] * centres) for c in range(clusters)]
        values = np.stack(densities)
        cells = np.cumsum(values, axis=1) / values.sum(axis=1, keepdims=True)
    cumulative = np.cumsum(task.weights)
    return Boxes(cumulative, cells, task.labels, low, side, shape)
