"""Numbers that change with time: learning rates that decay, noise that grows, teachers that switch.

A number of a rule or of a task is a float, a sequence (a sweep) or a `Schedule`, a function of the
time t.  `Problem.at(t)` is the problem with the numbers of that time; theory and simulation use it
and nothing else.  A step from t to t + 1/N uses the numbers at t.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from teacherstudent.checking import arguments, checks
from teacherstudent.display import Described


class Schedule(checks.ChangesWithTime, Described):
    """A number as a function of the time t: of one's own, or the base of a class of one's own.

        number(t) = function(updates_per_time * t)

    - `function`: written with jax.numpy, for one t; its answer is one number (a teacher's `readout`
      may have one per unit).
    - `jumps`: the times at which it jumps.  The solver of the theory stops there and goes on
      behind; a jump that it is not told of costs it many small steps.
    - `updates_per_time`: 1 for a function of the time t = updates / N.  Schedules of other
      packages, such as optax, count updates: give the N of the run, and the count that they are
      handed is N t, in theory and simulation.

    On a GPU the fused kernels take constant numbers only; with a schedule the same steps run as a
    loop.

    A class of one's own is a subclass with its numbers as fields, `__call__(t)`, and
    `jump_times()` if it jumps; what says how many jumps there are is no number that may change,
    but `equinox.field(static=True)`.  Files hold the named kinds (`exponential`, `power`, `cosine`,
    `linear`, `warm_up`, `piecewise`, `interpolated`, `constant`) with their numbers, of a function
    only its name.  A parameter of a named kind may be a sequence, which `integrate` sweeps.

    Raises ValueError if the function is none, or a jump is no time.

    >>> import jax.numpy as jnp
    >>> import teacherstudent as ts
    >>> rate = ts.Schedule(lambda t: 0.5 / (1 + t))
    >>> float(rate(1.0))
    0.25
    >>> problem = ts.Problem(ts.TeacherStudent(width=1), ts.Student(width=1), ts.SGD(rate))
    >>> float(problem.at(3.0).rule.learning_rate)
    0.125

    >>> class Wave(ts.Schedule):
    ...     mean: float
    ...     period: float
    ...
    ...     def __init__(self, mean, period):
    ...         self.mean, self.period = mean, period
    ...
    ...     def __call__(self, t):
    ...         return self.mean * (1 + jnp.sin(2 * jnp.pi * t / self.period))
    >>> float(Wave(mean=0.25, period=4.0)(1.0))
    0.5
    """

    function: Callable | None = eqx.field(static=True, default=None)
    jumps: tuple = ()
    updates_per_time: float = eqx.field(static=True, default=1.0)

    @arguments.of("schedule.")
    def __init__(self, function, jumps=(), updates_per_time=1.0):
        if not callable(function) or isinstance(function, Schedule):
            raise ValueError(
                f"schedule.function = {checks.shortened(function)} is no function of t; give one "
                "written with jax.numpy, or ts.constant(...) for a number."
            )
        self.function = function
        self.jumps = tuple(_parameter("schedule.jumps", one) for one in checks.listed(jumps))
        self.updates_per_time = checks.positive("schedule.updates_per_time", updates_per_time)

    def __call__(self, t) -> Array:
        """The number at the time t."""
        assert self.function is not None, "a class of one's own writes __call__"
        return jnp.asarray(self.function(self.updates_per_time * t))

    def jump_times(self) -> tuple:
        """The times at which the number jumps."""
        return self.jumps

    def kink_times(self) -> tuple:
        """The times at which only its slope jumps: the solver stops there too."""
        return ()


def _parameter(name: str, value, *, minimum: float = -math.inf, strict: bool = False):
    """A parameter of a schedule: a number, or a sequence of them, which is a sweep."""
    title = f"schedule.{name}" if "." not in name else name
    if isinstance(value, Schedule):
        raise ValueError(
            f"{title} = {checks.shortened(value)} cannot change with time; give one number."
        )
    value = checks.parameter(value)
    checks.number(title, value, minimum=minimum, strict=strict)
    return value


class constant(Schedule):
    """A number that stays: what a bare number is, written as a schedule.

    >>> import teacherstudent as ts
    >>> float(ts.constant(0.25)(5.0))
    0.25
    """

    value: checks.Parameter = 0.0

    @arguments.of("schedule.")
    def __init__(self, value):
        self.value = _parameter("value", value)

    def __call__(self, t):
        return jnp.asarray(self.value)


class exponential(Schedule):
    """Exponential decay, or growth if the rate is negative.

        number(t) = final + (initial - final) exp(-rate t)

    Raises ValueError if a parameter is no finite number.

    >>> import teacherstudent as ts
    >>> round(float(ts.exponential(0.5, rate=0.1)(10.0)), 4)  # 0.5 / e
    0.1839
    """

    initial: checks.Parameter = 0.0
    rate: checks.Parameter = 0.0
    final: checks.Parameter = 0.0

    @arguments.of("schedule.")
    def __init__(self, initial, rate, final=0.0):
        self.initial = _parameter("initial", initial)
        self.rate = _parameter("rate", rate)
        self.final = _parameter("final", final)

    def __call__(self, t):
        return self.final + (self.initial - self.final) * jnp.exp(-self.rate * t)


class power(Schedule):
    """A power of time.

        number(t) = initial (1 + t / scale)^(-exponent)

    Raises ValueError unless the scale is positive and all are finite.

    >>> import teacherstudent as ts
    >>> float(ts.power(0.5, exponent=1.0, scale=10.0)(10.0))
    0.25
    """

    initial: checks.Parameter = 0.0
    exponent: checks.Parameter = 1.0
    scale: checks.Parameter = 1.0

    @arguments.of("schedule.")
    def __init__(self, initial, exponent=1.0, scale=1.0):
        self.initial = _parameter("initial", initial)
        self.exponent = _parameter("exponent", exponent)
        self.scale = _parameter("scale", scale, minimum=0.0, strict=True)

    def __call__(self, t):
        return self.initial * (1 + t / self.scale) ** (-self.exponent)


class cosine(Schedule):
    """Half a period of a cosine from one number to another, which then stays.

        number(t) = final + (initial - final) (1 + cos(pi min(t / duration, 1))) / 2

    Raises ValueError unless the duration is positive and all are finite.

    >>> import teacherstudent as ts
    >>> rate = ts.cosine(0.5, duration=100.0)
    >>> round(float(rate(50.0)), 4), float(rate(200.0))
    (0.25, 0.0)
    """

    initial: checks.Parameter = 0.0
    duration: checks.Parameter = 1.0
    final: checks.Parameter = 0.0

    @arguments.of("schedule.")
    def __init__(self, initial, duration, final=0.0):
        self.initial = _parameter("initial", initial)
        self.duration = _parameter("duration", duration, minimum=0.0, strict=True)
        self.final = _parameter("final", final)

    def __call__(self, t):
        part = jnp.minimum(t / self.duration, 1.0)
        return self.final + (self.initial - self.final) * (1 + jnp.cos(jnp.pi * part)) / 2

    def kink_times(self):
        return (self.duration,)


class linear(Schedule):
    """A straight line from one number to another, which then stays.

        number(t) = initial + (final - initial) min(t / duration, 1)

    Raises ValueError unless the duration is positive and all are finite.

    >>> import teacherstudent as ts
    >>> float(ts.linear(0.5, final=0.25, duration=10.0)(5.0))
    0.375
    """

    initial: checks.Parameter = 0.0
    final: checks.Parameter = 0.0
    duration: checks.Parameter = 1.0

    @arguments.of("schedule.")
    def __init__(self, initial, final, duration):
        self.initial = _parameter("initial", initial)
        self.final = _parameter("final", final)
        self.duration = _parameter("duration", duration, minimum=0.0, strict=True)

    def __call__(self, t):
        return self.initial + (self.final - self.initial) * jnp.minimum(t / self.duration, 1.0)

    def kink_times(self):
        return (self.duration,)


class warm_up(Schedule):
    """A number, or a schedule, that grows from zero at first.

        number(t) = min(t / duration, 1) target(t)

    Raises ValueError unless the duration is positive and all are finite.

    >>> import teacherstudent as ts
    >>> rate = ts.warm_up(ts.exponential(0.5, rate=0.1), duration=10.0)
    >>> float(rate(0.0)), round(float(rate(10.0)), 4)
    (0.0, 0.1839)
    """

    target: checks.Parameter | Schedule = 0.0
    duration: checks.Parameter = 1.0

    @arguments.of("schedule.")
    def __init__(self, target, duration):
        self.target = _number_or_schedule("target", target)
        self.duration = _parameter("duration", duration, minimum=0.0, strict=True)

    def __call__(self, t):
        return jnp.minimum(t / self.duration, 1.0) * value_at(self.target, t)

    def jump_times(self):
        return tuple(_times_of(self.target, "jump_times"))

    def kink_times(self):
        return (self.duration, *_times_of(self.target, "kink_times"))


class piecewise(Schedule):
    """Numbers, or schedules, one after the other.

        number(t) = values[i]   for times[i - 1] <= t < times[i]

    - `values`: one more than there are times; each is a number or a schedule of the time t itself.
    - `times`: the increasing times at which the next one begins.

    Raises ValueError if their counts do not fit, or the times do not increase.

    >>> import teacherstudent as ts
    >>> rate = ts.piecewise([0.1, 0.5], [10.0])
    >>> [round(float(rate(t)), 1) for t in (0.0, 9.99, 10.0)]
    [0.1, 0.1, 0.5]
    """

    values: tuple = ()
    times: tuple = ()

    @arguments.of("schedule.")
    def __init__(self, values, times):
        values, times = checks.listed(values), checks.listed(times)
        self.values = tuple(_number_or_schedule("values", one) for one in values)
        self.times = tuple(_parameter("times", one) for one in times)
        if len(self.values) != len(self.times) + 1 or not self.times:
            raise ValueError(
                f"schedule.values has {len(self.values)} entries and schedule.times "
                f"{len(self.times)}; give one value more than there are times between them."
            )
        _check_increasing(self.times)

    def __call__(self, t):
        number = jnp.asarray(value_at(self.values[0], t))
        for begin, value in zip(self.times, self.values[1:], strict=True):
            number = jnp.where(t >= begin, value_at(value, t), number)
        return number

    def jump_times(self):
        inner = [time for value in self.values for time in _times_of(value, "jump_times")]
        return (*self.times, *inner)

    def kink_times(self):
        return tuple(time for value in self.values for time in _times_of(value, "kink_times"))


class interpolated(Schedule):
    """Straight lines between numbers at given times.

        number(t) = values[i] + slope (t - times[i])   for times[i] <= t < times[i + 1]
        slope = (values[i + 1] - values[i]) / (times[i + 1] - times[i])

    Before the first time and after the last it stays.

    - `times`: two increasing times, or more.
    - `values`: the number at each of them.

    Raises ValueError if their counts do not fit, a value is no finite number, or the times do not
    increase.

    >>> import teacherstudent as ts
    >>> rate = ts.interpolated([0.0, 10.0, 30.0], [0.5, 0.25, 0.0])
    >>> [float(rate(t)) for t in (5.0, 10.0, 20.0, 99.0)]
    [0.375, 0.25, 0.125, 0.0]
    """

    times: tuple = ()
    values: tuple = ()

    @arguments.of("schedule.")
    def __init__(self, times, values):
        self.times = tuple(_parameter("times", one) for one in checks.listed(times))
        self.values = tuple(_parameter("values", one) for one in checks.listed(values))
        if len(self.values) != len(self.times) or len(self.times) < 2:
            raise ValueError(
                f"schedule.times has {len(self.times)} entries and schedule.values "
                f"{len(self.values)}; give two times or more, and a value at each of them."
            )
        _check_increasing(self.times)

    def __call__(self, t):
        number = jnp.asarray(self.values[0])
        for index in range(len(self.times) - 1):
            begin, end = self.times[index : index + 2]
            before, after = self.values[index : index + 2]
            part = jnp.clip((t - begin) / (end - begin), 0.0, 1.0)
            number = number + (after - before) * part
        return number

    def kink_times(self):
        return self.times


class Scaled(Schedule):
    """A multiple of another schedule, and a constant."""

    of: Schedule | None = None
    factor: checks.Parameter = 1.0
    constant: checks.Parameter = 0.0

    def __init__(self, of, factor, constant=0.0):
        self.of = of
        self.factor = factor
        self.constant = constant

    def __call__(self, t):
        return self.constant + self.factor * value_at(self.of, t)

    def jump_times(self):
        return _times_of(self.of, "jump_times")

    def kink_times(self):
        return _times_of(self.of, "kink_times")


def scaled(value: float | Schedule, factor: float) -> float | Schedule:
    """A number, or a schedule, times a factor."""
    if isinstance(value, Schedule):
        return Scaled(value, factor)
    return factor * value


def _number_or_schedule(name: str, value):
    if isinstance(value, Schedule):
        return value
    return _parameter(name, value)


def _times_of(value, which: str) -> tuple:
    """The jumps or kinks of a value that may be a schedule."""
    if isinstance(value, Schedule):
        return getattr(value, which)()
    return ()


def _check_increasing(times: tuple) -> None:
    """Raise ValueError unless each time is later than the one before, in every sweep."""
    if any(map(checks.is_traced, times)):
        return
    for before, after in zip(times, times[1:], strict=False):
        if np.min(after) <= np.max(before):
            raise ValueError(
                f"schedule.times has {np.min(after):g} after {np.max(before):g}; give increasing "
                "times."
            )


KINDS: dict[str, type[Schedule]] = {
    kind.__name__: kind
    for kind in (constant, exponential, power, cosine, linear, warm_up, piecewise, interpolated)
}


def is_schedule(value: Any) -> bool:
    """Whether a part of a problem changes with time."""
    return isinstance(value, Schedule)


def is_named_kind(schedule: Schedule) -> bool:
    """Whether the name of a schedule's kind and its parameters say all of it."""
    return all(KINDS.get(type(one).__name__) is type(one) for one in all_schedules(schedule))


