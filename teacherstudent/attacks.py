"""How strongly to attack the labels of a linear online learner, if an attack costs something.

The learner sees large batches and takes steps of the size eta.  With s its progress along
w_target - w_teacher, from 0 (clean) to 1 (hijacked), a step under an attack of strength a is

    s' = s + eta (a - s),   at the cost   C a^2 / 2 + omega (1 - s')^2 / 2

and the attacker minimises the sum of all costs, those n steps ahead times gamma^n.  That is linear
control with quadratic costs: with the value gamma (P s^2 / 2 - p s) of what follows, H = omega +
gamma P and h = omega + gamma p,

    a = eta (h - H (1 - eta) s) / (C + eta^2 H)
    P = (1 - eta)^2 C H / (C + eta^2 H),   p = (1 - eta) C h / (C + eta^2 H)

gamma = 0 is the greedy attacker, who looks one step ahead.  C and omega are ours: the paper's own
normalisation of the costs was not compared.

Attacks on online learners: a teacher-student analysis, NeurIPS 2023 (arXiv:2305.11132).
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from teacherstudent.checking import arguments, checks


class Attack(NamedTuple):
    """Strengths a of an attack step by step, and the progress s of the learner before each."""

    strength: Float[np.ndarray, " steps"]
    progress: Float[np.ndarray, " steps"]


@arguments.checked
def optimal_attack(
    cost,
    learning_rate,
    steps,
    discount=0.0,
    weight=1.0,
    progress=0.0,
) -> Attack:
    """The strengths of the attack that costs least, step by step, on a linear learner.

        a = eta (h - H (1 - eta) s) / (C + eta^2 H),   s' = s + eta (a - s)

    - `cost`: C, of a strength a: C a^2 / 2 at each step.
    - `learning_rate`: eta, the size of a step of the learner with large batches, in (0, 2).
    - `steps`: how many.
    - `discount`: gamma in [0, 1), of costs one step later; 0 is the greedy attacker.
    - `weight`: omega, of the distance that is left: omega (1 - s')^2 / 2.
    - `progress`: s before the first step, 0 for a learner that knows its teacher.

    Answers `strength` a and `progress` s, each of shape (steps,); time counts steps.  Strengths are
    not bounded by 1.

    Raises ValueError if a number is outside its range.

    Attacks on online learners: a teacher-student analysis, NeurIPS 2023 (arXiv:2305.11132).

    >>> import teacherstudent as ts
    >>> attack = ts.optimal_attack(cost=0.5, learning_rate=0.5, steps=40)
    >>> print(attack.progress[:3].round(3), attack.progress[-1].round(6))
    [0.    0.333 0.444] 0.5
    """
    C, eta, gamma, omega = _checked(cost, learning_rate, discount, weight)
    steps = checks.integer("steps", steps)
    s = checks.single("progress", progress, minimum=-math.inf)
    H, h = _value(C, eta, gamma, omega)
    strengths, along = np.empty(steps), np.empty(steps)
    for step in range(steps):
        along[step] = s
        strengths[step] = eta * (h - H * (1 - eta) * s) / (C + eta**2 * H)
        s += eta * (strengths[step] - s)
    return Attack(strengths, along)


@arguments.checked
def attack_steady_state(cost, learning_rate, discount=0.0, weight=1.0) -> float:
    """Where the attack that costs least holds a linear learner, from 0 (clean) to 1 (hijacked).

        a = s = omega eta / (omega eta + C (1 - gamma (1 - eta)))

    The arguments are those of `optimal_attack`.  A learner under this strength for ever ends there.

    Raises ValueError if a number is outside its range.

    Attacks on online learners: a teacher-student analysis, NeurIPS 2023 (arXiv:2305.11132).

    >>> import teacherstudent as ts
    >>> round(ts.attack_steady_state(cost=0.5, learning_rate=0.5, discount=0.9), 4)
    0.6452
    """
    C, eta, gamma, omega = _checked(cost, learning_rate, discount, weight)
    return omega * eta / (omega * eta + C * (1 - gamma * (1 - eta)))


@arguments.checked
def critical_attack_cost(learning_rate, discount=0.0, weight=1.0) -> float:
    """The cost below which an inversion of labels turns the signs of a linear learner round.

        C = omega eta / (1 - gamma (1 - eta)),   where s = 1/2 in the steady state

    With w_target = -w_teacher the learner is (1 - 2 s) w_teacher, whose accuracy falls from 1 to 0
    at s = 1/2.  The arguments are those of `optimal_attack`.

    Raises ValueError if a number is outside its range.

    Attacks on online learners: a teacher-student analysis, NeurIPS 2023 (arXiv:2305.11132).

    >>> import teacherstudent as ts
    >>> ts.critical_attack_cost(learning_rate=0.5)
    0.5
    >>> ts.attack_steady_state(cost=0.5, learning_rate=0.5)
    0.5
    """
    _, eta, gamma, omega = _checked(1.0, learning_rate, discount, weight)
    return omega * eta / (1 - gamma * (1 - eta))


def _checked(cost, learning_rate, discount, weight) -> tuple[float, float, float, float]:
    """C, eta, gamma and omega; ValueError if one is outside its range."""
    C = checks.positive("cost", cost)
    eta = checks.positive("learning_rate", learning_rate)
    if eta >= 2:
        raise ValueError(
            f"learning_rate = {eta:g} is not allowed; give a number below 2, from which on a "
            "linear learner diverges."
        )
    gamma = checks.fraction_of_one("discount", discount)
    return C, eta, gamma, checks.positive("weight", weight)


def _value(C: float, eta: float, gamma: float, omega: float) -> tuple[float, float]:
    """H and h: the curvature and the slope of what a step's result costs from then on."""
    # The Riccati equation of one number: eta^2 H^2 + b H - omega C = 0, with its positive root
    # written without a difference of large numbers.
    b = C * (1 - gamma * (1 - eta) ** 2) - eta**2 * omega
    root = math.sqrt(b**2 + 4 * eta**2 * omega * C)
    H = 2 * omega * C / (b + root) if b > 0 else (root - b) / (2 * eta**2)
    pull = (1 - eta) * C / (C + eta**2 * H)
    return H, omega / (1 - gamma * pull)
