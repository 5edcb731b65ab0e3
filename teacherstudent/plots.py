"""Figures of results: theory as lines, simulations as points with a band, readable without colour."""

import os
from collections.abc import Iterator

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from teacherstudent.results import description, simulations

# dark to light, so that the order survives a grey printer
SHADES = ("#000000", "#1b4f8f", "#b0413e", "#3d8a5f", "#a57a1e", "#8a6fa8", "#7f8c8d", "#c98fa0")
STYLES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def plot(results: xr.DataTree | xr.Dataset, path: str | os.PathLike | None = None) -> Figure:
    """Draw a result: eps_g on logarithmic axes, and the overlaps and the readout along time.

    Lines are the theory; markers are means over the seeds of a simulation (the largest N for the overlaps), with a band
    of one standard deviation of single networks.  A theory that sweeps a parameter is drawn as one curve of eps_g for each value.
    With `path` the figure is also written there, in the format of the ending.

    Raises ValueError if there is nothing to draw.
    """
    theory, sims = _parts(results)
    if theory is None and not sims:
        raise ValueError("there is neither a theory nor a simulation in these results; nothing to plot.")
    source = theory if theory is not None else sims[-1]
    sweep = [dim for dim in source.eps_g.dims if dim not in ("time", "seed")]
    names = ["eps_g"] if sweep else ["eps_g", "Q", "R"] + (["v"] if _moves(source) else [])
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(3.6 * len(names) + 0.4, 3.3), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            _draw(axes, name, theory, sims)
        figure.suptitle(_title(source), fontsize=9)
    if path is not None:
        figure.savefig(path, dpi=160)
    return figure


def _parts(results: xr.DataTree | xr.Dataset) -> tuple[xr.Dataset | None, list[xr.Dataset]]:
    if isinstance(results, xr.Dataset):
        return (None, [results]) if "seed" in results.dims else (results, [])
    return results["theory"].to_dataset() if "theory" in results.children else None, simulations(results)


def _draw(axes: Axes, name: str, theory: xr.Dataset | None, sims: list[xr.Dataset]) -> None:
    source = theory if theory is not None else sims[-1]
    shown = sims if name == "eps_g" else sims[-1:]
    for index, (selection, label) in enumerate(_curves(source, name)):
        shade, style = SHADES[index % len(SHADES)], STYLES[index % len(STYLES)]
        if theory is not None:
            values = theory[name].isel(selection)
            axes.plot(theory.time, values, style, color=shade, lw=1.4, label=label, zorder=3)
        for rank, one in enumerate(shown):
            colour = SHADES[(index + 1 + rank) % len(SHADES)] if name == "eps_g" else shade
            _points(axes, one[name].isel(selection), colour, MARKS[(index + rank) % len(MARKS)], _size_label(one, name))
            if name == "eps_g" and "test_error" in one:
                _crosses(axes, one.test_error.isel(selection), colour, f"their test error, N = {_size(one)}")
    if name == "eps_g":
        axes.set_yscale("log")
    _time_axis(axes, source.time.values)
    axes.set_ylabel(source[name].attrs["symbol"])
    axes.set_title(source[name].attrs["long_name"], fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    if 1 <= len(labels) <= 10:
        axes.legend(fontsize=7, frameon=False, ncols=2 if len(labels) > 5 else 1)


def _points(axes: Axes, values: xr.DataArray, colour: str, mark: str, label: str | None) -> None:
    """Means over seeds at about 25 times spread over the axis, with the scatter of single networks around all of them."""
    mean, scatter = values.mean("seed"), values.std("seed")
    time = values.time.values
    low = mean - scatter if axes.get_yscale() != "log" else np.maximum(mean - scatter, mean * 0.05)
    axes.fill_between(time, low, mean + scatter, color=colour, alpha=0.22, lw=0, zorder=1)
    at = _spread(time)
    axes.plot(time[at], mean.values[at], mark, color=colour, ms=3.6, mfc="white", mew=0.9, label=label, zorder=4)


def _crosses(axes: Axes, values: xr.DataArray, colour: str, label: str) -> None:
    """Means over seeds of what was measured on held-out samples, with error bars of one standard error."""
    time, at = values.time.values, _spread(values.time.values)
    error = values.std("seed", ddof=1) / values.sizes["seed"] ** 0.5 if values.sizes["seed"] > 1 else 0 * values[0]
    axes.errorbar(
        time[at], values.mean("seed").values[at], error.values[at], fmt="x", color=colour, ms=4.5, mew=0.9, lw=0.9, label=label,
        zorder=5,
    )  # fmt: skip


def _curves(source: xr.Dataset, name: str) -> Iterator[tuple[dict[str, int], str]]:
    """The curves of one panel: which entry, and its label.  Q is symmetric: its upper triangle."""
    dims = [str(dim) for dim in source[name].dims if dim not in ("time", "seed")]
    symbol = source[name].attrs["symbol"].strip("$").split("_")[0]
    for index in np.ndindex(*(source.sizes[dim] for dim in dims)):
        if name == "Q" and index[0] > index[1]:
            continue
        subscript = "".join(str(i + 1) for i in index)
        if name == "eps_g":
            values = ", ".join(
                f"{source[d].attrs['symbol']} = {source[d].values[i]:.3g}" for d, i in zip(dims, index, strict=True)
            )
            label = values or "theory"
        else:
            label = f"${symbol}_{{{subscript}}}$"
        yield dict(zip(dims, index, strict=True)), label


def _size_label(simulation: xr.Dataset, name: str) -> str | None:
    if name != "eps_g":
        return None
    return f"{simulation.sizes['seed']} networks, N = {_size(simulation)}"


def _size(simulation: xr.Dataset) -> int:
    return description(simulation)["report"]["N"]


def _time_axis(axes: Axes, times: np.ndarray) -> None:
    """Logarithmic where the times are: when their median lies far below the middle."""
    if len(times) > 3 and np.median(times) < 0.2 * times[-1]:
        axes.set_xscale("symlog", linthresh=times[times > 0][0], linscale=0.3)
    axes.set_xlim(times[0], times[-1])
    axes.set_xlabel("time $t$ = updates / $N$")


def _spread(times: np.ndarray, count: int = 25) -> np.ndarray:
    if len(times) <= count:
        return np.arange(len(times))
    return np.unique(np.linspace(0, len(times) - 1, count).astype(int))


def _moves(source: xr.Dataset) -> bool:
    return bool((source.v != source.v.isel(time=0)).any())


def _title(source: xr.Dataset) -> str:
    """The problem in one line."""
    told = description(source)["problem"]
    task, student, rule = told["task"], told["student"], told["rule"]
    parts = [
        f"{task['type']}{_inputs(task)}: {student['activation']} student K = {student['width']}",
        f"{task['activation']} teacher M = {task['width']}",
        *(f"{key.replace('_', ' ')} {value:g}" for key, value in rule.items() if isinstance(value, float) and value),
        *([f"noise {task['noise']:g}"] if isinstance(task["noise"], float) and task["noise"] else []),
        "both layers" if student["train_readout"] else "first layer only",
    ]
    return ", ".join(parts)


def _inputs(task: dict) -> str:
    """What distinguishes the inputs of a hidden manifold."""
    if "nonlinearity" not in task:
        return ""
    layers = f", {len(task['layers']) + 1} layers" if task["layers"] else ""
    raw = "" if task["centre"] else ", not centred"
    return f" ({task['nonlinearity']}, $\\delta$ = {task['latent_ratio']:g}{layers}{raw})"
