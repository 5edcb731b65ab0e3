"""The adaptive solve without gradients, in the plainest loop around diffrax's own steps.

    dy/dt = field(t, y, args),   y(begin) given

The Runge-Kutta steps, their interpolation and the step-size control are diffrax's.
`diffrax.diffeqsolve` takes the same steps and gives the same numbers.  It can be differentiated and
does much else, for which it is traced three times.  Without that, tracing and compiling take two
thirds of the time: what one waits for until a first curve.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

FIRST_STEP = 0.01  # where the controller starts its search
# A step shall end at the last time itself, or more than this many floating-point numbers before it.
CLIPPED = 100


class Solved(NamedTuple):
    """What a solve answers, and how the solver fared.

    - `observed`: the observations, with the times as first axis; infinite after `reached`.
    - `last`: the last state.
    - `reached`: the time of the last state.
    - `failed`: whether the state diverged, or steps became too small.
    - `steps`, `rejected`: how many steps were tried, and how many of them were not accepted.
    - `crossed`: whether the solve ended at a threshold, where there is one.
    - `loop`: all that the loop needs to go on from here.
    """

    observed: Any
    last: Any
    reached: Float[Array, ""]
    failed: Bool[Array, ""]
    steps: Int[Array, ""]
    rejected: Int[Array, ""]
    crossed: Bool[Array, ""] | None = None
    loop: tuple[Array, ...] | None = None


def adaptive_steps(
    field: Callable,
    y: Any,
    args: Any,
    begin: Float[Array, ""],
    times: Float[Array, " times"],
    observe: Callable,
    has_diverged: Callable,
    solver: Any,
    controller: diffrax.AbstractAdaptiveStepSizeController,
    max_steps: Int[Array, ""] | int,
    meter: diffrax.AbstractProgressMeter,
    loop: tuple[Array, ...] | None = None,
) -> Solved:
    """Solve dy/dt = field(t, y, args) from t = `begin` by an explicit solver.

    `observe(t, y, args)` is recorded at increasing times, none before `begin`.  The solve ends at
    the last time, after `max_steps`, or failed: where the state has diverged or steps become too
    small.

    With the `loop` of an earlier call it goes on from the end of that one, whose steps count to
    `max_steps`; all numbers are those of one call.
    """
    term = diffrax.ODETerm(field)
    order = solver.error_order(term)
    stepper = _Stepper(
        term, args, times, begin, times[-1], observe, has_diverged, solver, controller, order, meter
    )

    def goes_on(now: _Loop):
        return (now.t < stepper.end) & (now.steps < max_steps) & ~now.failed

    first = stepper.start(y)
    if loop is not None:
        first = jax.tree.unflatten(jax.tree.structure(first), loop)
    final = jax.lax.while_loop(goes_on, stepper.step, first)
    meter.close(final.meter)
    return Solved(
        final.observed,
        final.y,
        final.t,
        final.failed,
        final.steps,
        final.rejected,
        loop=tuple(jax.tree.leaves(final)),
    )


class _Loop(NamedTuple):
    """What changes from step to step."""

    t: Float[Array, ""]
    stop: Float[Array, ""]  # where the next step shall end
    y: Any
    solver: Any
    controller: Any
    jumped: Bool[Array, ""]  # whether the field jumps between the last step and the next
    meter: Any
    recorded: Int[Array, ""]  # the number of times that have been observed
    observed: Any
    failed: Bool[Array, ""]
    steps: Int[Array, ""]
    rejected: Int[Array, ""]


@dataclass(frozen=True)
class _Stepper:
    """One solve: what every step needs beside the state that it moves."""

    term: diffrax.ODETerm
    args: Any
    times: Any
    begin: Any
    end: Any
    observe: Callable
    has_diverged: Callable
    solver: Any
    controller: diffrax.AbstractAdaptiveStepSizeController
    order: Any
    meter: diffrax.AbstractProgressMeter

    def start(self, y: Any) -> _Loop:
        """The loop before its first step."""
        first, controller = self.controller.init(
            self.term, self.begin, self.end, y, FIRST_STEP, self.args, self.solver.func, self.order
        )
        first = jnp.minimum(first, self.end)
        zero = jnp.zeros((), int)
        return _Loop(
            t=self.begin,
            stop=first,
            y=y,
            solver=self.solver.init(self.term, self.begin, first, y, self.args),
            controller=jax.tree.map(jnp.asarray, controller),
            jumped=jnp.zeros((), bool),
            meter=self.meter.init(),
            recorded=zero,
            observed=self._nothing_observed(y),
            failed=self.has_diverged(y),
            steps=zero,
            rejected=zero,
        )

    def _nothing_observed(self, y: Any) -> Any:
        """Infinite observations; with the first time the only one no step is taken, and they are
        those at the start.
        """
        only_start = self.end <= self.begin

        def column(part):
            infinite = jnp.full((self.times.size, *part.shape), jnp.inf)
            return infinite.at[0].set(jnp.where(only_start, part, jnp.inf))

        return jax.tree.map(column, self.observe(self.begin, y, self.args))

    def step(self, now: _Loop) -> _Loop:
        """Try one step, and record the observations that fall into it if it is accepted."""
        jumped: Any = False  # known while compiling, it saves an evaluation of the field
        if isinstance(self.controller, diffrax.ClipStepSizeController):
            jumped = now.jumped
        y, error, dense, memory, _ = self.solver.step(
            self.term, now.t, now.stop, now.y, self.args, now.solver, jumped
        )
        error = jax.tree.map(_infinite_where_nan, error)
        accepted, t, following, jumped, controller, result = self.controller.adapt_step_size(
            now.t, now.stop, now.y, y, self.args, error, self.order, now.controller
        )
        t = jnp.minimum(t, self.end)
        y, memory = jax.tree.map(
            lambda new, old: jnp.where(accepted, new, old), (y, memory), (now.y, now.solver)
        )
        recorded, observed = self._record(now, accepted, dense)
        return _Loop(
            t=t,
            stop=self._clipped(accepted, t, following),
            y=y,
            solver=memory,
            controller=controller,
            jumped=jnp.where(accepted, jumped, now.jumped),
            meter=self.meter.step(now.meter, (t - self.begin) / (self.end - self.begin)),
            recorded=recorded,
            observed=observed,
            failed=self.has_diverged(y) | (result == diffrax.RESULTS.dt_min_reached),
            steps=now.steps + 1,
            rejected=now.rejected + jnp.where(accepted, 0, 1),
        )

    def _clipped(self, accepted, t, following):
        """Where the next step ends: never only just before the last time.

        After a rejected step it goes half the way there, since the whole way was too long.
        """
        almost = jax.lax.bitcast_convert_type(
            jax.lax.bitcast_convert_type(self.end, jnp.int64) - CLIPPED, self.end.dtype
        )
        last = jnp.where(accepted, self.end, t + 0.5 * (self.end - t))
        return jnp.where(following > almost, last, following)

    def _record(self, now: _Loop, accepted, dense) -> tuple:
        """The observations at all times up to the end of an accepted step, by its interpolation."""
        between = self.solver.interpolation_cls(t0=now.t, t1=now.stop, **dense)

        def is_due(records):
            index = records[0]
            in_step = (index < self.times.size) & (self.times[index] <= now.stop)
            return accepted & in_step

        def record_next(records):
            index, observed = records
            new = self.observe(self.times[index], between.evaluate(self.times[index]), self.args)
            observed = jax.tree.map(lambda column, part: column.at[index].set(part), observed, new)
            return index + 1, observed

        return jax.lax.while_loop(is_due, record_next, (now.recorded, now.observed))


def _infinite_where_nan(part):
    """A step into states whose averages do not exist is too long: its error is infinite."""
    return jnp.where(jnp.isnan(part), jnp.inf, part)
