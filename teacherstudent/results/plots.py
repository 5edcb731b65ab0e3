"""Figures of results: theory as lines, simulations as points with a band.

They are readable without colour.
"""

import io
import os
import re
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from teacherstudent.checking import arguments, checks
from teacherstudent.results.atomic_files import write_atomically
from teacherstudent.results.comparable import moves, size_of
from teacherstudent.results.datasets import observables_in_common, variants_of
from teacherstudent.results.drawing import (
    error_name,
    figure_style,
    mark,
    set_time_axis,
    shade,
    spread,
    style,
    theory_and_networks,
)
from teacherstudent.results.escape_figure import draw_escape
from teacherstudent.results.sweep_figure import draw_sweep, is_sweep
from teacherstudent.results.titles import title_of, wrapped
from teacherstudent.results.variant_sweeps_figure import are_sweeps, draw_variant_sweeps
from teacherstudent.results.variants_figure import draw_variants

# What is measured beside an error: on held-out samples, and on a fixed training set.
HELD_OUT = {"eps_g": "test_error", "loss": "test_loss"}
TRAINING = {"eps_g": "train_error", "loss": "train_loss"}
CLONES = {1: "trained on clone: means", 2: "trained on clone: means, covariances"}
MOST_LABELS = 10  # of a legend
MOST_COLUMNS = 4  # of panels
MOST_ENTRIES = 32  # of an observable of the user's own


@arguments.checked
def plot(results: xr.DataTree | xr.Dataset, path: str | os.PathLike | None = None) -> Figure:
    """Draw a result: eps_g on logarithmic axes, and the overlaps and the readout along time.

    With two classes: the expected loss, the classification error beside the smallest one possible
    (where it is known), Q, m, and what else is trained of v and b.

    Lines are the theory; markers are means over the seeds of a simulation (the largest N for the
    overlaps), with a band of one standard deviation of single networks.  Observables of one's own
    have panels of their own, if they are up to 32 numbers.  A theory that sweeps a
    parameter is drawn as one curve of eps_g for each value.  What `ts.sweep` answers is drawn as
    the error at the last time over one or two of its parameters.  Results of several problems
    (`variants`) are one panel of errors, a line for each theory and marks for its networks; of
    several sweeps over one parameter, the errors at the last time over it.  With
    `path` the figure is also written there, in the format of the ending.

    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0, 5.0])
    >>> [axes.get_title() for axes in ts.plot(theory).axes][:2]
    ['generalisation error', 'overlap of student units']

    Raises ValueError if there is nothing to draw.
    """
    if isinstance(results, xr.DataTree) and variants_of(results):
        variants = variants_of(results)
        draw = draw_variant_sweeps if are_sweeps(variants) else draw_variants
        return _saved(draw(variants), path)
    escape = _escape_of(results)
    if escape is not None:
        return _saved(draw_escape(escape), path)
    if is_sweep(results):
        return _saved(draw_sweep(results), path)
    theory, networks = theory_and_networks(results)
    if theory is None and not networks:
        raise ValueError(
            "there is neither a theory nor a simulation in these results; nothing to plot."
        )
    with figure_style():
        figure = _draw_panels(Curves(theory, networks))
    return _saved(figure, path)


def _saved(figure: Figure, path: str | os.PathLike | None) -> Figure:
    """The figure, also written to a file that is whole or not there."""
    if path is None:
        return figure
    place = checks.path("path", path)
    if not place.suffix:
        place = place.with_suffix(".png")
    content = io.BytesIO()
    figure.savefig(content, format=place.suffix[1:], dpi=160)
    write_atomically(place, content.getvalue())
    return figure


def _escape_of(results: xr.DataTree | xr.Dataset) -> xr.Dataset | None:
    if isinstance(results, xr.DataTree):
        return results["escape"].to_dataset() if "escape" in results.children else None
    return results if "escape_step" in results else None


class Curves(NamedTuple):
    """What is drawn: a theory, if there is one, and networks of one or several sizes."""

    theory: xr.Dataset | None
    networks: list[xr.Dataset]

    @property
    def source(self) -> xr.Dataset:
        """The dataset whose dimensions and names count."""
        return self.networks[-1] if self.theory is None else self.theory

    def source_of(self, name: str) -> xr.Dataset:
        """The dataset whose dimensions and names count for a variable, which one of them has."""
        if self.theory is not None and name in self.theory:
            return self.theory
        return self.networks[-1]

    def panels(self) -> list[str]:
        """The variables that have a panel: the error and, without a sweep, what is beside it."""
        source = self.source
        error = error_name(source)
        if not set(source[error].dims) <= {"time", "seed"}:
            return [error]
        names = [error]
        if "accuracy" in source or "test_accuracy" in source:
            names.append("accuracy")
        names += ["Q", "m" if "m" in source else "R"]
        names += [name for name in ("v", "b") if name in source and moves(source[name])]
        return names + self.observables()

    def observables(self) -> list[str]:
        """The observables of the user's own that are few enough numbers to be told apart."""
        names: list[str] = []
        for one in (self.theory, *self.networks[-1:]):
            if one is None:
                continue
            for name in observables_in_common(one):
                if name not in names and len(_entries(one, name)) <= MOST_ENTRIES:
                    names.append(name)
        return names


