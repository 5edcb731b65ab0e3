"""The theory of a protocol: one solve for each phase, from where the last one ended.

A phase that ends at a threshold is solved twice: up to the crossing, whose time the solver locates,
and once more for what is recorded before it.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from teacherstudent.errors import DivergenceError, ThresholdError
from teacherstudent.extensions.over_time import check_over_time
from teacherstudent.observables.thresholds import VELOCITY
from teacherstudent.protocol import Phase, Protocol, warn_of_end
from teacherstudent.results.continuing import last_state
from teacherstudent.results.datasets import DESCRIPTION, description
from teacherstudent.results.description import describe_start
from teacherstudent.results.phases import joined
from teacherstudent.starts import one_of_batch


class Solves(NamedTuple):
    """What the theory of one phase answers.

    - `run(problem, start, times)` is its dataset.
    - `crossing(problem, start, last, until)` says when a threshold is crossed, None for never.
    - `quantity(until, problem, data)` has the values of a threshold's quantity along a dataset.
    """

    run: Callable[..., xr.Dataset]
    crossing: Callable[..., float | None]
    quantity: Callable[..., np.ndarray]


def along_phases(solves: Solves, protocol: Protocol, start: Any, times: np.ndarray) -> xr.Dataset:
    """The answers of all phases at the times that they last, as one dataset.

    Raises ThresholdError, with the answer before, if a phase does not end and others follow.
    """
    protocol.check_times(start.time, times)
    for problem in protocol.problems:
        check_over_time(problem, start.time, times[-1], times)
    if start.batch and any(phase.threshold is not None for phase in protocol.phases):
        return _each_start(solves, protocol, start, times)
    parts: list[xr.Dataset] = []
    begun = [start.time]
    state = start
    for number, phase in enumerate(protocol.phases):
        last = number == len(protocol.phases) - 1
        end = _end_of(solves, phase, state, times[-1], last)
        reached = times[-1] if end is None else end
        try:
            within = _times_within(times, state.time, reached)
            parts.append(solves.run(phase.problem, state, within))
        except DivergenceError as error:
            if parts or error.partial is not None:
                before = [error.partial] if error.partial is not None else []
                error.partial = joined(protocol, [*parts, *before], begun, times)
            raise
        if end is None and not last:
            how_near = _how_near(solves, phase, parts[-1])
            raise _not_crossed(protocol, number, how_near, parts, begun, times)
        if last and reached < times[-1]:
            warn_of_end(reached, times[-1])
            times = np.append(times[times < reached], reached)
        if last or reached >= times[-1]:
            break
        following = protocol.problems[number + 1]
        state = following.entered(last_state(parts[-1]), phase.problem)
        begun.append(reached)
    return joined(protocol, parts, begun, times)


def _end_of(solves: Solves, phase: Phase, state: Any, last: float, is_last: bool) -> float | None:
    """When a phase ends; None if its threshold is not crossed before the last time."""
    end = min(state.time + phase.longest, last)
    if phase.threshold is None:
        return end
    crossed = solves.crossing(phase.problem, state, end, phase.threshold)
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


def _how_near(solves: Solves, phase: Phase, theory: xr.Dataset) -> str:
    """How near a quantity came to its threshold, in brackets."""
    until = phase.threshold
    assert until is not None
    if until.name == VELOCITY:  # which is no quantity of one time
        return ""
    nearest = until.nearest(solves.quantity(until, phase.problem, theory))
    extreme = "smallest" if until.falling else "largest"
    return f" (the {extreme} {until.name} is {nearest:.6g})"


def _not_crossed(
    protocol: Protocol, number: int, how_near: str, parts: list, begun: list, times: np.ndarray
) -> ThresholdError:
    """The error of a phase that does not end before the last time."""
    until = protocol.phases[number].threshold
    return ThresholdError(
        f"phase {number} of the protocol, {until}, does not end before t = {times[-1]:g}"
        f"{how_near}, so that phase {number + 1} does not begin; give another threshold, later "
        "times, or within=, the longest that it may last.",
        float(times[-1]),
        joined(protocol, parts, begun, times),
    )


def _each_start(solves: Solves, protocol: Protocol, start: Any, times) -> xr.Dataset:
    """The same for each start of a batch, which has switches of its own."""
    curves = []
    for index in range(start.batch[0]):
        curves.append(along_phases(solves, protocol, one_of_batch(start, index), times))
    together = xr.concat(curves, "start", join="outer", combine_attrs="override")
    facts = description(together)
    facts["start"] = describe_start(start, protocol.problems[0])
    together.attrs[DESCRIPTION] = json.dumps(facts)
    return together.assign_coords(start=np.arange(len(curves)))
