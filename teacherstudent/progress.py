"""Bars that say how far a long computation is: a line on a terminal, a bar in a notebook.

A notebook needs no package for it but IPython, which runs it.  The time that is left is by the rate
of late.
"""

from __future__ import annotations

import sys
from html import escape
from typing import Any

from tqdm import tqdm

TIMES = "{desc}t = {n:.4g} of {total:.4g} |{bar}| {postfix}{elapsed}, {remaining} left"
STEPS = "{desc}step {n:.3g} of at most {total:.3g} |{bar}| {elapsed}, at most {remaining} left"
POINTS = "{desc}{n:.0f} of {total:.0f} points |{bar}| {rate_fmt}, {elapsed}, {remaining} left"
NAME_OF_NOTEBOOKS = "ZMQInteractiveShell"  # the shell of IPython that answers to a notebook


def progress_bar(
    total: float | int,
    progress: bool | None,
    *,
    label: str = "",
    initial: float | int = 0,
    form: str = TIMES,
    delay: float = 0.0,
) -> Bar:
    """A bar from `initial` to `total`, to be used in a `with` statement.

    - `progress`: None shows it where somebody watches, on a terminal or in a notebook.
    - `label`: what is computed, such as "N = 1000, 8 networks".
    - `form`: what stands beside the bar, one of those above.
    - `delay`: seconds in which no bar is shown, since short work needs none.
    """
    kind = NotebookBar if in_notebook() else Bar
    return kind(
        total=total,
        initial=initial,
        desc=f"{label}: " if label else None,
        bar_format=form,
        delay=delay,
        leave=False,
        miniters=0,
        unit=" points",
        disable=not is_shown(progress),
    )


def is_shown(progress: bool | None) -> bool:
    """Whether progress is to be shown: as wanted, or where somebody watches."""
    if progress is None:
        return in_notebook() or sys.stderr.isatty()
    return progress


def in_notebook() -> bool:
    """Whether this runs in a notebook, whose pages take more than lines of text."""
    IPython = sys.modules.get("IPython")
    if IPython is None:
        return False
    return type(IPython.get_ipython()).__name__ == NAME_OF_NOTEBOOKS


class Bar(tqdm):
    """A line on a terminal."""

    disable: bool
    compiled = False  # whether the first call of the program is over

    def reach(self, place: float | int) -> None:
        """Show that the computation is at a place.

        The first call of a program compiles it, and its time says nothing about the later ones:
        the rate is counted from there on.
        """
        if self.disable:
            return
        if not self.compiled:
            self.compiled = True
            self.n = self.initial = self.last_print_n = place
            self.unpause()
        self.update(place - self.n)


class NotebookBar(Bar):
    """The same as a bar of the browser, which disappears at the end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.page: Any = None  # the handle of what is displayed, once something is
        super().__init__(*args, **kwargs)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the state in the page; with an empty message, nothing any more."""
        from IPython.display import HTML, display

        content = HTML("" if msg == "" else self._as_html())
        if self.page is not None:
            self.page.update(content)
        elif msg != "":
            self.page = display(content, display_id=True)

    def clear(self, *args: Any, **kwargs: Any) -> None:
        """Remove the bar from the page."""
        if self.page is not None:
            self.display("")

    def close(self) -> None:
        """End the bar."""
        if self.disable:
            return
        self.clear()
        # The end of tqdm's own bar would write to the error stream.
        self.disable = True
        self._decr_instances(self)

    def _as_html(self) -> str:
        facts = self.format_dict
        text = self.format_meter(
            **{**facts, "bar_format": facts["bar_format"].replace("|{bar}|", "")}
        )
        return f'<progress value="{self.n}" max="{self.total}"></progress> {escape(text)}'