def value_at(value, t):
    """A number, or a schedule's value at the time t."""
    if isinstance(value, Schedule):
        return value(t)
    return value


def at_time(tree, t, dtype=None):
    """A pytree with the values of its schedules at the time t, of a float type if one is given."""

    def number(leaf):
        if not isinstance(leaf, Schedule):
            return leaf
        value = jnp.asarray(leaf(t))
        if dtype is None:
            return value
        return value.astype(dtype)

    return jax.tree.map(number, tree, is_leaf=is_schedule)


def schedules_in(tree) -> list[Schedule]:
    """All schedules of a pytree; those inside another one count as part of it."""
    leaves = jax.tree.leaves(tree, is_leaf=is_schedule)
    return [leaf for leaf in leaves if isinstance(leaf, Schedule)]


def all_schedules(tree) -> list[Schedule]:
    """All schedules of a pytree, with those inside others."""
    found = []
    for schedule in schedules_in(tree):
        found += [schedule, *all_schedules(vars(schedule))]
    return found


def values_along(tree, times) -> list[np.ndarray]:
    """The values of all schedules of a pytree at some times."""
    values = []
    with jax.enable_x64(True):
        for schedule in schedules_in(tree):
            along = jax.vmap(lambda t, one=schedule: jnp.asarray(one(t)))
            values.append(np.asarray(along(jnp.asarray(times, jnp.float64))))
    return values


def named_schedules(part) -> Iterator[tuple[str, Schedule]]:
    """The schedules of a task or a rule, each with the name of its field."""
    for name in part.__dataclass_fields__:
        for schedule in schedules_in(getattr(part, name)):
            yield name, schedule


def break_times(tree) -> list:
    """The times at which a schedule of a pytree jumps or has a kink."""
    times: list = []
    for schedule in schedules_in(tree):
        times += [*schedule.jump_times(), *schedule.kink_times()]
    return times
