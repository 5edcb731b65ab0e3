"""What a solver is given, and what it answers: arrays alone, with the modes last."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from odes.rules.sign_modes import sign_modes
from odes.rules.theory import Nodes
from teacherstudent.checking import checks
from teacherstudent.problem import Problem
from teacherstudent.rules import SignSGD
from teacherstudent.starts import Start, spectral_start
from teacherstudent.states.order_parameters import OrderParameters
from teacherstudent.tasks import StructuredTask

SOLVERS = {"tsit5": "Tsit5", "dopri8": "Dopri8", "kvaerno5": "Kvaerno5"}  # our names, diffrax's
LEAST_RTOL, LEAST_ATOL = (
    1e-5,
    1e-6,
)  # with averages over frozen points: below, a solver only follows their jumps


class Trajectory(NamedTuple):
    """Order parameters at the requested times, and how the solver fared.

    Of a task with two classes R is m, and eps_g the expected loss.  `diverged` says that the solver
    stopped before its time, and `exceeded` that it did so because the state was beyond the bound of
    divergence.
    """

    Q: Float[Array, "*batch time students students"]
    R: Float[Array, "*batch time students teachers"]
    v: Float[Array, "*batch time students"]
    b: Float[Array, "*batch time students"]
    eps_g: Float[Array, "*batch time"]
    reached: Float[Array, "*batch"]
    diverged: Bool[Array, "*batch"]
    exceeded: Bool[Array, "*batch"]
    steps: Int[Array, "*batch"]
    rejected: Int[Array, "*batch"]
    q: Float[Array, "*batch time modes students students"] | None = None
    r: Float[Array, "*batch time modes students teachers"] | None = None
    accuracy: Float[Array, "*batch time"] | None = None
    rule_error: Float[Array, "*batch"] | None = None


class ByMode(NamedTuple):
    """A start with the modes last; all but the spectrum may have a leading axis, a batch of starts."""

    rho: checks.Parameter
    weights: checks.Parameter
    noise: checks.Parameter
    q: checks.Parameter
    r: checks.Parameter
    t: checks.Parameter
    T: checks.Parameter
    v: checks.Parameter
    b: checks.Parameter


ONE_START = ByMode(None, None, None, *[0] * 6)  # the axes of a batch


def by_mode(problem: Problem, start: Start) -> ByMode:
    """The start's spectrum and densities; isotropic inputs have one mode, q = Q, r = R, t = T."""
    if isinstance(start, OrderParameters) and not isinstance(problem.task, StructuredTask):
        one = np.ones(1)
        return ByMode(
            one,
            one,
            one,
            start.Q[..., None],
            start.R[..., None],
            start.T[..., None],
            start.T,
            start.v,
            start.b,
        )
    start = spectral_start(problem, start)
    noise = start.rho
    if isinstance(problem.rule, SignSGD):
        start, noise = sign_modes(problem, start)
    q, r, t = (jnp.moveaxis(part, -3, -1) if checks.is_traced(part) else np.moveaxis(np.asarray(part), -3, -1)
               for part in (start.q, start.r, start.t))  # fmt: skip
    return ByMode(
        start.rho, start.weights, noise, q, r, t, start.T, start.v, np.zeros(np.shape(start.v))
    )


def tolerances(nodes: Nodes | None, rtol: float, atol: float) -> tuple[float, float]:
    """The tolerances asked for, or the smallest that rough averages allow."""
    return (
        (max(rtol, LEAST_RTOL), max(atol, LEAST_ATOL))
        if nodes is not None and nodes.rough
        else (rtol, atol)
    )


def chosen(solver: str, rtol: float) -> str:
    """The solver asked for; for "auto" the one that needs least work at this tolerance."""
    if solver != "auto":
        return solver
    return "tsit5" if rtol >= 1e-6 else "dopri8"
