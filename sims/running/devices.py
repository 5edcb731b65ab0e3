"""Where a simulation runs: the seeds shared out evenly over one or several devices.

Seeds do not see each other, so that a program on several devices is the same program on each, with
no communication.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from teacherstudent.checking import checks
from teacherstudent.checking.warn import warn_user

SEEDS = "seeds"
KERNELS_ON = ("gpu", "cuda")  # the platforms that Pallas writes kernels for in Triton
# Arrays have their seeds along the first axis, along the last, or none.
FIRST = PartitionSpec(SEEDS)
LAST = PartitionSpec(None, SEEDS)
SHARED = PartitionSpec()


@dataclass(frozen=True)
class Place:
    """Devices of one kind."""

    devices: tuple[jax.Device, ...]

    @cached_property
    def mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), (SEEDS,))

    @property
    def platform(self) -> str:
        return self.devices[0].platform

    def __str__(self) -> str:
        return ", ".join(map(str, self.devices))

    def filled(self, seeds: list[int]) -> list[int]:
        """The seeds, the last one repeated until every device has as many."""
        missing = -len(seeds) % len(self.devices)
        return [*seeds, *[seeds[-1]] * missing]

    def put(self, tree: Any, spec: PartitionSpec) -> Any:
        """The arrays on the devices."""
        if len(self.devices) == 1:
            return jax.device_put(tree, self.devices[0])
        return jax.device_put(tree, NamedSharding(self.mesh, spec))

    def like(self, tree: Any, other: Any) -> Any:
        """The arrays where those of another tree are."""
        return jax.tree.map(lambda array, there: jax.device_put(array, there.sharding), tree, other)

    def sharded(self, f, in_specs, out_specs):
        """f on every device at once, each with its own seeds."""
        if len(self.devices) == 1:
            return f
        return jax.shard_map(
            f, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
        )

    def kernel(self, name: str) -> ModuleType | None:
        """The module of a kernel, on NVIDIA GPUs; None elsewhere, or with a warning where this JAX
        has no Pallas.
        """
        if self.platform not in KERNELS_ON:
            return None
        try:
            return import_module(name)
        except ImportError as error:
            warn_user(
                f"this JAX has no kernels for {self} ({error}); all steps run as a loop, more "
                "slowly."
            )
            return None

    def free_bytes(self) -> int | None:
        """Memory that is free on one of the devices; None where nobody says."""
        if self.platform == "cpu":
            try:
                return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            except (ValueError, OSError, AttributeError):
                return None
        memory = self.devices[0].memory_stats() or {}
        if "bytes_limit" not in memory:
            return None
        return memory["bytes_limit"] - memory["bytes_in_use"]


def place(name: str | None) -> Place:
    """All devices of a kind, such as "cpu" or "gpu", or one of them, "gpu:1"; JAX's default kind
    for None.

    Raises ValueError that lists the devices there are.
    """
    return Place(tuple(checks.devices(name)))
