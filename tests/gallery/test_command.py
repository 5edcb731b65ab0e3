"""The command `gallery`: what it refuses, what it notices, and what it leaves alone."""

import json
import shutil

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.command import gallery_entries
from teacherstudent.command.gallery_check import differences
from teacherstudent.command.gallery_entries import Entry, file_of, picture_of
from teacherstudent.results.datasets import DESCRIPTION
from tests.imports import ROOT
from tests.teacherstudent.test_cli import run, run_and_keep

RESULTS = ROOT / "results"
NAME = "linear-noisy"


def falsified(entry, path, name, factor):
    """The entry with one number of one variable multiplied by a factor."""
    tree = entry.tree.copy(deep=True)
    node = tree[path]
    data = node.to_dataset()
    data[name].values.flat[-1] *= factor
    node.dataset = data
    return Entry(entry.name, entry.tables, tree)


@pytest.fixture
def kept():
    return Entry.read(NAME, RESULTS)


def test_unknown_names_are_refused_with_the_nearest(tmp_path):
    result = run("gallery", "linear-noisi", "--folder", tmp_path, cwd=tmp_path)
    assert result.returncode == 2
    assert "'linear-noisi' is no set-up of the gallery; did you mean 'linear-noisy'?" in (
        result.stderr
    )


def test_a_file_that_is_not_there_is_named(tmp_path):
    result = run_and_keep("gallery", NAME, "--check", "--folder", tmp_path, cwd=tmp_path)
    assert result.returncode == 2
    assert "make it with `teacherstudent gallery linear-noisy`" in result.stderr


def test_the_list_says_what_there_is(tmp_path):
    result = run("gallery", "--list", "--folder", tmp_path, cwd=tmp_path)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert any(line.startswith(NAME) and line.endswith("(no file yet)") for line in lines)


def test_a_file_agrees_with_itself(kept):
    assert differences(kept, kept) == []


@pytest.mark.parametrize(
    ("path", "name", "factor"),
    [
        ("/theory", "eps_g", 1 + 1e-5),
        ("/theory", "R", 1 + 1e-5),
        ("/simulation", "eps_g", 1 + 1e-6),
        ("/simulation", "Q", 2.0),
    ],
)
def test_a_falsified_number_is_found(kept, path, name, factor):
    found = differences(falsified(kept, path, name, factor), kept)
    assert [one.place for one in found] == [f"{path}/{name}"]


def test_networks_of_another_processor_are_compared_within_their_errors(kept):
    elsewhere = kept.tree.copy(deep=True)
    facts = json.loads(elsewhere.attrs[DESCRIPTION])
    facts[gallery_entries.GALLERY]["processor"] = "another"
    elsewhere.attrs[DESCRIPTION] = json.dumps(facts)
    other = Entry(NAME, kept.tables, elsewhere)
    assert differences(falsified(other, "/simulation", "eps_g", 1 + 1e-4), kept) == []
    assert differences(falsified(other, "/simulation", "eps_g", 50.0), kept) != []


def test_a_file_of_a_set_up_that_has_changed_is_outdated(kept):
    tree = kept.tree.copy(deep=True)
    facts = json.loads(tree.attrs[DESCRIPTION])
    facts[gallery_entries.GALLERY]["fingerprint"] = "of another one"
    tree.attrs[DESCRIPTION] = json.dumps(facts)
    outdated = Entry(NAME, kept.tables, tree)
    assert not outdated.is_current()
    assert "is of a set-up that has changed since" in str(differences(outdated, kept)[0])


@pytest.mark.slow
def test_check_computes_anew_finds_a_falsified_number_and_changes_no_file(tmp_path, kept):
    file = file_of(NAME, tmp_path)
    shutil.copy(file_of(NAME, RESULTS), file)
    before = file.read_bytes()
    result = run_and_keep("gallery", NAME, "--check", "--folder", tmp_path, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{NAME}: the numbers of the file" in result.stdout
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]

    ts.save(file, falsified(kept, "/theory", "Q", 1 + 1e-5).tree, force=True)
    result = run_and_keep("gallery", NAME, "--check", "--folder", tmp_path, cwd=tmp_path)
    assert result.returncode == 1
    assert "DIFFERENT" in result.stdout and "/theory/Q" in result.stdout


def test_redraw_computes_nothing_and_writes_pictures_and_page(tmp_path):
    folder, page = tmp_path / "results", tmp_path / "gallery.md"
    folder.mkdir()
    shutil.copy(file_of(NAME, RESULTS), folder)
    before = file_of(NAME, folder).read_bytes()
    result = run("gallery", NAME, "--redraw", "--folder", folder, "--page", page, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert file_of(NAME, folder).read_bytes() == before
    assert picture_of(NAME, folder).read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert ":img-top: results/linear-noisy.png" in text
    assert "`teacherstudent run linear-noisy`" in text


def test_a_theory_made_anew_keeps_the_networks(kept):
    tree = gallery_entries.integrated_anew(kept, progress=False)
    for name in ("Q", "eps_g"):
        anew = tree["simulation"][name].values
        assert np.array_equal(anew, kept.tree["simulation"][name].values)
    assert differences(kept, Entry(NAME, kept.tables, tree)) == []
