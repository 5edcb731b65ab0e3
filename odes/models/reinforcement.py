"""The equations of the reinforcement-learning perceptron, their fixed points, and the best rate."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from odes.models.theory import ModelTheory
from teacherstudent.checking import arguments, checks
from teacherstudent.models.reinforcement import ReinforcementPerceptron
from teacherstudent.models.rewards import Terms

GRID = np.linspace(-1 + 1e-9, 1 - 1e-9, 4001)  # of alignments among which zeros are bracketed
STEP = 1e-6  # of the derivative that says whether a fixed point is stable
SHORTEST = 1e-12  # -ln P below which every episode is right


class ReinforcementTheory(ModelTheory, model=ReinforcementPerceptron):
    """With the averages of one update, `Terms` (right m1, wrong m2, square s),

    dR/dt = eta (m1 - m2),   dQ/dt = 2 eta sqrt(Q) (m1 + m2) + eta^2 s
    """

    def velocity(self, model, t, state):
        Q, R = state["Q"], state["R"]
        length = jnp.sqrt(Q)
        terms = model.reward.terms(model.episode_length, model.action((R / length)[0, 0]))
        eta = model.learning_rate
        return {
            "Q": 2 * eta * length * (terms.right + terms.wrong) + eta**2 * terms.square,
            "R": eta * (terms.right - terms.wrong) * jnp.ones_like(R),
        }


class PolicyFixedPoint(NamedTuple):
    """A fixed point of a policy: its alignment rho, its Q, and whether it is stable."""

    rho: float
    Q: float
    stable: bool


@arguments.checked
def policy_fixed_points(model: ReinforcementPerceptron) -> list[PolicyFixedPoint]:
    """The fixed points of a reinforcement-learning perceptron, by increasing rho.

        m1(rho) = m2(rho) < 0,   Q = (eta s / (4 m1))^2

    dR/dt = 0 fixes the alignment alone, since m1 and m2 do not depend on Q; dQ/dt = 0 then fixes Q,
    where penalties outweigh rewards (m1 < 0).  Without penalties there is none: Q grows for ever.

    Raises ValueError for a learning rate that is a sequence or a schedule.

    Patel et al. (arXiv:2306.10404), phase diagram.

    >>> import teacherstudent as ts
    >>> model = ts.ReinforcementPerceptron(8, ts.AllCorrect(reward=1.0, penalty=0.1))
    >>> [round(point.rho, 2) for point in ts.policy_fixed_points(model)]
    [0.06, 0.51]
    """
    if model.sweeps or model.changes_with_time:
        raise ValueError(
            "model.learning_rate is a sequence or a schedule; fixed points are of one number."
        )

    def terms(rho: float) -> Terms:
        with jax.enable_x64(True):
            found = model.reward.terms(model.episode_length, model.action(jnp.asarray(rho)))
            return Terms(*map(float, found))

    def imbalance(rho: float) -> float:
        found = terms(rho)
        return found.right - found.wrong

    with jax.enable_x64(True):
        values = np.asarray(jax.vmap(lambda one: _difference(model, one))(jnp.asarray(GRID)))
    found = []
    for index in np.flatnonzero(values[:-1] * values[1:] < 0):
        rho = brentq(imbalance, *GRID[index : index + 2], xtol=1e-14)
        at_zero = terms(rho)
        if at_zero.right < 0:
            Q = float((model.learning_rate * at_zero.square / (4 * at_zero.right)) ** 2)
            found.append(PolicyFixedPoint(rho, Q, _is_stable(model, rho, Q)))
    return found


def _difference(model: ReinforcementPerceptron, rho):
    terms = model.reward.terms(model.episode_length, model.action(rho))
    return terms.right - terms.wrong


def _is_stable(model: ReinforcementPerceptron, rho: float, Q: float) -> bool:
    """Whether all eigenvalues of the Jacobian of (Q, R) have negative real parts."""
    theory = ReinforcementTheory()

    def velocity(y):
        state = {"Q": y[:1][:, None], "R": y[1:][:, None]}
        moves = theory.velocity(model, 0.0, state)
        return jnp.stack([moves["Q"][0, 0], moves["R"][0, 0]])

    with jax.enable_x64(True):
        jacobian = jax.jacfwd(velocity)(jnp.array([Q, rho * np.sqrt(Q)]))
    return bool(np.linalg.eigvals(np.asarray(jacobian)).real.max() < 0)


class PolicySchedule(NamedTuple):
    """The best learning rate and episode length along time, with the policy that they lead to."""

    time: np.ndarray
    learning_rate: np.ndarray
    episode_length: np.ndarray
    rho: np.ndarray
    Q: np.ndarray


@arguments.checked
def best_policy_schedule(
    model: ReinforcementPerceptron, start, times, *, episode_length: str = "kept"
) -> PolicySchedule:
    """The learning rate, and the episode length, that align a policy fastest at every time.

        eta*(t) = T sqrt(Q) (1 - rho^2) / (sqrt(2 pi) rho P),   T*(t) = max(1, round(-1 / ln P))
        d rho/dt = T P^(T - 2) (1 - rho^2)^2 / (4 pi rho)   under eta*

    for a reward of 1 where all actions are right and no penalty: each maximises d rho/dt.

    - `start`: a `ts.State` with rho > 0, where the best rate is finite.
    - `times`: increasing, in episodes / N; the first one is that of the start.
    - `episode_length`: "kept" is that of the model, "best" is T*(t).

    As a schedule it is `ts.interpolated(schedule.time, schedule.learning_rate)`.

    Raises ValueError if rho <= 0 at the start.

    Patel et al. (arXiv:2306.10404), section on optimal schedules.

    >>> import teacherstudent as ts
    >>> model = ts.ReinforcementPerceptron(3)
    >>> best = ts.best_policy_schedule(model, ts.State(Q=[[1.0]], R=[[0.3]]), [0.0, 5.0])
    >>> bool(best.rho[1] > 0.3)
    True
    """
    checks.one_of("episode_length", episode_length, ("kept", "best"))
    model.check_start(start)
    times = checks.times(times)
    begin = model.begun(start)
    R, Q = float(begin["R"][0, 0]), float(begin["Q"][0, 0])
    if R <= 0:
        raise ValueError(f"start.R = {R:g}; the best rate is finite for R > 0 only.")

    def length(P: float) -> int:
        if episode_length == "kept":
            return model.episode_length
        return max(1, round(-1 / min(np.log(P), -SHORTEST)))

    def rates(rho: float, Q: float) -> tuple[float, int, float]:
        P = 1 - np.arccos(np.clip(rho, -1, 1)) / np.pi
        T = length(P)
        eta = T * np.sqrt(Q) * (1 - rho**2) / (np.sqrt(2 * np.pi) * rho * P)
        return eta, T, P

    def velocity(t, y):
        rho, log_Q = y
        eta, T, P = rates(rho, np.exp(log_Q))
        a, over = (1 + rho) / np.sqrt(2 * np.pi), eta / np.exp(log_Q / 2)
        growth = 2 * over * a * P ** (T - 1) + over**2 * P**T / T
        return [T * P ** (T - 2) * (1 - rho**2) ** 2 / (4 * np.pi * rho), growth]

    begun = [R / np.sqrt(Q), np.log(Q)]
    found = solve_ivp(velocity, (times[0], times[-1]), begun, "LSODA", times, rtol=1e-8, atol=1e-10)
    rho, Q_along = found.y[0], np.exp(found.y[1])
    along = [rates(*one) for one in zip(rho, Q_along, strict=True)]
    eta, T, _ = map(np.asarray, zip(*along, strict=True))
    return PolicySchedule(times, eta, T.astype(int), rho, Q_along)
