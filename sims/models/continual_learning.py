"""A student of several teachers at finite N."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sims.models import manifold
from sims.models.rows import RowsSimulation, Update, triangular
from teacherstudent.models.continual_learning import ContinualLearning
from teacherstudent.states.order_parameters import OrderParameters

ROUNDING = 0.05


class ContinualLearningSimulation(RowsSimulation, model=ContinualLearning):
    """One student and its teachers; an update draws inputs, each with a task and its label.

    The rows are the student's w, with consolidation their way s since the snapshot, and the
    teachers W.  From the snapshot on s moves as w does, so that w - s is the snapshot.
    """

    def samples(self, model):
        return model.batch_size

    def gram(self, model, state):
        return np.asarray(model.gram(state))

    def others(self, model, state):
        return {name: state[name] for name in model.shapes if name.startswith("heads")}

    def check(self, model, N, method):
        super().check(model, N, method)
        if model.inputs is None:
            return
        if method != "weights":
            raise ValueError(
                'on a hidden manifold the overlaps of all modes move, which method = "reduced" '
                'does not follow; give method="weights".'
            )
        model.inputs.latent_dimension(N, sum(model.teachers))

    def begin(self, model, state, N, generator, method):
        """The heads move by 1 / N in an update, which therefore is kept beside them."""
        time_step = {"time_step": np.asarray(1 / N)}
        if model.inputs is None:
            return super().begin(model, state, N, generator, method) | time_step
        shifted = any(np.any(state[name]) for name in state if name.endswith("shift"))
        if shifted or not np.allclose(state["modes"], model.modes_at_rest(state), atol=1e-9):
            raise ValueError(
                "the start is of a run that has begun, and networks begin from Q, R, T and heads "
                "alone on a hidden manifold; give these, and the weights then know no direction "
                "of the inputs but the teachers'."
            )
        start = OrderParameters(state["Q"], state["R"], state["T"])
        rows = manifold.begin(model.inputs, start, model.moving_rows, N, generator)
        return rows | self.others(model, state) | time_step

    def entered(self, model, before, N, method, network):
        """With a way of zero where the pull of a phase is to another snapshot."""
        if model.consolidation is None or model.keeps_way(before):
            return network
        name = "rows" if model.inputs is None else "w"
        rows = network[name].copy()
        rows[model.rows_of_way] = 0
        if method == "reduced":
            rows = triangular(rows)
        return {**network, name: rows, "heads_shift": 0 * network["heads_shift"]}

    def step(self, model, N, method, number, network, key):
        if model.inputs is None:
            return super().step(model, N, method, number, network, key)
        return manifold.step(self, model, N, number, network, key)

    def state(self, model, N, method, network):
        """On a hidden manifold without the overlaps by mode, which only the theory has."""
        if model.inputs is None:
            return super().state(model, N, method, network)
        return self.state_of(model, manifold.gram(model.inputs, network), network)

    def update(self, model, t, fields, others, key, gram):
        kind = fields.dtype
        K, M, B = model.width, sum(model.teachers), model.batch_size
        of_task, of_noise = jax.random.split(key)
        task = jax.random.choice(of_task, len(model.teachers), (B,), p=model.probabilities())
        u = model.output_weights(others["heads"])[task].T
        noise = jnp.stack(model.label_noise)[task] * jax.random.normal(of_noise, (B,), kind)
        student, teachers = fields[:K], fields[-M:]
        hidden = model.activation(student)
        output = jnp.sum(u[:K] * hidden, axis=0)
        error = output + jnp.sum(u[K:] * model.teacher_activation(teachers), axis=0) - noise
        back = u[:K] * model.activation.derivative(student) * error[None, :]
        inputs = -model.rates()[:, None] * back / B
        motion = _motion_of_heads(model, task, hidden * error[None, :])
        heads = others["heads"] + others["time_step"] * motion
        if model.consolidation is None:
            return Update(inputs, None, {"heads": heads})
        # In float32 the time of the snapshot is rounded: by less than this part of an update.
        early = ROUNDING * jnp.asarray(others["time_step"], jnp.asarray(t).dtype)
        begun = (t >= jnp.asarray(model.snapshot, early.dtype) - early).astype(kind)
        pull = -jnp.diag(model.rates() * model.pull(others))
        pulls = jnp.pad(pull, ((0, 0), (K, M)))
        return Update(
            jnp.concatenate([inputs, begun * inputs]),
            jnp.concatenate([pulls, begun * pulls]),
            {
                "heads": heads,
                "heads_shift": others["heads_shift"] + begun * (heads - others["heads"]),
            },
        )

    def state_of(self, model, gram, others):
        heads = {name: others[name] for name in model.shapes if name.startswith("heads")}
        return {**model.overlaps(gram), **heads}


def _motion_of_heads(
    model: ContinualLearning,
    task: Int[Array, " samples"],
    gradients: Float[Array, "students samples"],
) -> Float[Array, "heads students"]:
    """The motion of all heads by the samples of an update, times N: each by those of its task."""
    own = jnp.arange(len(model.teachers))[:, None] == task[None, :]
    motion = -model.eta_v * model.gates * (own.astype(gradients.dtype) @ gradients.T)
    if model.shared_head:
        motion = motion.sum(axis=0, keepdims=True)
    return motion / model.batch_size
