"""The figures of sweeps.

Over one parameter: the error along time as a family of curves, and the error at the last time
against the parameter.  Over two: maps of the error at the last time, of the theory beside that of
the networks.  Of more parameters the first values of the others are shown, as the title says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator, NullFormatter

from teacherstudent.figures.drawing import (
    BAR,
    COLOURS,
    colours_of,
    is_logarithmic,
    mark,
    mark_of_one,
    set_logarithmic,
    set_time_axis,
    shade,
    spans_decades,
    spread,
    style,
)
from teacherstudent.figures.layout import Kind, Layout, Row
from teacherstudent.figures.results import COUNTED, Results, swept_along
from teacherstudent.figures.titles import selected_values, title_of
from teacherstudent.results.datasets import description, error_name
from teacherstudent.results.swept import swept_dimensions

MOST_LINES = 6  # that have a name each
MOST_CURVES = 40  # in colours, of more values
MOST_TICKS = 12  # of whole numbers, each of which then has one
DARKEST_TO_LIGHT = 0.92  # the part of the colours that is seen on white
LEVELS = 6  # of contours
SMALL = 7


class Swept(NamedTuple):
    """The error of a sweep over one or two parameters.

    - `errors`: of theory and networks (mean over seeds) by name, along the parameters and time.
    - `dims`: the parameters that are shown.
    - `data`: the dataset whose coordinates count.
    """

    errors: Mapping[str, xr.DataArray]
    dims: list[str]
    data: xr.Dataset

    @property
    def last(self) -> dict[str, xr.DataArray]:
        """The errors at the last time."""
        return {
            kind: error.isel(time=-1, missing_dims="ignore") for kind, error in self.errors.items()
        }

    @property
    def end(self) -> float:
        """The last time."""
        return float(self.data.time.values.ravel()[-1])

    @property
    def is_along_time(self) -> bool:
        """Whether there are several times, or one was selected."""
        return all("time" in error.dims for error in self.errors.values())

    @property
    def symbol(self) -> str:
        """That of the error."""
        error = next(iter(self.errors.values()))
        return str(error.attrs.get("symbol", error.name))

    def is_numeric(self, dim: str) -> bool:
        """Whether a parameter has several numbers as its values."""
        data = self.data
        return dim in data.coords and data[dim].dtype.kind in "iuf" and data.sizes[dim] > 1

    def is_continuous(self, dim: str) -> bool:
        """Whether there is anything between two values that a line can stand for."""
        return dim not in COUNTED and self.values(dim).dtype.kind in "iuf"

    def values(self, dim: str) -> np.ndarray:
        """The values of a parameter."""
        if dim in self.data.coords:
            return self.data[dim].values
        return np.arange(self.data.sizes[dim])

    def label(self, dim: str) -> str:
        """The name of a parameter's axis."""
        attributes = self.data[dim].attrs if dim in self.data.coords else {}
        name = attributes.get("long_name", dim)
        symbol = attributes.get("symbol", "")
        return f"{name} {symbol}" if symbol.startswith("$") else str(name)

    def named(self, dim: str, number: int) -> str:
        """A value with its symbol, for a legend."""
        value = shown(self.values(dim)[number])
        symbol = self.data[dim].attrs.get("symbol", dim) if dim in self.data.coords else dim
        return f"{symbol} = {value}" if self.is_numeric(dim) else value


