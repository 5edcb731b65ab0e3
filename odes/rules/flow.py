"""What an update rule makes of a problem: the contract of a rule in the theory.

To give a rule a theory: one file here that registers its `flow`, the velocity of the order
parameters, its `check`, which says where it does not hold, and, if it needs more than (q, r, v, b),
its `first_memory`; `vector_field.py` imports the file.  A flow belongs to one class: a subclass
that changes the rule does not inherit it.
"""

from typing import Any, NamedTuple

from odes.inputs.one_update import Fixed, State
from teacherstudent.checking.contracts import for_each_class
from teacherstudent.checking.own_classes import brings, changed_activation, changed_law
from teacherstudent.problem import Problem
from teacherstudent.rules import RULES, Madam, Rule
from teacherstudent.tasks import TeacherStudent

REASONS: dict[type[Rule], str] = {
    Madam: "its steps depend on the weights themselves, so that the overlaps do not close; ",
}


def require_theory(problem: Problem) -> None:
    """Raise ValueError, with the reason, where a problem has no theory."""
    if flow.part(type(problem.rule)) is flow.default:
        raise _no_theory(problem.rule)
    require_theory_of_task(problem)
    check(problem.rule, problem)


def require_theory_of_task(problem: Problem) -> None:
    """Raise ValueError, with the reason, if the theory of the task is not that of its own labels
    and inputs.
    """
    task, activation = problem.task, problem.student.activation
    changed = changed_law(task)
    if changed is not None and not (brings(task, "gradient") and brings(task, "task_error")):
        raise ValueError(
            f"{changed}, and no theory is known of that; register the averages of its updates and "
            "its error (odes.inputs.one_update.gradient, "
            "teacherstudent.observables.generalisation.task_error), or simulate."
        )
    changed = changed_activation(activation)
    if changed is not None:
        raise ValueError(
            f"student.activation: {changed}, and the theory knows only g and its own derivative; "
            "give Activation(name, function), or simulate."
        )


@for_each_class()
def check(rule: Rule, problem: Problem) -> None:
    """Raise ValueError, with the reason, where the flow of a rule does not hold for a problem."""


@for_each_class(
    strict=True,
    remedy="it has no theory of its own: register its flow (odes.rules.flow.flow), or simulate",
)
def flow(rule: Rule, problem: Problem, fixed: Fixed, state: State, replica: int) -> State:
    """d(q, r, v, b, memory)/dt under an update rule; `replica` 1, 2, 3 is for other nodes, where
    averages are by quadrature.
    """
    raise _no_theory(rule)


@for_each_class()
def first_memory(rule: Rule, problem: Problem, fixed: Fixed, state: State) -> Any:
    """What the rule keeps beside the order parameters at t = 0."""
    return ()


class Nodes(NamedTuple):
    """How a rule's own averages are computed, and whether so roughly that small tolerances of the
    solver are in vain.
    """

    description: str
    rough: bool = True


@for_each_class()
def quadrature(rule: Rule, problem: Problem) -> Nodes | None:
    """The nodes of the rule's own averages; None if it needs those of one update alone, or has
    closed forms.
    """
    return None


def _no_theory(rule: Rule) -> ValueError:
    known = ", ".join(kind.__name__ for kind in RULES.values() if flow.owner(kind) is not None)
    return ValueError(
        f"there is no theory for the rule {type(rule).__name__}: "
        f"{REASONS.get(type(rule), '')}rules with a theory: {known}.  simulate runs every rule."
    )


def check_isotropic(rule: Rule, problem: Problem) -> None:
    """Raise ValueError unless the inputs are isotropic, with a teacher."""
    if not isinstance(problem.task, TeacherStudent):
        everywhere = "SGD, SphericalSGD and HeavyBall(beta=)"
        raise ValueError(
            f"the theory of {type(rule).__name__} is for isotropic inputs with a teacher "
            f"(TeacherStudent), not for {type(problem.task).__name__}; {everywhere} have a theory "
            "for every task, and simulate runs every rule on every task."
        )


def check_frozen_readout(rule: Rule, problem: Problem, why: str) -> None:
    """Raise ValueError if the readout is trained."""
    if problem.student.train_readout:
        raise ValueError(
            f"there is no theory of {type(rule).__name__} with a trained readout here: {why}; set "
            "student.train_readout = false, or simulate."
        )
