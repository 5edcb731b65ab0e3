"""The order parameters of a student of several teachers.

One sample belongs to one task a, drawn with the probability p_a, and all tasks have the same law of
the fields: only the output weights u_a differ (`ContinualLearning.output_weights`).  The averages
of one update (`odes.inputs.moments`) are therefore those of the tasks, weighted with p_a:

    J = sum_a p_a J^a,   D = sum_a p_a D^a

By Stein's lemma E[delta_k h_b] = sum_c J_kc C_cb, so that all rows of weights, those of the student
w, their way s since the snapshot and the teachers W, move in their overlaps G by

    dG/dt = L G + G L^T + S
    L = - eta_k J_kb - eta_k c f_k 1[b = s_k],   S_kl = eta_k eta_l D_kl / B

with the entries of L and S in the rows of w, and from the time t_s of the snapshot on in those of s
too.  Of a batch of B samples only the squares of single ones count, B of them over B^2; products of
two are smaller by a factor 1 / N.  The heads follow dh_ak/dt = - p_a eta_v E[g(lambda_k) e_a].

On inputs of a hidden manifold with the covariance Omega = sum_tau rho_tau u_tau u_tau^T the rows
have overlaps G_tau in each mode, where the teachers' rows are f_m = u_tau . Phi W_m / sqrt delta.
The weights u_a of all tasks share the eigenvectors, and

    dG_tau/dt = L_tau G_tau + G_tau L_tau^T + rho_tau S,   Q = sum p rho q,   R = sum p r

with L_tau = L but for its columns of w, which have the factor rho_tau.

S. Lee, S. Goldt & A. Saxe, ICML 2021 (arXiv:2107.04384), treat two tasks on isotropic inputs; the
derivation here is our own.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from odes.inputs.moments import Moments, moments_of_sample
from odes.models.theory import ModelTheory
from teacherstudent.averages.quadrature import QuadratureAverages
from teacherstudent.models.continual_learning import ContinualLearning


class ContinualLearningTheory(ModelTheory, model=ContinualLearning):
    """The closed equations of Q, R and the heads, for one model at one time."""

    def velocity(self, model: ContinualLearning, t, state: dict[str, Array]) -> dict[str, Array]:
        moments = moments_of_tasks(model, state)
        p = model.probabilities()
        J = jnp.tensordot(p, moments.J, axes=1)
        D = jnp.tensordot(p, moments.D, axes=1)
        L, S = motion_of_rows(model, t, state, J, D)
        velocity = motion_of_overlaps(model, state, L, S)
        velocity["heads"] = motion_of_heads(model, p, moments.readout)
        if model.consolidation is not None:
            velocity["heads_shift"] = jnp.where(t >= model.snapshot, velocity["heads"], 0.0)
        return velocity

    def averages(self, model: ContinualLearning) -> str:
        """Closed forms, or which quadrature."""
        found = model.averages()
        if isinstance(found, QuadratureAverages):
            return f"quadrature, field by field: {found.resolution.description}"
        return f"closed forms of {model.activation.name}"

    def breaks(self, model: ContinualLearning) -> list:
        times = super().breaks(model)
        if model.consolidation is not None:
            times.append(model.snapshot)
        return times


def moments_of_tasks(model: ContinualLearning, state: dict[str, Array]) -> Moments:
    """J, D and the readout's gradient of each task, along a first axis."""
    C = jnp.block([[state["Q"], state["R"]], [state["R"].T, state["T"]]])
    u = model.output_weights(state["heads"])
    noise = jnp.stack([jnp.asarray(one) for one in model.label_noise])
    of_task = partial(moments_of_sample, model.averages(), C)
    return jax.vmap(of_task)(u, u[:, : model.width], noise)


def motion_of_rows(
    model: ContinualLearning,
    t,
    state: dict[str, Array],
    J: Float[Array, "students fields"],
    D: Float[Array, "students students"],
) -> tuple[Float[Array, "rows rows"], Float[Array, "rows rows"]]:
    """L and S of all rows: what moves their overlaps by the mean and by the square of an update."""
    K, M = model.width, sum(model.teachers)
    rates = model.rates()
    mean = -rates[:, None] * J
    square = rates[:, None] * rates[None, :] * D / model.batch_size
    if model.consolidation is None:
        return jnp.pad(mean, ((0, M), (0, 0))), jnp.pad(square, (0, M))
    pull = -jnp.diag(rates * model.pull(state))
    begun = jnp.where(t >= model.snapshot, 1.0, 0.0)
    row = jnp.concatenate([mean[:, :K], pull, mean[:, K:]], axis=1)  # s = 0 before the snapshot
    L = jnp.pad(jnp.concatenate([row, begun * row]), ((0, M), (0, 0)))
    moving = jnp.stack([jnp.ones_like(begun), begun])
    S = jnp.pad(jnp.kron(jnp.outer(moving, moving), square), (0, M))
    return L, S


def motion_of_overlaps(
    model: ContinualLearning,
    state: dict[str, Array],
    L: Float[Array, "rows rows"],
    S: Float[Array, "rows rows"],
) -> dict[str, Array]:
    """dG/dt = L G + G L^T + S; on a hidden manifold for each eigenvalue rho of the inputs.

    There the student's fields come from rows times rho, so that the columns of L that multiply w
    have the factor rho, and S has it as the square of the inputs.
    """
    if model.inputs is None:
        half = L @ model.gram(state)
        return model.overlaps(half + half.T + S)
    rho = jnp.asarray(model.inputs.spectrum.rho)[:, None, None]
    of_student = (jnp.arange(len(L)) < model.width)[None, None, :]
    half = jnp.where(of_student, rho, 1.0) * L[None] @ state["modes"]
    modes = half + half.swapaxes(1, 2) + rho * S[None]
    return model.overlaps(model.gram_of_modes(modes)) | {"modes": modes}


def motion_of_heads(
    model: ContinualLearning,
    p: Float[Array, " tasks"],
    gradients: Float[Array, "tasks students"],
) -> Float[Array, "heads students"]:
    """dh/dt: each head is moved by the samples of its task, a shared one by those of all."""
    motion = -model.eta_v * p[:, None] * model.gates * gradients
    if model.shared_head:
        return motion.sum(axis=0, keepdims=True)
    return motion
