"""Hermite coefficients of an activation.

    g_k = E[g(z) He_k(z)],   z ~ N(0, 1)

with the probabilists' Hermite polynomials He_k: exact for polynomials, otherwise by Gauss-Legendre
nodes between the kinks that the activation names.
"""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from teacherstudent.activations.activation import (
    Activation,
    ActivationLike,
    as_activation,
    polynomial_of,
)
from teacherstudent.checking import checks
from teacherstudent.tasks.nonlinearities import NODES, normal_rule

ROUNDING = 1e-10  # |g_k| / sqrt(k!) below this share of sqrt(E g^2) is zero
# An activation is refused where the estimated error of g_k / sqrt(k!) is a larger share of
# sqrt(E g^2).
ALLOWED = 1e-8


def hermite_coefficients(
    activation: ActivationLike, orders: int, scale: float = 1.0
) -> Float[np.ndarray, " orders"]:
    """g_k = E[g(scale z) He_k(z)], z ~ N(0, 1), for k = 0..orders-1.

    Exact for polynomials, otherwise by quadrature between the kinks.  |g_k| / sqrt(k!) below 1e-10
    sqrt(E g^2) is set to zero.

    Raises ValueError for what is not an activation, and where the quadrature does not converge, as
    for a kink without a name.
    """
    g, orders = as_activation(activation), checks.integer("orders", orders)
    scale = checks.positive("scale", scale)
    return _normalised(g, orders, scale) * _root_factorials(orders)


def _normalised(g: Activation, orders: int, scale: float) -> Float[np.ndarray, " orders"]:
    """g_k / sqrt(k!), those at rounding error set to zero."""
    polynomial = polynomial_of(g)
    if polynomial is None:
        coefficients, norm = _by_quadrature(g, orders, scale)
    else:
        coefficients, norm = _of_polynomial(np.asarray(polynomial.coefficients), orders, scale)
    coefficients = coefficients[:orders]
    return np.where(np.abs(coefficients) > ROUNDING * norm, coefficients, 0.0)


def _of_polynomial(
    powers: np.ndarray, orders: int, scale: float
) -> tuple[Float[np.ndarray, " orders"], float]:
    """g_k / sqrt(k!) and sqrt(E g^2) of a polynomial with these coefficients."""
    found = np.polynomial.hermite_e.poly2herme(powers * scale ** np.arange(len(powers)))
    coefficients = found * _root_factorials(len(found))
    missing = max(orders - len(coefficients), 0)
    padded = np.pad(coefficients, (0, missing))
    return padded, float(np.linalg.norm(padded))


def _root_factorials(count: int) -> np.ndarray:
    return np.sqrt([float(math.factorial(k)) for k in range(count)])


@cache
def _by_quadrature(
    g: Activation, orders: int, scale: float
) -> tuple[Float[np.ndarray, " orders"], float]:
    """g_k / sqrt(k!) and sqrt(E g^2); the error is estimated from fewer nodes."""
    fine, norm = _integrals(g, orders, scale, NODES)
    coarse, _ = _integrals(g, orders, scale, NODES * 3 // 4)
    error = np.abs(fine - coarse).max()
    if not error < ALLOWED * max(norm, 1e-300):
        raise ValueError(
            f"activation {g.name}: its Hermite coefficients are uncertain by {error:.1g}; if it "
            "differs on a very short interval, name its ends: ts.Activation(name, function, "
            "kinks=(0.5, 0.5001))."
        )
    return fine, norm


def _integrals(
    g: Activation, orders: int, scale: float, nodes: int
) -> tuple[Float[np.ndarray, " orders"], float]:
    """g_k / sqrt(k!) and sqrt(E g^2) by so many nodes between two kinks."""
    z, weights = normal_rule(tuple(kink / scale for kink in g.cuts), nodes)
    with jax.enable_x64(True):
        values = np.asarray(g(jnp.asarray(scale * z)))
    basis = [np.ones_like(z), z]
    for n in range(1, orders - 1):
        basis.append((z * basis[n] - math.sqrt(n) * basis[n - 1]) / math.sqrt(n + 1))
    return np.stack(basis[:orders]) @ (weights * values), float(np.sqrt(weights @ values**2))
