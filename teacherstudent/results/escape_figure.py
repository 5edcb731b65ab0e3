"""The figure of escapes: how many updates networks of each size need until they see a direction."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from teacherstudent.results.datasets import description
from teacherstudent.results.drawing import figure_style, mark, shade, style
from teacherstudent.results.titles import title_of

QUARTILES = (0.25, 0.5, 0.75)


def draw_escape(escape: xr.Dataset) -> Figure:
    """Median steps against N with bars from the first to the third quartile, and power laws."""
    with figure_style():
        figure = Figure(figsize=(4.4, 3.5), layout="constrained")
        axes = figure.subplots()
        for rank in range(escape.sizes["direction"]):
            draw_direction(axes, escape.isel(direction=rank), rank)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(escape.N.values, [str(N) for N in escape.N.values])
        axes.set_xlabel("input dimension $N$")
        threshold = description(escape)["report"]["threshold"]
        axes.set_ylabel(f"updates until the overlap exceeds {threshold:g}")
        axes.legend(fontsize=8, frameon=False)
        axes.set_title(title_of(escape).replace(": ", ":\n", 1), fontsize=8)
    return figure


def draw_direction(axes: Axes, escape: xr.Dataset, rank: int) -> None:
    """The sizes at which half of the seeds have escaped along one direction."""
    steps = escape.escape_step.transpose("N", "seed").values
    never = np.where(np.isnan(steps), np.inf, steps)
    low, middle, high = np.quantile(never, QUARTILES, axis=1, method="lower")
    half = np.isfinite(middle)
    N = escape.N.values[half]
    low, middle, high = low[half], middle[half], high[half]
    above = np.where(np.isfinite(high), high - middle, 0.0)
    label = f"$u_{rank + 1}$"
    if half.sum() > 1 and "exponent" in escape and np.isfinite(escape.exponent):
        exponent = float(escape.exponent)
        error = float(escape.exponent_error)
        label += f": $N^{{{exponent:.2f} \\pm {error:.2f}}}$"
        axes.plot(N, power_law(N, middle, exponent), style(rank), color=shade(rank), lw=1.2)
    axes.errorbar(
        N,
        middle,
        [middle - low, above],
        fmt=mark(rank),
        color=shade(rank),
        ms=4,
        mfc="white",
        capsize=2,
        lw=0.9,
        label=label,
    )


def power_law(N: np.ndarray, steps: np.ndarray, exponent: float) -> np.ndarray:
    """The line of a slope through the middle of points on logarithmic axes."""
    distance = np.log(N) - np.log(N).mean()
    return np.exp(np.log(steps).mean() + exponent * distance)
