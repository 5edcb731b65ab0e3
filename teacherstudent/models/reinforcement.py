"""The reinforcement-learning perceptron: a policy that learns from rewards of whole episodes."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from teacherstudent.checking import arguments, checks
from teacherstudent.models.model import Model, Quantity, registered
from teacherstudent.models.rewards import Action, AllCorrect, Reward, as_reward

ANGLE = Quantity((), "overlap of the directions of student and teacher", r"$\rho$")
RIGHT = Quantity((), "probability that an action is right", "$P$")
WRONG = Quantity((), "probability that an action is wrong", "$1 - P$")
EPISODE = Quantity((), "probability that all actions of an episode are right", "$P^T$")


@registered
class ReinforcementPerceptron(Model):
    """A perceptron that takes T actions in an episode and learns from its reward.

        y_s = sign(w . x_s),   right if y_s = sign(w* . x_s),   s = 1..T,   x_s ~ N(0, 1_N)
        w <- w + eta / (T sqrt N) sum_s G_s y_s x_s

    with |w*|^2 = N, and G_s what the reward credits step s with.  Time counts episodes,
    t = episodes / N.  The state is Q = |w|^2 / N and R = w . w* / N, of shape (1, 1) each:

        rho = R / sqrt Q,   P = 1 - arccos(rho) / pi

    - `episode_length`: the number T of actions.
    - `reward`: `ts.AllCorrect`, `ts.AtLeast`, `ts.Graded`, `ts.SubtaskBonus` or `ts.ReturnToGo`;
      None is 1 where all actions are right.
    - `learning_rate`: eta, a number, a sequence (a sweep) or a schedule.

    Recorded are `rho`, `right` = P, `episode` = P^T and `error_rate` = 1 - P.

    Raises ValueError for a value outside its range, or a reward of episodes of another length.

    Patel, Lee, Sarao Mannelli, Goldt & Saxe (arXiv:2306.10404).

    >>> import teacherstudent as ts
    >>> model = ts.ReinforcementPerceptron(episode_length=3, reward=ts.AllCorrect(1.0))
    >>> theory = ts.integrate(model, ts.State(Q=[[1.0]], R=[[0.1]]), times=[0.0, 10.0])
    >>> bool(theory.rho[1] > theory.rho[0])
    True
    """

    NUMBERS = ("learning_rate",)
    STATE = {
        "Q": Quantity(("student", "student_"), "overlap of student units", r"$Q_{kl}$"),
        "R": Quantity(("student", "teacher"), "overlap of student and teacher units", "$R_{km}$"),
    }
    RECORDED = {"rho": ANGLE, "right": RIGHT, "episode": EPISODE, "error_rate": WRONG}
    ERROR = "error_rate"
    TIME = ("episodes per input dimension", "$t$", "episodes / N")

    episode_length: int = eqx.field(static=True)
    reward: Reward
    learning_rate: checks.Parameter

    @arguments.of("model.")
    def __init__(self, episode_length: int, reward=None, learning_rate=1.0):
        self.episode_length = checks.integer("model.episode_length", episode_length)
        self.reward = AllCorrect() if reward is None else as_reward(reward)
        self.reward.check_length(self.episode_length)
        self.learning_rate = checks.parameter(learning_rate)
        checks.number("model.learning_rate", learning_rate)

    @property
    def shapes(self):
        return {"Q": (1, 1), "R": (1, 1)}

    def check_state(self, state):
        Q, R = float(state["Q"][0, 0]), float(state["R"][0, 0])
        if Q <= 0:
            raise ValueError(f"start.Q = {Q:g}; a policy has a direction: give Q > 0.")
        if R**2 > Q * (1 + 1e-6):
            raise ValueError(
                f"start.R = {R:g}, but no weights with Q = {Q:g} have it; give |R| <= sqrt Q."
            )

    def action(self, rho) -> Action:
        """What is known of one action at the alignment rho."""
        P = 1 - jnp.arccos(jnp.clip(rho, -1.0, 1.0)) / jnp.pi
        a, b = (1 + rho) / np.sqrt(2 * np.pi), (1 - rho) / np.sqrt(2 * np.pi)
        return Action(P, a, b)

    def observed(self, t, state):
        rho = state["R"][0, 0] / jnp.sqrt(state["Q"][0, 0])
        P = self.action(rho).P
        return {"rho": rho, "right": P, "episode": P**self.episode_length, "error_rate": 1 - P}
