"""The averages of one update on inputs with a teacher, mode by mode of the input covariance.

Inputs enter through the spectrum of their covariance: eigenvalues rho_tau with weights p_tau.  By Stein's lemma
E[delta_k y] = sum_b J_kb Cov(h_b, y) for every y jointly Gaussian with the fields h = (lambda, nu).  With q = w w^T, r = w f^T,
t = f f^T of each mode (see `teacherstudent/spectral_overlaps.py`), J = (J_lambda, J_nu) and D from `moments.py`,

    E[delta x_tau] f^tau = rho J_lambda r + J_nu t,   E[delta x_tau] w^tau = rho J_lambda q + J_nu r^T,
    E[delta delta^T x_tau^2] = rho D

The equations of Goldt et al., Phys. Rev. X 10, 041044 (2020) and MSML 2021, with their sums over I3 done by linear algebra;
their 2 x 2 determinants, which vanish where fields coincide, do not occur.
"""

import jax.numpy as jnp

from odes.moments import moments
from odes.one_update import Fixed, Gradient, State, gradient, overlaps
from teacherstudent.order_parameters import covariance
from teacherstudent.problem import Problem
from teacherstudent.tasks import TeacherTask


@gradient.register
def _(task: TeacherTask, problem: Problem, fixed: Fixed, state: State) -> Gradient:
    K = state.v.shape[0]
    J, D, readout = moments(problem, covariance(*overlaps(fixed, state), fixed.T), state.v)
    J_lambda, J_nu, rho = J[:, :K], J[:, K:], fixed.rho[None, None, :]

    def along(overlap, signal):  # E[delta_k x_tau] times another component of the mode, w_l or f_m
        return rho * jnp.einsum("kj,jlt->klt", J_lambda, overlap) + jnp.einsum("kn,nlt->klt", J_nu, signal)

    return Gradient(
        q=along(state.q, state.r.swapaxes(0, 1)),
        r=along(state.r, fixed.t),
        square=D[:, :, None] * rho,
        v=readout,
        b=jnp.zeros_like(state.b),  # no biases with a teacher yet: `Problem` refuses to train them
    )
