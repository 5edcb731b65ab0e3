"""Random streams by purpose, so that nothing drawn from equal seeds elsewhere is repeated.

`numpy.random.default_rng(seed)` is what users draw their own matrices with; weights or features
from the same stream would repeat these entries, and would not be independent of them.
"""

import numpy as np

FEATURES, FEATURES_OF_A_NETWORK, WEIGHTS, WEIGHTS_OF_A_NETWORK, FEEDBACK = range(5)


def stream(seed: int, purpose: int, number: int = 0) -> np.random.Generator:
    """A generator of its own for each seed, purpose and number."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, number)))
