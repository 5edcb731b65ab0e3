"""What a solver is given, and what it answers: arrays alone, with the modes last."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from odes.rules.theory import Nodes, RuleTheory, theory_of
from teacherstudent.checking import checks
from teacherstudent.problem import Problem
from teacherstudent.starts import Start, spectral_start
from teacherstudent.states.kept import KeptTheory
from teacherstudent.states.order_parameters import OrderParameters

# Our names, and diffrax's.
SOLVERS = {"tsit5": "Tsit5", "dopri8": "Dopri8", "kvaerno5": "Kvaerno5"}
EXPLICIT = ("tsit5", "dopri8")
# With averages over frozen points a solver with smaller tolerances only follows their jumps: at
# 1e-5 it takes two to three times as many steps, and rejects a seventh of them.
LEAST_RTOL = 1e-4
LEAST_ATOL = 1e-6


class Trajectory(NamedTuple):
    """Order parameters at the requested times, and how the solver fared.

    - `Q`, `R`, `v`, `b`, `eps_g`: the order parameters and the error.  Of a task with two classes R
      is m, and eps_g the expected loss.
    - `reached`: the time up to which the solver came.
    - `diverged`: whether the solver stopped before the last time.
    - `exceeded`: whether it did so because the state was beyond the bound of divergence.
    - `steps`, `rejected`: how many steps the solver tried, and how many of them it rejected.
    - `crossed`: whether the solver stopped at a threshold, where there is one.
    - `first_distance`: how far the quantity of a threshold is from it at the begin.
    - `q`, `r`: the densities over the modes, where they were asked for.
    - `accuracy`: the fraction of right classes, where the task has classes.
    - `drift_Q` to `diffusion_Q`: parts of the equations (`drift.py`), where they were asked for.
    - `rule_error`: an estimate of the velocity's error, where a rule has averages by quadrature.
    - `q_last`, `r_last`, `memory`: the overlaps of every mode, the modes last, and all that the
      rule remembers at the last time.
    - `loop`: what the solver needs to go on from where it is, where it was asked for.
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
    crossed: Bool[Array, "*batch"] | None = None
    first_distance: Float[Array, "*batch"] | None = None
    q: Float[Array, "*batch time modes students students"] | None = None
    r: Float[Array, "*batch time modes students teachers"] | None = None
    accuracy: Float[Array, "*batch time"] | None = None
    rule_error: Float[Array, "*batch"] | None = None
    q_last: Float[Array, "*batch students students modes"] | None = None
    r_last: Float[Array, "*batch students teachers modes"] | None = None
    memory: Float[Array, "*batch entries"] | None = None
    drift_Q: Float[Array, "*batch time students students"] | None = None
    drift_R: Float[Array, "*batch time students teachers"] | None = None
    drift_v: Float[Array, "*batch time students"] | None = None
    drift_b: Float[Array, "*batch time students"] | None = None
    diffusion_Q: Float[Array, "*batch time students students"] | None = None
    loop: tuple[Array, ...] | None = None


class ByMode(NamedTuple):
    """A start with the modes last; all but the spectrum and its time may have a leading axis for a
    batch.
    """

    time: checks.Parameter
    rho: checks.Parameter
    weights: checks.Parameter
    noise: checks.Parameter
    q: checks.Parameter
    r: checks.Parameter
    t: checks.Parameter
    T: checks.Parameter
    v: checks.Parameter
    b: checks.Parameter
    memory: checks.Parameter  # what the rule remembers, if it does so already


# Along which axis each part of a batch of starts has its members.
ONE_START = ByMode(None, None, None, None, *[0] * 7)


def by_mode(problem: Problem, start: Start) -> ByMode:
    """The start's spectrum and densities; isotropic inputs have one mode, q = Q, r = R, t = T.

    A state of another theory has kept its densities.
    """
    if isinstance(start.kept, KeptTheory):
        return _continued(problem, start, start.kept)
    if isinstance(start, OrderParameters) and not problem.task.HAS_MODES:
        return _one_mode(start)
    spectral = spectral_start(problem, start)
    prepared, noise = theory_of(problem.rule).prepare_modes(problem, spectral)
    v = prepared.v
    return ByMode(
        time=start.time,
        rho=prepared.rho,
        weights=prepared.weights,
        noise=noise,
        q=_modes_last(prepared.q),
        r=_modes_last(prepared.r),
        t=_modes_last(prepared.t),
        T=prepared.T,
        v=v,
        b=prepared.b,
        memory=_nothing_remembered(v),
    )


def _continued(problem: Problem, start: Start, kept: KeptTheory) -> ByMode:
    """The end of another theory: what a rule of the same class remembers goes on, too."""
    begin = by_mode(problem, kept.start)
    if np.shape(begin.q) != np.shape(kept.q):
        raise ValueError(
            f"start is a state whose overlaps by mode have the shape {np.shape(kept.q)}, but those "
            f"of this problem have {np.shape(begin.q)}; go on with a problem on the same inputs."
        )
    memory = begin.memory
    if kept.rule == type(problem.rule).__name__:
        memory = kept.memory
    elif np.size(begin.rho) > 1:
        _check_same_modes(kept.rule, type(problem.rule).__name__)
    return begin._replace(time=start.time, q=kept.q, r=kept.r, v=start.v, b=start.b, memory=memory)


def _check_same_modes(before: str, now: str) -> None:
    """Raise ValueError unless two rules, by the names of their classes, have the same modes.

    Those of the signs of inputs are not the eigenvectors of their covariance.
    """
    for rule, theory in RuleTheory.registered.items():
        own = type(theory).prepare_modes is not RuleTheory.prepare_modes
        if own and rule.__name__ in (before, now):
            raise ValueError(
                f"the rule changes from {before} to {now}, and {rule.__name__} has other modes of "
                "these inputs: the overlaps by mode cannot go on; simulate, or begin anew from "
                "OrderParameters."
            )


def _nothing_remembered(v) -> np.ndarray:
    return np.zeros((*np.shape(v)[:-1], 0))


def _one_mode(start: OrderParameters) -> ByMode:
    one = np.ones(1)
    return ByMode(
        time=start.time,
        rho=one,
        weights=one,
        noise=one,
        q=start.Q[..., None],
        r=start.R[..., None],
        t=start.T[..., None],
        T=start.T,
        v=start.v,
        b=start.b,
        memory=_nothing_remembered(start.v),
    )


def _modes_last(densities):
    if checks.is_traced(densities):
        return jnp.moveaxis(densities, -3, -1)
    return np.moveaxis(np.asarray(densities), -3, -1)


def tolerances(nodes: Nodes | None, rtol: float, atol: float) -> tuple[float, float]:
    """The given tolerances, or the smallest that rough averages allow."""
    if nodes is None or not nodes.rough:
        return rtol, atol
    return max(rtol, LEAST_RTOL), max(atol, LEAST_ATOL)


def chosen(solver: str, rtol: float) -> str:
    """The given solver; for "auto" the one that needs least work at this tolerance."""
    if solver != "auto":
        return solver
    if rtol >= 1e-6:
        return "tsit5"
    return "dopri8"
