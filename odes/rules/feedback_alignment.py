"""The flow of direct feedback alignment: that of SGD, with other averages of one update.

    delta_k = F_k g'(lambda_k) (e - sigma zeta),   e = sum_a u_a g_a(h_a),   u = (v, -v*)

so that in `odes/inputs/moments.py` the v_k outside are F_k (`Rule.backward`), and the error inside
keeps v.  The readout's gradient is that of SGD.
"""

import jax.numpy as jnp

from odes.inputs.one_update import Fixed, Gradient, State, gradient
from odes.rules.sgd import descent
from odes.rules.theory import RuleTheory
from teacherstudent.problem import Problem
from teacherstudent.rules import FeedbackAlignment


class TheoryOfFeedbackAlignment(RuleTheory, rule=FeedbackAlignment):
    """The flow of direct feedback alignment, for tasks with a teacher."""

    def velocity(
        self, rule: FeedbackAlignment, problem: Problem, fixed: Fixed, state: State, replica: int
    ) -> State:
        return self.one_update(rule, problem, fixed, state, gradient(problem, fixed, state))

    def one_update(
        self,
        rule: FeedbackAlignment,
        problem: Problem,
        fixed: Fixed,
        state: State,
        sampled: Gradient,
    ) -> State:
        return descent(state, sampled, rule.learning_rate, rule.eta_v, rule.eta_b)

    def second_order(
        self, rule: FeedbackAlignment, problem: Problem, state: State, mean: Gradient, square
    ):
        """eta^2 square, of q."""
        nothing = jnp.zeros_like
        q = rule.learning_rate**2 * square
        return state._replace(q=q, r=nothing(state.r), v=nothing(state.v), b=nothing(state.b))

    def diffusion(self, rule: FeedbackAlignment, problem: Problem, fixed: Fixed, state: State):
        return rule.learning_rate**2 * gradient(problem, fixed, state).square

    def holds_frozen_units(self, rule: FeedbackAlignment) -> bool:
        return True
