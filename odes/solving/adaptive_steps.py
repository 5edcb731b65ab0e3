"""The adaptive solve without gradients: diffrax's Runge-Kutta steps and step-size control in the
plainest loop around them.

`diffrax.diffeqsolve` takes the same steps and gives the same numbers.  It can be differentiated and
does much else, for which it is traced three times.  Without that, tracing and compiling take two
thirds of the time: what one waits for until a first curve.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

FIRST_STEP = 0.01  # where the controller starts its search
CLIPPED = (
    100  # floating-point numbers before the end that no step shall end on, but on the end itself
)


class Solved(NamedTuple):
    """What was asked for at each time (infinite after the time reached), the last state, and how
    the solver fared.
    """

    at: Any
    last: Any
    reached: Float[Array, ""]
    failed: Bool[Array, ""]
    steps: Int[Array, ""]
    rejected: Int[Array, ""]


class _Loop(NamedTuple):
    t: Float[Array, ""]
    following: Float[Array, ""]  # where the next step shall end
    y: Any
    solver: Any
    controller: Any
    meter: Any
    answered: Int[Array, ""]  # times
    at: Any
    failed: Bool[Array, ""]
    steps: Int[Array, ""]
    rejected: Int[Array, ""]


def adaptive_steps(
    field: Callable,
    y: Any,
    args: Any,
    times: Float[Array, " times"],
    asked: Callable,
    has_diverged: Callable,
    solver: Any,
    controller: diffrax.PIDController,
    max_steps: int,
    meter: diffrax.AbstractProgressMeter,
) -> Solved:
    """dy/dt = field(t, y, args) from t = 0 by an explicit solver, with asked(t, y, args) at
    increasing times.

    It ends at the last time, after max_steps, or failed: where the state has diverged or steps
    become too small.
    """
    term, begin, end = diffrax.ODETerm(field), jnp.zeros_like(times[-1]), times[-1]
    order = solver.error_order(term)
    first, controlled = controller.init(term, begin, end, y, FIRST_STEP, args, solver.func, order)
    first = jnp.minimum(first, end)
    almost = jax.lax.bitcast_convert_type(
        jax.lax.bitcast_convert_type(end, jnp.int64) - CLIPPED, end.dtype
    )
    zero, nowhere = jnp.zeros((), int), end <= begin  # with t = 0 the only time, no step is taken
    unanswered = jax.tree.map(
        lambda part: (
            jnp.full((times.size, *part.shape), jnp.inf)
            .at[0]
            .set(jnp.where(nowhere, part, jnp.inf))
        ),
        asked(begin, y, args),
    )

    def goes_on(now: _Loop):
        return (now.t < end) & (now.steps < max_steps) & ~now.failed

    def step(now: _Loop) -> _Loop:
        y, error, dense, state, _ = solver.step(
            term, now.t, now.following, now.y, args, now.solver, False
        )
        # a step from which averages do not exist is too long
        error = jax.tree.map(lambda part: jnp.where(jnp.isnan(part), jnp.inf, part), error)
        kept, t, following, _, controlled, found = controller.adapt_step_size(
            now.t, now.following, now.y, y, args, error, order, now.controller
        )
        t = jnp.minimum(t, end)
        last = jnp.where(kept, end, t + 0.5 * (end - t))
        y, state = jax.tree.map(
            lambda new, old: jnp.where(kept, new, old), (y, state), (now.y, now.solver)
        )
        between = solver.interpolation_cls(t0=now.t, t1=now.following, **dense)

        def due(answer):
            return kept & (answer[0] < times.size) & (times[answer[0]] <= now.following)

        def answered(answer):
            index, at = answer
            new = asked(times[index], between.evaluate(times[index]), args)
            return index + 1, jax.tree.map(lambda all_, part: all_.at[index].set(part), at, new)

        index, at = jax.lax.while_loop(due, answered, (now.answered, now.at))
        return _Loop(
            t, jnp.where(following > almost, last, following), y, state, controlled,
            meter.step(now.meter, t / end), index, at,
            has_diverged(y) | (found == diffrax.RESULTS.dt_min_reached), now.steps + 1, now.rejected + jnp.where(kept, 0, 1),
        )  # fmt: skip

    start = _Loop(
        begin, first, y, solver.init(term, begin, first, y, args), jax.tree.map(jnp.asarray, controlled), meter.init(),
        zero, unanswered, has_diverged(y), zero, zero,
    )  # fmt: skip
    end_ = jax.lax.while_loop(goes_on, step, start)
    meter.close(end_.meter)
    return Solved(end_.at, end_.y, end_.t, end_.failed, end_.steps, end_.rejected)
