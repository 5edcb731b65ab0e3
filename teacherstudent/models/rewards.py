"""Rewards of an episode of actions: what each step is credited with, and the averages of that."""

import abc
from collections.abc import Mapping
from math import comb
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from teacherstudent.checking import arguments, checks
from teacherstudent.display import Described


class Terms(NamedTuple):
    """The averages of one update under a reward, T steps long.

    - `right`, `wrong`: (1/T) sum_s of E[G_s y_s nu_s] over right and, with the other sign, over
      wrong actions, with the alignments a and b of an action in them.
    - `square`: (1/T^2) sum_s E[G_s^2].
    """

    right: Any
    wrong: Any
    square: Any


class Action(NamedTuple):
    """What is known of one action: with u and nu the fields of student and teacher, y = sign u,

    P = probability that it is right
    a = E[y nu; right],   b = -E[y nu; wrong]
    """

    P: Float[Array, ""]
    a: Float[Array, ""]
    b: Float[Array, ""]


class Reward(Described):
    """A reward of an episode: `credits` for networks, and `terms` for the theory."""

    @abc.abstractmethod
    def credits(self, right: Float[Array, " steps"]) -> Float[Array, " steps"]:
        """The return G_s of each step, of an episode whose actions are right (1) or wrong (0)."""

    @abc.abstractmethod
    def terms(self, T: int, action: Action) -> Terms:
        """The averages of one update."""

    def check_length(self, T: int) -> None:
        """Raise ValueError if the reward is none of episodes of T actions."""


class CountedReward(Reward):
    """A reward by the number c of right actions alone, G(c), credited to all steps."""

    @abc.abstractmethod
    def returns(self, T: int) -> Float[Array, " counts"]:
        """G(0), ..., G(T)."""

    def credits(self, right):
        T = right.shape[0]
        count = jnp.round(right.sum()).astype(int)
        return jnp.full(T, self.returns(T)[count])

    def terms(self, T, action):
        P, G = action.P, self.returns(T)
        right = wrong = square = jnp.zeros_like(P)
        for c in range(T + 1):
            ways = comb(T, c)
            if c > 0:
                right += ways * c * P ** (c - 1) * (1 - P) ** (T - c) * G[c]
            if c < T:
                wrong += ways * (T - c) * P**c * (1 - P) ** (T - c - 1) * G[c]
            square += ways * P**c * (1 - P) ** (T - c) * G[c] ** 2
        return Terms(action.a / T * right, action.b / T * wrong, square / T)


class AllCorrect(CountedReward):
    """`reward` if all actions of the episode are right, -`penalty` otherwise.

    >>> import teacherstudent as ts
    >>> print(ts.AllCorrect(reward=1.0, penalty=0.1).returns(2))
    [-0.1 -0.1  1. ]
    """

    reward: checks.Parameter
    penalty: checks.Parameter

    @arguments.of("reward.")
    def __init__(self, reward=1.0, penalty=0.0):
        self.reward = _number("reward", reward)
        self.penalty = _number("penalty", penalty)

    def returns(self, T):
        return jnp.where(np.arange(T + 1) == T, self.reward, -self.penalty)


class AtLeast(CountedReward):
    """`reward` if at least `needed` actions are right, -`penalty` otherwise.

    >>> import teacherstudent as ts
    >>> print(ts.AtLeast(2, reward=1.0).returns(3))
    [-0. -0.  1.  1.]
    """

    needed: int = eqx.field(static=True)
    reward: checks.Parameter
    penalty: checks.Parameter

    @arguments.of("reward.")
    def __init__(self, needed: int, reward=1.0, penalty=0.0):
        self.needed = checks.integer("reward.needed", needed, minimum=0)
        self.reward = _number("reward", reward)
        self.penalty = _number("penalty", penalty)

    def check_length(self, T):
        if self.needed > T:
            raise ValueError(
                f"reward.needed = {self.needed} right actions, but an episode has {T}; give at "
                "most as many."
            )

    def returns(self, T):
        return jnp.where(np.arange(T + 1) >= self.needed, self.reward, -self.penalty)


