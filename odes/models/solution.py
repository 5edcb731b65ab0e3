"""What a solve of a model's equations answers, and how its program is compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from teacherstudent.programs.compilation import options as compiler_options

BIG = 1e6  # beyond which a state counts as diverged, relative to its start


class Solution(NamedTuple):
    """The state along the times, and how the solver fared."""

    state: dict[str, np.ndarray]
    observed: dict[str, np.ndarray]
    reached: float
    exceeded: bool = False
    steps: int = 0
    rejected: int = 0

    @property
    def is_finite(self) -> bool:
        """Whether the state is finite at all times."""
        return all(bool(np.isfinite(values).all()) for values in self.state.values())


def at_numbers(model: Any) -> Any:
    """The model with its numbers as float64 arrays, as compiled programs take it."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model)


def compiled(function: Callable, static: tuple[int, ...]):
    """A program that answers soon rather than runs fast."""
    return jax.jit(
        function, static_argnums=static, compiler_options=compiler_options("cpu", quick=True)
    )