def _draw_panels(curves: Curves) -> Figure:
    names = curves.panels()
    rows = -(-len(names) // MOST_COLUMNS)
    columns = -(-len(names) // rows)
    figure = Figure(figsize=(3.6 * columns + 0.4, 3.3 * rows), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for empty in places[len(names) :]:
        empty.remove()
    for axes, name in zip(places, names, strict=False):
        _draw_panel(axes, name, curves)
    title = wrapped(title_of(curves.source), figure.get_figwidth())
    figure.suptitle(title, fontsize=9)
    return figure


def _draw_panel(axes: Axes, name: str, curves: Curves) -> None:
    if name == "accuracy":
        _draw_classification(axes, curves)
    elif name in HELD_OUT:
        _draw_error(axes, name, curves)
    else:
        _draw_entries(axes, name, curves)


def _draw_classification(axes: Axes, curves: Curves) -> None:
    """1 - accuracy of theory and networks, and the oracle's error as a line."""
    theory, source = curves.theory, curves.source
    if theory is not None and "accuracy" in theory:
        error = 1 - theory.accuracy
        axes.plot(theory.time, error, "-", color=shade(0), lw=1.4, label="theory", zorder=3)
    tested = [one for one in curves.networks if "test_accuracy" in one or "accuracy" in one]
    for rank, one in enumerate(tested):
        name = "test_accuracy" if "test_accuracy" in one else "accuracy"
        _points(axes, 1 - one[name], shade(1 + rank), mark(rank), _size_label(one))
    if "oracle_error" in source and np.isfinite(source.oracle_error):
        axes.axhline(float(source.oracle_error), color="0.4", ls=":", lw=1.2, label="oracle")
    set_time_axis(axes, source)
    _draw_switches(axes, curves)
    axes.set_ylabel("$1 - P(y\\phi > 0)$")
    axes.set_title("classification error", fontsize=9)
    axes.legend(fontsize=7, frameon=False)


def _draw_error(axes: Axes, name: str, curves: Curves) -> None:
    """The error: all sizes of networks, each with what it measured on samples."""
    theory = curves.theory
    for index, (selection, label) in enumerate(_values_of_sweep(curves.source, name)):
        if theory is not None:
            _line(axes, theory[name].isel(selection), index, label)
        for rank, one in enumerate(curves.networks):
            colour = shade(index + 1 + rank)
            values = one[name].isel(selection)
            _points(axes, values, colour, mark(index + rank), _size_label(one))
            for measure, shape in ((HELD_OUT[name], "x"), (TRAINING[name], "+")):
                if measure in one:
                    words = measure.replace("_", " ")
                    label = f"their {words}, N = {size_of(one)}"
                    _crosses(axes, one[measure].isel(selection), colour, label, shape)
    if name == "loss" and theory is not None and "clone_loss" in theory:
        _draw_clones(axes, theory)
    if name == "eps_g":
        axes.set_yscale("log")
    _finish(axes, name, curves)


def _draw_clones(axes: Axes, theory: xr.Dataset) -> None:
    """The losses of students that were trained on clones of the inputs."""
    for rank, moments in enumerate(theory.clone.values):
        axes.plot(
            theory.time,
            theory.clone_loss[rank],
            style(rank + 1),
            color=shade(rank + 3),
            lw=1.2,
            label=CLONES[int(moments)],
        )


def _draw_entries(axes: Axes, name: str, curves: Curves) -> None:
    """All entries of a variable, with the largest networks."""
    theory = None
    if curves.theory is not None and name in curves.theory:
        theory = curves.theory
    for index, (selection, label) in enumerate(_entries(curves.source_of(name), name)):
        if theory is not None:
            _line(axes, theory[name].isel(selection), index, label)
        for one in curves.networks[-1:]:
            if name not in one:
                continue
            values = one[name].isel(selection)
            only_label = label if theory is None else None
            _points(axes, values, shade(index), mark(index), only_label)
    _finish(axes, name, curves)


def _finish(axes: Axes, name: str, curves: Curves) -> None:
    """Names of the axes, the switches of a protocol, and a legend unless it is too long."""
    set_time_axis(axes, curves.source)
    _draw_switches(axes, curves)
    attributes = curves.source_of(name).variables[name].attrs
    axes.set_ylabel(attributes["symbol"])
    axes.set_title(attributes["long_name"], fontsize=9)
    _, labels = axes.get_legend_handles_labels()
    if 1 <= len(labels) <= MOST_LABELS:
        columns = 2 if len(labels) > MOST_LABELS // 2 else 1
        axes.legend(fontsize=7, framealpha=0.8, edgecolor="none", ncols=columns)


def _draw_switches(axes: Axes, curves: Curves) -> None:
    """A line where the next phase of a protocol begins: of the theory, or of the median network."""
    if "switch_time" not in curves.source:
        return
    times = curves.source["switch_time"]
    others = [dim for dim in times.dims if dim != "switch"]
    for time in times.median(others).values:
        if np.isfinite(time):
            axes.axvline(time, color="0.6", ls="--", lw=0.8, zorder=0)


def _line(axes: Axes, values: xr.DataArray, rank: int, label: str) -> None:
    axes.plot(values.time, values, style(rank), color=shade(rank), lw=1.4, label=label, zorder=3)


def _points(axes: Axes, values: xr.DataArray, colour: str, shape: str, label: str | None) -> None:
    """Means over seeds at some times, in a band of the scatter of single networks at all times."""
    mean = values.mean("seed")
    scatter = values.std("seed")
    time = values.time.values
    low = (mean - scatter).values
    if axes.get_yscale() == "log":
        low = np.maximum(low, 0.05 * mean.values)
    axes.fill_between(time, low, mean + scatter, color=colour, alpha=0.22, lw=0, zorder=1)
    some = spread(time)
    axes.plot(
        time[some],
        mean.values[some],
        shape,
        color=colour,
        ms=3.6,
        mfc="white",
        mew=0.9,
        label=label,
        zorder=4,
    )


def _crosses(axes: Axes, values: xr.DataArray, colour: str, label: str, shape: str) -> None:
    """Means over seeds of what was measured on samples, with standard errors as bars."""
    time = values.time.values
    seeds = values.sizes["seed"]
    error = xr.zeros_like(values.isel(seed=0))
    if seeds > 1:
        error = values.std("seed", ddof=1) / seeds**0.5
    some = spread(time)
    axes.errorbar(
        time[some],
        values.mean("seed").values[some],
        error.values[some],
        fmt=shape,
        color=colour,
        ms=4.5,
        mew=0.9,
        lw=0.9,
        label=label,
        zorder=5,
    )


def _entries(source: xr.Dataset, name: str) -> list[tuple[dict[str, int], str]]:
    """The entries of a variable with their labels.  Q is symmetric: its upper triangle."""
    dims = _own_dims(source, name)
    symbol = _without_subscript(source[name].attrs["symbol"].strip("$"))
    entries = []
    for index in np.ndindex(*(source.sizes[dim] for dim in dims)):
        if name == "Q" and index[0] > index[1]:
            continue
        subscript = "".join(str(number + 1) for number in index)
        entries.append((dict(zip(dims, index, strict=True)), f"${symbol}_{{{subscript}}}$"))
    return entries


def _without_subscript(symbol: str) -> str:
    r"""Q of Q_{kl}; a symbol that does not end with its only subscript in braces, {\|w_k\|}."""
    match = re.fullmatch(r"([^_]*)_(\{[^{}]*\}|[^{}])", symbol)
    if match:
        return match[1]
    if "_" in symbol:
        return f"{{{symbol}}}"
    return symbol


def _values_of_sweep(source: xr.Dataset, name: str) -> list[tuple[dict[str, int], str]]:
    """The curves of an error with their labels: one for each value of a sweep."""
    dims = _own_dims(source, name)
    if not dims:
        return [({}, "theory")]
    curves = []
    for index in np.ndindex(*(source.sizes[dim] for dim in dims)):
        selection = dict(zip(dims, index, strict=True))
        values = []
        for dim, number in selection.items():
            values.append(f"{source[dim].attrs['symbol']} = {source[dim].values[number]:.3g}")
        curves.append((selection, ", ".join(values)))
    return curves


def _own_dims(source: xr.Dataset, name: str) -> list[str]:
    return [str(dim) for dim in source[name].dims if dim not in ("time", "seed")]


def _size_label(simulation: xr.Dataset) -> str:
    count = simulation.sizes["seed"]
    networks = "1 network" if count == 1 else f"{count} networks"
    return f"{networks}, N = {size_of(simulation)}"
