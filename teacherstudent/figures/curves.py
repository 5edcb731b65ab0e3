"""Figures along time: the error, and the entries of order parameters and observables.

Lines are the theory, marks the means of networks, in a band of one standard deviation.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.figures.bands import CollapsePanel, draw_band, has_band, widest
from teacherstudent.figures.drawing import (
    GREY,
    EndLabels,
    deviation,
    draw_line,
    draw_networks,
    draw_samples,
    keys_of_marks,
    networks_label,
    set_time_axis,
    shade,
    shown_size,
    style,
)
from teacherstudent.figures.heatmaps import rows_of_maps
from teacherstudent.figures.layout import Draw, Kind, Layout, Row, add_to_legend
from teacherstudent.figures.phases import mark_phases
from teacherstudent.figures.results import Curves, Results
from teacherstudent.figures.titles import title_of

# What is measured beside an error: on held-out samples, and on a fixed training set.
HELD_OUT = {"eps_g": "test_error", "loss": "test_loss"}
TRAINING = {"eps_g": "train_error", "loss": "train_loss"}
CLONES = {1: "trained on clone: means", 2: "trained on clone: means, covariances"}
MOST_COLUMNS = 4  # of panels
MOST_IN_PANEL = 10  # entries that share a panel beside others
MOST_UNITS = 6  # of a student, each of which has a panel of its own
HEIGHT_OF_LABEL = 0.13  # inches
MARGIN = 0.05  # above and below all values, in units of their range


class Entry(NamedTuple):
    """One number of a variable: where it is in the data, and its name."""

    place: dict[str, int]
    label: str


@dataclass(frozen=True)
class ErrorPanel:
    """The error: all sizes of networks, each with what it measured on samples.

    A legend says which is which where the one of the figure does not.
    """

    curves: Curves

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        curves, name = self.curves, self.curves.error
        line = curves.line(name)
        if name == "eps_g" and self._is_positive_somewhere(line):
            axes.set_yscale("log")
        if line is not None:
            draw_line(axes, line, 0, "theory")
        for rank, one in enumerate(curves.networks):
            draw_networks(axes, one[name], rank + 1, networks_label(one))
            if curves.theory is not None:
                draw_band(axes, curves.theory, name, {}, shown_size(one), rank + 1)
            for measure, shape in ((HELD_OUT.get(name), "x"), (TRAINING.get(name), "+")):
                if measure is not None and measure in one:
                    words = measure.replace("_", " ")
                    label = f"their {words}, N = {shown_size(one)}"
                    draw_samples(axes, one[measure], rank + 1, label, shape)
        if curves.theory is not None and "clone_loss" in curves.theory:
            _draw_clones(axes, curves.theory)
        _finish(axes, name, curves, named=True)
        if len(axes.get_legend_handles_labels()[1]) > 2:
            add_to_legend(axes, [])

    def _is_positive_somewhere(self, line: xr.DataArray | None) -> bool:
        """Whether there is anything to see on a logarithmic axis."""
        drawn = [one[self.curves.error].mean("seed") for one in self.curves.networks]
        if line is not None:
            drawn.append(line)
        return any(bool((one > 0).any()) for one in drawn)


@dataclass(frozen=True)
class ClassificationPanel:
    """1 - accuracy of theory and networks, and the oracle's error as a line."""

    curves: Curves

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        curves, source = self.curves, self.curves.source
        line = curves.line("accuracy")
        if line is not None:
            draw_line(axes, 1 - line, 0, "theory")
        # Ranks are those of all sizes, so that each has the colour that it has beside this panel.
        for rank, one in enumerate(curves.networks):
            name = "test_accuracy" if "test_accuracy" in one else "accuracy"
            if name in one:
                draw_networks(axes, 1 - one[name], rank + 1, networks_label(one))
        if "oracle_error" in source and np.isfinite(source.oracle_error):
            oracle = float(source.oracle_error)
            axes.axhline(oracle, color=GREY, ls=":", lw=1.2, label="best classifier")
        set_time_axis(axes, source)
        mark_phases(axes, source)
        axes.set_ylabel("$1 - P(y\\phi > 0)$")
        axes.set_title("classification error", fontsize=9)
        add_to_legend(axes, [])


