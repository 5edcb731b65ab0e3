"""The phases of a protocol, as marks behind what is drawn along time."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.figures.drawing import SMALL

MOST_NAMES = 5  # of phases that are called by the whole word
FEWEST_POINTS = 6  # of a phase's width that has a name


def mark_phases(axes: Axes, source: xr.Dataset, named: bool = False) -> None:
    """A line at each switch (of the theory, or of the median network), every second phase shaded,
    and on one panel the numbers of the phases.
    """
    if "switch_time" not in source:
        return
    times = source["switch_time"]
    switches = times.median([dim for dim in times.dims if dim != "switch"]).values
    switches = switches[np.isfinite(switches)]
    low, high = axes.get_xlim()
    # Of a part of the run only some phases are seen, which keep their numbers.
    first = int((switches <= low).sum())
    switches = switches[(switches > low) & (switches < high)]
    ends = [low, *switches, high]
    for number, (begin, end) in enumerate(zip(ends[:-1], ends[1:], strict=True), first):
        if number % 2:
            axes.axvspan(begin, end, color="0.94", lw=0, zorder=-2)
        if named:
            _name(
                axes,
                begin,
                end,
                f"{number + 1}" if len(ends) > MOST_NAMES else f"phase {number + 1}",
            )
    for time in switches:
        axes.axvline(time, color="0.5", ls="--", lw=0.8, zorder=0)


def _name(axes: Axes, begin: float, end: float, name: str) -> None:
    """The name of a phase above the middle of what is seen of it."""
    to_axes = axes.transData + axes.transAxes.inverted()
    left, right = (to_axes.transform((time, 1.0))[0] for time in (begin, end))
    inches = (right - left) * axes.bbox.width / axes.figure.dpi
    if inches * 72 < FEWEST_POINTS * len(name) / 2:
        return
    axes.text(
        (left + right) / 2,
        1.0,
        name,
        transform=axes.transAxes,
        ha="center",
        va="bottom",
        size=SMALL,
        color="0.35",
    )
