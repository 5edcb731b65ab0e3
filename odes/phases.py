"""The theory of a protocol: one solve for each phase, from where the last one ended.

A phase that ends at a threshold is solved twice: up to the crossing, whose time the solver locates,
and once more for what is recorded before it.
"""

import json
from collections.abc import Callable

import numpy as np
import xarray as xr

from teacherstudent.errors import DivergenceError, ThresholdError
from teacherstudent.extensions.over_time import check_over_time
from teacherstudent.observables.thresholds import VELOCITY
from teacherstudent.protocol import Phase, Protocol, warn_of_end
from teacherstudent.results.continuing import last_state
from teacherstudent.results.datasets import DESCRIPTION, description
from teacherstudent.results.description import describe_start
from teacherstudent.results.phases import joined, values_of
from teacherstudent.starts import Start, one_of_batch

Run = Callable[..., xr.Dataset]


def along_phases(
    run: Run,
    crossing: Callable[..., float | None],
    protocol: Protocol,
    start: Start,
    times: np.ndarray,
) -> xr.Dataset:
    """The answers of all phases at the times that they last, as one dataset.

    `run(problem, start, times)` solves one phase, and `crossing(problem, start, last, until)` says
    when a threshold is crossed.

    Raises ThresholdError, with the answer before, if a phase does not end and others follow.
    """
    protocol.check_times(start.time, times)
    for problem in protocol.problems:
        check_over_time(problem, start.time, times[-1], times)
    if start.batch and any(phase.threshold is not None for phase in protocol.phases):
        return _each_start(run, crossing, protocol, start, times)
    parts: list[xr.Dataset] = []
    begun = [start.time]
    state = start
    for number, phase in enumerate(protocol.phases):
        last = number == len(protocol.phases) - 1
        end = _end_of(crossing, phase, state, times[-1], last)
        reached = times[-1] if end is None else end
        try:
            parts.append(run(phase.problem, state, _times_within(times, state.time, reached)))
        except DivergenceError as error:
            if parts or error.partial is not None:
                before = [error.partial] if error.partial is not None else []
                error.partial = joined(protocol, [*parts, *before], begun, times)
            raise
        if end is None and not last:
            raise _not_crossed(protocol, phase, number, parts, begun, times)
        if last and reached < times[-1]:
            warn_of_end(reached, times[-1])
            times = np.append(times[times < reached], reached)
        if last or reached >= times[-1]:
            break
        state = last_state(parts[-1])
        begun.append(reached)
    return joined(protocol, parts, begun, times)


def _end_of(
    crossing: Callable[..., float | None], phase: Phase, state: Start, last: float, is_last: bool
) -> float | None:
    """When a phase ends; None if its threshold is not crossed before the last time."""
    end = min(state.time + phase.longest, last)
    if phase.threshold is None:
        return end
    crossed = crossing(phase.problem, state, end, phase.threshold)
    if crossed is not None:
        return crossed
    if phase.threshold.within is not None and state.time + phase.longest <= last:
        return end
    if is_last:
        return end
    return None


def _times_within(times: np.ndarray, begin: float, end: float) -> np.ndarray:
    """The recorded times of a phase, with its begin and its end."""
    inside = times[(times > begin) & (times < end)]
    return np.unique(np.concatenate([[begin], inside, [end]]))


def _not_crossed(
    protocol: Protocol, phase: Phase, number: int, parts: list, begun: list, times: np.ndarray
) -> ThresholdError:
    """The error of a phase that does not end before the last time."""
    until = phase.threshold
    assert until is not None
    how_near = ""
    if until.name != VELOCITY:  # which is no quantity of one time
        nearest = until.nearest(values_of(until, phase.problem, parts[-1]))
        extreme = "smallest" if until.falling else "largest"
        how_near = f" (the {extreme} {until.name} is {nearest:.6g})"
    return ThresholdError(
        f"phase {number} of the protocol, {until}, does not end before t = {times[-1]:g}"
        f"{how_near}, so that phase {number + 1} does not begin; give another threshold, later "
        "times, or within=, the longest that it may last.",
        float(times[-1]),
        joined(protocol, parts, begun, times),
    )


def _each_start(run, crossing, protocol: Protocol, start: Start, times) -> xr.Dataset:
    """The same for each start of a batch, which has switches of its own."""
    curves = []
    for index in range(start.batch[0]):
        curves.append(along_phases(run, crossing, protocol, one_of_batch(start, index), times))
    together = xr.concat(curves, "start", join="outer", combine_attrs="override")
    facts = description(together)
    facts["start"] = describe_start(start, protocol.problems[0])
    together.attrs[DESCRIPTION] = json.dumps(facts)
    return together.assign_coords(start=np.arange(len(curves)))
