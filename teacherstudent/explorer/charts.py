"""Curves as figures of Bokeh.

A figure keeps its glyphs; what is drawn anew are the numbers in their sources, so that a curve
moves under the hand.  Only another kind of axis makes other figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure

from teacherstudent.explorer.curves import COLOURS, Curve, axis_label, curves_of, quantities

MARKS = 24  # of a curve, so that they do not hide it
STALE = 0.2  # how opaque a curve is whose successor is on its way
FILE_DASHES = ([8, 4], [2, 3], [12, 3, 2, 3], [4, 2])
MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle")
HEIGHT = 430
SINGLE = ("eps_g", "loss", "accuracy")  # one curve, coloured by where it is from


@dataclass(frozen=True)
class Layer:
    """What is drawn of one source: the live page, or a file.

    - `number`: 0 of the live page, 1, 2, ... of the files.
    - `theory`: a dataset, or None; `networks`: several.
    """

    number: int
    theory: Any = None
    networks: Sequence[Any] = field(default_factory=tuple)

    def theory_curves(self, name: str) -> list[Curve]:
        """The theory's curves of a quantity, in the style of this layer."""
        if self.theory is None:
            return []
        return [self._styled(name, curve) for curve in curves_of(self.theory, name)]

    def network_curves(self, name: str) -> list[list[Curve]]:
        """The same of each size N."""
        sizes = []
        for networks in self.networks:
            curves = [self._styled(name, curve) for curve in curves_of(networks, name)]
            sizes.append(curves)
        return sizes

    def _styled(self, name: str, curve: Curve) -> Curve:
        if name not in SINGLE:
            return curve
        return replace(curve, colour=COLOURS[self.number % len(COLOURS)])


@dataclass(frozen=True)
class Axes:
    """Which axes are logarithmic."""

    time: bool = True
    error: bool = True


