"""What all figures have in common: lines, marks, bands, axes and labels.

Figures are readable without colour: no two entries of a panel have the same kind of line and nearly
the same lightness.
"""

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from teacherstudent.results.comparable import size_of

# From dark to light, in steps that a grey printer keeps apart.
SHADES = ("#000000", "#3a1078", "#8c2d2d", "#1f7a5c", "#8474c8", "#3fa7c9", "#d9a93a", "#b9cf7a")
STYLES = ("-", "--", "-.", ":")
BAR = "_"  # the mark of a theory where no line joins its values
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLOURS = "viridis"  # of maps and families: its lightness grows from end to end
MOST_MARKS = 18  # along one curve
SMALL = 7  # points
GREY = "0.45"
DECADES = 1.2  # of an error, from which on its axis is logarithmic
FEW_DECADES = 1.5  # on a logarithmic axis, which then also has ticks at 2 and 5 times them
LOGARITHMIC = 4.0  # how many times as far the last of three equally spaced values is


def figure_style():
    """Matplotlib's settings while a figure is made."""
    settings = {
        "font.size": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    return matplotlib.rc_context(settings)


def shade(rank: int) -> str:
    """The colour of a curve."""
    return SHADES[rank % len(SHADES)]


def style(rank: int) -> str:
    """The line of a curve: 32 ranks have different pairs of shade and style."""
    return STYLES[(rank + rank // len(SHADES)) % len(STYLES)]


def mark(rank: int) -> str:
    """The mark of a curve's networks."""
    return MARKS[rank % len(MARKS)]


def time_label(*sources: xr.Dataset) -> str:
    """What the time of some data counts, as the name of an axis."""
    units = sorted({source.time.attrs["units"] for source in sources})
    symbol = sources[0].time.attrs.get("symbol", "$t$")
    shown = [unit.replace("N", "$N$").replace("eta", r"$\eta$") for unit in units]
    return f"time {symbol} = " + " or ".join(shown)


def set_time_axis(axes: Axes, source: xr.Dataset) -> None:
    """Logarithmic where the times are: when their median lies far below the middle."""
    times = source.time.values
    if len(times) > 3 and np.median(times) < 0.2 * times[-1]:
        axes.set_xscale("symlog", linthresh=times[times > 0][0], linscale=0.5)
    if times[0] < times[-1]:
        axes.set_xlim(times[0], times[-1])
    axes.set_xlabel(time_label(source))


def draw_line(axes: Axes, values: xr.DataArray, rank: int, label: str | None = None) -> Line2D:
    """A theory along time."""
    (line,) = axes.plot(
        values.time,
        values,
        style(rank),
        color=shade(rank),
        lw=1.4,
        marker=mark_of_one(values.values),
        ms=3.6,
        label=label,
        zorder=3,
    )
    return line


def mark_of_one(values: np.ndarray) -> str:
    """The mark of a line that has one point only, and could not be seen; no mark of any other."""
    return "o" if np.isfinite(values).sum() == 1 else ""


def deviation(values: xr.DataArray) -> xr.DataArray:
    """The standard deviation over seeds, estimated from them; NaN where there is only one."""
    count = values.notnull().sum("seed")
    squares = ((values - values.mean("seed")) ** 2).sum("seed")
    return (squares / (count - 1).where(count > 1)) ** 0.5


def draw_networks(axes: Axes, values: xr.DataArray, rank: int, label: str | None = None) -> Line2D:
    """Means over seeds at some times, in a band of the scatter of single networks at all times."""
    mean = values.mean("seed")
    time = values.time.values
    colour = shade(rank)
    if values.sizes["seed"] > 1:
        scatter = deviation(values)
        low = (mean - scatter).values
        if axes.get_yscale() == "log":
            low = np.maximum(low, 0.05 * mean.values)
        axes.fill_between(time, low, mean + scatter, color=colour, alpha=0.2, lw=0, zorder=1)
    some = spread(len(time))
    (marks,) = axes.plot(
        time[some],
        mean.values[some],
        mark(rank),
        color=colour,
        ms=3.6,
        mfc="white",
        mew=0.9,
        label=label,
        zorder=4,
        clip_on=False,
    )
    return marks


def draw_samples(axes: Axes, values: xr.DataArray, rank: int, label: str, shape: str) -> None:
    """Means over seeds of what was measured on samples, with standard errors as bars."""
    time = values.time.values
    seeds = values.sizes["seed"]
    error = xr.zeros_like(values.isel(seed=0))
    if seeds > 1:
        error = deviation(values) / seeds**0.5
    some = spread(len(time))
    axes.errorbar(
        time[some],
        values.mean("seed").values[some],
        error.values[some],
        fmt=shape,
        color=shade(rank),
        ms=4.5,
        mew=0.9,
        lw=0.9,
        label=label,
        zorder=5,
    )


def spread(count: int, most: int = MOST_MARKS) -> np.ndarray:
    """Indices of a few of so many times or values, spread over all of them."""
    if count == 0:
        return np.arange(0)
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))


def networks_label(simulation: xr.Dataset) -> str:
    """How many networks of which size."""
    count = simulation.sizes["seed"]
    networks = "1 network" if count == 1 else f"{count} networks"
    return f"{networks}, N = {shown_size(simulation)}"


def shown_size(simulation: xr.Dataset) -> int:
    """The input dimension N; of a sweep over it the one that was selected."""
    if "N" in simulation.coords and simulation.N.ndim == 0:
        return int(simulation.N)
    return size_of(simulation)


def keys_of_marks(theory: bool, simulation: xr.Dataset | None, predicted: bool = False) -> list:
    """What lines, marks and bands are, as handles of a legend."""
    keys: list = []
    if theory:
        keys.append(Line2D([], [], color=GREY, lw=1.4, label="theory"))
    if simulation is not None:
        words = networks_label(simulation)
        if simulation.sizes["seed"] > 1:
            words = f"mean of {words}"
        keys.append(Line2D([], [], color=GREY, marker="o", ls="", ms=3.6, mfc="white", label=words))
        if simulation.sizes["seed"] > 1:
            band = "one standard deviation of single networks"
            keys.append(Patch(color=GREY, alpha=0.3, lw=0, label=band))
        if predicted:
            keys.append(Line2D([], [], color=GREY, ls=":", lw=1.0, label="the same, predicted"))
    return keys


def is_logarithmic(values: np.ndarray) -> bool:
    """Whether numbers are positive and rather spaced by factors than by steps."""
    if len(values) < 3 or (values <= 0).any():
        return False
    values = np.sort(values)
    return bool(values[-1] / values[0] > LOGARITHMIC and np.median(values) < 0.4 * values[-1])


def spans_decades(values: np.ndarray) -> bool:
    """Whether positive numbers need a logarithmic axis."""
    values = values[np.isfinite(values)]
    if not values.size or values.min() <= 0:
        return False
    return bool(np.log10(values.max() / values.min()) > DECADES)


def set_logarithmic(axes: Axes, which: str, values: np.ndarray) -> None:
    """A logarithmic axis, "x" or "y", along positive values, with names at readable distances."""
    axis: Axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    getattr(axes, f"set_{which}scale")("log")
    if np.log10(values.max() / values.min()) < FEW_DECADES:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def colours_of(values: np.ndarray) -> Normalize:
    """The scale of a map's colours."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    if spans_decades(finite):
        return LogNorm(low, high)
    return Normalize(low, high)


class EndLabels:
    """The names of lines beside their ends, moved apart where the ends are close."""

    def __init__(self, axes: Axes):
        self.axes = axes
        self.labels: list[tuple[float, str, str]] = []

    def add(self, values: xr.DataArray, rank: int, label: str) -> None:
        """A line (or the mean of marks) that ends at its last finite value."""
        finite = values.values[np.isfinite(values.values)]
        if finite.size:
            self.labels.append((float(finite[-1]), label, shade(rank)))

    def draw(self) -> None:
        """Write the labels, when the axes have their limits; as a legend if they do not fit."""
        axes = self.axes
        low, high = axes.get_ylim()
        axes.set_ylim(low, high)
        labels = sorted(self.labels)
        ends = [
            axes.transAxes.inverted().transform(axes.transData.transform((1.0, y)))[1]
            for y, _, _ in labels
        ]
        inches = axes.bbox.height / axes.figure.dpi
        gap = 1.15 * SMALL / 72 / inches
        for end, place, (_, label, colour) in zip(
            ends, moved_apart(np.array(ends), gap), labels, strict=True
        ):
            axes.annotate(
                label,
                xy=(1.0, end),
                xytext=(1.05, place),
                xycoords="axes fraction",
                textcoords="axes fraction",
                va="center",
                size=SMALL,
                color="black",
                arrowprops={
                    "arrowstyle": "-",
                    "color": colour,
                    "lw": 0.6,
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "relpos": (0.0, 0.5),
                },
                annotation_clip=False,
            )


def moved_apart(ends: np.ndarray, gap: float) -> np.ndarray:
    """Increasing places between 0 and 1, at least a gap apart, as near to the ends as that allows;
    above 1 where there is no room.
    """
    steps = gap * np.arange(len(ends))
    # Places less their steps are to increase: the nearest such numbers are means over blocks.
    blocks: list[list[float]] = []
    for value in ends - steps:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    nearest = np.concatenate([np.full(len(block), np.mean(block)) for block in blocks])
    return np.clip(nearest, 0.0, max(1.0 - steps[-1], 0.0)) + steps
