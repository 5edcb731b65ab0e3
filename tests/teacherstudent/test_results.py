import json
import os

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import teacherstudent as ts
from teacherstudent.results import atomic_files, datasets as results
from tests.problems import committee, random_overlaps

TIMES = [0.0, 0.5, 2.0]


@pytest.fixture(scope="module")
def answers():
    problem, start = committee(), random_overlaps(3, 2)
    theory = ts.integrate(problem, start, TIMES)
    simulation = ts.simulate(problem, start, TIMES, N=100, seeds=3)
    return theory, simulation, ts.compare(theory, simulation)


def test_dataset_has_the_agreed_names_and_dimensions(answers):
    theory, simulation, _ = answers
    dims = {
        "Q": ("student", "student_"),
        "R": ("student", "teacher"),
        "v": ("student",),
        "eps_g": (),
    }
    for name, rest in dims.items():
        assert theory[name].dims == ("time", *rest)
        assert simulation[name].dims == ("seed", "time", *rest)
        assert {"long_name", "symbol", "units"} <= set(theory[name].attrs)
    assert theory.T.dims == simulation.T.dims == ("teacher", "teacher_")
    np.testing.assert_array_equal(simulation.seed, [0, 1, 2])
    assert theory.time.attrs["units"] == "updates / N"


def test_a_file_keeps_everything(answers, tmp_path):
    theory, simulation, comparison = answers
    path = tmp_path / "deep" / "run.h5"
    tree = ts.save(path, theory=theory, simulation=simulation, comparison=comparison)
    loaded = ts.load(path)
    assert set(loaded.children) == {"theory", "simulation", "comparison"}
    for name in loaded.children:
        xr.testing.assert_identical(loaded[name].to_dataset(), tree[name].to_dataset())
    assert os.listdir(path.parent) == ["run.h5"]


def test_the_run_can_be_repeated_from_the_file_alone(answers, tmp_path):
    theory, simulation, _ = answers
    ts.save(tmp_path / "run.h5", theory=theory, simulation=simulation)
    loaded = ts.load(tmp_path / "run.h5")
    told = results.description(loaded["simulation"].to_dataset())
    problem, start = (
        ts.problem_of(loaded["simulation"].to_dataset()),
        ts.start_of(loaded["simulation"].to_dataset()),
    )
    again = ts.simulate(
        problem,
        start,
        loaded["simulation"].time.values,
        N=told["report"]["N"],
        seeds=loaded["simulation"].seed.values.tolist(),
    )
    np.testing.assert_array_equal(again.Q, simulation.Q)
    report = results.description(loaded["theory"].to_dataset())["report"]
    theory_again = ts.integrate(
        problem, start, loaded["theory"].time.values, rtol=report["rtol"], atol=report["atol"]
    )
    np.testing.assert_array_equal(theory_again.eps_g, theory.eps_g)


def test_a_run_from_the_users_weights_can_be_repeated_too(tmp_path):
    rng = np.random.default_rng(1)
    problem = committee()
    start = ts.start_from_weights(
        problem, rng.standard_normal((3, 40)), w_star=rng.standard_normal((2, 40))
    )
    simulation = ts.simulate(problem, start, TIMES, seeds=2)
    ts.save(tmp_path / "run.h5", simulation=simulation)
    loaded = ts.load(tmp_path / "run.h5")["simulation"].to_dataset()
    again = ts.simulate(ts.problem_of(loaded), ts.start_of(loaded), TIMES, seeds=2)
    np.testing.assert_array_equal(again.Q, simulation.Q)


def test_a_python_function_cannot_be_restored_and_says_so():
    problem = committee(1, 1, activation=lambda x: jnp.sin(x))
    theory = ts.integrate(problem, random_overlaps(1, 1), [0.0], rtol=1e-3)
    with pytest.raises(
        ValueError, match="was the Python function .*lambda.*; files keep only its name"
    ):
        ts.problem_of(theory)


def test_only_ordinary_files_are_replaced(answers, tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(ValueError, match="is not an ordinary file"):
        ts.save(tmp_path / "pipe.h5", theory=answers[0], force=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
        ts.save(tmp_path / "file" / "run.h5", theory=answers[0])


def test_plain_h5py_reads_it(answers, tmp_path):
    ts.save(tmp_path / "run.h5", theory=answers[0])
    with h5py.File(tmp_path / "run.h5") as file:
        np.testing.assert_array_equal(file["theory/Q"][:], answers[0].Q)
        told = json.loads(file["theory"].attrs["teacherstudent"])
    assert told["problem"]["task"] == {
        "type": "TeacherStudent",
        "width": 2,
        "activation": "erf",
        "readout": 1.0,
        "noise": 0.2,
    }
    assert told["schema"] == 2 and told["versions"]["jax"]


def test_several_sizes_are_groups(answers, tmp_path):
    problem, start = committee(), random_overlaps(3, 2)
    sims = [ts.simulate(problem, start, TIMES, N=N, seeds=2) for N in (80, 40)]
    ts.save(tmp_path / "run.h5", simulation=sims)
    found = results.simulations(ts.load(tmp_path / "run.h5"))
    assert [results.description(one)["report"]["N"] for one in found] == [40, 80]
    with pytest.raises(ValueError, match="same N"):
        results.as_tree(simulation=[sims[0], sims[0]])


def test_an_existing_file_is_kept_unless_forced(answers, tmp_path):
    path = tmp_path / "run.h5"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="exists; choose another name, or pass force"):
        ts.save(path, theory=answers[0])
    assert path.read_text() == "precious"
    ts.save(path, theory=answers[0], force=True)
    assert ts.load(path)["theory"].sizes["time"] == 3


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_no_other(answers, tmp_path, monkeypatch, failure):
    path = tmp_path / "run.h5"
    ts.save(path, theory=answers[0])
    old = path.read_bytes()

    def fail(temporary):
        raise failure

    monkeypatch.setattr(atomic_files, "_flush_to_disk", fail)
    with pytest.raises(
        type(failure),
        match="could not be written .No space left on device" if str(failure) else None,
    ):
        ts.save(path, theory=answers[0].isel(time=[0]), force=True)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["run.h5"]


def test_foreign_and_broken_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ts.load(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    with pytest.raises(ValueError, match="cannot be read: it is not an HDF5 file"):
        ts.load(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = np.arange(3)
    with pytest.raises(ValueError, match="not one that teacherstudent wrote"):
        ts.load(tmp_path / "other.h5")


def test_a_folder_is_no_file(answers, tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        ts.save(tmp_path, theory=answers[0], force=True)
    with pytest.raises(ValueError, match="nothing to save"):
        ts.save(tmp_path / "run.h5")
