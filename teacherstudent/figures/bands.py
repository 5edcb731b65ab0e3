"""Predicted bands: lines at one standard deviation of single networks around the theory, and the
collapse of measured scatter on the predicted one.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.figures.drawing import (
    GREY,
    SMALL,
    EndLabels,
    deviation,
    mark,
    networks_label,
    set_time_axis,
    shade,
    spread,
)
from teacherstudent.results.bands import valid_until
from teacherstudent.results.comparable import size_of

MOST_ENTRIES = 4  # of a matrix whose scatter is drawn
NEGLIGIBLE = 0.02  # of the largest standard deviation: such entries hardly fluctuate


def has_band(theory: xr.Dataset | None, name: str) -> bool:
    """Whether a theory has a predicted band of a variable."""
    return theory is not None and f"{name}_std" in theory and "covariance" in theory


def draw_band(
    axes: Axes, theory: xr.Dataset, name: str, place: dict[str, int], N: int, rank: int
) -> None:
    """Lines at one predicted standard deviation of a network of N inputs, as far as the linear
    theory holds.
    """
    if not has_band(theory, name):
        return
    theory = theory.isel(time=np.flatnonzero(theory.time.values < valid_until(theory, N)))
    value = theory[name].isel(place)
    width = theory[f"{name}_std"].isel(place) / np.sqrt(N)
    low, high = (value - width).values, (value + width).values
    if axes.get_yscale() == "log":
        low = np.where(low > 0, low, np.nan)
    for edge in (low, high):
        axes.plot(theory.time, edge, ":", color=shade(rank), lw=1.0, zorder=2)


@dataclass(frozen=True)
class CollapsePanel:
    """sqrt(N) times the scatter of networks, which falls on the predicted line at every N."""

    theory: xr.Dataset
    networks: list[xr.Dataset]
    name: str
    places: list[dict[str, int]]
    labels: list[str]

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        predicted = self.theory[f"{self.name}_std"]
        ends = EndLabels(axes)
        for place, label in zip(self.places, self.labels, strict=True):
            line = predicted.isel(place)
            axes.plot(line.time, line, color=shade(0), lw=1.3)
            ends.add(line, 0, label)
        for rank, one in enumerate(self.networks):
            self._draw_networks(axes, one, rank)
        set_time_axis(axes, self.theory)
        about = self.theory[self.name].attrs
        axes.set_ylabel(rf"$\sqrt{{N}}\,\times$ std of {about['symbol']}")
        axes.set_title(f"scatter of the {about['long_name']}", fontsize=9)
        axes.set_ylim(bottom=0.0)
        axes.plot([], [], color=shade(0), lw=1.3, label="predicted")
        axes.legend(fontsize=SMALL, frameon=False)
        if any(self.labels):
            ends.draw()

    def _draw_networks(self, axes: Axes, one: xr.Dataset, rank: int) -> None:
        """Standard deviations over the seeds of one size."""
        N = size_of(one)
        some = spread(one.sizes["time"])
        holds = one.time.values[some] < valid_until(self.theory, N)
        for number, place in enumerate(self.places):
            values = np.sqrt(N) * deviation(one[self.name].isel(place)).values[some]
            label = networks_label(one) if number == 0 else None
            axes.plot(
                one.time.values[some],
                values,
                mark(rank + 1),
                color=shade(rank + 1),
                ms=4.0,
                mfc="white",
                label=label,
            )
            # Where the linear theory fails, the marks are crossed out.
            axes.plot(one.time.values[some][~holds], values[~holds], "x", color=GREY, ms=4.0)


def widest(theory: xr.Dataset, name: str, entries: list) -> list:
    """The few entries of a variable that fluctuate most."""

    def width(entry) -> float:
        return float(theory[f"{name}_std"].isel(entry.place).max())

    ordered = sorted(entries, key=width, reverse=True)
    return [one for one in ordered if width(one) > NEGLIGIBLE * width(ordered[0])][:MOST_ENTRIES]
