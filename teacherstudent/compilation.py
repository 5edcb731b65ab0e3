"""How our own programs are compiled."""

import jax


def options(platform: str) -> dict[str, str] | None:
    """Options for `jax.jit` that keep `jax.lax.optimization_barrier` in programs for a CPU.

    A barrier says that what follows reads numbers that are computed once.  XLA's CPU compiler drops it in this pass, and then
    fuses the same computation into each reader, or index arithmetic into loops that could run several numbers at once: the
    programs here take three times as long.  GPUs need the pass.
    """
    return {"xla_disable_hlo_passes": "cse_barrier_expander"} if platform == "cpu" else None


def default_platform() -> str:
    """Where JAX runs what is given no device."""
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    return getattr(device, "platform", None) or str(device or jax.default_backend()).split(":")[0]