@dataclass(frozen=True)
class FamilyPanel:
    """The error along time, a curve for each value: of few with their names, of many in colours."""

    swept: Swept

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        swept, (dim,) = self.swept, self.swept.dims
        # A theory without the parameter, such as N, is one line beside those of the networks.
        kind = next(kind for kind, error in swept.errors.items() if dim in error.dims)
        error = swept.errors[kind].transpose(dim, "time")
        set_time_axis(axes, swept.data)
        values = np.concatenate([one.values.ravel() for one in swept.errors.values()])
        if spans_decades(values):
            axes.set_yscale("log")
        if len(error) <= MOST_LINES or not swept.is_numeric(dim):
            for rank in range(len(error)):
                axes.plot(
                    error.time,
                    error[rank],
                    style(rank),
                    color=shade(rank),
                    lw=1.3,
                    marker=mark_of_one(error[rank].values),
                    ms=3.4,
                    label=swept.named(dim, rank),
                )
            self._draw_marks(axes, kind)
            axes.legend(fontsize=SMALL, framealpha=0.8, edgecolor="none")
        else:
            self._draw_many(axes, error, dim)
        for name, one in swept.errors.items():
            if dim not in one.dims:
                axes.plot(one.time, one, "--", color="black", lw=1.6, label=name)
                axes.legend(fontsize=SMALL, framealpha=0.8, edgecolor="none")
        axes.set_ylabel(swept.symbol)
        title = "theory" if kind == "theory" else "mean of networks"
        if len(error) > MOST_CURVES:
            title += f", {MOST_CURVES} of {len(error)} values"
        axes.set_title(title, fontsize=9)

    def _draw_marks(self, axes: Axes, kind: str) -> None:
        """The networks beside the theory, where its lines have the parameter."""
        if len(self.swept.errors) < 2 or kind != "theory":
            return
        error = self.swept.errors["simulation"].transpose(..., "time")
        some = spread(error.sizes["time"])
        for rank, one in enumerate(np.atleast_2d(error.values)):
            axes.plot(
                error.time.values[some],
                one[some],
                mark(rank),
                color=shade(rank),
                ms=3.4,
                mfc="white",
                label="networks" if rank == 0 else None,
            )

    def _draw_many(self, axes: Axes, error: xr.DataArray, dim: str) -> None:
        values = self.swept.values(dim).astype(float)
        kind = LogNorm if is_logarithmic(values) else Normalize
        colours = kind(values.min(), values.max())
        some = spread(len(values), MOST_CURVES)
        lines = [np.column_stack([error.time, one]) for one in error.values[some]]
        family = LineCollection(lines, cmap=shown_colours(), norm=colours, lw=0.9)
        family.set_array(values[some])
        axes.add_collection(family)
        axes.autoscale_view(scalex=False)
        axes.figure.colorbar(family, ax=axes, label=self.swept.label(dim))


@dataclass(frozen=True)
class LastPanel:
    """The error at the last time along one parameter, a curve for each value of the other."""

    swept: Swept

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        swept = self.swept
        along = swept.dims[0]
        if len(swept.dims) == 2 and not swept.is_numeric(along) and swept.is_numeric(swept.dims[1]):
            along = swept.dims[1]
        others = [dim for dim in swept.dims if dim != along]
        x = swept.values(along)
        ticks = None
        if x.dtype.kind not in "iuf":
            ticks, x = x, np.arange(len(x))
        for kind, error in swept.last.items():
            for rank, (name, line) in enumerate(_lines(swept, error, others)):
                values = np.broadcast_to(line.values, x.shape)
                if kind == "theory":
                    label = f"theory {name}".strip()
                    look: dict[str, Any] = {"ls": style(rank), "marker": mark_of_one(values)}
                    if not swept.is_continuous(along):
                        look = {"ls": "none", "marker": BAR, "ms": 9}
                    axes.plot(x, values, color=shade(rank), lw=1.3, label=label, **look)
                    continue
                label = f"networks {name}".strip()
                if "theory" in swept.errors:  # whose lines have these names already
                    label = "networks" if rank == 0 else "_nolegend_"
                axes.plot(x, values, mark(rank), color=shade(rank), ms=4, mfc="white", label=label)
        if spans_decades(np.concatenate([error.values.ravel() for error in swept.last.values()])):
            axes.set_yscale("log")
        if ticks is not None:
            axes.set_xticks(x, [str(tick) for tick in ticks], rotation=20)
        elif along in COUNTED:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        elif is_logarithmic(x.astype(float)):
            set_logarithmic(axes, "x", x.astype(float))
        axes.set_xlabel(swept.label(along))
        axes.set_ylabel(swept.symbol)
        title = f"at t = {swept.end:g}"
        for dim in others:
            if swept.data.sizes[dim] > MOST_LINES:
                title += f", the first {MOST_LINES} of {swept.data.sizes[dim]} values of {dim}"
        axes.set_title(title, fontsize=9)
        axes.legend(fontsize=SMALL, framealpha=0.8, edgecolor="none")


