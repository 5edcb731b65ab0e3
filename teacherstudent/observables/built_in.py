"""The observables that have a name, and the argument `observables` of both verbs.

- `alignment`: the cosines R_km / sqrt(Q_kk T_mm) (`ts.alignment`).
- `norms`: sqrt(Q_kk).
- `effective_rank`, `participation_ratio`: how many directions the student's units span.
- `accuracy`: with two classes, the probability of the right class.
- `expected_loss`: with a teacher that tells signs, the expected loss of told labels.
- `sign_agreement`: with a teacher, the probability that both have the same sign.
- `feedback_alignment`, `gradient_alignment`: cosines of the readout with what carries the error
  back, and of the first layer's update with its gradient.
- `eps_teacher`, `eps_target`: under a `ts.LabelAttack`, the errors on the labels of each.
- `drift_Q`, `drift_R`, `drift_v`, `diffusion_Q`: parts of the equations, for the theory alone.
- `densities`: the overlaps by mode, for the theory alone.
- `weight_histogram`, `sparsity`, `participation`: of weights, for networks alone.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from teacherstudent.checking import checks
from teacherstudent.extensions.own_classes import changed_law
from teacherstudent.observables.agreement import sign_agreement
from teacherstudent.observables.alignment import alignment
from teacherstudent.observables.class_accuracy import accuracy_at
from teacherstudent.observables.equations import equations
from teacherstudent.observables.feedback import feedback_alignment, gradient_alignment
from teacherstudent.observables.generalisation import check_error_known, require_classes
from teacherstudent.observables.loss_of_signs import expected_loss_of_signs
from teacherstudent.observables.observable import (
    Observable,
    ObservableOfProblem,
    VariableObservable,
    require_networks,
    require_overlaps,
)
from teacherstudent.observables.other_task import ErrorOn
from teacherstudent.observables.student_overlaps import (
    EFFECTIVE_RANK,
    NORMS,
    PARTICIPATION_RATIO,
)
from teacherstudent.observables.weights import PARTICIPATION, sparsity, weight_histogram
from teacherstudent.problem import Problem
from teacherstudent.states.order_parameters import OrderParameters

DENSITIES = "densities"  # q and r by mode, which the theory answers in variables of their own
ALONE = (NORMS, EFFECTIVE_RANK, PARTICIPATION_RATIO, PARTICIPATION)


class Requested(NamedTuple):
    """What a verb is to record: observables, and whether the overlaps by mode."""

    observables: tuple[Observable, ...]
    densities: bool


def requested_of_theory(observables, problem: Problem, argument="observables") -> Requested:
    """What `integrate` is to record.

    The accuracy is among its answers anyway, and is not recorded twice.  Raises ValueError for what
    is unknown, given twice, or has no meaning for the problem or in the limit.
    """
    chosen = _resolved(observables, problem, argument)
    densities = any(one == DENSITIES for one in chosen)
    recorded = tuple(one for one in chosen if isinstance(one, Observable) and not one.IS_VARIABLE)
    require_overlaps(recorded)
    return Requested(recorded, densities)


def requested_of_networks(observables, problem: Problem, argument="observables") -> Requested:
    """What `simulate` is to record; ValueError, too, for what only the theory has."""
    chosen = _resolved(observables, problem, argument)
    if any(one == DENSITIES for one in chosen):
        raise ValueError(
            f"{argument} has 'densities', the overlaps by mode, which networks do not record; give "
            "it to integrate."
        )
    recorded = tuple(one for one in chosen if isinstance(one, Observable))
    require_networks(recorded)
    return Requested(recorded, False)


def one_number(quantity, problem: Problem, argument: str) -> Observable:
    """The observable, given as such or by its name, if it is one number of the order parameters.

    Raises ValueError for any other.
    """
    made = _made(quantity, problem, argument)
    if isinstance(made, str) or made.dims or made.IN_SOLVE or made.needs_weights:
        name = made if isinstance(made, str) else made.name
        raise ValueError(
            f"{argument} = {name!r} is not one number of the order parameters; give "
            f"{problem.task.name_of('eps_g')!r}, or an observable with dims = ()."
        )
    return made


def built_in(problem: Problem) -> dict[str, Callable[[], Any]]:
    """How the observable of each name comes about for a problem."""
    known: dict[str, Callable[[], Any]] = {
        "alignment": partial(alignment, problem.task),
        "accuracy": partial(_accuracy, problem),
        "expected_loss": partial(expected_loss_of_signs, problem),
        "sign_agreement": partial(sign_agreement, problem),
        "feedback_alignment": partial(feedback_alignment, problem),
        "gradient_alignment": partial(gradient_alignment, problem),
        DENSITIES: partial(_itself, DENSITIES),
        "weight_histogram": weight_histogram,
        "sparsity": sparsity,
    }
    for name, task in problem.task.other_labels().items():
        of_labels = ErrorOn(task, name, name.removeprefix("eps_"))
        known[name] = partial(of_labels.of_problem, problem)
    for one in (*ALONE, *equations(problem).values()):
        known[one.name] = partial(_itself, one)
    return known


def _itself(one: Observable | str) -> Observable | str:
    """What is the same for all problems."""
    return one


def _resolved(observables, problem: Problem, argument: str) -> list[Observable | str]:
    """The observables of a list, those with a name or a problem of their own made."""
    if isinstance(observables, Observable | ObservableOfProblem):
        name = getattr(observables, "name", "...")
        raise ValueError(f"{argument} is one Observable; give a list, [{name}].")
    if not isinstance(observables, list | tuple):
        raise ValueError(
            f"{argument} is {checks.kind_of(observables)}; give a list of ts.Observable or of "
            "names, such as ['alignment']."
        )
    chosen: list[Observable | str] = []
    names: set[str] = set()
    for index, one in enumerate(observables):
        made = _made(one, problem, f"{argument}[{index}]")
        name = made if isinstance(made, str) else made.name
        if name in names:
            raise ValueError(f"{argument} has two of the name {name!r}; rename one of them.")
        names.add(name)
        chosen.append(made)
    return chosen


def _made(one, problem: Problem, place: str) -> Observable | str:
    """The observable that an entry of a list means."""
    if isinstance(one, str):
        return _named(one, problem, place)
    if isinstance(one, ObservableOfProblem):
        return one.of_problem(problem)
    if isinstance(one, Observable):
        return one
    raise ValueError(
        f"{place} is {checks.kind_of(one)}; give a ts.Observable(name, dims, symbol, of), or the "
        "name of a built-in one."
    )


def _named(name: str, problem: Problem, place: str) -> Observable | str:
    known = built_in(problem)
    if name in known:
        return known[name]()
    near = get_close_matches(name, known, n=1)
    way = "give one of these, or a ts.Observable"
    if near:
        way = f"did you mean {near[0]!r}?"
    end = "" if near else "."
    raise ValueError(
        f"{place} = {checks.shortened(name)} is none of the built-in observables "
        f"({', '.join(known)}); {way}{end}"
    )


def _accuracy(problem: Problem) -> Observable:
    """The probability of the right class, at the overlaps of each network."""
    require_classes(problem)
    check_error_known(problem)
    changed = changed_law(problem.task)
    if changed is not None:
        raise ValueError(
            f"accuracy: {changed}, so that labels are not the classes; simulate with test_samples."
        )
    program = problem.for_programs()

    # One state at a time: many of them with all their points would fill the memory.
    @jax.custom_batching.sequential_vmap
    def probability(Q, m, v, b):
        return accuracy_at(program, Q, m, v, b)

    def of(state: OrderParameters) -> Float[Array, ""]:
        return probability(state.Q, state.R, state.v, state.b)

    return VariableObservable(
        "accuracy",
        (),
        r"$P(y\phi > 0)$",
        of=of,
        long_name="probability of the right class",
    )
