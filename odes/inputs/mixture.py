"""The averages of one update on inputs of two classes, a mixture of Gaussian components.

With the averages a, J, D of one update in component c (`teacherstudent/averages/fields.py`) and its
fields lambda ~ N(m A_c + b, C_c) (`teacherstudent/averages/mixture_fields.py`), Stein's lemma gives

    E_c[delta_k s_a] = a_k A_ca + (J m S_c)_ka                           -> dm/dt
    E_c[delta_k l_l] = a_k (m A_c)_l + (J C_c)_kl,   l = lambda - b      -> dQ/dt
    E_c[delta_k delta_l |x|^2 / N] = sigma_c^2 D_kl

and a sum over components with p_c.  A mini-batch's mean gradient has the last one over the batch
size.  Refinetti, Goldt, Krzakala & Zdeborova, ICML 2021 (arXiv:2102.11742), with closed forms in
place of their Monte Carlo averages.
"""

import jax.numpy as jnp

from odes.inputs.one_update import Fixed, Gradient, InputTheory, State
from teacherstudent.averages.mixture_fields import component_averages, component_fields
from teacherstudent.problem import Problem
from teacherstudent.tasks import MixtureTask


class AveragesOfClasses(InputTheory, task=MixtureTask):
    """The averages of one update where the inputs are of two classes."""

    def gradient(self, task: MixtureTask, problem: Problem, fixed: Fixed, state: State) -> Gradient:
        Q = state.q[..., 0]
        m = state.r[..., 0]
        b = state.b
        law = task.law()
        p = jnp.asarray(law.p)
        A = jnp.asarray(law.A)
        S = jnp.asarray(law.S)
        sigma2 = jnp.asarray(law.sigma2)
        fields = component_fields(law, Q, m, b)
        averages = component_averages(
            problem.student, problem.loss, law, fields, state.v, problem.resolution
        )
        a, J, D, readout, _ = averages
        mean_l = fields.mean - b[None, :]
        # Each average is that along the component's mean, and that of Stein's lemma.
        q_mean = jnp.einsum("c,ck,cl->kl", p, a, mean_l)
        q_fluctuations = jnp.einsum("c,ckj,cjl->kl", p, J, fields.C)
        r_mean = jnp.einsum("c,ck,ca->ka", p, a, A)
        r_fluctuations = jnp.einsum("c,ckj,jd,cda->ka", p, J, m, S)
        square = jnp.einsum("c,ckl->kl", p * sigma2, D) / problem.batch_size
        return Gradient(
            q=(q_mean + q_fluctuations)[..., None],
            r=(r_mean + r_fluctuations)[..., None],
            square=square[..., None],
            v=p @ readout,
            b=p @ a,
        )
