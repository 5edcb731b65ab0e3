"""The averages of one layer of units, with the third derivative of g.

Fields lambda ~ N(b, Q) of K units with one activation g.  All of them but E g''' are those of
`shifted.py`, and by differentiation with respect to the mean b of a field

    E[g'''(lambda_k)] = d E[g''(lambda_k)] / d b_k,

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


class LayerAverages(NamedTuple):
    """Averages over lambda ~ N(b, Q).

    - `slopes` (K,): E[g'(lambda_k)].
    - `curvatures` (K,): E[g''(lambda_k)].
    - `thirds` (K,): E[g'''(lambda_k)].
    - `I2` (K, K): E[g(lambda_k) g(lambda_l)].
    - `S2` (K, K): E[g'(lambda_k) g(lambda_l)].
    - `J2` (K, K): E[g'(lambda_k) g'(lambda_l)].
    - `G2` (K, K): E[g''(lambda_k) g(lambda_l)].
    """

    slopes: Float[Array, " students"]
    curvatures: Float[Array, " students"]
    thirds: Float[Array, " students"]
    I2: Float[Array, "students students"]
    S2: Float[Array, "students students"]
    J2: Float[Array, "students students"]
    G2: Float[Array, "students students"]


def layer_averages(
    activation: Activation, b: Float[Array, " students"], Q: Float[Array, "students students"]
) -> LayerAverages:
    """The averages of units with this activation: closed forms where it has them, else quadrature.

    >>> import jax.numpy as jnp
    >>> from teacherstudent.activations.activation import as_activation
    >>> from teacherstudent.averages.layer import layer_averages
    >>> cubic = layer_averages(as_activation([0, 0, 0, 1.0]), jnp.array([1.0]), jnp.array([[2.0]]))
    >>> print(cubic.slopes, cubic.curvatures, cubic.thirds)
    [9.] [6.] [6.]
    """
    shifted = _shifted(activation, len(Q))

    def of_means(b):
        return shifted.curvatures(b, Q)

    # The curvature of a unit depends on its own mean alone: one derivative serves all units.
    curvatures, thirds = jax.jvp(of_means, (b,), (jnp.ones_like(b),))
    return LayerAverages(
        slopes=shifted.slopes(b, Q),
        curvatures=curvatures,
        thirds=thirds,
        I2=shifted.I2(b, Q),
        S2=shifted.S2(b, Q),
        J2=shifted.J2(b, Q),
        G2=shifted.G2(b, Q),
    )


def _shifted(activation: Activation, students: int) -> ShiftedAverages:
    closed = shifted_averages_for(activation, students)
    if closed is not None:
        return closed
    return ShiftedQuadrature(activation, students, rule_of(DEFAULT, symmetric=False))
