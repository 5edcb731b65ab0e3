"""What an optimal schedule minimises, as a function of the logarithms of its numbers, with its
gradient.

    objective(logs) = log eps_g(stop),   d objective / d logs

The gradient is that of the solve itself, in forward mode: all its directions step together.  One
compiled program serves all numbers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from odes.solving.solve import solve_one
from odes.solving.trajectory import Trajectory, by_mode
from teacherstudent.observables.observable import Observable
from teacherstudent.problem import Problem
from teacherstudent.programs.compilation import default_platform, options
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks.base import with_fields

FINAL, INTEGRAL = "final", "integral"
PENALTY = 10.0  # of a solve that diverges, beside the worst that did not


@dataclass(frozen=True)
class Settings:
    """What is compiled into the program."""

    minimise: str | Observable
    rate: str  # the field of the rule that follows the schedule
    solver: str
    max_steps: int

    @property
    def is_positive(self) -> bool:
        """Whether the objective is the logarithm of a positive number."""
        return isinstance(self.minimise, str)


class Objective:
    """The objective along the schedules of one form."""

    def __init__(
        self,
        settings: Settings,
        form: Any,
        smallest: float,
        problem: Problem,
        start,
        times,
        tolerances,
    ):
        self.settings = settings
        self.form = form
        self.smallest = np.log(smallest)  # of all numbers, at most
        self.evaluations = 0
        self.failures = 0
        self.worst = 0.0
        self._program = _program(default_platform(), settings, form)
        self._given = (problem.for_programs(), by_mode(problem, start), times, *tolerances)

    def __call__(self, logs: np.ndarray, nodes: np.ndarray) -> tuple[float, np.ndarray]:
        """The objective and its gradient.

        Of a solve that diverges the value is worse than all before, and the gradient says that
        smaller rates are better: the search turns back.
        """
        self.evaluations += 1
        given = jax.tree.map(_number, (logs, nodes, *self._given))
        with jax.enable_x64(True):
            gradient, value = jax.tree.map(np.asarray, self._program(*given))
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            self.failures += 1
            above = logs - self.smallest
            return self.worst + PENALTY + float(np.sum(above)), np.ones(logs.size)
        self.worst = max(self.worst, float(value))
        return float(value), gradient

    def or_infinite(self, logs: np.ndarray, nodes: np.ndarray) -> float:
        """The objective; infinite where the solve diverges."""
        failures = self.failures
        value, _ = self(logs, nodes)
        return math.inf if self.failures > failures else value


def _number(leaf) -> np.ndarray:
    return np.asarray(leaf, np.float64)


@cache
def _program(platform: str, settings: Settings, form: Any) -> Callable:
    value = partial(_value, settings, form)
    return jax.jit(
        lambda *given: _with_gradient(value, *given),
        compiler_options=options(platform, quick=True),
    )


def _with_gradient(value: Callable, logs, *given):
    return jax.jacfwd(value, has_aux=True)(logs, *given)


def _value(settings: Settings, form: Any, logs, nodes, problem, start, times, rtol, atol):
    """The objective, and once more beside it."""
    rule = with_fields(problem.rule, {settings.rate: form.schedule(logs, nodes)})
    answer = solve_one(
        with_fields(problem, {"rule": rule}),
        start,
        times,
        rtol,
        atol,
        most_steps=jnp.asarray(settings.max_steps),
        solver=settings.solver,
        max_steps=settings.max_steps,
        progress=False,
        extras=(),
        gradients=False,
    )
    value = _minimised(settings, answer, start, times)
    value = jnp.where(answer.diverged, jnp.nan, value)
    if settings.is_positive:
        value = jnp.log(value)
    return value, value


def _minimised(settings: Settings, answer: Trajectory, start, times):
    if settings.minimise == FINAL:
        return answer.eps_g[-1]
    if settings.minimise == INTEGRAL:
        middle = (answer.eps_g[1:] + answer.eps_g[:-1]) / 2
        return jnp.sum(middle * jnp.diff(times))
    last = [part[-1] for part in answer[:4]]
    Q, R, v, b = last
    assert isinstance(settings.minimise, Observable)
    return settings.minimise.value(OrderParameters(Q, R, start.T, v, b=b))