class Chart:
    """The figure of one quantity."""

    def __init__(self, name: str, axes: Axes, time_label: str):
        self.name = name
        self.axes = axes
        self.log_value = axes.error and name in ("eps_g", "loss")
        self.figure = figure(
            height=HEIGHT,
            sizing_mode="stretch_width",
            x_axis_type="log" if axes.time else "linear",
            y_axis_type="log" if self.log_value else "linear",
            x_axis_label=time_label,
            y_axis_label=axis_label(name),
            tools="pan,box_zoom,wheel_zoom,reset,save",
            output_backend="canvas",
            toolbar_location="above",
        )
        self.sources = {part: _source(part, name) for part in ("theory", "files", "marks", "bars")}
        self.band = _source("band", name)
        self._draw_glyphs()
        self._make_plain()

    def _draw_glyphs(self) -> None:
        self.figure.patches("xs", "ys", source=self.band, color="colour", alpha=0.16, line_width=0)
        self.figure.multi_line(
            "xs",
            "ys",
            source=self.sources["files"],
            line_color="colour",
            line_dash="dash",
            line_width=2,
        )
        self.line = self.figure.multi_line(
            "xs",
            "ys",
            source=self.sources["theory"],
            line_color="colour",
            line_dash="dash",
            line_width=2.6,
            legend_field="label",
        )
        self.figure.segment(
            "x", "low", "x", "high", source=self.sources["bars"], line_color="colour"
        )
        marks = self.figure.scatter(
            "x",
            "y",
            source=self.sources["marks"],
            marker="marker",
            size=6.5,
            line_color="colour",
            fill_color="fill",
        )
        tips = [("", "@label"), ("t", "@x{0.000 a}"), ("mean", "@y{0.00000}")]
        self.figure.add_tools(HoverTool(renderers=[marks], tooltips=tips))

    def _make_plain(self) -> None:
        """A legend beside the figure, and axes that are easy to read."""
        legend: Any = self.figure.legend[0]
        if self.name in SINGLE:
            legend.visible = False  # the axis has its name, and the caption says the rest
        legend.label_text_font_size = "12px"
        legend.spacing = 0
        legend.padding = 4
        legend.glyph_width = 26
        legend.border_line_color = None
        self.figure.add_layout(legend, "right")
        self.figure.toolbar.logo = None
        self.figure.outline_line_color = "#c8ccd0"
        for axis in self.figure.axis:
            axis.axis_label_text_font_style = "normal"
            axis.axis_label_text_font_size = "14px"
            axis.major_label_text_font_size = "12px"
            axis.minor_tick_line_color = None
        self.figure.grid.grid_line_color = "#eceff1"

    def draw(self, layers: Sequence[Layer]) -> None:
        """Put the numbers of all layers into the sources."""
        theory, files, marks, bars, band = (_Rows() for _ in range(5))
        for layer in layers:
            for curve in layer.theory_curves(self.name):
                if layer.number == 0:
                    self._add_line(theory, curve, curve.dash)
                else:
                    dash = FILE_DASHES[(layer.number - 1) % len(FILE_DASHES)]
                    self._add_line(files, curve, dash)
            for size, curves in enumerate(layer.network_curves(self.name)):
                marker = MARKERS[(layer.number + size) % len(MARKERS)]
                for curve in curves:
                    self._add_marks(marks, bars, curve, marker)
                    self._add_band(band, curve)
        lines = ("xs", "ys", "colour", "dash", "label")
        self.sources["theory"].data = theory.columns(lines)
        self.sources["files"].data = files.columns(lines)
        self.sources["marks"].data = marks.columns(("x", "y", "colour", "fill", "marker", "label"))
        self.sources["bars"].data = bars.columns(("x", "low", "high", "colour"))
        self.band.data = band.columns(("xs", "ys", "colour"))

    def show_age(self, is_stale: bool) -> None:
        """Dim the live curve while its successor is on its way."""
        self.line.glyph.line_alpha = STALE if is_stale else 1.0

    def _add_line(self, rows: _Rows, curve: Curve, dash: Any) -> None:
        seen = self._visible(curve)
        rows.add(
            xs=curve.time[seen].tolist(),
            ys=curve.value[seen].tolist(),
            colour=curve.colour,
            dash=dash,
            label=curve.label,
        )

    def _add_marks(self, marks: _Rows, bars: _Rows, curve: Curve, marker: str) -> None:
        assert curve.error is not None
        seen = np.flatnonzero(self._visible(curve))
        few = seen[:: max(1, len(seen) // MARKS)]
        for index in few:
            x, y, error = curve.time[index], curve.value[index], curve.error[index]
            fill = curve.colour if curve.dash == "solid" else "white"
            marks.add(x=x, y=y, colour=curve.colour, fill=fill, marker=marker, label=curve.label)
            low = self._clipped(y - error, y)
            bars.add(x=x, low=low, high=y + error, colour=curve.colour)

    def _add_band(self, rows: _Rows, curve: Curve) -> None:
        assert curve.spread is not None
        seen = self._visible(curve)
        time, value, spread = curve.time[seen], curve.value[seen], curve.spread[seen]
        if not spread.any():
            return
        low = self._clipped(value - spread, value)
        outline = np.concatenate([low, (value + spread)[::-1]])
        around = np.concatenate([time, time[::-1]])
        rows.add(xs=around.tolist(), ys=outline.tolist(), colour=curve.colour)

    def _visible(self, curve: Curve) -> np.ndarray:
        """Where a curve can be drawn on these axes."""
        seen = np.isfinite(curve.value)
        if self.axes.time:
            seen &= curve.time > 0
        if self.log_value:
            seen &= curve.value > 0
        return seen

    def _clipped(self, low: Any, value: Any) -> Any:
        """The lower end of a bar; on a logarithmic axis it is positive."""
        return np.maximum(low, 0.1 * value) if self.log_value else low


class _Rows:
    """The rows of a source."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def add(self, **entries: Any) -> None:
        self._rows.append(entries)

    def columns(self, names: Sequence[str]) -> dict[str, list]:
        return {name: [row[name] for row in self._rows] for name in names}


def _source(part: str, name: str) -> ColumnDataSource:
    """A source that a test in the browser finds by its name."""
    return ColumnDataSource(name=f"{part}-{name}")


class Board:
    """The figures of all quantities that there are."""

    def __init__(self) -> None:
        self.charts: dict[str, Chart] = {}
        self._key: tuple = ()

    def draw(self, layers: Sequence[Layer], axes: Axes, time_label: str) -> bool:
        """Draw all layers; whether there are other figures than before."""
        names = quantities(*_datasets(layers))
        key = (tuple(names), axes, time_label)
        is_new = key != self._key
        if is_new:
            self._key = key
            self.charts = {name: Chart(name, axes, time_label) for name in names}
        for chart in self.charts.values():
            chart.draw(layers)
        return is_new

    def show_age(self, is_stale: bool) -> None:
        """Dim the live curves of all figures, or not."""
        for chart in self.charts.values():
            chart.show_age(is_stale)


def _datasets(layers: Sequence[Layer]) -> list[Any]:
    found = []
    for layer in layers:
        if layer.theory is not None:
            found.append(layer.theory)
        found += layer.networks
    return found