@dataclass(frozen=True)
class EntriesPanel:
    """Entries of a variable with their names at the ends of their lines, and the largest
    networks.

    - `limits`: of the vertical axis, where other panels have the same.
    """

    curves: Curves
    name: str
    entries: list[Entry]
    of_unit: str = ""
    limits: tuple[float, float] | None = None

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        curves, name = self.curves, self.name
        labels = EndLabels(axes)
        line = curves.line(name)
        for rank, (place, label) in enumerate(self.entries):
            end = None
            for one in curves.networks[-1:]:
                if name in one:
                    values = one[name].isel(place)
                    end = values.mean("seed")
                    draw_networks(axes, values, rank, label if line is None else None)
                    if curves.theory is not None:
                        draw_band(axes, curves.theory, name, place, shown_size(one), rank)
            if line is not None:
                end = line.isel(place)
                draw_line(axes, end, rank, label)
            if end is not None:
                labels.add(end, rank, label)
        _finish(axes, name, curves, self.of_unit)
        if self.limits is not None:
            axes.set_ylim(*self.limits)
        if self.entries[0].place:
            labels.draw()


def _finish(axes: Axes, name: str, curves: Curves, of_unit: str = "", named: bool = False) -> None:
    """Names of the axes and of the panel, and the switches of a protocol."""
    set_time_axis(axes, curves.source)
    mark_phases(axes, curves.source, named)
    attributes = curves.source_of(name).variables[name].attrs
    axes.set_ylabel(attributes["symbol"])
    title = of_unit or attributes["long_name"]
    phases = named and "switch_time" in curves.source
    axes.set_title(title, fontsize=9, pad=14 if phases else None)


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


class ErrorKind(Kind):
    """The error alone."""

    def fits(self, results: Results) -> bool:
        """Whether there is one problem."""
        return results.has_curves

    def layout(self, results: Results) -> Layout:
        """One panel."""
        return _alone(results.curves, ErrorPanel(results.curves))


class VariableKind(Kind):
    """All entries of one variable in one panel."""

    def __init__(self, name: str):
        self.name = name

    def fits(self, results: Results) -> bool:
        """Whether there is one problem, and it has this variable."""
        return results.has_curves and self.name in results.curves.all_names()

    def layout(self, results: Results) -> Layout:
        """One panel, as high as its labels need."""
        curves = results.curves
        if self.name == curves.error:
            return _alone(curves, ErrorPanel(curves))
        if self.name == "accuracy":
            return _alone(curves, ClassificationPanel(curves))
        entries = entries_of(curves.source_of(self.name), self.name)
        height = max(3.4, HEIGHT_OF_LABEL * len(entries) + 1.0)
        return _alone(curves, EntriesPanel(curves, self.name, entries), height)


