"""How observables of the order parameters change with each of these."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Float

from odes.analysis.entries import Frame
from odes.analysis.programs import compiled, in_batches
from teacherstudent.observables.observable import Observable
from teacherstudent.states.order_parameters import OrderParameters


def observable_gradients(
    observables: Sequence[Observable], frame: Frame, states: Float[np.ndarray, "time entries"]
) -> dict[str, np.ndarray]:
    """The gradients of the observables that are functions of the order parameters, by name; the
    entries are last.

    Raises ValueError for an observable that has no derivative.
    """
    gradients = {}
    for one in observables:
        if one.of is None:
            continue
        try:
            (gradients[one.name],) = in_batches(partial(_gradient, one, frame), states)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{one.title} has no derivative, by which its fluctuations follow from those of "
                f"the order parameters ({error}); give it to integrate instead."
            ) from error
    return gradients


@partial(compiled, static_argnums=(0,))
def _gradient(observable: Observable, frame: Frame, states: Float[Array, "some entries"]):
    def value(y):
        Q, R, T, v, b = frame.overlaps(y)
        return observable.value(OrderParameters(Q, R, T, v, b=b))

    return (jax.lax.map(jax.jacfwd(value), states),)
