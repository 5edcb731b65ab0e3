"""The figure of several sweeps over one parameter: the error at the last time of each."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.figures.drawing import (
    BAR,
    deviation,
    is_logarithmic,
    mark,
    mark_of_one,
    set_logarithmic,
    shade,
    spans_decades,
    style,
)
from teacherstudent.figures.layout import Kind, Layout, Row
from teacherstudent.figures.results import COUNTED, Results, swept_along
from teacherstudent.results.datasets import error_name
from teacherstudent.results.swept import runs_of

SMALL = 8
NAMES = {"width": "student units $K$"}  # of parameters that papers call by a letter


@dataclass(frozen=True)
class Places:
    """Where the values of a parameter are on its axis: numbers where they are, names in a row.

    - `names`: those of all sweeps, in the order in which they come; None for numbers.
    """

    dim: str
    label: str
    values: np.ndarray
    names: list[str] | None

    @classmethod
    def of(cls, sweeps: list[xr.Dataset], dim: str) -> "Places":
        """Those of several sweeps over the same parameter."""
        if not all(dim in data.coords for data in sweeps):
            return cls(dim, dim, np.arange(max(data.sizes[dim] for data in sweeps)), None)
        label = NAMES.get(dim, str(sweeps[0][dim].attrs.get("long_name", dim)))
        values = [value for data in sweeps for value in data[dim].values]
        if all(data[dim].dtype.kind in "iuf" for data in sweeps):
            return cls(dim, label, np.unique(values), None)
        names = list(dict.fromkeys(str(value) for value in values))
        return cls(dim, label, np.arange(len(names)), names)

    def along(self, data: xr.Dataset) -> np.ndarray:
        """The places of one sweep."""
        if self.names is not None:
            return np.array([self.names.index(str(value)) for value in data[self.dim].values])
        if self.dim in data.coords:
            return data[self.dim].values
        return np.arange(data.sizes[self.dim])

    def has_lines(self) -> bool:
        """Whether there is anything between two values that a line can stand for."""
        return self.names is None and self.dim not in COUNTED

    def set_axis(self, axes: Axes) -> None:
        """Scale, ticks and name of the axis."""
        x = self.values
        if self.names is not None:
            axes.set_xticks(x, self.names, rotation=20)
        elif (x == np.rint(x)).all():
            axes.set_xticks(x, [f"{value:g}" for value in x])
        elif is_logarithmic(x):
            set_logarithmic(axes, "x", x)
        axes.set_xlabel(self.label)


@dataclass(frozen=True)
class VariantSweepsPanel:
    """A line for the theory of each sweep, and marks with standard errors for its networks."""

    sweeps: dict[str, dict[str, xr.Dataset]]
    dim: str

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        everything = [data for runs in self.sweeps.values() for data in runs.values()]
        places = Places.of([data for data in everything if self.dim in data.dims], self.dim)
        errors = [
            _draw_sweep(axes, runs, places, rank, label)
            for rank, (label, runs) in enumerate(self.sweeps.items())
        ]
        if spans_decades(np.concatenate(errors)):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0.0)
        places.set_axis(axes)
        first = everything[0]
        error = first[error_name(first)].attrs
        end = float(first.time.values.ravel()[-1])
        axes.set_ylabel(f"{error['long_name']} {error['symbol']} at t = {end:g}")
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
    axes: Axes, runs: dict[str, xr.Dataset], places: Places, rank: int, label: str
) -> np.ndarray:
    """One sweep; the values that were drawn of it."""
    colour = shade(rank)
    drawn = []
    shown: str | None = label
    if "theory" in runs:
        theory = runs["theory"]
        error = theory[error_name(theory)].isel(time=-1, missing_dims="ignore").values
        if places.dim in theory.dims:
            x = places.along(theory)
        else:  # the theory knows no N: it is the same everywhere
            x = places.values
            error = np.full(len(x), error)
        look: dict[str, Any] = {"ls": style(rank), "marker": mark_of_one(error)}
        if not places.has_lines():
            look = {"ls": "none", "marker": BAR, "ms": 9}
        axes.plot(x, error, color=colour, lw=1.4, label=label, **look)
        drawn.append(error)
        shown = None
    if "simulation" in runs:
        networks = runs["simulation"]
        last = networks[error_name(networks)].isel(time=-1, missing_dims="ignore")
        if "seed" not in last.dims:
            last = last.expand_dims("seed")
        scatter = deviation(last) / last.sizes["seed"] ** 0.5
        axes.errorbar(
            places.along(networks),
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
