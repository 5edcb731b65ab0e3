"""How our own programs are compiled."""

from functools import cache

import jax
import jax.numpy as jnp

KEPT = {"xla_disable_hlo_passes": "cse_barrier_expander"}


@cache
def options(platform: str) -> dict[str, str] | None:
    """Options for `jax.jit` that keep the barriers of `computed_once` in programs for a CPU; None where there are no such ones.

    XLA's CPU compiler drops barriers in one of its passes, and then fuses the same computation into each reader, or index
    arithmetic into loops that could run several numbers at once: the programs here take three times as long.  GPUs need the
    pass.
    """
    if platform != "cpu":
        return None
    x = jax.device_put(jnp.ones(1024, jnp.float32), jax.local_devices(backend="cpu")[0])
    loop = lambda x: jax.lax.fori_loop(0, 3, lambda _, x: jnp.sqrt(computed_once(x * x)) + 1, x)
    try:
        jax.jit(loop, compiler_options=KEPT).lower(x).compile()
    except Exception:  # another version of XLA: the same numbers, more slowly
        return None
    return KEPT


def computed_once(tree):
    """The same numbers, but compiled so that what follows reads them instead of computing them in each place.

    Not for loops over less than 1 KiB, which XLA emits in a way that knows no barriers.
    """
    return jax.lax.optimization_barrier(tree)


def default_platform() -> str:
    """Where JAX runs what is given no device."""
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    return getattr(device, "platform", None) or str(device or jax.default_backend()).split(":")[0]