class FluctuationsKind(Kind):
    """The scatter of networks beside the predicted one."""

    def fits(self, results: Results) -> bool:
        """Whether a theory has a band, and there are several networks."""
        if not results.has_curves:
            return False
        curves = results.curves
        several = any(one.sizes["seed"] > 1 for one in curves.networks)
        return several and has_band(curves.theory, curves.error)

    def layout(self, results: Results) -> Layout:
        """The error with its bands, and a panel for each of the widest scatters."""
        curves = results.curves
        theory = curves.theory
        assert theory is not None
        panels: list[Draw] = [ErrorPanel(curves)]
        networks = [one for one in curves.networks if one.sizes["seed"] > 1]
        for name in curves.names():
            if not has_band(theory, name):
                continue
            entries = widest(theory, name, entries_of(theory, name))
            places = [one.place for one in entries]
            labels = [one.label if one.place else "" for one in entries]
            panels.append(CollapsePanel(theory, networks, name, places, labels))
        columns = -(-len(panels) // 2) if len(panels) > MOST_COLUMNS else len(panels)
        rows = [Row(panels[at : at + columns]) for at in range(0, len(panels), columns)]
        return Layout(rows, title_of(theory), _keys(curves))


class OverlapsKind(Kind):
    """Q and R (or m) in small multiples: a panel for each unit of the student."""

    def fits(self, results: Results) -> bool:
        """Whether there is one problem."""
        return results.has_curves

    def layout(self, results: Results) -> Layout:
        """A row for each matrix."""
        curves = results.curves
        rows = []
        for name in curves.names():
            if name in ("Q", "R", "m"):
                rows += _rows_by_unit(curves, name)
        return Layout(rows, title_of(curves.source), _keys(curves))


class CurvesKind(Kind):
    """The error and all order parameters and observables along time."""

    def fits(self, results: Results) -> bool:
        """Whether there is one problem."""
        return results.has_curves

    def layout(self, results: Results) -> Layout:
        """Panels with names at the lines; of many entries a panel for each unit of the student, or
        maps at a few times.
        """
        curves = results.curves
        singles: list[Draw] = []
        rows: list[Row] = []
        for name in curves.names():
            entries = []
            if name not in (curves.error, "accuracy"):
                entries = entries_of(curves.source_of(name), name)
            if name == curves.error:
                singles.append(ErrorPanel(curves))
            elif name == "accuracy":
                singles.append(ClassificationPanel(curves))
            elif len(entries) <= MOST_IN_PANEL or len(entries[0].place) < 2:
                singles.append(EntriesPanel(curves, name, entries))
            elif curves.source.sizes["student"] <= MOST_UNITS or name not in ("Q", "R", "m"):
                rows += _rows_by_unit(curves, name)
            else:
                rows += rows_of_maps(curves, name)
        columns = -(-len(singles) // -(-len(singles) // MOST_COLUMNS))
        first = [Row(singles[at : at + columns]) for at in range(0, len(singles), columns)]
        return Layout([*first, *rows], title_of(curves.source), _keys(curves))


def _alone(curves: Curves, panel: Draw, height: float = 3.6) -> Layout:
    row = Row([panel], width=5.2, height=height)
    return Layout([row], title_of(curves.source), _keys(curves))


def _keys(curves: Curves) -> list:
    largest = curves.networks[-1] if curves.networks else None
    predicted = has_band(curves.theory, curves.error)
    return keys_of_marks(curves.theory is not None, largest, predicted)


def _rows_by_unit(curves: Curves, name: str) -> list[Row]:
    """Rows of panels, one panel for each unit of the student, all with the same limits."""
    source = curves.source_of(name)
    dim = own_dims(source, name)[0]
    units = source.sizes[dim]
    entries = entries_of(source, name, whole=True)
    limits = _limits(curves, name)
    panels = []
    for unit in range(units):
        some = [one for one in entries if one.place[dim] == unit]
        panels.append(EntriesPanel(curves, name, some, f"{dim} {unit + 1}", limits))
    columns = units if units <= MOST_UNITS else -(-units // -(-units // MOST_COLUMNS))
    return [
        Row(panels[at : at + columns], _label_the_first, width=2.7, height=2.3)
        for at in range(0, units, columns)
    ]


def _limits(curves: Curves, name: str) -> tuple[float, float] | None:
    """Limits of the vertical axis for all entries of a variable; None if nothing is finite."""
    drawn = []
    line = curves.line(name)
    if line is not None:
        drawn.append(line.values.ravel())
    for one in curves.networks[-1:]:
        if name in one:
            mean = one[name].mean("seed")
            scatter = deviation(one[name]).fillna(0.0)
            drawn += [(mean - scatter).values.ravel(), (mean + scatter).values.ravel()]
    values = np.concatenate(drawn)
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() == finite.max():
        return None
    margin = MARGIN * (finite.max() - finite.min())
    return float(finite.min() - margin), float(finite.max() + margin)


def _label_the_first(axes: list[Axes]) -> None:
    """Names of the vertical axis on the first panel of a row only."""
    for one in axes[1:]:
        one.set_ylabel("")


def entries_of(source: xr.Dataset, name: str, whole: bool = False) -> list[Entry]:
    """The entries of a variable with their labels; of the symmetric Q the upper triangle, or the
    whole of it.
    """
    dims = own_dims(source, name)
    symbol = _without_subscript(source[name].attrs["symbol"].strip("$"))
    sizes = [source.sizes[dim] for dim in dims]
    comma = "," if max(sizes, default=0) > 9 else ""
    entries = []
    for index in np.ndindex(*sizes):
        if name == "Q" and not whole and index[0] > index[1]:
            continue
        subscript = comma.join(str(number + 1) for number in index)
        label = f"${symbol}_{{{subscript}}}$"
        entries.append(Entry(dict(zip(dims, index, strict=True)), label))
    return entries


def _without_subscript(symbol: str) -> str:
    r"""Q of Q_{kl}; a symbol that does not end with its only subscript in braces, {\|w_k\|}."""
    match = re.fullmatch(r"([^_]*)_(\{[^{}]*\}|[^{}])", symbol)
    if match:
        return match[1]
    if "_" in symbol:
        return f"{{{symbol}}}"
    return symbol


def own_dims(source: xr.Dataset, name: str) -> list[str]:
    """The dimensions of a variable beside time and seeds."""
    return [str(dim) for dim in source[name].dims if dim not in ("time", "seed")]
