"""Networks of another simulation, from which one goes on."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from teacherstudent.states.kept import KeptNetworks

OF_SEEDS = ("w", "v", "b", "w_star", "memory", "chain")


def networks_of(kept: KeptNetworks, seeds: list[int]) -> KeptNetworks:
    """The networks of some of the seeds."""
    rows = [kept.seeds.index(seed) for seed in seeds]
    chosen: dict[str, Any] = {"seeds": list(seeds)}
    for name in OF_SEEDS:
        array = getattr(kept, name)
        if array is not None:
            chosen[name] = array[rows]
    return dataclasses.replace(kept, **chosen)


def all_numbers(tree: Any, seeds: int, axis: int, dtype) -> Float[np.ndarray, "seeds entries"]:
    """The arrays of a pytree, with the seeds along `axis`, as one array with the seeds first."""
    columns = [np.zeros((seeds, 0), dtype)]
    for leaf in jax.tree.leaves(tree):
        first = np.moveaxis(np.asarray(leaf), axis, 0)[:seeds]
        columns.append(first.reshape(seeds, -1).astype(dtype))
    return np.concatenate(columns, axis=1)


def from_numbers(like: Any, numbers: Float[np.ndarray, "seeds entries"], axis: int) -> Any:
    """The pytree of `all_numbers`, with the structure, sizes and types of another one.

    Raises ValueError if that needs another count of numbers.
    """
    leaves = jax.tree.leaves(like)
    shapes = [np.delete(np.shape(leaf), axis) for leaf in leaves]
    sizes = [math.prod(shape) for shape in shapes]
    if sum(sizes) != numbers.shape[1]:
        raise ValueError(
            f"the start is a state of another problem: it keeps {numbers.shape[1]} numbers of each "
            f"network, but this one has {sum(sizes)}."
        )
    parts, begin = [], 0
    for leaf, shape, size in zip(leaves, shapes, sizes, strict=True):
        part = numbers[:, begin : begin + size].reshape(len(numbers), *shape)
        parts.append(np.moveaxis(part, 0, axis).astype(leaf.dtype))
        begin += size
    return jax.tree.unflatten(jax.tree.structure(like), parts)