@dataclass(frozen=True)
class ErrorMapPanel:
    """The error at the last time over two parameters; points without an error are grey, those that
    failed crossed out.
    """

    swept: Swept
    kind: str
    colours: Normalize

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        swept, dims = self.swept, self.swept.dims
        x, y, error = self._sorted()
        axes.set_facecolor("#dddddd")
        edges = [edges_of(values, is_logarithmic(values)) for values in (x, y)]
        axes.pcolormesh(*edges, error.T, norm=self.colours, cmap=COLOURS, shading="flat")
        missing = np.argwhere(~np.isfinite(error))
        if len(missing):
            axes.plot(x[missing[:, 0]], y[missing[:, 1]], "x", color="#555555", ms=4)
        for axis, values in (("x", x), ("y", y)):
            if is_logarithmic(values):
                set_logarithmic(axes, axis, values)
            elif (values == np.rint(values)).all() and len(values) <= MOST_TICKS:
                getattr(axes, f"set_{axis}ticks")(values, [f"{value:g}" for value in values])
        self._draw_contours(axes, x, y, error)
        axes.set_xlabel(swept.label(dims[0]))
        axes.set_ylabel(swept.label(dims[1]))
        axes.set_title("networks" if self.kind == "simulation" else self.kind, fontsize=9)

    def _sorted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Both parameters in increasing order, and the error along them; the error of a theory
        that does not have one of them, such as N, is the same along it.
        """
        swept, (first, second) = self.swept, self.swept.dims
        x, y = (swept.values(dim).astype(float) for dim in (first, second))
        last = swept.last[self.kind]
        missing = {dim: swept.data.sizes[dim] for dim in (first, second) if dim not in last.dims}
        error = last.drop_vars(missing, errors="ignore").expand_dims(missing)
        order = np.ix_(np.argsort(x), np.argsort(y))
        return np.sort(x), np.sort(y), error.transpose(first, second).values[order]

    def _draw_contours(self, axes: Axes, x: np.ndarray, y: np.ndarray, error: np.ndarray) -> None:
        """Lines of the same error, where there are enough points for them.

        Between the points they are interpolated in the logarithm of the error where the colours
        are logarithmic.
        """
        logarithmic = isinstance(self.colours, LogNorm)
        levels = contour_levels(error, logarithmic)
        # The points of a list have no values between them.
        continuous = all(self.swept.is_continuous(dim) for dim in self.swept.dims)
        if not len(levels) or min(error.shape) < 3 or not continuous:
            return
        if logarithmic:
            error, levels = np.log(error), np.log(levels)

        def name(level: float) -> str:
            return f"{np.exp(level) if logarithmic else level:.2g}"

        lines = axes.contour(x, y, error.T, levels=levels, colors="white", linewidths=0.8)
        axes.clabel(lines, fmt=name, fontsize=6)


class SweepKind(Kind):
    """The errors of a sweep."""

    def fits(self, results: Results) -> bool:
        """Whether something was swept."""
        return bool(results.swept)

    def layout(self, results: Results) -> Layout:
        """Curves, or maps of two numbers."""
        errors = {kind: _error(data) for kind, data in results.swept.items()}
        first = max(results.swept.values(), key=lambda data: len(swept_along(data)))
        most = max(errors.values(), key=lambda error: len(error.dims))
        dims = [str(dim) for dim in most.dims if dim != "time"]
        rest = dims[2:]
        errors = {kind: _first_of(error, rest) for kind, error in errors.items()}
        swept = Swept(errors, dims[:2], first)
        parameters = _parameters(swept, rest)
        if len(dims) >= 2 and all(swept.is_numeric(dim) for dim in dims[:2]):
            together = np.concatenate([one.values.ravel() for one in swept.last.values()])
            colours = colours_of(together)
            panels = [ErrorMapPanel(swept, kind, colours) for kind in errors]
            bar = _bar(colours, f"{swept.symbol} at the last time")
            return Layout([Row(panels, bar, width=3.9, height=3.6)], parameters)
        if len(dims) >= 2:
            return Layout([Row([LastPanel(swept)], width=5.0, height=3.8)], parameters)
        if not swept.is_along_time:
            return Layout([Row([LastPanel(swept)], width=5.0, height=3.8)], parameters)
        width = 4.3 if swept.data.sizes[dims[0]] > MOST_LINES else 3.8
        return Layout([Row([FamilyPanel(swept), LastPanel(swept)], width=width)], parameters)


def _error(data: xr.Dataset) -> xr.DataArray:
    """The error, the mean over seeds, with the parameters first."""
    error = data[error_name(data)]
    if "seed" in error.dims:
        error = error.mean("seed")
    names = swept_dimensions(data) or swept_along(data)
    order = [name for name in names if name in error.dims]
    if "time" in error.dims:  # else one time was selected
        return error.transpose(*order, ..., "time")
    return error.transpose(*order, ...)


def _first_of(error: xr.DataArray, rest: list[str]) -> xr.DataArray:
    return error.isel({dim: 0 for dim in rest if dim in error.dims})


def _parameters(swept: Swept, rest: list[str]) -> str:
    """The problem, as far as it is the same everywhere, and at which values of parameters that are
    not shown.
    """
    data = swept.data
    report = description(data)["report"]
    if "sweep" not in report:
        return title_of(data)
    problem = description(data)["problem"]
    changed = [path for along in report["sweep"].values() for path in along]
    named = [name for name in ("model", "task", "rule") if name in problem]
    parts = [problem[name]["type"] for name in named if name not in changed]
    parts += [f"{dim} = {shown(data[dim].values[0])}" for dim in rest if dim in data.coords]
    parts += selected_values(data)
    parts.append(f"t = {swept.end:g}")
    return ", ".join(parts)


def _lines(swept: Swept, error: xr.DataArray, others: list[str]):
    """The lines of an error along one parameter, with their names."""
    if not others or others[0] not in error.dims:
        return [("", error)]
    count = min(error.sizes[others[0]], MOST_LINES)
    return [
        (swept.named(others[0], number), error.isel({others[0]: number})) for number in range(count)
    ]


def shown(value) -> str:
    """A value of a parameter as a text."""
    return value if isinstance(value, str) else f"{float(value):.4g}"


def shown_colours() -> matplotlib.colors.Colormap:
    """The colours of a family of lines, without those too light to be seen."""
    whole = matplotlib.colormaps[COLOURS]
    return matplotlib.colors.ListedColormap(whole(np.linspace(0.0, DARKEST_TO_LIGHT, 256)))


def edges_of(values: np.ndarray, logarithmic: bool) -> np.ndarray:
    """The edges of the cells around increasing values: the middles between them on their axis."""
    places = np.log(values) if logarithmic else values
    middles = (places[1:] + places[:-1]) / 2
    first, last = 2 * places[0] - middles[0], 2 * places[-1] - middles[-1]
    edges = np.concatenate([[first], middles, [last]])
    return np.exp(edges) if logarithmic else edges


def contour_levels(values: np.ndarray, logarithmic: bool) -> np.ndarray:
    """Levels well inside the range of some values; none where they are all the same."""
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() == finite.max():
        return np.empty(0)
    between = np.geomspace if logarithmic else np.linspace
    return between(finite.min(), finite.max(), LEVELS + 2)[1:-1]


def _bar(colours: Normalize, label: str) -> Callable[[list[Axes]], object]:
    """What draws a colour bar for all maps."""

    def finish(axes: list[Axes]) -> None:
        bar = axes[0].figure.colorbar(ScalarMappable(colours, COLOURS), ax=axes, label=label)
        bar.ax.yaxis.set_minor_formatter(NullFormatter())

    return finish
