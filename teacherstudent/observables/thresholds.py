"""The quantities at whose thresholds a phase of a protocol may end."""

from teacherstudent.observables.built_in import one_number
from teacherstudent.observables.observable import Observable
from teacherstudent.problem import Problem
from teacherstudent.protocol import Until

VELOCITY = "velocity"  # the largest rate at which an overlap, readout or bias moves


def quantity_of(until: Until, problem: Problem) -> str | Observable:
    """The quantity of a threshold: the error or the velocity by name, or an observable.

    Raises ValueError if it is unknown, or not one number of the order parameters.
    """
    if until.quantity in (problem.task.name_of("eps_g"), VELOCITY):
        return until.quantity
    return one_number(until.quantity, problem, "until.quantity")


def quantity_of_networks(until: Until, problem: Problem) -> str | Observable:
    """The same for networks; ValueError for the velocity, which they do not have."""
    if until.quantity == VELOCITY:
        raise ValueError(
            f"until.quantity = {VELOCITY!r} is a rate of the order parameters, which only the "
            f"theory has; give {problem.task.name_of('eps_g')!r}, or an observable."
        )
    return quantity_of(until, problem)
