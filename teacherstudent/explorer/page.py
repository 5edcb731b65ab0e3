"""The page of one browser: its widgets, and what follows from them.

Widgets change a state; the state means tables; a thread answers the latest tables with a theory;
the answer comes back into the page by a callback of Bokeh, which alone may touch it.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import panel as pn

from teacherstudent.checking import checks
from teacherstudent.explorer import controls, exports
from teacherstudent.explorer.charts import MARKERS, Axes, Board, Layer
from teacherstudent.explorer.controls import AS_IN_FILE, CONTROLS, SECTIONS
from teacherstudent.explorer.curves import symbol_of
from teacherstudent.explorer.latest import LatestWins
from teacherstudent.explorer.live import Answer, Theory
from teacherstudent.explorer.networks import Networks, Training
from teacherstudent.explorer.opening import Opening, opening_of
from teacherstudent.explorer.result_files import Folder, Result
from teacherstudent.explorer.sentences import sentence_of
from teacherstudent.explorer.state import natural_start, state_of, tables_of
from teacherstudent.explorer.widgets import STRETCH, set_value, widget_of

PATIENCE = 300  # milliseconds after which a curve that waits for its successor is dimmed
KEPT = Theory()  # of all pages of this process, which share their programs
MOST_SEEDS = 64

STYLE = """
:root { --ink: #202428; --quiet: #5f6870; --line: #dde1e5; }
body { margin: 0; background: #fff; color: var(--ink); font-family: system-ui, sans-serif; }
"""
GRID = """
:host { display: grid !important; grid-template-columns: 330px minmax(0, 1fr);
  gap: 0 18px; align-items: start; max-width: 1500px; margin: 0 auto !important; }
@media (max-width: 900px) { :host { grid-template-columns: 270px minmax(0, 1fr); gap: 0 8px; } }
"""
COLUMN = ":host { min-width: 0; }"
SIDE = ":host { min-width: 0; border-right: 1px solid #dde1e5; padding-right: 6px; }"


def page_of_session(opening: Opening, folder: Path) -> Any:
    """The page of a new browser, which ends its threads when the browser has gone."""
    page = Page(opening, Folder(folder))
    pn.state.on_session_destroyed(lambda context: page.leave())
    return page.layout


class Page:
    """One page; `layout` is what is shown."""

    def __init__(self, opening: Opening, folder: Folder):
        pn.extension(raw_css=[STYLE])
        self.document = pn.state.curdoc
        self.folder = folder
        self.given: Mapping[str, Any] = {}
        self.answer: Answer | None = None
        self.networks: Networks | None = None
        self.training: Training | None = None
        self.opened: list[Result] = []
        self.board = Board()
        self.worker: LatestWins[dict, Answer] = LatestWins(self._work, self._deliver)
        self._asked: dict[str, Any] = {}
        self._is_setting = False
        self._make_controls()
        self._make_networks()
        self._make_files()
        self._make_exports()
        self.layout = self._arranged()
        self._begin(opening)

    # What is on the page.

    def _make_controls(self) -> None:
        self.widgets = {control.name: widget_of(control) for control in CONTROLS}
        for name, widget in self.widgets.items():
            widget.css_classes = [f"control-{name}"]
            widget.param.watch(partial(self._on_change, name), "value")
        self.log_error = pn.widgets.Checkbox(label="logarithmic error axis", value=True, **STRETCH)
        self.log_error.param.watch(lambda event: self._draw(), "value")
        self.subject = pn.pane.HTML("", **STRETCH)
        self.status = pn.pane.HTML("", **STRETCH)
        self.tabs = pn.Tabs(dynamic=False, sizing_mode="stretch_width")
        self.caption = pn.pane.HTML("", **STRETCH)

    def _make_networks(self) -> None:
        self.size = pn.widgets.Select(
            label="input dimension N", options=list(controls.SIZES), value=500, width=130
        )
        self.seeds = pn.widgets.IntInput(
            label="networks (seeds)", value=8, start=1, end=MOST_SEEDS, width=120
        )
        self.method = pn.widgets.Select(
            label="method", options=["weights", "reduced", "auto"], value="weights", width=120
        )
        self.run = pn.widgets.Button(label="Simulate", color="primary", width=100)
        self.stop = pn.widgets.Button(label="Stop", disabled=True, width=80)
        self.progress = pn.indicators.Progress(value=0, max=100, width=160, visible=False)
        self.verdict = pn.pane.HTML("", **STRETCH)
        self.run.on_click(lambda event: self.simulate())
        self.stop.on_click(lambda event: self.stop_networks())

    def _make_files(self) -> None:
        self.files = pn.widgets.MultiChoice(
            label="result files below the folder of the server",
            options=self.folder.names(),
            placeholder="choose one or several .h5 files",
            **STRETCH,
        )
        self.refresh = pn.widgets.Button(label="Look again", width=100)
        self.adopt = pn.widgets.Button(label="Set the controls from the file", width=220)
        self.selectors = _line([])
        self.about_files = pn.pane.HTML("", **STRETCH)
        self.files.param.watch(lambda event: self._read_files(), "value")
        self.refresh.on_click(lambda event: self._look_again())
        self.adopt.on_click(lambda event: self._adopt())

    def _make_exports(self) -> None:
        self.exports = {}
        for ending, label, make in (
            ("toml", "experiment (.toml)", exports.toml_of),
            ("py", "Python script (.py)", exports.python_of),
            ("h5", "result file (.h5)", exports.hdf5_of),
        ):
            self.exports[ending] = pn.widgets.FileDownload(
                callback=partial(self._exported, make),
                filename=f"explored.{ending}",
                label=label,
                auto=True,
                embed=False,
                width=190,
                disabled=True,
            )

    def _arranged(self) -> Any:
        """The controls beside the figures, and below these what is done with them."""
        side: list[Any] = [
            pn.pane.HTML("<h2 style='margin:6px 0 0'>teacherstudent</h2>", **STRETCH)
        ]
        for section in SECTIONS:
            side.append(_title(section))
            side += [self.widgets[one.name] for one in CONTROLS if one.section == section]
        side.append(self.log_error)
        networks = [self.size, self.seeds, self.method, self.run, self.stop, self.progress]
        files = [self.refresh, self.adopt]
        main = [
            self.subject,
            self.status,
            self.tabs,
            self.caption,
            _title("Networks of finite N, from the same start"),
            _line(networks),
            self.verdict,
            _title("Result files"),
            self.files,
            _line(files),
            self.selectors,
            self.about_files,
            _title("Take away exactly what is seen"),
            _line(self.exports.values()),
        ]
        return pn.Row(
            pn.Column(*side, stylesheets=[SIDE], sizing_mode="stretch_width"),
            pn.Column(*main, stylesheets=[COLUMN], sizing_mode="stretch_width"),
            stylesheets=[GRID],
            sizing_mode="stretch_width",
        )

    # From widgets to the theory.

    @property
    def state(self) -> dict[str, Any]:
        """The values of all controls."""
        return {name: widget.value for name, widget in self.widgets.items()}

    def _begin(self, opening: Opening) -> None:
        if opening.result is not None:
            self._show_opened([opening.result])
        if opening.tables:
            self.set_tables(opening.tables)
        else:
            self._follow()
        if opening.result is not None and opening.sentence:
            self.about_files.object = _quiet(html.escape(opening.sentence))

    def set_tables(self, tables: Mapping[str, Any]) -> None:
        """Put the controls to where they mean the tables of a file."""
        self.given = tables
        self.subject.object = f"<b>{html.escape(tables['title'])}</b>"
        self._is_setting = True
        try:
            for name, value in state_of(tables).items():
                set_value(self.widgets[name], value)
            simulation = tables.get("simulation", {})
            if "N" in simulation:
                set_value(self.size, checks.listed(simulation["N"])[0])
            if isinstance(simulation.get("seeds"), int):
                self.seeds.value = min(simulation["seeds"], MOST_SEEDS)
        finally:
            self._is_setting = False
        self._follow()

    def _on_change(self, name: str, event: Any) -> None:
        if self._is_setting:
            return
        if name == "task" and event.new != AS_IN_FILE:
            self._is_setting = True
            self.widgets["start"].value = natural_start(event.new)
            self._is_setting = False
        self._follow()

    def _follow(self) -> None:
        """Show the controls that matter, and ask for the theory of the state."""
        state = self.state
        for control in CONTROLS:
            self.widgets[control.name].visible = control.shown(state)
        tables = tables_of(state, self.given)
        if tables == self._asked:
            return
        self._asked = tables
        self.status.object = _working("computing ...")
        self._call_later(PATIENCE, self._dim_if_waiting)
        self.worker.ask(tables)

    def _work(self, tables: dict[str, Any]) -> Answer:
        """In the thread of the theories."""
        return KEPT.answer(tables, lambda: self._in_page(partial(self._say_compiling, tables)))

    def _deliver(self, tables: dict[str, Any], answer: Answer, is_latest: bool) -> None:
        self._in_page(partial(self._take, answer))

    def _say_compiling(self, tables: dict[str, Any]) -> None:
        if tables == self._asked:
            self.status.object = _working(
                "compiling: once for each number of units, activation, rule and kind of schedule; "
                "some seconds, less where an earlier run has kept the program ..."
            )

    def _take(self, answer: Answer) -> None:
        """Show an answer; one that was overtaken is shown while the next is computed."""
        is_latest = answer.tables == self._asked
        if answer.sentence:
            if is_latest:
                earlier = " The pale curves are of the settings before." if self.answer else ""
                self.status.object = _failure(f"{answer.sentence}{earlier}")
                self.board.show_age(True)
                self._let_export(False)
            return
        self.answer = answer
        self._draw()
        self.board.show_age(False)
        if is_latest:
            notes = "".join(_warning(note) for note in answer.notes)
            took = f"theory in {answer.seconds:.2f} s"
            if answer.has_compiled:
                took += ", compiling included; from now on a change of a number is quick"
            self.status.object = _good(f"{took}.") + notes
            self._let_export(True)

    def _dim_if_waiting(self) -> None:
        """Let no curve stand as new while another one is on its way."""
        if not self.is_current:
            self.board.show_age(True)
            self._let_export(False)

    @property
    def is_current(self) -> bool:
        """Whether the curve that is shown is that of the controls."""
        return self.answer is not None and self.answer.tables == self._asked

    # Networks.

    def simulate(self) -> None:
        """Train networks on what is shown, in the background."""
        if self.training is not None:
            return
        if self.answer is None or not self.is_current:
            self.verdict.object = _failure(
                "there is no theory of these settings to begin from yet."
            )
            return
        options = {"N": self.size.value, "seeds": self.seeds.value, "method": self.method.value}
        self.run.disabled = True
        self.stop.disabled = False
        self.progress.value = 0
        self.progress.visible = True
        self.verdict.object = _working("training networks ...")
        show = lambda share: self._in_page(partial(self._show_progress, share))
        finish = lambda networks: self._in_page(partial(self._finish, networks))
        self.training = Training(self.answer, options, show, finish)
        self.training.start()

    def stop_networks(self) -> None:
        """End the training at its next recorded time."""
        if self.training is not None:
            self.training.stop()
            self.stop.disabled = True

    def _show_progress(self, share: float) -> None:
        if self.training is not None:
            self.progress.value = min(100, int(100 * share))

    def _finish(self, networks: Networks) -> None:
        self.training = None
        self.run.disabled = False
        self.stop.disabled = True
        self.progress.visible = False
        if networks.simulation is None:
            self.verdict.object = _failure(networks.sentence)
            return
        self.networks = networks
        self._draw()

    @property
    def shown_networks(self) -> Networks | None:
        """The networks, if they are of the problem that is shown."""
        if self.networks is None or self.answer is None:
            return None
        return self.networks if _same_curve(self.networks.tables, self.answer.tables) else None

    def _tell_verdict(self) -> None:
        if self.training is not None or self.networks is None:
            return
        networks = self.shown_networks
        if networks is None:
            self.verdict.object = _quiet(
                "The networks that were trained are of other settings, and hidden until the "
                "controls are back at these."
            )
            return
        text = f"<b>{html.escape(networks.verdict)}</b>"
        if networks.sentence:
            text += " " + html.escape(networks.sentence.capitalize())
        text += _quiet(f"{networks.seconds:.1f} s")
        self.verdict.object = text + "".join(_warning(note) for note in networks.notes)

    # Files.

    def _look_again(self) -> None:
        self.files.options = self.folder.names()

    def _read_files(self) -> None:
        results, sentences = [], []
        for name in self.files.value:
            try:
                results.append(self.folder.read(name))
            except Exception as error:  # damaged, or none of ours: the page tells it
                sentences.append(_failure(sentence_of(error)))
        self._show_opened(results)
        if sentences:
            self.about_files.object = "".join(sentences) + (self.about_files.object or "")

    def _show_opened(self, results: list[Result]) -> None:
        self.opened = results
        self._choosers: list[tuple[Result, dict[str, Any]]] = []
        rows = []
        for result in results:
            widgets = {}
            for dim, values in result.axes.items():
                widget = pn.widgets.Select(
                    label=f"{result.name}: {dim}", options=values, value=values[0], width=190
                )
                widget.param.watch(lambda event: self._draw(), "value")
                widgets[dim] = widget
                rows.append(widget)
            self._choosers.append((result, widgets))
        self.selectors.objects = rows
        self.about_files.object = "".join(
            f"<div>{html.escape(one.name)}: {html.escape(one.verdict)}</div>"
            for one in results
            if one.verdict
        )
        self._draw()

    def _points(self) -> list[Result]:
        """The opened results; of a sweep the point that is selected."""
        points = []
        for result, widgets in getattr(self, "_choosers", []):
            if not widgets:
                points.append(result)
                continue
            try:
                points.append(result.point(**{dim: one.value for dim, one in widgets.items()}))
            except ValueError as error:  # a combination that the sweep has not
                self.about_files.object = _failure(str(error))
        return points

    def _adopt(self) -> None:
        points = self._points()
        if not points:
            self.about_files.object = _failure("choose a result file first.")
            return
        opening = opening_of(points[0])
        if opening.tables:
            self.set_tables(opening.tables)
        self.about_files.object = _quiet(html.escape(opening.sentence))

    # Figures and exports.

    def _draw(self) -> None:
        """Draw all that is seen."""
        if not hasattr(self, "layout"):
            return
        layers = []
        if self.answer is not None:
            networks = self.shown_networks
            simulations = [] if networks is None else [networks.simulation]
            layers.append(Layer(0, self.answer.theory, simulations))
        points = self._points()
        for number, point in enumerate(points, start=1):
            layers.append(Layer(number, point.theory, point.networks))
        if not layers:
            return
        axes = Axes(self.widgets["spacing"].value == "log", self.log_error.value)
        if self.board.draw(layers, axes, self._time_label()):
            self._renew_tabs()
        self.caption.object = self._legend(points)
        self._tell_verdict()

    def _time_label(self) -> str:
        """The time of most rules is t; that of a flow is tau."""
        if self.answer is None or self.answer.theory is None:
            return "time  t = updates / N"
        about = self.answer.theory.time.attrs
        if controls.rule_type(self.state) == "GradientFlow":
            return "time  τ = η t = η updates / N"
        return f"time  t = {about.get('units', 'updates / N')}"

    def _renew_tabs(self) -> None:
        active = self.tabs.active
        panes = []
        for name, chart in self.board.charts.items():
            panes.append((symbol_of(name), pn.pane.Bokeh(chart.figure, **STRETCH)))
        self.tabs[:] = panes
        self.tabs.active = min(max(active, 0), len(panes) - 1)

    def _legend(self, points: list[Result]) -> str:
        """What lines, marks and bands are."""
        parts = ["<b>line</b>: theory, N → ∞"]
        networks = self.shown_networks
        if networks is not None:
            N = networks.tables["simulation"]["N"]
            seeds = networks.tables["simulation"]["seeds"]
            parts.append(
                f"<b>marks</b>: mean of {seeds} networks, N = {N}, bars its standard error, "
                "<b>band</b> ± the standard deviation of one network"
            )
        for number, point in enumerate(points, start=1):
            style = ("dashed", "dotted", "long and short dashes", "short dashes")[(number - 1) % 4]
            if point.networks:
                style += f" and {MARKERS[number % len(MARKERS)]}s".replace("_", " ")
            parts.append(f"<b>{style}</b>: {html.escape(point.name)}")
        return _quiet("; ".join(parts) + ".")

    def _let_export(self, allowed: bool) -> None:
        for button in self.exports.values():
            button.disabled = not allowed

    def _exported(self, make: Callable[[Answer, Networks | None], str | bytes]) -> Any:
        assert self.answer is not None, "the buttons are off until there is an answer"
        content = make(self.answer, self.shown_networks)
        return io.BytesIO(content.encode() if isinstance(content, str) else content)

    # Threads.

    def _in_page(self, work: Callable[[], None]) -> None:
        """Do something in the thread that owns the page; without a browser, at once."""
        if self.document is None or self.document.session_context is None:
            work()
        else:
            self.document.add_next_tick_callback(work)

    def _call_later(self, milliseconds: int, work: Callable[[], None]) -> None:
        if self.document is not None and self.document.session_context is not None:
            self.document.add_timeout_callback(work, milliseconds)

    def leave(self) -> None:
        """End the threads of a page whose browser has gone."""
        self.worker.leave()
        self.stop_networks()


def _same_curve(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two tables are of the same theory, whatever networks they train."""
    parts = (
        {key: one for key, one in tables.items() if key != "simulation"}
        for tables in (first, second)
    )
    return next(parts) == next(parts)


def _line(widgets: Iterable[Any]) -> Any:
    """Widgets side by side, on a second line where the page is narrow."""
    return pn.FlexBox(*widgets, align_items="end", gap="0 4px", sizing_mode="stretch_width")


def _title(text: str) -> Any:
    return pn.pane.HTML(
        f"<div style='font-weight:600;border-bottom:1px solid #dde1e5;margin-top:8px'>{text}</div>",
        **STRETCH,
    )


def _working(text: str) -> str:
    return f"<div class='status working' style='color:#8a5a00'>{html.escape(text)}</div>"


def _good(text: str) -> str:
    return f"<div class='status ready' style='color:#1b6e3c'>{html.escape(text)}</div>"


def _failure(text: str) -> str:
    return f"<div class='status failed' style='color:#b3261e'>{html.escape(text)}</div>"


def _warning(text: str) -> str:
    return f"<div style='color:#8a5a00'>{html.escape(text)}</div>"


def _quiet(text: str) -> str:
    return f"<div style='color:#5f6870'>{text}</div>"
