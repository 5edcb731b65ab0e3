"""The averages of one layer of units over centred fields, with the third derivative of g.

Fields lambda ~ N(0, Q) of K units with one activation g.  All of them but E g''' are those of
`shifted.py` at mean zero, and by differentiation with respect to the mean m of a field

    E[g'''(lambda_k)] = d E[g''(m_k + lambda_k)] / d m_k   at m = 0,

which holds for activations with kinks as well.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.activations.activation import Activation
from teacherstudent.averages.choice import shifted_averages_for
from teacherstudent.averages.resolution import DEFAULT
from teacherstudent.averages.rule import rule_of
from teacherstudent.averages.shifted import ShiftedAverages
from teacherstudent.averages.shifted_quadrature import ShiftedQuadrature


class CentredAverages(NamedTuple):
    """Averages over lambda ~ N(0, Q).

    - `slopes` (K,): E[g'(lambda_k)].
    - `thirds` (K,): E[g'''(lambda_k)].
    - `I2` (K, K): E[g(lambda_k) g(lambda_l)].
    - `J2` (K, K): E[g'(lambda_k) g'(lambda_l)].
    - `G2` (K, K): E[g''(lambda_k) g(lambda_l)].
    """

    slopes: Float[Array, " students"]
    thirds: Float[Array, " students"]
    I2: Float[Array, "students students"]
    J2: Float[Array, "students students"]
    G2: Float[Array, "students students"]


def centred_averages(
    activation: Activation, Q: Float[Array, "students students"]
) -> CentredAverages:
    """The averages of units with this activation: closed forms where it has them, else quadrature.

    >>> import jax.numpy as jnp
    >>> from teacherstudent.activations.activation import as_activation
    >>> from teacherstudent.averages.centred import centred_averages
    >>> cubic = centred_averages(as_activation([0, 0, 0, 1.0]), jnp.array([[2.0]]))
    >>> print(cubic.slopes, cubic.thirds)
    [6.] [6.]
    """
    shifted = _shifted(activation, len(Q))
    mean = jnp.zeros(len(Q), Q.dtype)

    def curvatures(mean):
        return shifted.curvatures(mean, Q)

    # The curvature of a unit depends on its own mean alone: one derivative serves all units.
    thirds = jax.jvp(curvatures, (mean,), (jnp.ones_like(mean),))[1]
    return CentredAverages(
        slopes=shifted.slopes(mean, Q),
        thirds=thirds,
        I2=shifted.I2(mean, Q),
        J2=shifted.J2(mean, Q),
        G2=shifted.G2(mean, Q),
    )


def _shifted(activation: Activation, students: int) -> ShiftedAverages:
    closed = shifted_averages_for(activation, students)
    if closed is not None:
        return closed
    return ShiftedQuadrature(activation, students, rule_of(DEFAULT, symmetric=False))
