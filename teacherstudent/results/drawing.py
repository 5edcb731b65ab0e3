"""What all figures of results have in common: colours, marks, axes and labels."""

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.results.datasets import DESCRIPTION, description, simulations

# Dark to light, so that the order survives a grey printer.
SHADES = ("#000000", "#1b4f8f", "#b0413e", "#3d8a5f", "#a57a1e", "#8a6fa8", "#7f8c8d", "#c98fa0")
STYLES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST_MARKS = 25  # along one curve


def figure_style():
    """Matplotlib's settings while a figure is made."""
    settings = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    return matplotlib.rc_context(settings)


def shade(rank: int) -> str:
    """The colour of a curve."""
    return SHADES[rank % len(SHADES)]


def style(rank: int) -> str:
    """The line of a curve."""
    return STYLES[rank % len(STYLES)]


def mark(rank: int) -> str:
    """The mark of a curve's networks."""
    return MARKS[rank % len(MARKS)]


def error_name(source: xr.Dataset) -> str:
    """The variable that says how well a problem is learnt."""
    return "loss" if "loss" in source else "eps_g"


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
        axes.set_xscale("symlog", linthresh=times[times > 0][0], linscale=0.3)
    if times[0] < times[-1]:
        axes.set_xlim(times[0], times[-1])
    axes.set_xlabel(time_label(source))


def spread(times: np.ndarray) -> np.ndarray:
    """Indices of a few times, spread over all of them."""
    if len(times) <= MOST_MARKS:
        return np.arange(len(times))
    return np.unique(np.linspace(0, len(times) - 1, MOST_MARKS).astype(int))


def theory_and_networks(
    results: xr.DataTree | xr.Dataset,
) -> tuple[xr.Dataset | None, list[xr.Dataset]]:
    """The theory, if there is one, and the simulations, smallest N first, each with its seeds."""
    theory = None
    networks = []
    if isinstance(results, xr.DataTree):
        networks = simulations(results)
        if "theory" in results.children:
            theory = results["theory"].to_dataset()
    elif _kind(results) == "simulation":
        networks = [results]
    else:
        theory = results
    networks = [_with_seeds(one) for one in networks]
    for one in [theory, *networks]:
        if one is not None and "time" not in one.dims:
            raise ValueError(
                "the results are of one time; give those along the times of the run, nothing to "
                "plot."
            )
    return theory, networks


def _with_seeds(simulation: xr.Dataset) -> xr.Dataset:
    """A simulation with the dimension `seed`, also where one network was selected."""
    if "seed" in simulation.dims:
        return simulation
    return simulation.expand_dims("seed")


def _kind(results: xr.Dataset) -> str:
    """Whether a dataset is a theory or a simulation; ValueError if it is neither."""
    kind = "dataset of another kind"
    if DESCRIPTION in results.attrs:
        kind = description(results)["kind"]
    if kind not in ("theory", "simulation"):
        raise ValueError(
            f"there is nothing to plot in a {kind}; give a theory, a simulation, or what ts.load "
            "answers."
        )
    return kind
