"""What is taken away gives the numbers of the page when it is run."""

import os
import subprocess
import sys

import pytest

import teacherstudent as ts
from teacherstudent.command import published
from teacherstudent.explorer import controls, exports
from teacherstudent.explorer.live import Theory
from teacherstudent.explorer.networks import Training
from teacherstudent.explorer.python_text import python_text
from teacherstudent.explorer.state import state_of, tables_of
from tests.explorer.cases import tables
from tests.processes import quick_compilation

NETWORKS = {"N": 40, "seeds": 3, "method": "weights"}


def explored(given, networks=None):
    """What the page has of some tables."""
    answer = Theory().answer(given)
    assert answer.sentence == ""
    if networks is None:
        return answer, None
    finished = []
    training = Training(answer, networks, lambda share: None, finished.append)
    training.start()
    training.wait()
    assert finished[0].sentence == ""
    return answer, finished[0]


def run(folder, *command):
    environment = os.environ | quick_compilation()
    subprocess.run([sys.executable, *command], cwd=folder, env=environment, check=True, timeout=300)


def check_same(folder, file, answer, networks):
    tree = ts.load(folder / file)
    for name in ("eps_g", "Q", "R"):
        assert (tree["theory"][name] == answer.theory[name]).all()
        if networks is not None:
            assert (tree["simulation"][name] == networks.simulation[name]).all()


@pytest.mark.parametrize(
    "networks",
    [
        pytest.param(None, id="theory", marks=pytest.mark.long),
        pytest.param(NETWORKS, id="networks"),
    ],
)
def test_toml_python_and_file_have_the_numbers_of_the_page(networks, tmp_path):
    given = tables(schedule="exponential", noise=0.1, train_readout=True)
    answer, trained = explored(given, networks)
    (tmp_path / "explored.toml").write_text(exports.toml_of(answer, trained))
    (tmp_path / "explored.py").write_text(exports.python_of(answer, trained))
    (tmp_path / "seen.h5").write_bytes(exports.hdf5_of(answer, trained))
    alone = ["--theory-only"] if networks is None else []
    command = ["-m", "teacherstudent", "run", "explored.toml", "--out", "run.h5", "--no-figure"]
    # Three seeds are too few for a verdict, which is no failure.
    run(tmp_path, *command, *alone)
    run(tmp_path, "explored.py")
    for file in ("seen.h5", "run.h5", "explored.h5"):
        check_same(tmp_path, file, answer, trained)
    assert (tmp_path / "explored.png").stat().st_size > 1000


def test_a_protocol_is_taken_away_with_its_phases(tmp_path):
    given = published.read("lee-2021-continual")[1]
    answer, _ = explored(tables_of(state_of(given), given))
    (tmp_path / "explored.py").write_text(exports.python_of(answer, None))
    run(tmp_path, "explored.py")
    check_same(tmp_path, "explored.h5", answer, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "heavy ball (momentum)", "schedule": "cosine"},
        {"rule": "gradient flow (small-rate limit)", "start": controls.OVERLAPS},
        {"task": controls.XOR, "start": controls.OVERLAPS, "train_bias": True},
        {"task": controls.HIDDEN_MANIFOLD, "start": controls.OVERLAPS},
    ],
    ids=str,
)
def test_the_script_makes_the_problem_of_the_page(changes):
    given = tables(**changes)
    experiment = ts.Experiment.from_tables("explored", given)
    text = python_text(given, [(given, None)], simulated=False)
    lines = text.split("theory = ")[0]
    names: dict = {}
    exec(lines, names)
    assert repr(names["problem"]) == repr(experiment.plan.problem)
    assert repr(names["start"]) == repr(experiment.plan.start)
    assert (names["times"] == experiment.plan.times).all()
