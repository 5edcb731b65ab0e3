"""The files of the gallery: all there, whole, small, of the set-ups as they are now, and shown on
the page.
"""

from pathlib import Path

import pytest

import teacherstudent as ts
from teacherstudent.command import published
from teacherstudent.command.experiment import Experiment
from teacherstudent.command.gallery import FAST, entries_in
from teacherstudent.command.gallery_entries import (
    LARGEST_FILE,
    LARGEST_FOLDER,
    Entry,
    file_of,
    picture_of,
)
from teacherstudent.command.gallery_page import page_of
from teacherstudent.command.tables import TEXTS
from tests.imports import ROOT

RESULTS = ROOT / "results"
NAMES = published.names()


@pytest.mark.parametrize("name", NAMES)
def test_its_file_is_whole_and_of_the_set_up_as_it_is_now(name):
    report = ts.validate(file_of(name, RESULTS))
    assert report.ok, str(report)
    entry = Entry.read(name, RESULTS)
    assert entry.facts["set_up"] == name
    assert entry.is_current(), f"{name} has changed; run `teacherstudent gallery {name}`"


@pytest.mark.parametrize("name", NAMES)
def test_its_texts_say_what_is_seen_and_whose_parameters_they_are(name):
    tables = published.read(name)[1]
    assert tables["seen"].endswith(".") and tables["parameters"].endswith(".")
    assert tables["reference"]


def test_every_set_up_has_a_picture():
    for name in NAMES:
        assert picture_of(name, RESULTS).read_bytes().startswith(b"\x89PNG"), name


def test_no_file_is_of_a_set_up_that_there_is_not():
    tracked = set(NAMES) | {"demo"}
    assert {path.stem for path in RESULTS.glob("*-*.h5")} <= tracked


def test_files_are_small():
    gallery = [file for name in NAMES for file in RESULTS.glob(f"{name}.*")]
    sizes = {file.name: file.stat().st_size for file in gallery}
    assert max(sizes.values()) < LARGEST_FILE, max(sizes, key=lambda name: sizes[name])
    assert sum(sizes.values()) < LARGEST_FOLDER


def test_the_page_is_what_the_files_say(monkeypatch):
    monkeypatch.chdir(ROOT)
    folder, page = Path("results"), Path("docs/gallery.md")
    expected = page_of(entries_in(folder), folder, page)
    assert page.read_text() == expected, "run `teacherstudent gallery --redraw`"


def test_the_fast_set_ups_are_of_the_gallery():
    assert set(FAST) <= set(NAMES)


def test_texts_do_not_change_the_fingerprint_and_numbers_do():
    tables = published.read("linear-noisy")[1]
    before = Experiment.from_tables("linear-noisy", tables).fingerprint
    texts = {name: "other" for name in TEXTS if name != "kind"}
    assert Experiment.from_tables("linear-noisy", tables, texts).fingerprint == before
    changed = Experiment.from_tables("linear-noisy", tables, {"rule.learning_rate": 0.31})
    assert changed.fingerprint != before
