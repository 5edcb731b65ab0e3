"""What an update rule makes of a problem: the contract of a rule in the theory.

To give a rule a theory: one file here that registers its `flow`, the velocity of the order parameters, its `check`, which
says where it does not hold, and, if it needs more than (q, r, v, b), its `first_memory`; `vector_field.py` imports the file.
"""

from functools import singledispatch
from typing import Any, NamedTuple

from odes.one_update import Fixed, State
from teacherstudent.problem import Problem
from teacherstudent.rules import RULES, Madam, Rule
from teacherstudent.tasks import TeacherStudent

REASONS: dict[type[Rule], str] = {
    Madam: "its steps depend on the weights themselves, so that the overlaps do not close; ",
}


@singledispatch
def check(rule: Rule, problem: Problem) -> None:
    """Raise ValueError, with the reason, where a rule has no theory for a problem."""
    if flow.dispatch(type(rule)) is flow.dispatch(object):
        raise _no_theory(rule)


@singledispatch
def flow(rule: Rule, problem: Problem, fixed: Fixed, state: State, coarse: bool) -> State:
    """d(q, r, v, b, memory)/dt under an update rule; `coarse` asks for fewer points, where averages are by quadrature."""
    raise _no_theory(rule)


@singledispatch
def first_memory(rule: Rule, problem: Problem, fixed: Fixed, state: State) -> Any:
    """What the rule keeps beside the order parameters at t = 0."""
    return ()


class Nodes(NamedTuple):
    """How a rule's own averages are computed, and whether so roughly that small tolerances of the solver are in vain."""

    description: str
    rough: bool = True


@singledispatch
def quadrature(rule: Rule, problem: Problem) -> Nodes | None:
    """The nodes of the rule's own averages; None if it needs those of one update alone, or has closed forms."""
    return None


def _no_theory(rule: Rule) -> ValueError:
    known = ", ".join(kind.__name__ for kind in RULES.values() if flow.dispatch(kind) is not flow.dispatch(object))
    return ValueError(
        f"there is no theory for the rule {type(rule).__name__}: {REASONS.get(type(rule), '')}rules with a theory: {known}.  "
        "simulate runs every rule."
    )


def check_isotropic(rule: Rule, problem: Problem) -> None:
    """Raise ValueError unless the inputs are isotropic, with a teacher."""
    if not isinstance(problem.task, TeacherStudent):
        everywhere = "SGD, SphericalSGD and HeavyBall(beta=)"
        raise ValueError(
            f"the theory of {type(rule).__name__} is for isotropic inputs with a teacher (TeacherStudent), not for "
            f"{type(problem.task).__name__}; {everywhere} have a theory for every task, and simulate runs every rule on "
            "every task."
        )


def check_frozen_readout(rule: Rule, problem: Problem, why: str) -> None:
    """Raise ValueError if the readout is trained."""
    if problem.student.train_readout:
        raise ValueError(
            f"there is no theory of {type(rule).__name__} with a trained readout here: {why}; set student.train_readout = "
            "false, or simulate."
        )
