"""The command `gallery`: what it refuses, what it notices, and what it leaves alone."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

import teacherstudent as ts
from teacherstudent.command import gallery_entries, published
from teacherstudent.command.cli import app
from teacherstudent.command.gallery import FAST
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


def changed(entry, path, change):
    """The entry with another dataset in one group."""
    tree = entry.tree.copy(deep=True)
    tree[path].dataset = change(tree[path].to_dataset())
    return Entry(entry.name, entry.tables, tree)


def redescribed(data, change):
    """The dataset with another description, which a function changes in place."""
    described = json.loads(data.attrs[DESCRIPTION])
    change(described)
    return data.assign_attrs({DESCRIPTION: json.dumps(described)})


def with_number(data, name, value):
    """The dataset with another last number of one variable."""
    data = data.copy(deep=True)
    data[name].values.flat[-1] = value
    return data


def places_of(file, result):
    """Where a file differs from a result."""
    return [one.place for one in differences(file, result)]


@pytest.fixture(scope="module")
def kept():
    return Entry.read(NAME, RESULTS)


@pytest.fixture(scope="module")
def escape():
    return Entry.read("escape-k1", RESULTS)


def of_another_processor(entry):
    """The entry as if it had been computed elsewhere."""
    tree = entry.tree.copy(deep=True)
    facts = json.loads(tree.attrs[DESCRIPTION])
    facts[gallery_entries.GALLERY]["processor"] = "another"
    tree.attrs[DESCRIPTION] = json.dumps(facts)
    return Entry(entry.name, entry.tables, tree)


def test_unknown_names_are_refused_with_the_nearest(tmp_path):
    result = run("gallery", "linear-noisi", "--folder", tmp_path, cwd=tmp_path)
    assert result.returncode == 2
    assert "'linear-noisi' is no set-up of the gallery; did you mean 'linear-noisy'?" in (
        result.stderr
    )


def test_a_file_that_is_not_there_is_named(tmp_path):
    result = run_and_keep("gallery", NAME, "--check", "--folder", tmp_path, cwd=tmp_path)
    assert result.returncode == 1
    assert f"{NAME}: DIFFERENT" in result.stdout
    assert "make it with `teacherstudent gallery linear-noisy`" in result.stdout


def test_a_check_goes_on_after_a_file_that_is_not_there(tmp_path):
    arguments = ["gallery", NAME, "sign-floor", "--check", "--folder", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert f"{NAME}: DIFFERENT" in done.output and "sign-floor: DIFFERENT" in done.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((NAME, "--check", "--fast"), "--fast has no effect beside the names"),
        (("--check", "--missing", "--theory"), "--missing, --theory have no effect beside --check"),
        (("--check", "--redraw", "--page", "x.md"), "--redraw, --page have no effect"),
        (("--list", "--check", "--missing"), "--check, --missing have no effect beside --list"),
        (("--redraw", "--theory"), "--theory has no effect beside --redraw"),
    ],
)
def test_options_without_effect_are_refused(arguments, sentence):
    done = CliRunner().invoke(app, ["gallery", *arguments])
    assert isinstance(done.exception, ValueError)
    assert sentence in str(done.exception)


def test_the_fast_ones_are_set_ups():
    assert set(FAST) <= set(published.names())


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
    places = {one.place for one in found}
    assert f"{path}/{name}" in places
    others = places - {f"{path}/{name}"}  # what no longer follows from the falsified number
    assert all(place.startswith(f"/comparison/{name}") or "largest" in place for place in others)


def test_networks_of_another_processor_are_compared_within_their_errors(kept):
    other = of_another_processor(kept)
    assert differences(other, kept) == []
    place = "/simulation/eps_g"
    assert place not in places_of(falsified(other, "/simulation", "eps_g", 1 + 1e-4), kept)
    assert place in places_of(falsified(other, "/simulation", "eps_g", 50.0), kept)


def test_groups_and_quantities_are_the_same_in_both(kept):
    for path in ("/theory", "/simulation", "/comparison"):
        tree = kept.tree.copy(deep=True)
        del tree[path.removeprefix("/")]
        gutted = Entry(NAME, kept.tables, tree)
        assert path in places_of(gutted, kept) and path in places_of(kept, gutted)
    for path, name in (("/theory", "R"), ("/simulation", "Q")):
        gutted = changed(kept, path, lambda data, name=name: data.drop_vars(name))
        assert f"{path}/{name}" in places_of(gutted, kept)
        assert f"{path}/{name}" in places_of(kept, gutted)


@pytest.mark.parametrize("path", ["/theory", "/simulation"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of comparing what is no number
def test_what_is_no_number_is_found(kept, path, value):
    file = changed(kept, path, lambda data: with_number(data, "eps_g", value))
    assert f"{path}/eps_g" in places_of(file, kept)
    assert f"{path}/eps_g" in places_of(of_another_processor(file), kept)


def test_a_file_does_not_choose_its_own_tolerance(kept):
    file = falsified(kept, "/theory", "eps_g", 1.5)
    file = changed(
        file,
        "/theory",
        lambda data: redescribed(data, lambda one: one["report"].update(rtol=10.0)),
    )
    assert {"/theory/eps_g", "/theory: report.rtol"} <= set(places_of(file, kept))


def test_another_problem_or_start_is_found(kept):
    file = changed(
        kept,
        "/theory",
        lambda data: redescribed(data, lambda one: one["problem"]["task"].update(noise=0.4)),
    )
    assert "/theory: problem.task.noise" in places_of(file, kept)
    file = changed(
        kept,
        "/simulation",
        lambda data: redescribed(data, lambda one: one["start"].update(v=[1.0, 2.0])),
    )
    assert "/simulation: start.v" in places_of(file, kept)


def test_a_comparison_is_to_follow_from_its_file(kept):
    file = falsified(kept, "/comparison", "Q_deviation", 1.1)
    assert "/comparison/Q_deviation" in places_of(file, kept)
    verdict = "DISAGREE at N = 1000: all is wrong."
    file = changed(kept, "/comparison", lambda data: data.assign_attrs(verdict=verdict))
    assert places_of(file, kept) == ["/comparison/verdict"]

    def smaller(described):
        described["largest"][0]["eps_g"]["z"] = 0.1

    file = changed(kept, "/comparison", lambda data: redescribed(data, smaller))
    assert places_of(file, kept) == ["/comparison/largest"]


def test_exponents_of_another_processor_are_compared_within_their_errors(escape):
    other = of_another_processor(escape)
    error = float(escape.tree["escape"]["exponent_error"].item())
    middle = float(escape.tree["escape"]["median_step"].values.flat[-1])
    exponent = float(escape.tree["escape"]["exponent"].item())
    allowed = {
        "exponent": exponent + error,
        "exponent_error": 1.1 * error,
        "median_step": 1.01 * middle,
    }
    wrong = {"exponent": exponent + 10 * error, "exponent_error": 0.0, "median_step": 3 * middle}
    for name in allowed:
        for numbers, is_found in ((allowed, False), (wrong, True)):
            file = changed(other, "/escape", partial(with_number, name=name, value=numbers[name]))
            assert (f"/escape/{name}" in places_of(file, escape)) == is_found


def test_what_is_no_quantity_is_to_be_equal():
    sweep = Entry.read("goldt-2019-final-erf", RESULTS)
    path = "/variants/both layers/theory"
    assert differences(sweep, sweep) == []
    file = changed(sweep, path, lambda data: with_number(data, "error", "failed"))
    assert places_of(file, sweep) == [f"{path}/error"]
    last = bool(sweep.tree[path]["has_student"].values.flat[-1])
    file = changed(sweep, path, lambda data: with_number(data, "has_student", not last))
    assert places_of(file, sweep) == [f"{path}/has_student"]


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
