"""Step-size control that ends steps at the times where the equations break off."""

import diffrax
import equinox.internal as eqxi
import jax.numpy as jnp

# A step that ends before a break by less than this part of itself is stretched to it.
NEAR = 1e-6


class BreakController(diffrax.ClipStepSizeController):
    """diffrax's control with jumps, without steps that end only just before one.

    What is left to the jump would be a step of 1e-15, say, and the next one at most ten times that:
    too small for the smallest step allowed, so that a good solve would fail.
    """

    def __init__(self, controller: diffrax.AbstractAdaptiveStepSizeController, jump_ts):
        super().__init__(controller, jump_ts=jump_ts)

    def adapt_step_size(self, *arguments):
        """As diffrax, with the end of the next step moved to a jump that is just behind it."""
        keep, begin, end, jumped, state, result = super().adapt_step_size(*arguments)
        targets = eqxi.prevbefore(self.jump_ts)
        rest = targets - end
        near = (rest > 0) & (rest < NEAR * (end - begin))
        end = jnp.max(jnp.where(near, targets, end))
        return keep, begin, end, jumped, state, result
