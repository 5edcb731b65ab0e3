"""How our own programs are compiled."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

KEPT: dict[str, str | bool] = {"xla_disable_hlo_passes": "cse_barrier_expander"}
EMITTERS = "xla_cpu_use_fusion_emitters"


@cache
def options(platform: str, quick: bool = False) -> dict[str, str | bool] | None:
    """Options for `jax.jit` of programs for a CPU; None where XLA does not know them.

    They keep the barriers of `computed_once`: XLA drops them in one of its passes, and then fuses
    the same computation into each reader, or index arithmetic into loops that could run several
    numbers at once, so that the programs here take three times as long.  GPUs need the pass.

    `quick`: loops are written in XLA's older way, which compiles in two thirds of the time.  The
    programs are equally fast, but round differently in loops of other lengths.
    """
    if platform != "cpu":
        return None
    # The newest XLA knows the options, and fails on barriers in loops: only a loop tells.
    x = jax.device_put(np.ones(1024, np.float32), jax.local_devices(backend="cpu")[0])
    loop = jax.jit(
        lambda x: jax.lax.fori_loop(0, 3, lambda _, x: jnp.sqrt(computed_once(x * x)) + 1, x)
    ).lower(x)
    for known in (KEPT | {EMITTERS: not quick}, KEPT):
        try:
            loop.compile(compiler_options=known)
        except Exception:  # another version of XLA: the same numbers, more slowly
            continue
        return known
    return None


def computed_once(tree):
    """The same numbers, but compiled so that what follows reads them instead of computing them in
    each place.

    Not for loops over less than 1 KiB, which XLA emits in a way that knows no barriers.
    """
    return jax.lax.optimization_barrier(tree)


def default_platform() -> str:
    """Where JAX runs what is given no device."""
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    return getattr(device, "platform", None) or str(device or jax.default_backend()).split(":")[0]
