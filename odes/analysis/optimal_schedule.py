"""The learning rate, as a function of time, by which a network learns most in a given time.

Saad & Rattray, Phys. Rev. Lett. 79, 2578 (1997), derive it from a variational principle; here the
solve of the order-parameter equations is differentiated with respect to the numbers of a schedule.
"""

import json
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from odes.analysis.schedule_forms import FORMS, Constant, Decay
from odes.analysis.schedule_objective import FINAL, INTEGRAL, Objective, Settings
from odes.analysis.schedule_search import (
    SHORTEST_DECAY,
    Found,
    best_constant,
    best_decay,
    best_schedule,
    promising_starts,
)
from odes.integrate import integrate
from odes.rules.theory import require_theory, theory_of
from odes.solving.resolution import first_refinement
from odes.solving.trajectory import chosen, tolerances
from teacherstudent.checking import arguments, checks
from teacherstudent.checking.warn import warn_user
from teacherstudent.errors import DivergenceError
from teacherstudent.observables.built_in import one_number
from teacherstudent.observables.observable import Observable
from teacherstudent.problem import Problem
from teacherstudent.results.datasets import DESCRIPTION, description
from teacherstudent.schedules import is_schedule, value_at
from teacherstudent.starts import Start, spectral_start
from teacherstudent.tasks.base import with_fields

RECORDED = 201  # times of the answer, beside the nodes
SHOWN = (
    "summary",
    "best_constant",
    "best_decay",
    "gain_over_constant",
    "gain_over_decay",
    "iterations",
    "gradient_norm",
    "at_bounds",
)
SMALLEST, LARGEST = 1e-3, 30.0  # default bounds, in units of the problem's own rate


