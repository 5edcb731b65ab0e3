"""Heat maps of the matrices Q and R (or m) at a few times."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from teacherstudent.figures.drawing import COLOURS, networks_label
from teacherstudent.figures.layout import Kind, Layout, Row
from teacherstudent.figures.results import Curves, Results, last_times
from teacherstudent.figures.titles import title_of

MOMENTS = 4  # at which matrices are shown
SIDE = 1.9  # inches of a map


@dataclass(frozen=True)
class MapPanel:
    """One matrix, the student's units from top to bottom."""

    matrix: xr.DataArray
    colours: Normalize
    title: str
    label: str

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        rows, columns = self.matrix.dims
        axes.imshow(self.matrix.values, norm=self.colours, cmap=COLOURS, interpolation="nearest")
        for axis, dim in ((axes.yaxis, rows), (axes.xaxis, columns)):
            size = self.matrix.sizes[dim]
            axis.set_ticks(range(size), [str(unit + 1) for unit in range(size)], fontsize=6)
            axis.set_tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(str(columns).rstrip("_"), fontsize=7)
        axes.set_ylabel(self.label, fontsize=8)
        axes.set_title(self.title, fontsize=8)


class HeatmapsKind(Kind):
    """Q and R (or m) as maps, of the theory and of the largest networks."""

    def fits(self, results: Results) -> bool:
        """Whether there is one problem."""
        return results.has_curves

    def layout(self, results: Results) -> Layout:
        """A row of times for each matrix."""
        curves = results.curves
        rows = []
        for name in curves.names():
            if name in ("Q", "R", "m"):
                rows += rows_of_maps(curves, name)
        return Layout(rows, title_of(curves.source))


def rows_of_maps(curves: Curves, name: str) -> list[Row]:
    """A row of the theory and one of the largest networks, in the same colours."""
    found: dict[str, xr.DataArray] = {}
    if curves.theory is not None:
        found["theory"] = curves.theory[name]
    for one in curves.networks[-1:]:
        found[networks_label(one)] = one[name].mean("seed")
    values = np.concatenate([one.values.ravel() for one in found.values()])
    finite = values[np.isfinite(values)]
    colours = Normalize(*((finite.min(), finite.max()) if finite.size else (0.0, 1.0)))
    symbol = curves.source_of(name)[name].attrs["symbol"]
    rows = []
    for source, matrices in found.items():
        moments = last_times(matrices.to_dataset(name=name), MOMENTS)
        panels = []
        for moment in moments:
            matrix = matrices.isel(time=moment)
            label = f"{symbol}, {source}\nstudent" if moment == moments[0] else ""
            panels.append(MapPanel(matrix, colours, f"t = {float(matrix.time):.3g}", label))
        rows.append(Row(panels, _bar(colours, symbol), SIDE, SIDE))
    return rows


def _bar(colours: Normalize, symbol: str) -> Callable[[list[Axes]], object]:
    """What draws a colour bar for all maps of a row."""

    def finish(axes: list[Axes]) -> None:
        figure = axes[0].figure
        bar = figure.colorbar(ScalarMappable(colours, COLOURS), ax=axes, label=symbol, aspect=12)
        bar.ax.yaxis.set_major_locator(MaxNLocator(4))
        bar.ax.tick_params(labelsize=7)

    return finish
