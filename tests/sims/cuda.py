"""What JAX writes for a GPU, where there is none."""

from importlib.util import find_spec

import jax
import pytest

from sims.running.triton import NAME, known_to_be_deprecated

has_kernel = pytest.mark.skipif(find_spec(NAME) is None, reason="this jax has no Triton in Pallas")


def text_for_cuda(function, *arguments) -> str:
    """The program handed to XLA on such a card."""
    from jax.sharding import (
        AbstractDevice,
        AbstractMesh,
        use_abstract_mesh,
    )  # of the later versions that we take

    card = AbstractDevice("NVIDIA H100 80GB HBM3", 132, "gpu")
    mesh = AbstractMesh((), (), abstract_device=card)
    with use_abstract_mesh(mesh), known_to_be_deprecated():
        return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
