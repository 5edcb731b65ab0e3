"""When theory and networks went on from one phase of a protocol to the next.

A theory locates the time at which a threshold is crossed.  Networks look at their recorded times
only, each by itself: they switch later, and behind the switch they are compared at times at which
they have been in the next phase for less long than the theory.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from teacherstudent.results.datasets import description


class Switch(NamedTuple):
    """The end of a phase at a threshold: when the theory saw it, the first and the last network."""

    phase: int
    theory: float
    first: float
    last: float
    missing: int  # networks that did not reach it

    def sentence(self) -> str:
        """What a verdict says of it."""
        return (
            f" NOTE: phases end at thresholds, in the theory at t = {self.theory:.4g}, "
            f"{self._networks()}: record more densely near it."
        )

    def _networks(self) -> str:
        if not np.isfinite(self.first):
            return "in no network before the last time"
        times = f"t = {self.first:.4g}"
        if self.last > self.first:
            times = f"their recorded times from t = {self.first:.4g} to {self.last:.4g}"
        if self.missing:
            times += f", and in {self.missing} of them not before the last time"
        return f"in the networks at {times}"


def first_gap(theory: xr.Dataset, simulation: xr.Dataset) -> Switch | None:
    """The first switch at a threshold that theory and networks made at different times; None if
    there is none.

    Times that differ by at most half an update are the same.
    """
    if "switch_time" not in theory or "switch_time" not in simulation:
        return None
    facts = description(simulation)
    allowed = 0.5 / facts["report"]["N"] * (1 + 1e-9)
    for number, phase in enumerate(facts.get("protocol", [])[:-1]):
        if "until" not in phase:
            continue
        expected = float(theory["switch_time"][number])
        found = simulation["switch_time"].isel(switch=number).values
        reached = found[np.isfinite(found)]
        missing = int(found.size - reached.size)
        if missing or np.abs(reached - expected).max() > allowed:
            first, last = (reached.min(), reached.max()) if reached.size else (np.nan, np.nan)
            return Switch(number, expected, float(first), float(last), missing)
    return None
