"""Parts of the order-parameter equations along a trajectory, as observables of the theory.

    drift_Q = dQ/dt,   drift_R = dR/dt,   drift_v = dv/dt
    diffusion_Q = the part of dQ/dt that is of second order in the update

For SGD the latter is eta^2 E[delta_k delta_l x^2], what the noise of the samples adds to the
student's lengths.  Only the solve of the theory knows them (`odes/solving/drift.py`).
"""

from teacherstudent.observables.observable import TheoryObservable
from teacherstudent.problem import Problem

PAIRS = ("student", "student_")


def equations(problem: Problem) -> dict[str, TheoryObservable]:
    """The parts of the equations of a problem, by name: with two classes drift_m, and drift_b."""
    task = problem.task
    fixed = "teacher"
    if task.HAS_CLASSES:
        fixed = "direction"
    R = task.name_of("R")
    parts = [
        TheoryObservable("drift_Q", PAIRS, r"$\dot Q_{kl}$", "drift_Q", "velocity of Q"),
        TheoryObservable(
            f"drift_{R}",
            ("student", fixed),
            rf"$\dot {R}_{{km}}$",
            "drift_R",
            f"velocity of {R}",
        ),
        TheoryObservable("drift_v", ("student",), r"$\dot v_k$", "drift_v", "velocity of v"),
        TheoryObservable(
            "diffusion_Q",
            PAIRS,
            r"$\dot Q^{(2)}_{kl}$",
            "diffusion_Q",
            "velocity of Q, of second order in the update",
        ),
    ]
    if "b" not in problem.not_recorded:
        parts.append(
            TheoryObservable("drift_b", ("student",), r"$\dot b_k$", "drift_b", "velocity of b")
        )
    return {one.name: one for one in parts}
