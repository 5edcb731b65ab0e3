"""The figure of escapes: how many updates networks of each size need until they see a direction."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, NullLocator

from teacherstudent.figures.drawing import GREY, mark, shade, style
from teacherstudent.figures.layout import Kind, Layout, Row
from teacherstudent.figures.results import Results
from teacherstudent.figures.titles import title_of
from teacherstudent.results.datasets import description

QUARTILES = (0.25, 0.5, 0.75)
SPREAD = 0.05  # of the points of single networks, in units of log N


@dataclass(frozen=True)
class EscapePanel:
    """Median steps against N with bars from the first to the third quartile, single networks as
    points, and power laws.
    """

    escape: xr.Dataset

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        escape = self.escape
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for rank in range(escape.sizes["direction"]):
            draw_direction(axes, escape.isel(direction=rank), rank)
        axes.plot([], [], ".", color=GREY, ms=4, alpha=0.5, label="single networks")
        sizes = escape.N.values
        axes.set_xticks(sizes, [str(N) for N in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("input dimension $N$")
        threshold = description(escape)["report"]["threshold"]
        axes.set_ylabel(f"updates until the overlap exceeds {threshold:g}")
        axes.set_title("medians of networks, and quartiles as bars", fontsize=9)
        axes.legend(fontsize=8, frameon=False)


class EscapeKind(Kind):
    """The steps that escapes take."""

    def fits(self, results: Results) -> bool:
        """Whether networks were followed until they escaped."""
        return results.escape is not None

    def layout(self, results: Results) -> Layout:
        """One panel."""
        escape = results.escape
        assert escape is not None
        return Layout([Row([EscapePanel(escape)], width=5.0, height=3.7)], title_of(escape))


def draw_direction(axes: Axes, escape: xr.Dataset, rank: int) -> None:
    """The networks that see one direction, and the sizes at which half of them have."""
    steps = escape.escape_step.transpose("N", "seed").values
    sizes, seeds = escape.N.values, escape.sizes["seed"]
    beside = np.exp(SPREAD * np.linspace(-1.0, 1.0, seeds)) if seeds > 1 else np.ones(1)
    axes.plot(
        (sizes[:, None] * beside).ravel(),
        np.sort(steps, axis=1).ravel(),
        ".",
        color=shade(rank),
        ms=4,
        alpha=0.4,
        mew=0,
        zorder=1,
    )
    never = np.where(np.isnan(steps), np.inf, steps)
    low, middle, high = np.quantile(never, QUARTILES, axis=1, method="lower")
    half = np.isfinite(middle)
    N = sizes[half]
    low, middle, high = low[half], middle[half], high[half]
    above = np.where(np.isfinite(high), high - middle, 0.0)
    label = f"$u_{{{rank + 1}}}$"
    if half.sum() > 1 and "exponent" in escape and np.isfinite(escape.exponent):
        exponent, error = float(escape.exponent), float(escape.exponent_error)
        known = f" \\pm {error:.2f}" if np.isfinite(error) else ""
        label += f": $N^{{{exponent:.2f}{known}}}$"
        axes.plot(N, power_law(N, middle, exponent), style(rank), color=shade(rank), lw=1.2)
    axes.errorbar(
        N,
        middle,
        [middle - low, above],
        fmt=mark(rank),
        color=shade(rank),
        ms=4.5,
        mfc="white",
        capsize=2,
        lw=0.9,
        label=label,
        zorder=3,
    )


def power_law(N: np.ndarray, steps: np.ndarray, exponent: float) -> np.ndarray:
    """The line of a slope through the middle of points on logarithmic axes."""
    distance = np.log(N) - np.log(N).mean()
    return np.exp(np.log(steps).mean() + exponent * distance)
