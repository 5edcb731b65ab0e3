"""The triangular root of a covariance that may be singular."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# A conditional variance below this, relative to the unconditional one, is zero up to rounding.
FIXED = 1e-15
ROUNDING = 1e-13  # of sums over nodes, relative to their result


def cholesky(S: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """The lower triangular L with S = L L^T; a field fixed by the earlier ones gets a column of
    zeros.
    """
    smallest = FIXED * jnp.diag(S)
    columns = []
    for j in range(len(S)):
        free = S[j, j] > smallest[j]
        column = jnp.where(free, S[:, j] / jnp.sqrt(jnp.where(free, S[j, j], 1.0)), 0.0)
        columns.append(jnp.where(np.arange(len(S)) < j, 0.0, column))
        S = S - columns[j][:, None] * columns[j][None, :]
    return jnp.stack(columns, axis=1)


def over_triangle(Y: Float[Array, "rows d"], L: Float[Array, "d d"]) -> Float[Array, "rows d"]:
    """J with J L = Y, L lower triangular; a column of zeros in L gives one in J."""
    dead = jnp.diag(L) == 0
    Y = jnp.where(dead[None, :], 0.0, Y)
    L = L + jnp.diag(jnp.where(dead, 1.0, 0.0))
    return jax.scipy.linalg.solve_triangular(L.T, Y.T, lower=False).T