@arguments.checked
def optimal_schedule(
    problem: Problem,
    start: Start,
    stop: float,
    *,
    form: str = "pointwise",
    nodes: int = 20,
    minimise: str | Observable = FINAL,
    rate: str = "learning_rate",
    bounds=None,
    restarts: int = 3,
    max_iterations: int = 200,
    rtol: float = 1e-8,
    atol: float = 1e-11,
    max_steps: int = 100_000,
) -> xr.Dataset:
    """The learning rate eta(t) that minimises the error at the time `stop`, and its theory.

        minimise  log eps_g(stop)  over  log eta at the nodes,   low <= eta <= high
        d(Q, R, v)/dt = vector_field(Q, R, v; eta(t)),   t = updates / N

    The gradient is that of the solve itself (`solve`), the optimiser SciPy's L-BFGS-B, from the
    best constant rate and from the best decay eta_0 / (1 + t / t_0), with few nodes first and more
    of them then.  It finds a local minimum: nothing near is better, but
    something far away may be.  More `restarts` look further; compare two of them.

    - `problem`: its rate is one number, and only sets the default bounds.
    - `stop`: the time at which the error shall be small; it is that of `start` or later.
    - `form`: "pointwise" is the rate at `nodes` equidistant times with straight lines between them
      (`ts.interpolated`), "piecewise" as many pieces of equal duration (`ts.piecewise`), "constant"
      one rate.
    - `minimise`: "final" is eps_g (with two classes the expected loss) at `stop`, "integral" its
      integral over time (by trapezes between the times of the answer), a `ts.Observable` of the
      order parameters its value at `stop`.
    - `rate`: the rate of the rule that follows the schedule; "readout_learning_rate", say, leaves
      the others as they are.  Rates that are not given follow `learning_rate`.
    - `bounds`: the smallest and the largest rate; None is from a thousandth to 30 times the
      problem's.  Where a solve diverges, the search turns back.
    - `restarts`: from how many more starts to search, the best among rates that stay for a time and
      then decay.
    - `max_iterations`: of each search.
    - `rtol`, `atol`, `max_steps`: as for `integrate`.

    Changing numbers compiles nothing anew; averages without closed forms take long.

    Returns the theory of the problem with the optimal schedule, as `integrate` does, at 201 times
    and at the nodes, which `ts.problem_of(best)` gives to integrate and to simulate.  Beside it,
    along time: `rate`, the schedule; `eps_g_constant` and `eps_g_decay` (with two classes `loss_`),
    the errors under the best constant rate and under the best decay, and `rate_decay`.  Attributes:
    `summary` in one line, `best_constant`, `best_decay` (eta_0 and t_0), `gain_over_constant` and
    `gain_over_decay` (ratios of what was minimised; of an observable, differences), `iterations`,
    `gradient_norm` (the largest entry of the gradient by log eta that does not point out of the
    bounds), `at_bounds` (how many rates sit at them).

    Raises ValueError for input that does not fit: a rule without this rate or with a schedule
    already, a problem without theory, sweeps and batches, bounds without room; DivergenceError if
    the solve diverges at every constant rate within the bounds.

    Saad & Rattray, Phys. Rev. Lett. 79, 2578 (1997); Mori, Sarao Mannelli & Mignacco, ICLR 2025.

    >>> import teacherstudent as ts
    >>> task, student = ts.TeacherStudent(1, "linear", noise=0.5), ts.Student(1, "linear")
    >>> problem = ts.Problem(task, student, ts.SGD(0.3))
    >>> start = ts.OrderParameters([[0.0]], [[0.0]])
    >>> best = ts.optimal_schedule(problem, start, stop=10.0, nodes=5)
    >>> bool(best.eps_g[-1] < best.eps_g_constant[-1])
    True
    >>> type(ts.problem_of(best).rule.learning_rate).__name__
    'interpolated'
    """
    stop = checks.positive("stop", stop)
    _check(problem, start, stop, rate)
    limits = _checked_bounds(bounds, float(getattr(problem.rule, rate)), rate)
    checks.one_of("form", form, FORMS)
    count = checks.integer("nodes", nodes, minimum=2)
    checks.integer("restarts", restarts)
    checks.integer("max_iterations", max_iterations)
    rtol, atol = checks.positive("rtol", rtol), checks.positive("atol", atol)
    max_steps = checks.integer("max_steps", max_steps)
    settings = Settings(_minimised(minimise, problem), rate, chosen("auto", rtol), max_steps)
    shape = Constant() if form == "constant" else FORMS[form](count)
    points = _Points.of(start.time, stop, shape)

    solved, begin = _prepared(problem, start, rtol)
    allowed = tolerances(theory_of(problem.rule).nodes(problem.rule, problem), rtol, atol)

    def objective(of: Any) -> Objective:
        smallest = min(limits[0], SHORTEST_DECAY * (stop - start.time))
        times = points.solved(minimise)
        return Objective(settings, of, smallest, solved, begin, times, allowed)

    flat, falling = objective(Constant()), objective(Decay(start.time))
    constant = best_constant(flat, limits, max_iterations)
    if constant is None:
        raise DivergenceError(
            f"the theory diverges before t = {stop:g} at every constant {rate} within bounds = "
            f"({limits[0]:g}, {limits[1]:g}); give a smaller lower bound.",
            start.time,
        )
    decay = best_decay(
        falling, float(np.exp(constant.logs[0])), limits, stop - start.time, max_iterations
    )
    used = flat
    best = constant
    if form != "constant":
        used = objective(shape)
        used.worst = max(flat.worst, falling.worst)
        starts = _first_starts(shape, constant, decay, limits, start.time, stop)
        starts += promising_starts(used, points.nodes, limits, restarts)
        best = best_schedule(used, points.nodes, starts, limits, max_iterations)
    schedule = shape.found(best.logs, points.nodes)
    run = partial(integrate, start=start, times=points.times, rtol=rtol, atol=atol)

    def theory_of_form(logs: np.ndarray, of: Any) -> xr.Dataset:
        rule = with_fields(problem.rule, {rate: of.found(logs, points.nodes)})
        return run(with_fields(problem, {"rule": rule}), max_steps=max_steps)

    theory = theory_of_form(best.logs, used.form)
    others = [theory_of_form(constant.logs, Constant()), theory_of_form(decay.logs, falling.form)]
    decaying = falling.form.found(decay.logs, points.nodes)
    theory = _with_others(theory, problem, schedule, decaying, others)
    return _reported(theory, settings, form, limits, (best, constant, decay), (flat, falling, used))


