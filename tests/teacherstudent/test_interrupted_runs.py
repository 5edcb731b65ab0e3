"""Runs that are told to end, or are killed: nothing finished is thrown away, and what is resumed
has the numbers of one run.
"""

import os
import shutil
import signal

import pytest

import teacherstudent as ts
from sims.running import loop
from teacherstudent.command.unfinished import Unfinished
from teacherstudent.results import checkpoint_files
from tests import interrupted_runs
from tests.interrupted_runs import same_results
from tests.long import marked_as_long

CURVES = """
title = "A theory and two sizes"
task = { type = "TeacherStudent", width = 2, noise = 0.1 }
student = { width = 3 }
rule = { type = "SGD", learning_rate = 0.3 }
start = { random = { N = 100, seed = 1 } }
times = { stop = 20.0, points = 9 }
simulation = { N = [80, 120], seeds = 4 }
"""
# The least to compile: what the other tests look at is not the numbers.
QUICK = """
title = "A line"
task = { type = "TeacherStudent", width = 1, activation = "linear" }
student = { width = 1, activation = "linear" }
rule = { type = "SGD", learning_rate = 0.3 }
start = { Q = [[0.5]], R = [[0.1]] }
times = { stop = 20.0, points = 9 }
simulation = { N = 80, seeds = 4 }
"""
REDUCED = CURVES.replace("seeds = 4", 'seeds = 4, method = "reduced"')
VARIANTS = (
    CURVES.replace("[80, 120]", "80")
    + """
[variants."one / learning rate".rule]
type = "SGD"
learning_rate = 0.3

[variants.momentum.rule]
type = "HeavyBall"
learning_rate = 0.1
gamma = 1.0
""".replace(" / ", " ")
)
ESCAPE = """
title = "An escape"
task = { type = "SpikedCumulant", beta = 5.0, latent = "rademacher" }
student = { width = 1, activation = "quadratic" }
rule = { type = "SphericalSGD", learning_rate = 0.1 }
loss = "correlation"
escape = { N = [20, 30], seeds = 4, max_steps = 4000, method = "METHOD" }
"""
EXPERIMENTS = {
    "quick": QUICK,
    "curves": CURVES,
    "reduced": REDUCED,
    "variants": VARIANTS,
    "escape": ESCAPE.replace("METHOD", "weights"),
    "escape-reduced": ESCAPE.replace("METHOD", "reduced"),
}
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGKILL": -signal.SIGKILL}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The result of each experiment without an interruption, made when it is asked for."""
    folder = tmp_path_factory.mktemp("straight")
    for name, text in EXPERIMENTS.items():
        (folder / f"{name}.toml").write_text(text)

    def result(name):
        out = folder / f"{name}.h5"
        if not out.exists():
            done = interrupted_runs.run(folder, "run", f"{name}.toml", "--out", out, "--no-figure")
            assert out.exists(), done.stderr
        return out

    return result


def start(folder, name, *options, at=("none", "none", 0)):
    (folder / f"{name}.toml").write_text(EXPERIMENTS[name])
    given = ("run", f"{name}.toml", "--out", "x.h5", "--no-figure", *options)
    return interrupted_runs.run(folder, *given, at=at)


CASES = [
    ("quick", [("SIGTERM", "solver", 3), ("SIGKILL", "steps", 3)]),
    ("curves", [("SIGTERM", "solver", 3), ("SIGINT", "steps", 8)]),
    ("curves", [("SIGKILL", "steps", 12)]),
    ("curves", [("SIGKILL", "fsync", 6), ("SIGKILL", "replace", 3), ("SIGHUP", "steps", 2)]),
    ("reduced", [("SIGINT", "steps", 3), ("SIGTERM", "steps", 6)]),
    ("reduced", [("SIGKILL", "steps", 7)]),
    ("variants", [("SIGTERM", "steps", 4), ("SIGKILL", "solver", 5), ("SIGINT", "steps", 3)]),
    ("escape", [("SIGINT", "steps", 9), ("SIGKILL", "steps", 30)]),
    ("escape-reduced", [("SIGTERM", "steps", 60), ("SIGKILL", "steps", 30)]),
]


