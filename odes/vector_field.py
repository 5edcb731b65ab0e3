"""The one right-hand side of the order-parameter equations, for every task.

Inputs enter through the spectrum of their covariance: eigenvalues rho_tau with weights p_tau.  A sample moves the component of
w_k along the eigenvector u_tau by -(eta / sqrt N) delta_k x_tau, and by Stein's lemma E[delta_k y] = sum_b J_kb Cov(h_b, y) for
every y jointly Gaussian with the fields h = (lambda, nu).  With q = w w^T, r = w f^T, t = f f^T of each mode (see
`teacherstudent/spectral_overlaps.py`), J = (J_lambda, J_nu) and D from `moments.py`, time t = updates / N:

    dr/dt = -eta (rho J_lambda r + J_nu t)
    dq/dt = -eta (rho J_lambda q + J_nu r^T + transpose) + eta^2 rho D
    dv/dt = -eta_v b
    Q = sum_tau p rho q,   R = sum_tau p r

The equations of Goldt et al., Phys. Rev. X 10, 041044 (2020) and MSML 2021, with their sums over I3 done by linear algebra;
their 2 x 2 determinants, which vanish where fields coincide, do not occur.  Isotropic inputs are the case of one mode, rho = 1,
p = 1, q = Q, r = R, t = T: the equations of Saad & Solla (1995) and Goldt et al. (2019).

The arrays here have the modes last, so that each product is one matrix product for all modes.
"""

from functools import singledispatch
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.moments import Moments, moments
from teacherstudent.order_parameters import covariance
from teacherstudent.problem import Problem
from teacherstudent.rules import RULES, SGD, Rule, SphericalSGD


class Fixed(NamedTuple):
    """What does not move: the spectrum of the inputs, and the teacher's overlaps, by mode and in all."""

    rho: Float[Array, " modes"]
    weights: Float[Array, " modes"]
    t: Float[Array, "teachers teachers modes"]
    T: Float[Array, "teachers teachers"]


class State(NamedTuple):
    """What moves: the student's overlaps by mode, and its readout."""

    q: Float[Array, "students students modes"]
    r: Float[Array, "students teachers modes"]
    v: Float[Array, " students"]


def overlaps(fixed: Fixed, state: State) -> tuple[Float[Array, "students students"], Float[Array, "students teachers"]]:
    """Q = sum_tau p rho q and R = sum_tau p r."""
    return state.q @ (fixed.weights * fixed.rho), state.r @ fixed.weights


def vector_field(problem: Problem, fixed: Fixed, state: State) -> State:
    """d(q, r, v)/dt of a problem on inputs of a given spectrum."""
    C = covariance(*overlaps(fixed, state), fixed.T)
    velocity = flow(problem.rule, moments(problem, C, state.v), fixed, state)
    return velocity if problem.student.train_readout else velocity._replace(v=jnp.zeros_like(state.v))


@singledispatch
def flow(rule: Rule, averages: Moments, fixed: Fixed, state: State) -> State:
    """d(q, r, v)/dt under an update rule, from the averages of one update."""
    known = ", ".join(kind.__name__ for kind in RULES.values() if flow.dispatch(kind) is not flow.dispatch(object))
    raise ValueError(f"there is no theory for the rule {type(rule).__name__}; rules with a theory: {known}.")


@flow.register
def _(rule: SGD, averages: Moments, fixed: Fixed, state: State) -> State:
    K, eta, decay = state.v.shape[0], rule.learning_rate, rule.weight_decay
    J_lambda, J_nu, rho = averages.J[:, :K], averages.J[:, K:], fixed.rho[None, None, :]

    def gradient(overlap, signal):  # E[delta_k x_tau] times another component of the mode, w_l or f_m
        return rho * jnp.einsum("kj,jlt->klt", J_lambda, overlap) + jnp.einsum("kn,nlt->klt", J_nu, signal)

    shrinking = -eta * gradient(state.q, state.r.swapaxes(0, 1)) - decay * state.q
    return State(
        q=shrinking + shrinking.swapaxes(0, 1) + eta**2 * averages.D[:, :, None] * rho,
        r=-eta * gradient(state.r, fixed.t) - decay * state.r,
        v=-rule.eta_v * averages.b - decay * state.v,
    )


@flow.register
def _(rule: SphericalSGD, averages: Moments, fixed: Fixed, state: State) -> State:
    # The projection divides w_k by 1 + (dW_kk/dt) dt / 2 + ..., W = sum_tau p q = w w^T / N, which holds W_kk = 1.
    free = flow(rule.sgd, averages, fixed, state)
    growth = jnp.einsum("kkt,t->k", free.q, fixed.weights) / 2
    return State(
        q=free.q - state.q * (growth[:, None, None] + growth[None, :, None]),
        r=free.r - state.r * growth[:, None, None],
        v=free.v,
    )
