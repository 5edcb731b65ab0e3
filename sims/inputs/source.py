"""The contract of a task in the simulators: where its inputs come from, and how they are labelled.

One file per task registers its `set_up`, and `simulate.py` imports it.  Inputs are drawn for a
block of steps at once; labels are formed step by step, so that they do not depend on the length of
the block.
"""

import abc
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

from sims.inputs.normals import LABELS, normal_numbers
from sims.running.network import fields
from teacherstudent.checking.checks import AnyArray
from teacherstudent.checking.contracts import for_each_class
from teacherstudent.schedules import Schedule, is_schedule
from teacherstudent.starts import Start, one_of_batch
from teacherstudent.tasks import Task
from teacherstudent.tasks.base import Labels

# The way out where a class changes its inputs.
DRAWS = "register how its inputs are drawn (sims.inputs.source.set_up)"
LEAST_ROWS = 512  # what a matrix product needs for full speed


class Inputs(NamedTuple):
    """Inputs, the latents that the teacher sees, and a standard normal number each, for the label
    noise.

    Of inputs of two classes the latents are the inputs themselves, and `zeta` is the class y = +-1.
    """

    x: Float[Array, "samples inputs"]
    latent: Float[Array, "samples latents"]
    zeta: Float[Array, " samples"]

    def mapped(self, change: Callable[[Array], Array]) -> "Inputs":
        """All arrays changed alike; where the latent is the input itself, one array is kept."""
        x = change(self.x)
        latent = x
        if self.latent is not self.x:
            latent = change(self.latent)
        return Inputs(x, latent, change(self.zeta))

    def labels(self, task: Task, w_star: Float[Array, "teachers latents"]) -> Labels:
        """Those of a teacher with weights w*, or their classes."""
        return labels_of(task, fields(w_star, self.latent), self.zeta)


class LabelledInputs(NamedTuple):
    """Inputs of a fixed set with their labels, noise included."""

    x: Float[Array, "samples inputs"]
    y: Float[Array, " samples"]

    def mapped(self, change: Callable[[Array], Array]) -> "LabelledInputs":
        """All arrays changed alike."""
        return LabelledInputs(change(self.x), change(self.y))

    def labels(self, task: Task, w_star: Float[Array, "teachers latents"]) -> Labels:
        """The fixed ones, whatever the teacher."""
        return Labels(self.y, self.y)


Samples = Inputs | LabelledInputs


class Source(eqx.Module):
    """Where inputs come from."""

    # Samples to draw at once, at least: LEAST_ROWS where they take a matrix product.
    least_rows: ClassVar[int] = 1

    @abc.abstractmethod
    def draw(self, keys: Key[Array, " samples"]) -> Samples:
        """One independent input for each key, in the float type of the source's arrays."""

    def draw_steps(
        self, steps: UInt32[Array, " steps"], key: Key[Array, ""], keys: Key[Array, " samples"]
    ) -> Samples:
        """The inputs of these steps of one seed, those of the first step first.

        `keys` has one for each sample, which is all that fresh inputs need.  A source that keeps an
        order of its samples looks at the numbers of the steps and at the seed's `key`.
        """
        return self.draw(keys)

    def axes(self, shared: bool) -> Any:
        """Along which axis the arrays have their seeds, None where all seeds share them: for all
        arrays, or a tree of these.
        """
        return seed_axis(shared)


def seed_axis(shared: bool) -> int | None:
    """The axis of an array along which it has its seeds; None if all share one."""
    if shared:
        return None
    return 0


class Isotropic(eqx.Module):
    """Omega = Phi = 1."""

    def overlaps(
        self, w: Float[AnyArray, "students inputs"], w_star: Float[AnyArray, "teachers inputs"]
    ):
        """Q = w w^T / N and R = w w*^T / N."""
        N = w.shape[-1]
        return w @ w.T / N, w @ w_star.T / N


class Covariances(eqx.Module):
    """The exact Omega = E[x x^T] and Phi = E[x c^T]."""

    Omega: Float[AnyArray, "*seeds inputs inputs"]
    Phi: Float[AnyArray, "*seeds inputs latents"]

    def overlaps(
        self, w: Float[AnyArray, "students inputs"], w_star: Float[AnyArray, "teachers latents"]
    ):
        """Q = w Omega w^T / N and R = w Phi w*^T / sqrt(N D)."""
        N, D = self.Phi.shape
        return w @ self.Omega @ w.T / N, w @ self.Phi @ w_star.T / math.sqrt(N * D)


class Begin(NamedTuple):
    """The networks of all seeds at the start, in float64."""

    w: Float[np.ndarray, "seeds students inputs"]
    v: Float[np.ndarray, "seeds students"]
    w_star: Float[np.ndarray, "seeds teachers latents"]
    b: Float[np.ndarray, "seeds students"]


