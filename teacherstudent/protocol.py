"""Several problems one after the other: curricula, continual learning, changes of the rule.

Each phase begins where the last one ended, on the same time axis: with its order parameters in
theory, with its networks in the simulation.  A phase lasts for a given time, or until a quantity
crosses a threshold.
"""

import math
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import numpy as np

from teacherstudent.checking import arguments, checks
from teacherstudent.checking.warn import warn_user
from teacherstudent.display import Described, shown_value
from teacherstudent.models.learnable import Learnable
from teacherstudent.observables.observable import Observable


class Until(Described):
    """The end of a phase at a threshold: `ts.until("eps_g", below=1e-3, within=100.0)`.

        the first t with quantity(t) < below (or > above), or the phase's duration `within`

    - `quantity`: "eps_g" (or "loss"), the name of a built-in observable that is one number, such as
      "effective_rank", or a `ts.Observable` of the order parameters that is one number.  Of another
      model, one that it records, or an entry of it: "eps[1]".
    - `below`, `above`: the threshold, one of the two.
    - `within`: the longest duration of the phase; unless given it lasts until the threshold is
      crossed, however long that takes.

    The theory locates the crossing in time to the tolerance of the solver; a simulation looks at
    its recorded times, for each seed by itself.  A crossing is looked for at the end of each step
    of the solver, of models other than `ts.Problem` at 128 times of the phase: one that is taken
    back in between is not seen.

    Raises ValueError unless one threshold is given and all numbers are finite.

    >>> import teacherstudent as ts
    >>> ts.until("eps_g", below=1e-3)
    until('eps_g', below=0.001)
    """

    quantity: str | Observable = eqx.field(static=True)
    below: float | None = eqx.field(static=True)
    above: float | None = eqx.field(static=True)
    within: float | None = eqx.field(static=True)

    @arguments.of("until.")
    def __init__(self, quantity, *, below=None, above=None, within=None):
        if not isinstance(quantity, str | Observable):
            raise ValueError(
                f"until.quantity = {checks.shortened(quantity)}; give the name of a quantity such "
                "as 'eps_g', or a ts.Observable."
            )
        if isinstance(quantity, Observable) and (quantity.dims or quantity.needs_weights):
            raise ValueError(
                f"until.quantity is the {quantity.title}, which is not one number of the order "
                "parameters; give one with dims = () and of=."
            )
        if (below is None) == (above is None):
            count = "neither" if below is None else "both"
            raise ValueError(
                f"until has {count} of below and above; give one threshold, such as below=1e-3."
            )
        self.quantity = quantity
        self.below = _threshold("until.below", below)
        self.above = _threshold("until.above", above)
        self.within = None if within is None else checks.positive("until.within", within)

    def __repr__(self) -> str:
        return f"until({self._words()})"

    def _words(self) -> str:
        named = {"below": self.below, "above": self.above, "within": self.within}
        parts = [f"{name}={shown_value(one)}" for name, one in named.items() if one is not None]
        return ", ".join([repr(self.name), *parts])

    @property
    def name(self) -> str:
        """The name of the quantity."""
        if isinstance(self.quantity, Observable):
            return self.quantity.name
        return self.quantity

    @property
    def level(self) -> float:
        """The threshold."""
        if self.below is not None:
            return self.below
        assert self.above is not None
        return self.above

    @property
    def falling(self) -> bool:
        """Whether the phase ends when the quantity falls below the threshold."""
        return self.below is not None

    def is_met(self, values) -> Any:
        """Whether the values of the quantity are beyond the threshold."""
        if self.falling:
            return values < self.level
        return values > self.level

    def nearest(self, values) -> float:
        """Of some values the one that is nearest to the other side of the threshold."""
        if self.falling:
            return float(np.nanmin(values))
        return float(np.nanmax(values))


@arguments.checked
def until(quantity, *, below=None, above=None, within=None) -> Until:
    """The end of a phase of a `Protocol` at a threshold; see `help(ts.Until)`.

    >>> import teacherstudent as ts
    >>> ts.until("loss", below=0.2, within=50.0).within
    50.0
    """
    return Until(quantity, below=below, above=above, within=within)


def _threshold(name: str, value) -> float | None:
    if value is None:
        return None
    return checks.single(name, value, minimum=-math.inf)


@dataclass(frozen=True)
class Phase:
    """One problem, or other model, of a protocol, and how long it lasts."""

    problem: Any
    end: float | Until

    @property
    def longest(self) -> float:
        """The longest that the phase may last; inf if only a threshold ends it."""
        if isinstance(self.end, Until):
            return self.end.within or math.inf
        return self.end

    @property
    def threshold(self) -> Until | None:
        """The threshold that ends the phase, if there is one."""
        if isinstance(self.end, Until):
            return self.end
        return None


