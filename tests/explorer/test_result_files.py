"""Result files that a page may open, and those that it may not."""

import os
from pathlib import Path

import pytest

import teacherstudent as ts
from teacherstudent.explorer.live import Theory
from teacherstudent.explorer.opening import opened
from teacherstudent.explorer.result_files import Folder, read_result
from teacherstudent.explorer.state import means_the_same, state_of, tables_of
from tests.explorer.cases import tables

OLD = Path(__file__).parent.parent / "teacherstudent" / "schema_1.h5"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with results, beside one with a secret."""
    outside = tmp_path_factory.mktemp("outside")
    answer = Theory().answer(tables())
    ts.save(outside / "secret.h5", theory=answer.theory)
    folder = outside / "inside"
    (folder / "results" / ".hidden").mkdir(parents=True)
    for name in ("one.h5", "results/two.h5", "results/.hidden/three.h5"):
        ts.save(folder / name, theory=answer.theory)
    (folder / "notes.txt").write_text("not a result")
    (folder / "broken.h5").write_text("not HDF5")
    os.symlink(outside / "secret.h5", folder / "link.h5")
    os.symlink(outside, folder / "way_out")
    return folder


def test_files_below_the_folder_are_listed(place):
    assert Folder(place).names() == ["broken.h5", "one.h5", "results/two.h5"]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.h5",
        "results/../../secret.h5",
        "link.h5",
        "way_out/secret.h5",
        "notes.txt",
        "/etc/passwd",
        "results/.hidden/three.h5",
        "",
        "one.h5\0",
    ],
)
def test_no_other_file_is_read(place, name):
    with pytest.raises(ValueError, match="is not among the result files"):
        Folder(place).read(name)


def test_an_absolute_path_is_refused(place):
    with pytest.raises(ValueError, match="is not among the result files"):
        Folder(place).read(str(place / "one.h5"))


def test_a_file_that_is_none_of_ours_has_a_sentence(place):
    with pytest.raises(ValueError, match="broken.h5"):
        Folder(place).read("broken.h5")


def test_a_result_gives_its_controls_back(place):
    result = Folder(place).read("one.h5")
    made = tables_of(state_of(result.tables()), result.tables())
    again = Theory().answer(made)
    assert again.sentence == ""
    for name in ("eps_g", "Q", "R"):
        assert abs(again.theory[name] - result.theory[name]).max() < 1e-9


def test_a_file_of_the_first_version_opens():
    opening = opened(str(OLD))
    assert opening.result is not None
    assert opening.result.networks or opening.result.theory is not None
    assert opening.sentence


def test_a_sweep_is_looked_at_point_by_point(tmp_path):
    plan = Theory().answer(tables()).plan
    over = {"rule.learning_rate": [0.1, 0.2]}
    ts.sweep(plan.problem, plan.start, plan.times, over, out=tmp_path / "sweep.h5", N=40, seeds=2)
    result = read_result(tmp_path / "sweep.h5", "sweep.h5")
    assert result.axes == {"learning_rate": [0.1, 0.2]}
    point = result.point(learning_rate=0.2)
    assert point.axes == {}
    assert ts.problem_of(point.theory).rule.learning_rate == 0.2
    assert len(point.networks) == 1


def test_an_experiment_opens_with_its_controls():
    opening = opened("saad-solla-1995-k2")
    assert state_of(opening.tables)["K"] == 2
    assert means_the_same(opening.tables["rule"], {"type": "SGD", "learning_rate": 0.4})
    assert opened(None).tables == {}


@pytest.mark.parametrize("name", ["escape-k3", "update-rules"])
def test_what_is_no_curve_in_time_has_a_sentence(name):
    with pytest.raises(ValueError, match="not one curve in time"):
        opened(name)


def test_an_unknown_name_has_a_sentence():
    with pytest.raises(FileNotFoundError, match="did you mean 'saad-solla-1995-k2'"):
        opened("saad-solla-1995-k22")