class Graded(CountedReward):
    """Any return G(c) of the number c of right actions: `values` = G(0), ..., G(T).

    >>> import teacherstudent as ts
    >>> ts.Graded([0.0, 0.5, 1.0]).values
    array([0. , 0.5, 1. ])
    """

    values: Any

    @arguments.of("reward.")
    def __init__(self, values):
        self.values = np.asarray(checks.finite_array("reward.values", values), float)

    def check_length(self, T):
        if self.values.shape != (T + 1,):
            raise ValueError(
                f"reward.values has the shape {self.values.shape}; an episode of {T} actions has "
                f"{T + 1} returns, G(0) to G({T})."
            )

    def returns(self, T):
        return jnp.asarray(self.values)


class SubtaskBonus(Reward):
    """`reward` on all steps if all actions are right, and `bonus` on the first `steps` steps if
    these are right.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> print(ts.SubtaskBonus(steps=1, reward=1.0, bonus=0.5).credits(jnp.array([1.0, 0.0])))
    [0.5 0. ]
    """

    steps: int = eqx.field(static=True)
    reward: checks.Parameter
    bonus: checks.Parameter

    @arguments.of("reward.")
    def __init__(self, steps: int, reward=1.0, bonus=1.0):
        self.steps = checks.integer("reward.steps", steps)
        self.reward = _number("reward", reward)
        self.bonus = _number("bonus", bonus)

    def check_length(self, T):
        if self.steps > T:
            raise ValueError(
                f"reward.steps = {self.steps}, but an episode has {T} actions; give at most as "
                "many."
            )

    def credits(self, right):
        first = np.arange(right.shape[0]) < self.steps
        return self.reward * right.prod() + self.bonus * first * right[: self.steps].prod()

    def terms(self, T, action):
        P, T0 = action.P, self.steps
        r, s = self.reward, self.bonus
        right = action.a / T * (T * r * P ** (T - 1) + T0 * s * P ** (T0 - 1))
        square = ((T * r**2 + 2 * T0 * r * s) * P**T + T0 * s**2 * P**T0) / T**2
        return Terms(right, jnp.zeros_like(right), square)


class ReturnToGo(Reward):
    """A dense reward: each step is credited with `step_reward` for each right action from it on,
    and with `reward` if all actions are right.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> print(ts.ReturnToGo(0.5, reward=0.0).credits(jnp.array([1.0, 0.0, 1.0])))
    [1.  0.5 0.5]
    """

    step_reward: checks.Parameter
    reward: checks.Parameter

    @arguments.of("reward.")
    def __init__(self, step_reward=1.0, reward=1.0):
        self.step_reward = _number("step_reward", step_reward)
        self.reward = _number("reward", reward)

    def credits(self, right):
        to_go = jnp.cumsum(right[::-1])[::-1]
        return self.step_reward * to_go + self.reward * right.prod()

    def terms(self, T, action):
        P, r, eta = action.P, self.step_reward, self.reward
        later = r * (T - 1) / 2 * P  # what the steps after s add to the return of step s
        right = action.a * (eta * P ** (T - 1) + r + later)
        wrong = action.b * later
        square = eta / T * (eta + r * (T + 1)) * P**T
        square += r**2 * (T + 1) / T * P * (1 / 2 + (T - 1) * P / 3)
        return Terms(right, wrong, square)


def _number(name: str, value: Any) -> Any:
    """A finite number of a reward."""
    return checks.single(f"reward.{name}", value, minimum=-np.inf)


REWARDS: dict[str, type[Reward]] = {
    kind.__name__: kind for kind in (AllCorrect, AtLeast, Graded, SubtaskBonus, ReturnToGo)
}


def as_reward(given: Any) -> Reward:
    """A reward, or one of a table with its `type` and its numbers, as a file has it.

    Raises ValueError for anything else.
    """
    if isinstance(given, Reward):
        return given
    if isinstance(given, Mapping) and given.get("type") in REWARDS:
        table = dict(given)
        return REWARDS[table.pop("type")](**table)
    raise ValueError(
        f"model.reward = {checks.shortened(given)} is no reward; give one of "
        f"{', '.join(f'ts.{name}' for name in REWARDS)}."
    )
