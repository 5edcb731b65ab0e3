"""The one right-hand side of the order-parameter equations, for every task and every rule.

The task says what one update does on average (`odes/inputs/one_update.py`), the rule what follows
from it (`odes/rules/theory.py`).  For SGD, with time t = updates / N and the overlaps

    Q = sum_tau p_tau rho_tau q_tau,   R = sum_tau p_tau r_tau

over the modes tau of the inputs (eigenvalue rho, its fraction p),

    dr/dt = -eta r_mean
    dq/dt = -eta (q_mean + transpose) + eta^2 square
    dv/dt = -eta_v v_mean
    db/dt = -eta_b b_mean

Isotropic inputs are the case of one mode, rho = 1, p = 1, q = Q, r = R: the equations of Saad &
Solla (1995), Goldt et al. (2019) with a teacher, and with r = m those of Refinetti et al. (2021)
for mixtures.
"""

import jax.numpy as jnp

# These register the averages of each family of tasks and the flow of each rule.
from odes.inputs import mixture, spectral  # noqa: F401
from odes.inputs.one_update import Fixed, State, require_averages
from odes.rules.theory import theory_of
from teacherstudent.problem import Problem


def vector_field(problem: Problem, fixed: Fixed, state: State, replica: int = 0) -> State:
    """d(q, r, v, b, memory)/dt of a problem; what the student does not train stays.

    Shapes are those of `State`, the modes last.  Where averages are over frozen points, `replica`
    numbers the sets of points.

    Raises ValueError, with the reason, where the task has no theory.
    """
    require_averages(problem)
    theory = theory_of(problem.rule)
    velocity = theory.velocity(problem.rule, problem, fixed, state, replica)
    if not problem.student.train_readout:
        velocity = velocity._replace(v=jnp.zeros_like(state.v))
    if not problem.student.train_bias:
        velocity = velocity._replace(b=jnp.zeros_like(state.b))
    if problem.student.frozen:
        moving = jnp.asarray(problem.student.moving)
        velocity = velocity._replace(v=moving * velocity.v, b=moving * velocity.b)
    return velocity
