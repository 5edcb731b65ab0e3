"""The solve of a model's equations, by the steps of `odes.solving.adaptive_steps`."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from odes.models.solution import BIG, Solution, at_numbers, compiled
from odes.solving.adaptive_steps import adaptive_steps
from odes.solving.breaks import BreakController
from odes.solving.trajectory import SOLVERS, chosen

SMALLEST_STEP = 1e-12


def solved(
    theory: Any,
    model: Any,
    begin: Mapping[str, np.ndarray],
    start: float,
    times: np.ndarray,
    options: Any,
) -> Solution:
    """The state and what is recorded of it at increasing times; to be called with float64 on."""
    method = chosen(options.solver, options.rtol)
    numbers = (start, times, options.rtol, options.atol, options.max_steps)
    answer = _program()(theory, method, at_numbers(model), dict(begin), *map(np.asarray, numbers))
    (state, observed), reached, failed, steps, rejected = jax.tree.map(np.asarray, answer)

    def usable(values: np.ndarray) -> np.ndarray:
        return np.where(np.isfinite(values), values, np.nan)

    state, observed = jax.tree.map(usable, (state, observed))
    return Solution(state, observed, float(reached), bool(failed), int(steps), int(rejected))


@cache
def _program():
    return compiled(_solve, (0, 1))


def _solve(theory, method, model, begin, start, times, rtol, atol, max_steps):
    def field(t, state, args):
        return theory.velocity(args.at(t), t, state)

    def observe(t, state, args):
        return state, args.at(t).observed(t, state)

    def has_diverged(state):
        sizes = jax.tree.map(
            lambda now, first: jnp.any(
                jnp.abs(now) > BIG * jnp.maximum(1.0, jnp.max(jnp.abs(first), initial=0.0))
            ),
            state,
            begin,
        )
        return jnp.any(jnp.stack(jax.tree.leaves(sizes)))

    controller: Any = diffrax.PIDController(
        rtol=rtol, atol=atol, dtmin=SMALLEST_STEP, force_dtmin=False
    )
    breaks = theory.breaks(model)
    if breaks:
        at_breaks = jnp.stack([jnp.asarray(one, times.dtype) for one in breaks])
        inside = jnp.sort(jnp.where(at_breaks < times[-1], at_breaks, jnp.inf))
        controller = BreakController(controller, inside)
    found = adaptive_steps(
        field,
        begin,
        model,
        start,
        times,
        observe,
        has_diverged,
        getattr(diffrax, SOLVERS[method])(),
        controller,
        max_steps,
        diffrax.NoProgressMeter(),
    )
    return found.observed, found.reached, found.failed, found.steps, found.rejected
