"""What JAX writes for a GPU, where there is none."""

import jax
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

CARD = AbstractDevice("NVIDIA H100 80GB HBM3", 132, "gpu")


def text_for_cuda(function, *arguments) -> str:
    """The program handed to XLA on such a card."""
    with use_abstract_mesh(AbstractMesh((), (), abstract_device=CARD)):
        return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
