"""The command `sweep`: what its texts mean, and what a user meets."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.command import swept_values
from teacherstudent.sweeps.store import folder_of
from tests.teacherstudent.test_cli import QUICK, run, run_one_after_another

LIMIT = 300  # seconds, on a busy machine


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("rule.learning_rate=0.1,0.2", [0.1, 0.2]),
        ("student.width=2:5", [2, 3, 4, 5]),
        ("student.width=2:8:3", [2, 5, 8]),
        ("N=100", [100]),
        ("task.noise=linspace(0,1,3)", [0.0, 0.5, 1.0]),
        ("rule.learning_rate=logspace(-2,0,3)", [0.01, 0.1, 1.0]),
        ("rule.learning_rate = geomspace(0.01, 1, 3)", [0.01, 0.1, 1.0]),
        ("student.activation=erf,relu", ["erf", "relu"]),
        ("student.train_readout=true,false", [True, False]),
        ("rule.learning_rate=[0.1, 0.3]", [0.1, 0.3]),
        ('rule=[{type="SGD", learning_rate=0.1}]', [{"type": "SGD", "learning_rate": 0.1}]),
    ],
)
def test_texts_of_values(text, values):
    place, found = swept_values.assigned_values(text)
    assert place == text.partition("=")[0].strip()
    if isinstance(values[0], float):
        np.testing.assert_allclose(found, values, rtol=1e-14)
    else:
        assert found == values and [type(one) for one in found] == [type(one) for one in values]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rule.learning_rate", "is not of the form PLACE=VALUES"),
        ("rule.learning_rate=", "is not of the form PLACE=VALUES"),
        ("N=log(1,2,3)", "log is not known; known are linspace, logspace, geomspace"),
        ("N=linspace(1,2)", r"linspace\(1,2\) is not linspace\(FIRST,LAST,COUNT\)"),
        ("N=geomspace(0,2,3)", r"geomspace\(0,2,3\) is not"),
        ("N=[1,2", "is no list"),
    ],
)
def test_texts_that_mean_nothing_get_a_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        swept_values.assigned_values(text)


def test_points_of_a_file(tmp_path):
    path = tmp_path / "points.csv"
    rows = [["rule.learning_rate", "student.activation", "N"], [0.1, "erf", 50], [0.2, "relu", 60]]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert swept_values.rows_of(path) == [
        {"rule.learning_rate": 0.1, "student.activation": "erf", "N": 50},
        {"rule.learning_rate": 0.2, "student.activation": "relu", "N": 60},
    ]
    path.write_text("a,b\n1\n")
    with pytest.raises(ValueError, match="line 2 has not as many cells"):
        swept_values.rows_of(path)


def test_a_sweep_from_a_file_with_everything_beside_it(tmp_path):
    (tmp_path / "quick.toml").write_text(QUICK)
    command = ["sweep", "quick.toml", "--out", "s.h5", "--workers", "1", "--quiet", "--seeds", "2"]
    over = ["--over", "rule.learning_rate=0.1,0.4", "--over", "N=60,80"]
    found = run(*command, *over, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    tree = ts.load(tmp_path / "s.h5")
    assert dict(tree["theory"].eps_g.sizes) == {"learning_rate": 2, "time": 9}
    assert dict(tree["simulation"].eps_g.sizes) == {
        "learning_rate": 2,
        "N": 2,
        "seed": 2,
        "time": 9,
    }
    assert (tmp_path / "s.png").stat().st_size > 10_000
    status = run("sweep", "--status", "--out", "s.h5", cwd=tmp_path)
    assert status.stdout == "s.h5: finished, 6 of 6 points are done.\n"
    experiment = ts.Experiment.read(tmp_path / "quick.toml", {"rule.learning_rate": 0.4})
    single = experiment.run(progress=False, theory_only=True)
    point = tree["theory"].sel(learning_rate=0.4)
    np.testing.assert_allclose(point.eps_g, single["theory"].eps_g, rtol=1e-7)


MISTAKES = [
    (["quick.toml"], "takes an experiment and either --over"),
    (["quick.toml", "--over", "rule.rate=0.1"], "SGD has no rate; its arguments are"),
    (["escape-k3", "--over", "N=10,20"], "is an experiment of Escape"),
    (["--status", "--out", "none.h5"], "there is no sweep beside none.h5"),
]


def test_what_does_not_fit_gets_one_sentence(tmp_path):
    (tmp_path / "quick.toml").write_text(QUICK)
    commands = [["sweep", *arguments] for arguments, _ in MISTAKES]
    found = run_one_after_another(*commands, cwd=tmp_path)
    for (_, sentence), (code, _, said) in zip(MISTAKES, found, strict=True):
        assert code == 2
        assert sentence in said and said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quick.toml"]


@pytest.mark.long
def test_a_sweep_that_is_told_to_end_goes_on(tmp_path):
    (tmp_path / "quick.toml").write_text(QUICK)
    command = [sys.executable, "-m", "teacherstudent", "sweep", "quick.toml", "--out", "s.h5"]
    command += ["--over", "rule.learning_rate=linspace(0.1,0.5,30)", "--workers", "1", "--size"]
    command += ["3000", "--set", "start.random.N=3000", "--no-figure", "--quiet"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    store = folder_of(tmp_path / "s.h5")
    limit = time.monotonic() + LIMIT
    while len(list(store.glob("*-1.npz"))) < 2 and time.monotonic() < limit:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + signal.SIGTERM
    assert "what is finished is in s.h5.points: the same command goes on from there" in said
    kept = {path.name: path.stat().st_mtime_ns for path in store.glob("*.npz")}
    assert 2 <= len(kept) < 31 and not (tmp_path / "s.h5").exists()
    facts = json.loads((store / "progress.json").read_text())
    assert facts["total"] == 60 and not facts["finished"]
    status = run("sweep", "--status", "--out", "s.h5", cwd=tmp_path)
    assert "stopped" in status.stdout and "the same command goes on" in status.stdout
    again = subprocess.run(command, cwd=tmp_path, env=os.environ, timeout=LIMIT)
    assert again.returncode == 0
    for name, changed in kept.items():  # nothing was computed twice
        assert (store / name).stat().st_mtime_ns == changed
    assert np.isfinite(ts.load(tmp_path / "s.h5")["simulation"].eps_g).all()
