"""Parts of the order-parameter equations along a solved trajectory, for those who ask for them.

    drift_Q = dQ/dt,   drift_R = dR/dt,   drift_v = dv/dt,   drift_b = db/dt
    diffusion_Q = the part of dQ/dt that is of second order in the update

The overlaps are linear in those by mode, Q = sum_tau p rho q and R = sum_tau p r, and so are their
velocities.
"""

from collections.abc import Sequence

from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, State, overlaps
from odes.rules.theory import theory_of
from odes.solving.moments import along
from odes.solving.packing import unpack
from odes.solving.vector_field import vector_field
from teacherstudent.problem import Problem

DRIFTS = ("drift_Q", "drift_R", "drift_v", "drift_b", "diffusion_Q")


def drifts_along(
    names: Sequence[str], problem: Problem, times, fixed: Fixed, begin: State, packed, wanted=None
) -> dict[str, Array]:
    """These parts of the equations at all times and states of a trajectory that are wanted, by
    name.
    """

    def at_one(moment):
        t, part = moment
        return drifts_at(names, problem.at(t), fixed, unpack(part, problem, begin))

    return along(at_one, (times, packed), wanted)


def drifts_at(
    names: Sequence[str], problem: Problem, fixed: Fixed, state: State
) -> dict[str, Array]:
    """These parts of the equations at one state, by name."""
    velocity = vector_field(problem, fixed, state)
    dQ, dR = overlaps(fixed, velocity)
    parts = {"drift_Q": dQ, "drift_R": dR, "drift_v": velocity.v, "drift_b": velocity.b}
    if "diffusion_Q" in names:
        parts["diffusion_Q"] = diffusion(problem, fixed, state)
    return {name: parts[name] for name in names}


def diffusion(problem: Problem, fixed: Fixed, state: State) -> Float[Array, "students students"]:
    """The part of dQ/dt that is of second order in the update."""
    by_mode = theory_of(problem.rule).diffusion(problem.rule, problem, fixed, state)
    return overlaps(fixed, state._replace(q=by_mode))[0]
