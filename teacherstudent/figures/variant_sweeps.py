"""The figure of several sweeps over one parameter: the error at the last time of each."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.figures.drawing import is_logarithmic, mark, shade, spans_decades, style
from teacherstudent.figures.layout import Kind, Layout, Row
from teacherstudent.figures.results import Results, error_name, swept_along
from teacherstudent.results.swept import runs_of

SMALL = 8
NAMES = {"width": "student units $K$"}  # of parameters that papers call by a letter


@dataclass(frozen=True)
class VariantSweepsPanel:
    """A line for the theory of each sweep, and marks with standard errors for its networks."""

    sweeps: dict[str, dict[str, xr.Dataset]]
    dim: str

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        errors = [
            _draw_sweep(axes, runs, self.dim, rank, label)
            for rank, (label, runs) in enumerate(self.sweeps.items())
        ]
        first = next(iter(next(iter(self.sweeps.values())).values()))
        x = first[self.dim].values
        if spans_decades(np.concatenate(errors)):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0.0)
        if (x == np.rint(x)).all():
            axes.set_xticks(x, [f"{value:g}" for value in x])
        elif is_logarithmic(x):
            axes.set_xscale("log")
        axes.set_xlabel(NAMES.get(self.dim, first[self.dim].attrs["long_name"]))
        error = first[error_name(first)].attrs
        axes.set_ylabel(f"{error['long_name']} {error['symbol']} at t = {float(first.time[-1]):g}")
        axes.legend(fontsize=SMALL, frameon=False)


class VariantSweepsKind(Kind):
    """The errors at the last time of several sweeps over one parameter."""

    def fits(self, results: Results) -> bool:
        """Whether all variants are sweeps over the same parameter."""
        dims = {tuple(_dimensions(one)) for one in results.variants.values()}
        return len(dims) == 1 and len(next(iter(dims))) == 1

    def layout(self, results: Results) -> Layout:
        """One panel."""
        sweeps = {name: runs_of(one.given) for name, one in results.variants.items()}
        (dim,) = _dimensions(next(iter(results.variants.values())))
        parameters = "lines: theory; marks: means of networks, with standard errors"
        panel = VariantSweepsPanel(sweeps, dim)
        return Layout([Row([panel], width=5.4, height=3.9)], parameters)


def _dimensions(results: Results) -> list[str]:
    """The parameters that one variant was swept over; none if it was not."""
    dims = [swept_along(data) for data in runs_of(results.given).values()]
    return max(dims, key=len, default=[])


def _draw_sweep(
    axes: Axes, runs: dict[str, xr.Dataset], dim: str, rank: int, label: str
) -> np.ndarray:
    """One sweep; the values that were drawn of it."""
    colour = shade(rank)
    drawn = []
    shown: str | None = label
    if "theory" in runs:
        theory = runs["theory"]
        error = theory[error_name(theory)].isel(time=-1)
        axes.plot(theory[dim], error, style(rank), color=colour, lw=1.4, label=label)
        drawn.append(error.values)
        shown = None
    if "simulation" in runs:
        networks = runs["simulation"]
        last = networks[error_name(networks)].isel(time=-1)
        scatter = last.std("seed", ddof=1) / last.sizes["seed"] ** 0.5
        axes.errorbar(
            networks[dim].values,
            last.mean("seed").values,
            scatter.values,
            fmt=mark(rank),
            color=colour,
            ms=4.5,
            mfc="white",
            capsize=2,
            lw=0.9,
            label=shown,
        )
        drawn.append(last.mean("seed").values)
    return np.concatenate(drawn)
