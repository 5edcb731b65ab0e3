"""A student of several teachers at finite N."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from sims.models.rows import RowsSimulation, Update
from teacherstudent.models.continual_learning import ContinualLearning

ROUNDING = 0.05


class ContinualLearningSimulation(RowsSimulation, model=ContinualLearning):
    """One student and its teachers; an update draws a task, and one input with its label.

    The rows are the student's w, with consolidation their way s since the snapshot, and the
    teachers W.  From the snapshot on s moves as w does, so that w - s is the snapshot.
    """

    def samples(self, model):
        return 1

    def gram(self, model, state):
        return np.asarray(model.gram(state))

    def others(self, model, state):
        return {name: state[name] for name in model.shapes if name.startswith("heads")}

    def begin(self, model, state, N, generator, method):
        """The heads move by 1 / N in an update, which therefore is kept beside them."""
        network = super().begin(model, state, N, generator, method)
        return {**network, "time_step": np.asarray(1 / N)}

    def update(self, model, t, fields, others, key, gram):
        kind = fields.dtype
        of_task, of_noise = jax.random.split(key)
        task = jax.random.choice(of_task, len(model.teachers), p=model.probabilities())
        u = model.output_weights(others["heads"])[task]
        noise = jnp.stack(model.label_noise)[task] * jax.random.normal(of_noise, (), kind)
        K, M = model.width, sum(model.teachers)
        student, teachers = fields[:K, 0], fields[-M:, 0]
        hidden = model.activation(student)
        error = u[:K] @ hidden + u[K:] @ model.teacher_activation(teachers) - noise
        inputs = -model.rates() * u[:K] * model.activation.derivative(student) * error
        motion = _motion_of_heads(model, task, hidden * error)
        heads = others["heads"] + others["time_step"] * motion
        if model.consolidation is None:
            return Update(inputs[:, None], None, {"heads": heads})
        # In float32 the time of the snapshot is rounded: by less than this part of an update.
        early = ROUNDING * jnp.asarray(others["time_step"], jnp.asarray(t).dtype)
        begun = (t >= jnp.asarray(model.snapshot, early.dtype) - early).astype(kind)
        pull = -jnp.diag(model.rates() * model.pull(others))
        pulls = jnp.pad(pull, ((0, 0), (K, M)))
        return Update(
            jnp.concatenate([inputs, begun * inputs])[:, None],
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
    model: ContinualLearning, task, gradient: Float[Array, " students"]
) -> Float[Array, "heads students"]:
    """The motion of all heads by a sample of one task, times N: only its own head moves."""
    motion = -model.eta_v * model.gates[task] * gradient
    if model.shared_head:
        return motion[None]
    own = jnp.arange(len(model.teachers)) == task
    return jnp.where(own[:, None], motion[None], 0.0)