class _Points:
    """The nodes of the schedule, and the times of the answer."""

    def __init__(self, times: np.ndarray, nodes: np.ndarray):
        self.times = times
        self.nodes = nodes

    @classmethod
    def of(cls, begin: float, stop: float, shape: Any) -> "_Points":
        nodes = np.zeros(0)
        if hasattr(shape, "times"):
            nodes = shape.times(begin, stop)
        return cls(np.unique(np.concatenate([np.linspace(begin, stop, RECORDED), nodes])), nodes)

    def solved(self, minimise) -> np.ndarray:
        """The times at which the search needs the error."""
        if minimise == INTEGRAL:
            return self.times
        return self.times[[0, -1]]


def _check(problem: Problem, start: Start, stop: float, rate: str) -> None:
    """Raise ValueError for a problem or a start for which there is no schedule to find."""
    problem.check_start(start)
    if problem.sweeps or start.batch:
        raise ValueError(
            "optimal_schedule takes one problem and one start; call it once for each value."
        )
    if stop <= start.time:
        raise ValueError(
            f"stop = {stop:g} is not after the time of the start, t = {start.time:g}; give a later "
            "one."
        )
    require_theory(problem)
    if problem.batch_ratio is not None:
        raise ValueError(
            "optimal_schedule integrates in time, but with batch_ratio time counts updates; give "
            "batch_size."
        )
    _check_rate(problem, rate)


def _check_rate(problem: Problem, rate: str) -> None:
    """Raise ValueError unless the rule has this rate, and it is one positive number."""
    rule, name = problem.rule, type(problem.rule).__name__
    rates = [one for one in rule.__dataclass_fields__ if one.endswith("learning_rate")]
    if rate not in rates:
        way = f"its rates are {', '.join(rates)}" if rates else "give a rule with one, such as SGD"
        raise ValueError(f"rate = {rate!r} is no learning rate of the rule {name}; {way}.")
    value = getattr(rule, rate)
    if value is None:
        raise ValueError(
            f"rate = {rate!r}, but rule.{rate} is not given and follows learning_rate; give it a "
            "number, or take rate='learning_rate'."
        )
    if is_schedule(value):
        raise ValueError(
            f"rule.{rate} = {checks.shortened(value)} changes with time already; give one number, "
            "from which the search sets its bounds."
        )


def _checked_bounds(bounds, rate: float, name: str) -> tuple[float, float]:
    """The smallest and the largest rate."""
    if bounds is None:
        if rate <= 0:
            raise ValueError(
                f"rule.{name} = {rate:g} says nothing of the size of good rates; give a positive "
                "one, or bounds=(low, high)."
            )
        return rate * SMALLEST, rate * LARGEST
    listed = checks.listed(bounds)
    if len(listed) != 2:
        raise ValueError(f"bounds = {checks.shortened(bounds)}; give two rates, (low, high).")
    low, high = (checks.positive("bounds", one) for one in listed)
    if low >= high:
        raise ValueError(
            f"bounds = ({low:g}, {high:g}) leave no freedom; give a larger rate behind a smaller "
            "one."
        )
    return low, high


def _minimised(minimise, problem: Problem) -> str | Observable:
    """What is minimised: by name, or an observable of one number."""
    if isinstance(minimise, str):
        checks.one_of("minimise", minimise, (FINAL, INTEGRAL))
        return minimise
    return one_number(minimise, problem, "minimise")


def _prepared(problem: Problem, start: Start, rtol: float) -> tuple[Problem, Start]:
    """The problem with averages that are good enough, and its start by mode."""
    if problem.task.HAS_MODES:
        start = spectral_start(problem, start)
    refinement = first_refinement(problem, start, None, rtol)
    if refinement is not None:
        warn_user(
            "the averages of this problem have no closed forms: a search of hundreds of solves "
            "will take long; fewer nodes and a larger rtol make it quicker."
        )
        problem = refinement.of(problem)
    return problem, start


def _first_starts(
    shape: Any,
    constant: Found,
    decay: Found,
    limits: tuple[float, float],
    begin: float,
    stop: float,
) -> list[np.ndarray]:
    """The best constant and the best decay, as a form has them."""
    falling = Decay(begin).found(decay.logs, np.zeros(0))
    times = begin + (stop - begin) * shape.parts()
    starts = [np.full(shape.count, constant.logs[0]), np.log(_values(falling, times))]
    return [np.clip(one, *np.log(limits)) for one in starts]


