"""What JAX writes for a GPU, where there is none."""

import jax


def text_for_cuda(function, *arguments) -> str:
    """The program handed to XLA on such a card."""
    from jax.sharding import (
        AbstractDevice,
        AbstractMesh,
        use_abstract_mesh,
    )  # of the later versions that we take

    card = AbstractDevice("NVIDIA H100 80GB HBM3", 132, "gpu")
    with use_abstract_mesh(AbstractMesh((), (), abstract_device=card)):
        return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
