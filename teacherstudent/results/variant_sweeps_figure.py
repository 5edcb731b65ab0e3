"""The figure of several sweeps over one parameter: the error at the last time of each."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from teacherstudent.results.datasets import simulations
from teacherstudent.results.drawing import error_name, figure_style, mark, shade, style
from teacherstudent.results.sweep_figure import is_sweep, swept_dimensions

DECADES = 1.0  # over which an axis is logarithmic
LOGARITHMIC = 8.0  # ratio of the ends of a parameter that is drawn on a logarithmic axis


def are_sweeps(trees: dict[str, xr.DataTree]) -> bool:
    """Whether variants are sweeps, all over the same parameter and no other."""
    dims = set()
    for tree in trees.values():
        if not is_sweep(tree) or "theory" not in tree.children:
            return False
        dims.add(tuple(swept_dimensions(tree["theory"].to_dataset())))
    return len(dims) == 1 and len(next(iter(dims))) == 1


def draw_variant_sweeps(trees: dict[str, xr.DataTree]) -> Figure:
    """A line for the theory of each sweep, and marks with standard errors for its networks."""
    first = next(iter(trees.values()))["theory"].to_dataset()
    (dim,) = swept_dimensions(first)
    with figure_style():
        figure = Figure(figsize=(4.8, 3.8), layout="constrained")
        axes = figure.subplots()
        values = [
            _draw_sweep(axes, tree, dim, rank, label)
            for rank, (label, tree) in enumerate(trees.items())
        ]
        _set_scales(axes, first[dim].values, np.concatenate(values))
        about = first[dim].attrs
        axes.set_xlabel(f"{about['long_name']} {about['symbol']}".replace(f" {dim}", f" ${dim}$"))
        if dim == "width":
            axes.set_xlabel("student units $K$")
        error = first[error_name(first)]
        axes.set_ylabel(f"{error.attrs['symbol']} at $t$ = {float(first.time[-1]):g}")
        axes.legend(fontsize=8, frameon=False)
        axes.set_title("lines: theory; marks: means of networks, with standard errors", fontsize=8)
    return figure


def _draw_sweep(axes: Axes, tree: xr.DataTree, dim: str, rank: int, label: str) -> np.ndarray:
    """One sweep; the values of its theory."""
    theory = tree["theory"].to_dataset()
    error = theory[error_name(theory)].isel(time=-1)
    colour = shade(rank)
    axes.plot(theory[dim], error, style(rank), color=colour, lw=1.4, label=label)
    for networks in simulations(tree):
        last = networks[error_name(networks)].isel(time=-1)
        scatter = last.std("seed", ddof=1) / last.sizes["seed"] ** 0.5
        axes.errorbar(
            networks[dim], last.mean("seed"), scatter, fmt=mark(rank), color=colour, ms=4, mfc="w"
        )
    return error.values


def _set_scales(axes: Axes, x: np.ndarray, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and np.log10(finite.max() / finite.min()) > DECADES:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    whole = (x == np.rint(x)).all()
    if whole:
        axes.set_xticks(x, [f"{value:g}" for value in x])
    elif x.min() > 0 and x.max() / x.min() > LOGARITHMIC:
        axes.set_xscale("log")
