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

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.one_update import Fixed, Gradient, InputTheory, State
from odes.inputs.samples import (
    RandomNumbers,
    Samples,
    labels_at,
    require_our_inputs,
    samples_of_fields,
    symmetric_root,
)
from teacherstudent.averages.mixture_fields import Components, component_averages, component_fields
from teacherstudent.extensions.own_classes import changed_labels
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

    def random_numbers(self, task: MixtureTask, problem: Problem) -> RandomNumbers:
        require_our_inputs(task)
        smooth = not problem.student.activation.cuts and not changed_labels(task)
        components = len(task.law().p)
        return RandomNumbers(task.directions + problem.student.width, components, smooth)

    def samples(
        self,
        task: MixtureTask,
        problem: Problem,
        fixed: Fixed,
        state: State,
        z: Float[Array, "components points numbers"],
    ) -> Samples:
        """In component c, s = A_c + S_c^(1/2) z and, with e the other numbers of a point,

        lambda = b + m s + sigma_c (Q - m m^T)^(1/2) e
        """
        Q, m = state.q[..., 0], state.r[..., 0]
        law = Components(*map(jnp.asarray, task.law()))
        outside = symmetric_root(Q - m @ m.T)

        def in_component(p, y, A, S, sigma2, z):
            r = len(A)
            s = A[None, :] + z[:, :r] @ symmetric_root(S)
            e = jnp.sqrt(sigma2) * z[:, r:]
            inside = jnp.concatenate([s, e], axis=1)
            ones = jnp.ones(len(z))
            return inside, s @ m.T + e @ outside, s, p * ones, y * ones, sigma2 * ones

        parts = jax.vmap(in_component)(*law, z)
        inside, of_students, s, p, y, sigma2 = (part.reshape(-1, *part.shape[2:]) for part in parts)
        label = labels_at(task, s, y)
        return samples_of_fields(problem, state, p, inside, sigma2, of_students, s, label)