def _with_others(
    theory: xr.Dataset, problem: Problem, schedule: Any, decay: Any, others: list[xr.Dataset]
) -> xr.Dataset:
    """The theory with the schedule, and with the best constant and the best decay beside it."""
    error = problem.task.name_of("eps_g")
    symbol = theory[error].attrs["symbol"]
    times = theory.time.values
    along = {
        "rate": (_values(schedule, times), "optimal learning rate", r"$\eta(t)$"),
        "rate_decay": (_values(decay, times), "best decaying rate", r"$\eta_0/(1+t/t_0)$"),
        f"{error}_constant": (
            others[0][error].values,
            "error under the best constant rate",
            symbol,
        ),
        f"{error}_decay": (others[1][error].values, "error under the best decay", symbol),
    }
    variables = {}
    for name, (values, long_name, letters) in along.items():
        attributes = {"long_name": long_name, "symbol": letters, "units": "1"}
        variables[name] = ("time", values, attributes)
    return theory.assign(variables)


def _values(schedule: Any, times: np.ndarray) -> np.ndarray:
    return np.array([float(value_at(schedule, t)) for t in times])


def _reported(
    theory: xr.Dataset,
    settings: Settings,
    form: str,
    limits: tuple[float, float],
    found: tuple[Found, Found, Found],
    objectives: tuple[Objective, ...],
) -> xr.Dataset:
    """The dataset with what the search says of itself."""
    best, constant, decay = found
    facts = {
        "form": form,
        "minimised": getattr(settings.minimise, "name", settings.minimise),
        "rate": settings.rate,
        "bounds": list(limits),
        "best_constant": float(np.exp(constant.logs[0])),
        "best_decay": list(objectives[1].form.numbers(decay.logs)),
        "gain_over_constant": _gain(settings, constant.value, best.value),
        "gain_over_decay": _gain(settings, decay.value, best.value),
        "iterations": best.iterations,
        "gradient_norm": best.gradient,
        "at_bounds": best.at_bounds,
        "evaluations": sum(one.evaluations for one in objectives),
        "diverged": sum(one.failures for one in objectives),
        "message": best.message,
    }
    summary = _summary(settings, facts)
    record = description(theory)
    floor = record["report"].get("eps_g_floor", 0.0)
    if settings.minimise == FINAL and np.exp(best.value) < floor:
        summary += f"; errors below {floor:.1g} cannot be told from zero"
        warn_user(
            f"the error at the time stop is {np.exp(best.value):.2g}, below {floor:.1g}, which "
            "rounding and the solver's tolerances leave of a sum that cancels: neither the "
            "schedule nor the gains mean anything there; give an earlier stop, label noise, or "
            "smaller tolerances (rtol, atol)."
        )
    facts["summary"] = summary
    record["report"]["optimal_schedule"] = facts
    shown = {name: facts[name] for name in SHOWN}
    return theory.assign_attrs({DESCRIPTION: json.dumps(record)} | shown)


def _gain(settings: Settings, other: float, best: float) -> float:
    """By which factor, or for an observable by how much, the other is larger."""
    if settings.is_positive:
        return float(np.exp(other - best))
    return float(other - best)


def _summary(settings: Settings, facts: dict) -> str:
    """The gain in one line."""
    what = {FINAL: "the final error", INTEGRAL: "the integral of the error"}
    name = what.get(facts["minimised"], facts["minimised"])
    over = facts["gain_over_constant"], facts["gain_over_decay"]
    if settings.is_positive:
        gains = f"{_times(over[0])} than with the best constant rate"
        gains += f" ({facts['best_constant']:.4g}), {_times(over[1])} than with the best 1/t decay"
    else:
        gains = (
            f"{over[0]:.4g} less than with the best constant rate ({facts['best_constant']:.4g})"
        )
        gains += f", {over[1]:.4g} less than with the best 1/t decay"
    return f"{name} is {gains}; {facts['at_bounds']} rates are at their bounds"


def _times(gain: float) -> str:
    """A ratio in words."""
    if gain < 1:
        return f"{1 / gain:.4g} times larger"
    return f"{gain:.4g} times smaller"
