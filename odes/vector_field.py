"""The one right-hand side of the order-parameter equations, for every task and every rule.

The task says what one update does on average (`one_update.py`), the rule what follows from it
(`flow.py`).  For SGD, with time t = updates / N and Q = sum_tau p rho q, R = sum_tau p r,

    dr/dt = -eta r_mean,   dq/dt = -eta (q_mean + transpose) + eta^2 square,   dv/dt = -eta_v
    v_mean,   db/dt = -eta_b b_mean

Isotropic inputs are the case of one mode, rho = 1, p = 1, q = Q, r = R: the equations of Saad &
Solla (1995), Goldt et al. (2019) with a teacher, and with r = m those of Refinetti et al. (2021)
for mixtures.
"""

import jax.numpy as jnp

from odes.inputs import mixture, spectral  # noqa: F401 (they register the averages of their tasks, and the flows of their rules)
from odes.inputs.one_update import Fixed, State, require_averages
from odes.rules.theory import theory_of
from teacherstudent.problem import Problem


def vector_field(problem: Problem, fixed: Fixed, state: State, replica: int = 0) -> State:
    """d(q, r, v, b, memory)/dt of a problem; what the student does not train stays."""
    require_averages(problem)
    velocity = theory_of(problem.rule).velocity(problem.rule, problem, fixed, state, replica)
    student = problem.student
    return velocity._replace(
        v=velocity.v if student.train_readout else jnp.zeros_like(state.v),
        b=velocity.b if student.train_bias else jnp.zeros_like(state.b),
    )