class SetUp(NamedTuple):
    """What a simulation of a task consists of, in float64.

    `shared` says whether source and covariances are one for all seeds, or have a leading axis, one
    entry for each seed.  Where the covariances are not known (None), overlaps are measured on
    held-out samples.
    """

    begin: Begin
    source: Source
    covariances: Isotropic | Covariances | None
    shared: bool


@for_each_class()
def set_up(task: Task, start: Start, N: int, seeds: list[int]) -> SetUp:
    """The networks of each seed at the start, and the source of their inputs."""
    raise ValueError(f"the simulator cannot draw inputs of the task {type(task).__name__}.")


def each_start(start: Start, all_seeds: list[int], seeds: list[int]) -> list[Start]:
    """The starts of some seeds: one for all of them, or its own for each if it is a batch."""
    if not start.batch:
        return [start]
    return [one_of_batch(start, all_seeds.index(seed)) for seed in seeds]


def set_up_seeds(task: Task, start: Start, N: int, all_seeds: list[int], seeds: list[int]) -> SetUp:
    """The networks of some seeds; of a batch of starts each begins from its own."""
    if not start.batch:
        return set_up(task, start, N, seeds)
    starts = each_start(start, all_seeds, seeds)
    single = [set_up(task, one, N, [seed]) for one, seed in zip(starts, seeds, strict=True)]

    def joined(*parts):
        return np.concatenate(parts)

    begin = Begin(*map(joined, *(one.begin for one in single)))
    first = single[0]
    if first.shared:
        return first._replace(begin=begin)
    source = jax.tree.map(joined, *(one.source for one in single))
    covariances = jax.tree.map(joined, *(one.covariances for one in single))
    return SetUp(begin, source, covariances, shared=False)


def label(task: Task, inputs: Samples, w_star: Float[Array, "teachers latents"]) -> Labels:
    """The labels of inputs under a teacher with weights w*, or their classes, or fixed ones."""
    return inputs.labels(task, w_star)


def labels_of(
    task: Task, along_fixed: Float[Array, "samples directions"], noise: Float[Array, " samples"]
) -> Labels:
    """What `task.label(fields, noise)` answers, checked; labels alone are without noise."""
    answer = task.label(along_fixed, noise)
    if not isinstance(answer, Labels):
        answer = Labels(answer, answer)
    clean, noisy = answer
    for part in (clean, noisy):
        if jnp.shape(part) != noise.shape:
            raise ValueError(
                f"{type(task).__name__}.label(fields, noise) answers an array of shape "
                f"{jnp.shape(part)}; it is to answer ts.Labels(clean, noisy), or one label for "
                f"each sample, shape {noise.shape}."
            )
    return Labels(clean, noisy)


def normal_rows(keys: Key[Array, " samples"], size: int, dtype) -> Float[Array, "samples size"]:
    """`size` standard normal numbers for each key."""
    return jax.vmap(lambda key: normal_numbers(key, size, dtype))(keys)


def label_noise(keys: Key[Array, " samples"], dtype) -> Float[Array, " samples"]:
    """One standard normal number for each key, independent of those of `normal_rows`."""
    return jax.vmap(lambda key: normal_numbers(key, 1, dtype, LABELS)[0])(keys)


def repeated(start: Start, seeds: list[int]) -> Begin:
    """The given weights, the same for every seed."""
    return stacked(start, [start.network] * len(seeds))


def stacked(start: Start, networks: list) -> Begin:
    """One network for each seed, with the readout and the biases of the start."""
    return Begin(
        w=np.stack([one.w for one in networks]),
        v=np.tile(np.asarray(start.v), (len(networks), 1)),
        w_star=np.stack([one.w_star for one in networks]),
        b=np.tile(np.asarray(start.b), (len(networks), 1)),
    )


def check_has_weights(start: Start) -> None:
    """Raise ValueError for overlaps by mode that no weights are known of."""
    if start.network is None:
        raise ValueError(
            "start has overlaps for each eigenvalue but no weights, so there is nothing to "
            "simulate; make it with ts.start_from_weights or ts.random_start, or give "
            "OrderParameters."
        )


def as_arrays(tree, dtype):
    """The pytree with its arrays as JAX arrays of a float type.

    The parameters of schedules stay in float64, since times have more digits than float32.
    """

    def arrays(leaf):
        if isinstance(leaf, Schedule):
            return jax.tree.map(lambda number: jnp.asarray(number, jnp.float64), leaf)
        return jnp.asarray(leaf, dtype)

    return jax.tree.map(arrays, tree, is_leaf=is_schedule)