@pytest.mark.parametrize(
    ("name", "interruptions"),
    [case if number == 0 else marked_as_long(case) for number, case in enumerate(CASES)],
)
def test_what_is_resumed_has_the_numbers_of_one_run(name, interruptions, straight, tmp_path):
    options = []
    for one in interruptions:
        done = start(tmp_path, name, *options, at=one)
        assert done.returncode == CODES[one[0]], done.stderr
        assert "Traceback" not in done.stderr
        if one[0] != "SIGKILL":
            assert "x.h5.unfinished keeps" in done.stderr and "--resume" in done.stderr
        assert not (tmp_path / "x.h5").exists() and (tmp_path / "x.h5.unfinished").is_dir()
        options = ["--resume"]
    done = start(tmp_path, name, *options)
    assert done.returncode in (0, 1), done.stderr  # 1: so few networks may disagree
    assert same_results(tmp_path / "x.h5", straight(name))
    assert {path.name for path in tmp_path.iterdir()} == {"x.h5", f"{name}.toml"}


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory):
    """A folder with a run that was interrupted in the training of its first size."""
    folder = tmp_path_factory.mktemp("unfinished")
    assert start(folder, "quick", at=("SIGINT", "steps", 3)).returncode == CODES["SIGINT"]
    return folder


@pytest.fixture
def left(unfinished, tmp_path):
    """A copy of it."""
    shutil.copytree(unfinished, tmp_path / "left")
    return tmp_path / "left"


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_what_is_finished_can_be_looked_at(left):
    tree = ts.load(left / "x.h5.unfinished" / "result.h5")
    assert list(tree.children) == ["theory"]


def test_nothing_is_taken_over_or_deleted_unasked(left):
    before = content(left)
    again = start(left, "quick")
    assert again.returncode == 2
    assert "--resume, or begin anew with --force, which deletes it." in again.stderr
    another = start(left, "quick", "--resume", "--set", "rule.learning_rate=0.2")
    assert another.returncode == 2
    assert "x.h5.unfinished has what an interrupted run of another experiment" in another.stderr
    assert content(left) == before


def test_a_second_run_of_the_same_output_is_refused(left):
    path = left / "x.h5.unfinished"
    before = content(left)
    with Unfinished(path) as folder:
        folder.begin(folder.mark_there(), resume=True, anew=False)
        with pytest.raises(FileExistsError, match="is in use: another process works on the same"):
            Unfinished(path).__enter__()
    assert content(left) == before


@pytest.mark.long
def test_another_process_is_refused(left):
    with Unfinished(left / "x.h5.unfinished") as folder:
        folder.begin(folder.mark_there(), resume=True, anew=False)
        before = content(left)
        done = start(left, "quick", "--force")
        assert done.returncode == 2
        assert "x.h5.unfinished is in use: another process works on the same output" in done.stderr
        assert content(left) == before


@pytest.mark.long
def test_begun_anew_and_resumed_when_complete(left, straight):
    done = start(left, "quick", "--force")
    assert (left / "x.h5").exists() and not (left / "x.h5.unfinished").exists(), done.stderr
    assert same_results(left / "x.h5", straight("quick"))
    before = content(left)
    again = start(left, "quick", "--resume")
    assert again.returncode == 0 and "x.h5 is complete" in again.stdout
    assert content(left) == before
    another = start(left, "quick", "--resume", "--set", "rule.learning_rate=0.2")
    assert another.returncode == 2 and "x.h5 exists" in another.stderr


@pytest.mark.long
def test_from_python(straight, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_files, "WORTH_KEEPING", 0.0)
    (tmp_path / "curves.toml").write_text(CURVES)
    experiment = ts.Experiment.read(tmp_path / "curves.toml")
    folder = tmp_path / "kept"
    take_steps, left = loop.Training.take_steps, [4]

    def interrupted(self, count):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return take_steps(self, count)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "take_steps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            experiment.run(progress=False, unfinished=folder)
    assert sorted(os.listdir(folder))[-1].startswith("simulation")
    other = ts.Experiment.read(tmp_path / "curves.toml", {"rule.learning_rate": 0.2})
    with pytest.raises(FileExistsError, match="another experiment"):
        other.run(progress=False, unfinished=folder)
    tree = experiment.run(progress=False, unfinished=folder)
    assert not folder.exists()
    assert same_results(tree, experiment.run(progress=False))


def test_short_runs_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_files, "WORTH_KEEPING", 1e9)
    folder = Unfinished(tmp_path / "deep" / "x.h5.unfinished")
    with pytest.raises(KeyboardInterrupt), folder:
        folder.begin("mark", resume=False, anew=False)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x.h5.unfinished").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="is a file or a link"):
        Unfinished(tmp_path / "x.h5.unfinished").__enter__()
