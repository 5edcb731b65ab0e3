"""The figure of a sweep: the error at the last time over the swept parameters.

Over one parameter it is a curve, with marks for the networks; over two a map, of the theory beside
that of the networks.  Of more parameters the first values of the others are shown.
"""

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from teacherstudent.results.datasets import description
from teacherstudent.results.drawing import error_name, figure_style, mark, shade, style

MOST_LINES = 6  # along the second parameter, where one of two is no number
MOST_TICKS = 12  # of whole numbers, each of which then has one
DECADES = 1.2  # of an error, from which on its axis is logarithmic
LOGARITHMIC = 4.0  # how many times as far the last of three equally spaced values is


def swept_dimensions(data: xr.Dataset) -> list[str]:
    """The dimensions of a sweep, as `ts.sweep` made it; none of any other result."""
    names = description(data).get("report", {}).get("sweep", {})
    return [name for name in names if name in data.dims]


def number_of(dim: str) -> str:
    """The coordinate along a swept dimension that counts the values of the sweep."""
    return f"{dim}_number"


def is_sweep(results: xr.DataTree | xr.Dataset) -> bool:
    """Whether results are those of a sweep, with at least one swept dimension left."""
    return any(swept_dimensions(one) for one in _datasets(results).values())


def draw_sweep(results: xr.DataTree | xr.Dataset) -> Figure:
    """The error at the last time over one or two swept parameters."""
    found = _datasets(results)
    errors = {kind: _last_error(data) for kind, data in found.items()}
    first = max(found.values(), key=lambda data: len(swept_dimensions(data)))
    most = max(errors.values(), key=lambda error: len(error.dims))
    shown, rest = list(most.dims[:2]), list(most.dims[2:])
    errors = {kind: _first_of(error, rest) for kind, error in errors.items()}
    with figure_style():
        if len(shown) == 2 and all(_is_numeric(first, str(dim)) for dim in shown):
            figure = _draw_maps(errors, first, [str(dim) for dim in shown])
        else:
            figure = _draw_curves(errors, first, [str(dim) for dim in shown])
        figure.suptitle(_title(first, rest), fontsize=8)
    return figure


def _datasets(results: xr.DataTree | xr.Dataset) -> dict[str, xr.Dataset]:
    """Theory and simulation by their names."""
    if isinstance(results, xr.Dataset):
        kind = str(description(results)["kind"])
        return {kind: results} if kind in ("theory", "simulation") else {}
    found = {}
    for kind in ("theory", "simulation"):
        if kind in results.children and results[kind].data_vars:
            found[kind] = results[kind].to_dataset()
    return found


def _last_error(data: xr.Dataset) -> xr.DataArray:
    """The error at the last time, the mean over seeds."""
    error = data[error_name(data)].isel(time=-1)
    if "seed" in error.dims:
        error = error.mean("seed")
    return error.transpose(*[name for name in swept_dimensions(data) if name in error.dims], ...)


def _first_of(error: xr.DataArray, rest: list) -> xr.DataArray:
    return error.isel({dim: 0 for dim in rest if dim in error.dims})


def _is_numeric(data: xr.Dataset, dim: str) -> bool:
    return dim in data.coords and data[dim].dtype.kind in "iuf" and data.sizes[dim] > 1


def _title(data: xr.Dataset, rest: list) -> str:
    """The task and the rule, where they are the same everywhere, and at which values of parameters
    that are not shown.
    """
    facts = description(data)
    swept = [path for along in facts["report"]["sweep"].values() for path in along]
    parts = [facts["problem"][name]["type"] for name in ("task", "rule") if name not in swept]
    parts += [f"{dim} = {_value(data[dim].values[0])}" for dim in rest if dim in data.coords]
    parts.append(f"t = {float(data.time[-1]):g}")
    return ", ".join(parts)


def _value(value) -> str:
    return value if isinstance(value, str) else f"{float(value):.4g}"


def _label(data: xr.Dataset, dim: str) -> str:
    """The name of an axis."""
    attributes = data[dim].attrs if dim in data.coords else {}
    name = attributes.get("long_name", dim)
    symbol = attributes.get("symbol", "")
    return f"{name} {symbol}" if symbol.startswith("$") else str(name)


def _is_logarithmic(values: np.ndarray) -> bool:
    """Whether numbers are positive and rather spaced by factors than by steps."""
    if len(values) < 3 or (values <= 0).any():
        return False
    values = np.sort(values)
    return bool(values[-1] / values[0] > LOGARITHMIC and np.median(values) < 0.4 * values[-1])


