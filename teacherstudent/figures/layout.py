"""What a kind of figure answers: panels in rows, which are drawn into any axes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from teacherstudent.figures.picture import Picture
from teacherstudent.figures.results import Results

Draw = Callable[[Axes], None]
LEGEND = 0.3  # inches below the panels
SMALL = 7


class Row(NamedTuple):
    """Panels beside each other.

    - `panels`: each draws into one axes.
    - `finish`: what is done when all of them are drawn, such as a colour bar for all.
    - `width`, `height`: of each panel, in inches.
    """

    panels: Sequence[Draw]
    finish: Callable[[list[Axes]], Any] | None = None
    width: float = 3.5
    height: float = 2.9


class Layout(NamedTuple):
    """A figure before it is drawn.

    - `rows`: its panels.
    - `parameters`: what was computed, in one line, for the title.
    - `keys`: handles of a legend that says what lines, marks and bands are everywhere.
    """

    rows: Sequence[Row]
    parameters: str
    keys: Sequence[Any] = ()

    @property
    def panels(self) -> int:
        """How many axes it needs."""
        return sum(len(row.panels) for row in self.rows)

    def picture(self, headline: str) -> Picture:
        """The figure by itself, with a title."""
        columns = max(len(row.panels) for row in self.rows)
        width = max(len(row.panels) * row.width for row in self.rows) + 0.3
        heights = [row.height for row in self.rows]
        picture = Picture(width, sum(heights) + (LEGEND if self.keys else 0.0))
        grid = picture.add_gridspec(len(self.rows), columns, height_ratios=heights)
        for number, row in enumerate(self.rows):
            span = min(2, columns // len(row.panels))  # of few panels above many smaller ones
            places = [slice(at * span, (at + 1) * span) for at in range(len(row.panels))]
            _draw(row, [picture.add_subplot(grid[number, place]) for place in places])
        picture.fit_legend(list(self.keys))
        picture.set_heading(headline, self.parameters)
        return picture

    def draw_into(self, given: np.ndarray) -> None:
        """Draw into a user's axes, one for each panel; what the legend below a figure would say is
        in a legend of the first.
        """
        left = list(given)
        for row in self.rows:
            axes, left = left[: len(row.panels)], left[len(row.panels) :]
            _draw(row, axes)
        if self.keys:
            add_to_legend(given[0], self.keys)


class Kind(ABC):
    """A kind of figure: what results it is of, and what it shows of them."""

    @abstractmethod
    def fits(self, results: Results) -> bool:
        """Whether these results have what the figure shows."""

    @abstractmethod
    def layout(self, results: Results) -> Layout:
        """The panels of results that fit."""


def _draw(row: Row, axes: list[Axes]) -> None:
    for panel, one in zip(row.panels, axes, strict=True):
        panel(one)
    if row.finish is not None:
        row.finish(axes)


def add_to_legend(axes: Axes, keys: Sequence[Any]) -> None:
    """A legend of the panel's own entries and of others, each name once."""
    handles, labels = axes.get_legend_handles_labels()
    for key in keys:
        if key.get_label() not in labels:
            handles.append(key)
            labels.append(key.get_label())
    axes.legend(handles, labels, fontsize=SMALL, framealpha=0.8, edgecolor="none")
