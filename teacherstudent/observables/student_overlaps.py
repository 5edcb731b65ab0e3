"""What Q alone says of the student: how long its units are, and how many directions they span.

The eigenvalues of Q are the lengths of the student's fields along their principal axes; with p_i
their shares of the trace,

    effective rank = exp(-sum_i p_i log p_i),   participation ratio = 1 / sum_i p_i^2

are both K if all are equal, and 1 if the units have collapsed on one direction.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.observables.observable import Observable
from teacherstudent.states.order_parameters import OrderParameters


def lengths(state: OrderParameters) -> Float[Array, " students"]:
    """sqrt(Q_kk); rounding may have made a length of zero the root of a negative number."""
    return jnp.sqrt(jnp.maximum(jnp.diag(state.Q), 0.0))


def exp_entropy(state: OrderParameters) -> Float[Array, ""]:
    """exp of the entropy of the eigenvalues' shares; 0 where Q = 0."""
    shares = shares_of_eigenvalues(state.Q)
    positive = shares > 0
    logarithms = jnp.log(jnp.where(positive, shares, 1.0))
    return jnp.where(positive.any(), jnp.exp(-jnp.sum(shares * logarithms)), 0.0)


def inverse_participation(state: OrderParameters) -> Float[Array, ""]:
    """(tr Q)^2 / tr Q^2; 0 where Q = 0."""
    square = jnp.sum(state.Q**2)
    nonzero = square > 0
    return jnp.where(nonzero, jnp.trace(state.Q) ** 2 / jnp.where(nonzero, square, 1.0), 0.0)


def shares_of_eigenvalues(Q: Float[Array, "students students"]) -> Float[Array, " students"]:
    """The eigenvalues over their sum; those that rounding made negative are 0."""
    eigenvalues = jnp.maximum(jnp.linalg.eigvalsh(Q), 0.0)
    total = jnp.sum(eigenvalues)
    return eigenvalues / jnp.where(total > 0, total, 1.0)


NORMS = Observable(
    "norms",
    ("student",),
    r"$\sqrt{Q_{kk}}$",
    of=lengths,
    long_name="standard deviation of the student's fields",
)
# Roy & Vetterli, EUSIPCO 2007.
EFFECTIVE_RANK = Observable(
    "effective_rank",
    (),
    r"$\exp H(Q)$",
    of=exp_entropy,
    long_name="effective rank of Q",
)
PARTICIPATION_RATIO = Observable(
    "participation_ratio",
    (),
    r"$(\mathrm{tr}\,Q)^2 / \mathrm{tr}\,Q^2$",
    of=inverse_participation,
    long_name="participation ratio of Q",
)