class Protocol(Described):
    """Several problems, or models of one kind, one after the other: it goes where one of them goes.

        ts.Protocol((first, 60.0), (second, ts.until("eps_g", below=1e-3)), (third, 60.0))

    Each phase is a pair of a problem and its duration in units of time, t = updates / N, or a
    threshold at which it ends (`ts.until`).  All phases have one time axis; the schedules of a
    problem are functions of this time.  At a switch the order parameters, in a simulation the
    networks and their random streams, go on; what the rule remembers goes on if the next phase has
    the same rule and trains the same layers, and begins anew otherwise.  What is recorded at the
    time of a switch is the end of the phase before it.

    From phase to phase may change: the rule and its numbers, the loss, the batch, the noise, the
    teacher's readout and activation, which layers are trained and which units are frozen; with two
    classes the law along the same directions, and of isotropic inputs their mean along the same
    vectors.  The other inputs and the widths stay.  Several teachers are the units of one: the
    first task reads some of them, the second others, and the overlaps with all of them are followed
    from the start:

        first = ts.TeacherStudent(width=4, readout=[1, 1, 0, 0])
        second = ts.TeacherStudent(width=4, readout=[0, 0, 1, 1])

    Phases of another model, such as `ts.ContinualLearning`, are of one class and have states of the
    same shapes; its numbers may change.

    The answers of `integrate` and `simulate` have the number of the phase, `phase`, along time and
    the times of the switches, `switch_time`.

    Raises ValueError if a phase is no such pair, lasts no time, or does not fit the first one.

    Lee, Goldt & Saxe, ICML 2021 (arXiv:2107.04384), for continual learning.

    >>> import numpy as np
    >>> import teacherstudent as ts
    >>> student, rule = ts.Student(width=2), ts.SGD(0.5)
    >>> tasks = [ts.TeacherStudent(2, readout=readout) for readout in ([1, 0], [0, 1])]
    >>> first, second = [ts.Problem(task, student, rule) for task in tasks]
    >>> protocol = ts.Protocol((first, 20.0), (second, 20.0))
    >>> start = ts.OrderParameters(Q=0.1 * np.eye(2), R=0.1 * np.eye(2))
    >>> forgetting = [ts.error_on(tasks[0])]
    >>> theory = ts.integrate(protocol, start, [0.0, 20.0, 40.0], observables=forgetting)
    >>> theory.phase.values
    array([0, 0, 1])
    >>> bool(theory.eps_g_other[2] > theory.eps_g_other[1])  # the first task is forgotten
    True
    """

    phases: tuple[Phase, ...] = eqx.field(static=True)

    @arguments.of("protocol.")
    def __init__(self, *phases):
        self.phases = tuple(_phase(index, one) for index, one in enumerate(phases))
        if not self.phases:
            raise ValueError("a protocol has no phases; give pairs (problem, duration).")
        first = self.phases[0].problem
        for index, phase in enumerate(self.phases[1:], start=1):
            phase.problem.check_follows(first, f"phase {index} of the protocol")
        alike = first.with_states_alike(self.problems)
        self.phases = tuple(map(Phase, alike, [phase.end for phase in self.phases]))

    def shown(self) -> dict[str, Any]:
        return {f"phase {index}": (one.problem, one.end) for index, one in enumerate(self.phases)}

    def __repr__(self) -> str:
        lines = ["Protocol("]
        for one in self.phases:
            problem = repr(one.problem).replace("\n", "\n    ")
            lines.append(f"    ({problem}, {one.end!r}),")
        return "\n".join([*lines, ")"])

    @property
    def problems(self) -> list[Any]:
        """The problems of all phases."""
        return [phase.problem for phase in self.phases]

    @property
    def certain_switches(self) -> list[float]:
        """The times at which phases end that no threshold decides, from the begin of the first."""
        switches = []
        time = 0.0
        for phase in self.phases[:-1]:
            if phase.threshold is not None:
                break
            time += phase.longest
            switches.append(time)
        return switches

    def check_times(self, begin: float, times) -> None:
        """Raise ValueError if the times end before the last phase begins, or go on after it."""
        length = sum(phase.longest for phase in self.phases)
        if times[-1] > begin + length * (1 + 1e-12):
            raise ValueError(
                f"times[-1] = {times[-1]:g} is after t = {begin + length:g}, where the protocol "
                "ends; give earlier times, or a longer last phase."
            )
        for number, switch in enumerate(self.certain_switches, start=1):
            if begin + switch >= times[-1]:
                raise ValueError(
                    f"times[-1] = {times[-1]:g}, but phase {number} of the protocol begins at t = "
                    f"{begin + switch:g}; give times that reach it, or leave that phase out."
                )


def _phase(index: int, given) -> Phase:
    """A phase of a pair (problem, duration)."""
    is_pair = isinstance(given, tuple | list) and len(given) == 2
    if not is_pair or not isinstance(given[0], Learnable):
        raise ValueError(
            f"phase {index} of the protocol is {checks.shortened(given)}; give a pair (problem, "
            "duration)."
        )
    problem, end = given
    if problem.sweeps:
        raise ValueError(
            f"phase {index} of the protocol has a sequence for {', '.join(problem.sweeps)}; a "
            "protocol has one value of each number: make one for each value."
        )
    if isinstance(end, Until):
        return Phase(problem, end)
    return Phase(problem, checks.positive(f"phase {index} of the protocol: duration", end))


def warn_of_end(end: float, last: float) -> None:
    """Warn that a protocol ended before the last time, as thresholds may have it."""
    warn_user(
        f"the protocol ends at t = {end:.6g}, before the last time t = {last:g}; the times after "
        "it are left out."
    )


def problems_of(problem: Any) -> list[Any]:
    """The problems of a protocol, or the one problem or model."""
    if isinstance(problem, Protocol):
        return problem.problems
    return [problem]


def first_of(problem: Any) -> Any:
    """The first problem of a protocol, or the one problem or model."""
    return problems_of(problem)[0]
