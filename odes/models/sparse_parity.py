"""The solution of multitask sparse parity (`teacherstudent/models/sparse_parity.py`).

Gradient flow of a and b conserves c = a^2 - b^2 = (a + b)(a - b), and Y = (a + b)^2, X = (a - b)^2
each obey a Riccati equation.  With D = sqrt(4 S^2 + c^2) and Y+ = 2 S + D, Y- = 2 S - D,

    (Y - Y+) / (Y - Y-) = [(Y(0) - Y+) / (Y(0) - Y-)] exp(-eta P_k D t)

and the same for X with -S in place of S.  Then R = (Y - X) / 4; of c = 0 this is the sigmoid.  A
learning rate that changes with time is integrated step by step.

Nam, Fonseca, Lee, Mingard & Louis, NeurIPS 2024 (arXiv:2404.17563), whose appendix has a = b.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from odes.models.theory import ModelTheory, Solution
from teacherstudent.models.sparse_parity import SparseParity


class SparseParityTheory(ModelTheory, model=SparseParity):
    """Gradient flow, in closed form where the learning rate is constant."""

    def velocity(self, model: Any, t, state: dict[str, Array]) -> dict[str, Array]:
        a, b = state["first"], state["second"]
        pull = model.learning_rate * model.frequencies * (model.target - a * b)
        return {"first": pull * b, "second": pull * a}

    def trajectory(
        self, model: Any, begin: Mapping[str, np.ndarray], start: float, times: np.ndarray, options
    ) -> Solution:
        if model.changes_with_time:
            return super().trajectory(model, begin, start, times, options)
        state = {name: jnp.asarray(values) for name, values in begin.items()}

        def at(t):
            moved = closed_form(model, state, t - start)
            return moved, model.observed(t, moved)

        moved, observed = jax.tree.map(np.asarray, jax.lax.map(at, jnp.asarray(times)))
        return Solution(moved, observed, float(times[-1]))


def closed_form(model: Any, state: Mapping[str, Array], time) -> dict[str, Array]:
    """a and b after this time, for a constant learning rate."""
    a, b = state["first"], state["second"]
    c = (a + b) * (a - b)
    D = jnp.sqrt(4 * model.target**2 + c**2)
    larger = 2 * model.target + D
    roots = larger, c**2 / larger  # Y+ and -Y-, without cancellation
    decay = jnp.exp(-model.learning_rate * model.frequencies * D * time)
    total = jnp.sign(a + b) * jnp.sqrt(_riccati((a + b) ** 2, *roots, decay))
    difference = jnp.sign(a - b) * jnp.sqrt(_riccati((a - b) ** 2, *roots[::-1], decay))
    return {"first": (total + difference) / 2, "second": (total - difference) / 2}


def _riccati(Y, above, below, decay) -> Array:
    """Y at the time at which (Y - above) / (Y + below) has decayed by this factor."""
    top = above * (Y + below) + below * (Y - above) * decay
    bottom = (Y + below) - (Y - above) * decay
    # Of Y = below = 0, which stays, both vanish as soon as the factor does.
    return jnp.where(bottom > 0, top / jnp.where(bottom > 0, bottom, 1.0), 0.0)
