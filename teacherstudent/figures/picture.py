"""The figure that `ts.plot` answers: it knows its heading, and shows itself in a notebook."""

import io
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

HEADLINE = 10.0  # points
SMALL = 8.0
LINE = 1.3  # the height of a line, in units of its letters
MARGIN = 0.12  # inches above, below and beside the heading
SCREEN = 110  # dots per inch in a notebook
WORD = re.compile(r"(?:\$[^$]*\$|\S)+")  # a formula is not broken
POINTS_PER_INCH = 72


class Picture(Figure):
    """A matplotlib figure that a notebook shows by itself, without pyplot."""

    def __init__(self, width: float, height: float):
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=SCREEN)
        return content.getvalue()

    def set_heading(self, headline: str, parameters: str) -> None:
        """Write a title above a smaller line; both are broken where the figure ends.

        The figure grows by the height that they take.
        """
        room = self.get_figwidth() - 2 * MARGIN
        lines = wrapped(headline, room, partial(self._width_of, HEADLINE))
        small = wrapped(parameters, room, partial(self._width_of, SMALL))
        heights = [HEADLINE * LINE] * len(lines) + [SMALL * LINE] * len(small)
        reserved = sum(heights) / POINTS_PER_INCH + MARGIN
        width, height = self.get_size_inches()
        height += reserved
        self.set_size_inches(width, height)
        engine = self.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0.0, 0.0, 1.0, 1.0 - reserved / height))  # type: ignore[call-arg]
        y = 1.0 - MARGIN / 2 / height
        for text, size in ((lines, HEADLINE), (small, SMALL)):
            if text:
                self.text(
                    0.5,
                    y,
                    "\n".join(text),
                    ha="center",
                    va="top",
                    size=size,
                    linespacing=LINE,
                    in_layout=False,
                )
            y -= len(text) * size * LINE / POINTS_PER_INCH / height

    def _width_of(self, size: float, text: str) -> float:
        """The width of a text in inches."""
        shown = Text(0, 0, text, size=size, figure=self)
        return shown.get_window_extent(self._renderer()).width / self.dpi

    def _renderer(self) -> Any:
        return self.canvas.get_renderer()  # type: ignore[attr-defined]

    def fit_legend(self, handles: list) -> None:
        """A legend of the whole figure below its panels, in as many columns as fit."""
        if not handles:
            return
        for columns in range(len(handles), 0, -1):
            legend = self.legend(
                handles=handles,
                loc="outside lower center",
                ncols=columns,
                fontsize=SMALL,
                frameon=False,
            )
            width = legend.get_window_extent(self._renderer()).width
            if columns == 1 or width < (self.get_figwidth() - MARGIN) * self.dpi:
                return
            legend.remove()


def wrapped(text: str, room: float, width_of: Callable[[str], float]) -> list[str]:
    """The text in lines no wider than there is room, by the width of a word."""
    space = width_of("a b") - width_of("ab")
    lines: list[list[str]] = []
    left = 0.0
    for word in WORD.findall(text):
        width = width_of(word) + space
        if lines and width <= left:
            lines[-1].append(word)
        else:
            lines.append([word])
            left = room + space
        left -= width
    return [" ".join(words) for words in lines]