def _draw_maps(errors: dict[str, xr.DataArray], data: xr.Dataset, dims: list[str]) -> Figure:
    """One map for the theory and one for the networks, in the same colours."""
    width = 1.2 + 3.4 * len(errors)
    figure = Figure(figsize=(width, 3.8), layout="constrained")
    panels = figure.subplots(1, len(errors), squeeze=False)[0]
    colours = _colours(list(errors.values()))
    for axes, (kind, error) in zip(panels, errors.items(), strict=True):
        if set(dims) - set(error.dims):
            error = error.expand_dims({d: data[d].values for d in dims if d not in error.dims})
        mesh = _draw_map(axes, error.transpose(*dims), data, dims, colours)
        axes.set_title("networks" if kind == "simulation" else kind)
    error = next(iter(errors.values()))
    bar = figure.colorbar(mesh, ax=list(panels))
    bar.set_label(f"{error.attrs.get('symbol', error.name)} at the last time")
    return figure


def _colours(errors: list[xr.DataArray]) -> matplotlib.colors.Normalize:
    """One scale for all maps: logarithmic where the error changes by more than a decade."""
    values = np.concatenate([error.values.ravel() for error in errors])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    if low > 0 and np.log10(high / low) > DECADES:
        return matplotlib.colors.LogNorm(low, high)
    return matplotlib.colors.Normalize(low, high)


def _draw_map(axes: Axes, error: xr.DataArray, data: xr.Dataset, dims: list[str], colours):
    """A map; points without an error are grey, those that failed crossed out."""
    x, y = (data[dim].values.astype(float) for dim in dims)
    axes.set_facecolor("#dddddd")
    mesh = axes.pcolormesh(x, y, error.values.T, norm=colours, cmap="viridis", shading="nearest")
    missing = np.argwhere(~np.isfinite(error.values))
    if len(missing):
        axes.plot(x[missing[:, 0]], y[missing[:, 1]], "x", color="#555555", ms=4)
    for axis, values in (("x", x), ("y", y)):
        if _is_logarithmic(values):
            getattr(axes, f"set_{axis}scale")("log")
        elif (values == np.rint(values)).all() and len(values) <= MOST_TICKS:
            getattr(axes, f"set_{axis}ticks")(values, [f"{value:g}" for value in values])
    axes.set_xlabel(_label(data, dims[0]))
    axes.set_ylabel(_label(data, dims[1]))
    return mesh


def _draw_curves(errors: dict[str, xr.DataArray], data: xr.Dataset, dims: list[str]) -> Figure:
    """The error along one parameter, a curve for each value of the other."""
    along = dims[0]
    if len(dims) == 2 and not _is_numeric(data, dims[0]) and _is_numeric(data, dims[1]):
        along = dims[1]
    others = [dim for dim in dims if dim != along]
    figure = Figure(figsize=(4.8, 3.8), layout="constrained")
    axes = figure.subplots()
    x = data[along].values if along in data.coords else np.arange(data.sizes[along])
    ticks = None
    if x.dtype.kind not in "iuf":
        ticks, x = x, np.arange(len(x))
    for kind, error in errors.items():
        lines = {"": error}
        if others and others[0] in error.dims:
            count = min(error.sizes[others[0]], MOST_LINES)
            lines = {
                _value(data[others[0]].values[number]): error.isel({others[0]: number})
                for number in range(count)
            }
        for rank, (name, line) in enumerate(lines.items()):
            label = f"{kind} {name}".strip() if kind == "theory" else None
            if along not in line.dims:
                line = line.expand_dims({along: x})
            if kind == "theory":
                axes.plot(x, line.values, style(rank), color=shade(rank), lw=1.2, label=label)
            else:
                label = f"networks {name}".strip()
                if "theory" in errors:  # whose lines have these names already
                    label = "networks" if rank == 0 else None
                colour = shade(rank)
                axes.plot(
                    *(x, line.values, mark(rank)),
                    ls="",
                    color=colour,
                    ms=4,
                    mfc="white",
                    label=label,
                )
    values = np.concatenate([error.values.ravel() for error in errors.values()])
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and np.log10(values.max() / values.min()) > DECADES:
        axes.set_yscale("log")
    if ticks is not None:
        axes.set_xticks(x, [str(tick) for tick in ticks], rotation=20)
    elif _is_logarithmic(x.astype(float)):
        axes.set_xscale("log")
    error = next(iter(errors.values()))
    axes.set_xlabel(_label(data, along))
    axes.set_ylabel(f"{error.attrs.get('symbol', error.name)} at the last time")
    axes.legend(fontsize=8, frameon=False)
    return figure
