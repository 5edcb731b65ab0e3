"""The reinforcement-learning perceptron at finite N."""

import jax.numpy as jnp

from sims.models.rows import RowsSimulation, Update
from teacherstudent.models.reinforcement import ReinforcementPerceptron


class ReinforcementSimulation(RowsSimulation, model=ReinforcementPerceptron):
    """One policy and its teacher; an update is an episode of T inputs."""

    def samples(self, model):
        return model.episode_length

    def gram(self, model, state):
        Q, R = state["Q"][0, 0], state["R"][0, 0]
        return jnp.array([[Q, R], [R, 1.0]])

    def update(self, model, t, fields, others, key, gram):
        of_student, of_teacher = fields
        actions = jnp.sign(of_student)
        right = (actions * of_teacher > 0).astype(fields.dtype)
        credits = model.learning_rate * model.reward.credits(right)
        return Update((credits * actions / model.episode_length)[None], None, others)

    def state_of(self, model, gram, others):
        return {"Q": gram[:1, :1], "R": gram[:1, 1:]}
