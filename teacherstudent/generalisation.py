"""The generalisation error as a function of the order parameters."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from teacherstudent.averages import Averages, averages_for
from teacherstudent.order_parameters import OrderParameters, covariance
from teacherstudent.problem import Problem


def generalisation_error(problem: Problem, at: OrderParameters) -> Float[Array, "*batch"]:
    """The generalisation error at given order parameters, without label noise.

        eps_g = E[(phi - phi*)^2] / 2 = 1/2 sum_ab u_a u_b I2(a, b),   u = (v_1..v_K, -v*_1..-v*_M)

    Computed in float64.  Saad & Solla, Phys. Rev. E 52, 4225 (1995); Goldt et al., NeurIPS 2019.
    """
    problem.check_start(at)
    with jax.enable_x64(True):
        return _batched_error(
            problem.without_inputs, *(jnp.asarray(part, jnp.float64) for part in (at.Q, at.R, at.T, at.v))
        )


@jax.jit
def _batched_error(problem: Problem, Q, R, T, v) -> Float[Array, "*batch"]:
    averages = averages_of(problem)
    one = jnp.vectorize(
        lambda Q, R, T, v: error_at(averages, covariance(Q, R, T), output_weights(problem, v)),
        signature="(k,k),(k,m),(m,m),(k)->()",
    )
    return one(Q, R, T, v)


def averages_of(problem: Problem) -> Averages:
    """The Gaussian averages for the problem's two activations and widths."""
    return averages_for(problem.student.activation, problem.task.activation, problem.student.width, problem.task.width)


def output_weights(problem: Problem, v: Float[Array, " students"]) -> Float[Array, " fields"]:
    """u = (v, -v*), so that phi - phi* = sum_a u_a g_a(h_a)."""
    return jnp.concatenate([v, -problem.task.v_star])


def error_at(averages: Averages, C: Float[Array, "fields fields"], u: Float[Array, " fields"]) -> Float[Array, ""]:
    """1/2 u^T I2(C) u."""
    return 0.5 * u @ averages.I2(C) @ u
