"""The averages that one update needs of one mixture component."""

from typing import NamedTuple

from jaxtyping import Array, Float


class FieldAverages(NamedTuple):
    """Averages over the fields lambda ~ N(mean, C) of K student units, at one label y.

    With delta_k = v_k g'(lambda_k) l'(phi, y) they are

        a_k  = E[delta_k]
        J_kl = E[d delta_k / d lambda_l],    so that J C = Cov(delta, lambda)
        D_kl = E[delta_k delta_l]
        b_k  = E[g(lambda_k) l'(phi, y)]
        loss = E[l(phi, y)].

    Those of one linear unit with the loss -y phi and v = 1, at y = 1 and the mean 3:

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> one = jnp.ones(1)
    >>> averages = ts.FieldAverages(
    ...     a=-one, J=jnp.zeros((1, 1)), D=jnp.ones((1, 1)), b=-3 * one, loss=jnp.array(-3.0)
    ... )
    >>> float(averages.loss)
    -3.0
    """

    a: Float[Array, "*components students"]
    J: Float[Array, "*components students students"]
    D: Float[Array, "*components students students"]
    b: Float[Array, "*components students"]
    loss: Float[Array, "*components"]
