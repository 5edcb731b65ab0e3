"""Bars on a terminal and in a notebook, by what they write and display."""

import sys
import types

import pytest

import teacherstudent as ts
from teacherstudent import progress

PROBLEM = ts.Problem(ts.TeacherStudent(1), ts.Student(2), ts.SGD(0.2))
START = ts.OrderParameters(Q=[[1.0, 0.0], [0.0, 1.0]], R=[[0.1], [0.1]])


class ZMQInteractiveShell:
    """A shell of the name by which a notebook is known."""


class Page:
    """What a notebook displays in one place."""

    def __init__(self, content):
        self.contents = [content.data]

    def update(self, content):
        self.contents.append(content.data)


@pytest.fixture
def pages(monkeypatch):
    """A notebook, as far as bars know one: the places in which something was displayed."""
    shown = []

    class HTML:
        def __init__(self, data):
            self.data = data

    def display(content, display_id):
        assert display_id
        shown.append(Page(content))
        return shown[-1]

    IPython = types.ModuleType("IPython")
    IPython.get_ipython = ZMQInteractiveShell
    page_module = types.ModuleType("IPython.display")
    page_module.HTML, page_module.display = HTML, display
    monkeypatch.setitem(sys.modules, "IPython", IPython)
    monkeypatch.setitem(sys.modules, "IPython.display", page_module)
    return shown


def test_a_terminal_names_the_networks_and_the_time_left(capsys):
    ts.simulate(PROBLEM, START, [0.0, 2.0], N=50, seeds=3, progress=True)
    text = capsys.readouterr().err
    assert "N = 50, 3 networks: t = 0 of 2" in text and "left" in text


def test_nothing_is_shown_where_nobody_watches(capsys):
    ts.simulate(PROBLEM, START, [0.0, 1.0], N=50, seeds=2)
    assert capsys.readouterr().err == ""


def test_a_notebook_shows_a_bar_of_its_own_that_disappears(pages, capsys):
    ts.simulate(PROBLEM, START, [0.0, 2.0], N=50, seeds=3)
    assert len(pages) == 1
    first, *_, last = pages[0].contents
    assert first.startswith('<progress value="0.0" max="2.0">')
    assert "N = 50, 3 networks: t = 0 of 2" in first and "|" not in first
    assert last == ""
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out == ""


def test_a_bar_that_is_not_wanted_shows_nothing_in_a_notebook(pages):
    with progress.progress_bar(10.0, False) as bar:
        bar.reach(5.0)
    assert not pages


def test_the_first_call_does_not_count_for_the_rate():
    """It compiles: ten places in a hundred seconds, then ten in each second."""
    with progress.progress_bar(1000.0, True) as bar:
        clock = [0.0]
        bar._time = lambda: clock[0]
        bar.start_t = bar.last_print_t = 0.0
        bar.mininterval = 0.0
        for place, now in ((10.0, 100.0), (20.0, 101.0), (30.0, 102.0), (40.0, 103.0)):
            clock[0] = now
            bar.reach(place)
        assert bar.format_dict["rate"] == pytest.approx(10.0)


def test_an_escape_says_how_many_steps_there_are_at_most(capsys):
    task = ts.SpikedCumulant(10.0, ("skewed", 0.2))
    student = ts.Student(1, (0, -0.5, 0, 1 / 6))
    neuron = ts.Problem(task, student, ts.SphericalSGD(1.0), loss="correlation")
    ts.escape(neuron, 20, seeds=2, max_steps=50, progress=True)
    assert "N = 20, 2 networks: step 0 of at most 50" in capsys.readouterr().err
