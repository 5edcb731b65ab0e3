"""The command line as a user meets it: a process of its own, its output, its exit code, the files
it leaves.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import teacherstudent as ts
from teacherstudent.results.datasets import description
from tests.processes import quick_compilation

QUICK = """
title = "A quick test"
task = { type = "TeacherStudent", width = 2, noise = 0.1 }
student = { width = 3 }
rule = { type = "SGD", learning_rate = 0.3 }
start = { random = { N = 100, seed = 1 } }
times = { stop = 4.0, points = 9 }
simulation = { N = 80, seeds = 4 }
"""


def run(*arguments, cwd: Path, **environment) -> subprocess.CompletedProcess:
    """A command, which takes the programs that the tests have compiled."""
    return run_and_keep(*arguments, cwd=cwd, **quick_compilation(), **environment)


def run_and_keep(*arguments, cwd: Path, **environment) -> subprocess.CompletedProcess:
    """A command that keeps its programs where a user's are kept."""
    environment = os.environ | {"COLUMNS": "100"} | environment
    return subprocess.run(
        [sys.executable, "-m", "teacherstudent", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=300,
    )


ONE_AFTER_ANOTHER = """
import contextlib, io, json, sys
from teacherstudent.command.cli import main

found = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["teacherstudent", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as told:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                main()
                code = 0
            except SystemExit as leaving:
                code = leaving.code or 0
    found.append((code, told.getvalue(), said.getvalue()))
print(json.dumps(found))
"""


def run_one_after_another(*commands: list[str], cwd: Path) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of several commands, for which JAX is loaded only once."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "100"} | quick_compilation(),
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder in which the quick experiment has been run once."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "quick.toml").write_text(QUICK)
    done = run(
        "run",
        "quick.toml",
        "--set",
        "rule.learning_rate=0.2",
        "--seeds",
        6,
        "--size",
        60,
        "--size",
        120,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout)
    return folder


def test_run_leaves_a_file_a_picture_and_a_table(workspace):
    output = (workspace / "output.txt").read_text()
    assert "A quick test" in output and "eps_g theory" in output and "eps_g N=120" in output
    assert "AGREE" in output and "wrote results/quick.h5 and results/quick.png" in output
    assert (workspace / "results" / "quick.png").read_bytes()[:4] == b"\x89PNG"
    tree = ts.load(workspace / "results" / "quick.h5")
    assert description(tree["theory"].to_dataset())["problem"]["rule"]["learning_rate"] == 0.2
    assert set(tree["simulation"].children) == {"N_60", "N_120"}
    assert tree["simulation/N_60"].sizes["seed"] == 6


def test_an_existing_result_is_refused_without_force(workspace):
    before = (workspace / "results" / "quick.h5").read_bytes()
    refused = run("run", "quick.toml", "--quiet", cwd=workspace)
    assert refused.returncode == 2
    assert refused.stderr.strip() == (
        "teacherstudent: results/quick.h5 exists; choose another name, or pass force (--force) "
        "to replace it."
    )
    assert (workspace / "results" / "quick.h5").read_bytes() == before


def test_show_compare_and_plot_a_file(workspace):
    path = "results/quick.h5"
    shown, compared, plotted = run_one_after_another(
        ["show", path],
        ["compare", path],
        ["plot", path, "--out", "figures/quick.pdf"],
        cwd=workspace,
    )
    assert shown[0] == 0 and "learning_rate 0.2" in shown[1] and "AGREE" in shown[1]
    assert compared[0] == 0 and "falls as N to the power" in compared[1]
    assert plotted[0] == 0 and (workspace / "figures" / "quick.pdf").stat().st_size > 5000


def test_validate_says_what_is_wrong_with_files(workspace):
    good = workspace / "results" / "quick.h5"
    content = bytearray(good.read_bytes())
    content[content.find(ts.load(good)["theory"].Q.values.tobytes())] ^= 1
    (workspace / "bad.h5").write_bytes(content)
    path = "results/quick.h5"
    found = run_one_after_another(
        ["validate", path],
        ["validate", path, "bad.h5"],
        ["validate", "bad.h5", "missing.h5", path],
        ["validate", "quick.toml"],
        cwd=workspace,
    )
    (workspace / "bad.h5").unlink()
    assert [code for code, *_ in found] == [0, 1, 2, 2]
    lines = [f"{path}, {name}: OK" for name in ("theory", "simulation/N_60", "simulation/N_120")]
    assert set(lines) < set(found[0][1].splitlines()) and found[0][2] == ""
    assert "bad.h5, theory: has numbers of 'Q' that do not match their checksum" in found[1][1]
    assert found[1][1].startswith(found[0][1])
    assert "teacherstudent: missing.h5 does not exist." in found[2][2]
    assert found[2][1].endswith(found[0][1])
    assert "quick.toml cannot be read: it is not an HDF5 file" in found[3][2]


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["run", "--help"]])
def test_help_and_list_do_not_load_jax(arguments, tmp_path):
    code = (
        "import sys; from teacherstudent.command import cli; cli.app(standalone_mode=False); "
        "print('jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0 and done.stdout.endswith("False\n"), done.stderr


def test_compiled_programs_are_kept_for_the_next_run(workspace):
    kept = Path(os.environ["XDG_CACHE_HOME"]) / "teacherstudent" / "compiled"
    given = ("run", "quick.toml", "--theory-only", "--quiet", "--no-figure")
    other = ("--set", "rule.learning_rate=0.45")  # which is the same program
    for name, more in (("first", ()), ("second", ()), ("third", other)):
        done = run_and_keep(
            *given, *more, "--out", f"{name}.h5", cwd=workspace, JAX_DISABLE_MOST_OPTIMIZATIONS="1"
        )
        assert done.returncode == 0, done.stderr
        programs = {
            path.name for path in kept.iterdir() if path.name.endswith((".program", ".jax"))
        }
        if name == "first":
            assert any(name.endswith(".program") for name in programs)
            before = programs
        assert programs == before
    one, two, three = (
        ts.load(workspace / f"{name}.h5")["theory"].to_dataset()
        for name in ("first", "second", "third")
    )
    np.testing.assert_array_equal(one.Q, two.Q)
    for found in (one, three):
        traced = ts.integrate(ts.problem_of(found), ts.start_of(found), found.time.values)
        np.testing.assert_allclose(found.Q, traced.Q, rtol=0, atol=1e-7)
    assert abs(three.Q - one.Q).max() > 1e-3


@pytest.mark.long
def test_programs_that_are_not_whole_are_compiled_anew(workspace):
    """JAX's as well as the theory's; and in a folder that others can write none is taken, and the
    user is told.
    """
    kept = Path(os.environ["XDG_CACHE_HOME"]) / "teacherstudent" / "compiled"
    given = ("run", "quick.toml", "--quiet", "--no-figure", "--size", 50)
    numbers = []
    for name in ("whole", "flipped", "writable"):
        done = run_and_keep(
            *given, "--out", f"{name}.h5", cwd=workspace, JAX_DISABLE_MOST_OPTIMIZATIONS="1"
        )
        assert done.returncode == 0, done.stderr
        assert ("others can write to the cache folder" in done.stderr) == (name == "writable")
        tree = ts.load(workspace / f"{name}.h5")
        numbers.append([tree[group].to_dataset().Q.values for group in ("theory", "simulation")])
        paths = [path for path in kept.iterdir() if path.suffix in (".program", ".jax")]
        if name == "whole":
            assert {path.suffix for path in paths} == {".program", ".jax"}
            for path in paths:
                content = bytearray(path.read_bytes())
                content[len(content) // 2] ^= 1
                path.write_bytes(content)
        kept.chmod(0o777 if name == "flipped" else 0o700)
    for theory, simulation in numbers[1:]:
        np.testing.assert_array_equal(theory, numbers[0][0])
        np.testing.assert_array_equal(simulation, numbers[0][1])


@pytest.mark.long
def test_the_reduced_method_by_name(workspace):
    given = (
        "--set",
        "simulation.method=reduced",
        "--seeds",
        20,
        "--size",
        1000,
        "--quiet",
        "--no-figure",
    )
    done = run("run", "quick.toml", *given, "--out", "reduced.h5", cwd=workspace)
    assert done.returncode == 0, done.stderr
    tree = ts.load(workspace / "reduced.h5")
    assert description(tree["simulation"].to_dataset())["report"]["method"] == "reduced"
    assert tree["comparison"].to_dataset().attrs["verdict"].startswith("AGREE")


def test_list_names_the_published_set_ups(workspace):
    listed = run("list", cwd=workspace)
    assert (
        listed.returncode == 0
        and "saad-solla-1995-k2" in listed.stdout
        and "goldt-2019-both-k6" in listed.stdout
    )


def test_theory_only_and_quiet(workspace):
    done = run(
        "run",
        "quick.toml",
        "--theory-only",
        "--quiet",
        "--no-figure",
        "--out",
        "theory.h5",
        cwd=workspace,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert set(ts.load(workspace / "theory.h5").children) == {"theory"}
    sweep = run(
        "run",
        "quick.toml",
        "--set",
        "rule.learning_rate=[0.1, 0.2]",
        "--out",
        "sweep.h5",
        cwd=workspace,
    )
    assert sweep.returncode == 2 and "add --theory-only" in sweep.stderr


def test_the_command_line_saves_what_an_experiment_answers(workspace):
    changes = {"rule.learning_rate": 0.2, "simulation.seeds": 6, "simulation.N": [60, 120]}
    tree = ts.Experiment.read(workspace / "quick.toml", changes).run(progress=False)
    saved = ts.load(workspace / "results" / "quick.h5")
    assert [node.path for node in tree.subtree] == [node.path for node in saved.subtree]
    for node in tree.subtree:
        other = saved[node.path]
        assert set(node.data_vars) == set(other.data_vars) and node.sizes == other.sizes
        for name, values in node.data_vars.items():
            # The simulations are in float32, and z at t = 0 is rounding over rounding.
            if not name.endswith("_z"):
                np.testing.assert_allclose(other[name], values, rtol=1e-4, atol=1e-5)
        if "teacherstudent" in node.attrs:
            ours = json.loads(node.attrs["teacherstudent"])
            theirs = json.loads(other.attrs["teacherstudent"])
            for part in ("problem", "start", "N", "seeds"):
                assert ours.get(part) == theirs.get(part)


def test_a_picture_that_cannot_be_drawn_does_not_hide_the_result(workspace):
    settings = workspace / "matplotlibrc"
    settings.write_text("text.usetex: True\n")
    given = ("run", "quick.toml", "--theory-only", "--out", "tex.h5")
    done = run(*given, cwd=workspace, MATPLOTLIBRC=str(settings), PATH="")
    settings.unlink()
    assert done.returncode == 1
    assert "eps_g theory" in done.stdout and "wrote tex.h5\n" in done.stdout
    assert done.stderr.startswith("teacherstudent: tex.png could not be drawn (")
    assert done.stderr.endswith("the result is in tex.h5.\n") and done.stderr.count("\n") == 1
    assert (workspace / "tex.h5").exists() and not (workspace / "tex.png").exists()


BAD_INPUT = [
    (
        ["run", "quick.toml", "--theory-only", "--seeds", "4", "--out", "x.h5"],
        "--seeds has no effect beside --theory-only, which simulates nothing",
    ),
    (
        ["run", "quick.toml", "--set", "rule.type=AGD", "--out", "x.h5"],
        "remove one by an empty value (--set rule.KEY=",
    ),
    (["run", "results/quick.h5", "--out", "x.h5"], "try `teacherstudent show results/quick.h5`"),
    (["run", "no-such-thing"], "neither a published set-up nor a file"),
    (["run", "quick.toml", "--set", "rule.rate=1", "--out", "x.h5"], "unknown key rule.rate"),
    (
        ["run", "quick.toml", "--device", "abacus", "--out", "x.h5"],
        "device = 'abacus' is not on this machine",
    ),
    (["run", "quick.toml", "--seeds", "-3", "--out", "x.h5"], "simulation.seeds = -3"),
    (["run", "quick.toml", "--sedes", "3"], "No such option"),
    (["run", "quick.toml", "--out", "x.png"], "give it the ending .h5"),
    (["run", "quick.toml", "--out", "quick.toml/x.h5"], "is a file, not a folder"),
    (
        ["run", "quick.toml", "--size", "50", "--size", "50", "--out", "x.h5"],
        "several different ones",
    ),
    (
        ["run", "quick.toml", "--set", "start.random=3", "--out", "x.h5"],
        "start.random = 3 is not a table",
    ),
    (["run", "quick.toml", "--set", "task.activation=3", "--out", "x.h5"], "task.activation is 3"),
    (["run", "quick.toml", "--set", "simulation.seeds=[1, 1]", "--out", "x.h5"], "seeds = [1, 1]"),
    (["run", "quick.toml", "--set", "times.stop=-1.0", "--out", "x.h5"], "times.stop = -1.0"),
    (["show", "quick.toml"], "is not an HDF5 file"),
    (["plot", "results/quick.h5", "--out", "x.xyz"], "give it the ending .png"),
    (["plot", "missing.h5"], "does not exist"),
    (["compare", "theory-less.h5"], "does not exist"),
]


def test_bad_input_is_one_sentence_and_exit_code_two(workspace):
    found = run_one_after_another(*[arguments for arguments, _ in BAD_INPUT], cwd=workspace)
    for (arguments, message), (code, _, said) in zip(BAD_INPUT, found, strict=True):
        assert (code, message in said, "Traceback" in said) == (2, True, False), (
            f"{arguments}: {said}"
        )
        assert not (workspace / "x.h5").exists(), arguments


def test_a_process_with_bad_input_ends_with_exit_code_two(workspace):
    failed = run("run", "no-such-thing", cwd=workspace)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("teacherstudent: ") and failed.stderr.count("\n") == 1


@pytest.mark.long
def test_a_run_that_diverges_fails_with_exit_code_one(workspace):
    failed = run(
        "run",
        "quick.toml",
        "--set",
        "student.activation=quadratic",
        "--set",
        "task.activation=quadratic",
        "--set",
        "rule.learning_rate=2.0",
        "--out",
        "x.h5",
        cwd=workspace,
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("teacherstudent: the order parameters diverge at t = 0.")
    assert "Traceback" not in failed.stderr and not (workspace / "x.h5").exists()


# The run interrupts itself at its first steps: no clock decides where.  A job in the background
# would ignore the signal, which Python then does not take.
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from sims.running import loop
from teacherstudent.results import checkpoint_files
checkpoint_files.WORTH_KEEPING = 1e9  # a busy machine may take more than five seconds
take_steps = loop.Training.take_steps
def interrupted(self, count):
    os.kill(os.getpid(), signal.SIGINT)
    return take_steps(self, count)
loop.Training.take_steps = interrupted
sizes = ["--seeds", "6", "--size", "60"]  # as in the workspace, whose programs are compiled
sys.argv = ["teacherstudent", "run", "quick.toml", *sizes, "--out", "long.h5"]
from teacherstudent.command.cli import main
main()
"""


def test_interruption_leaves_nothing_behind(workspace):
    before = set(workspace.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=workspace,
        env=os.environ | quick_compilation(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 130
    assert "interrupted; nothing was written" in done.stderr and "Traceback" not in done.stderr
    assert set(workspace.iterdir()) == before and not (workspace / "long.h5").exists()


@pytest.mark.long
def test_covariances_from_a_file(workspace):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((30, 20)) / 6
    np.savez(workspace / "covariances.npz", Omega=rows @ rows.T + np.eye(30), Phi=rows)
    (workspace / "own.toml").write_text(
        QUICK.replace(
            'type = "TeacherStudent"', 'type = "GaussianEquivalent", path = "covariances.npz"'
        )
        .replace("= 100", "= 30")
        .replace("= 80", "= 30")
    )
    done = run("run", "own.toml", "--set", "theory.spectral=true", "--no-figure", cwd=workspace)
    assert done.returncode == 0, done.stderr
    tree = ts.load(workspace / "results" / "own.h5")
    assert tree["theory"].q.sizes["rho"] == 21  # ten equal eigenvalues are one
    np.testing.assert_array_equal(tree["simulation"].Phi, rows)
    other = run("run", "own.toml", "--size", "40", "--out", "x.h5", cwd=workspace)
    assert other.returncode == 2 and "N = 40, but task.Omega has shape (30, 30)" in other.stderr
    missing = run(
        "run", "own.toml", "--set", "task.path=nothing.h5", "--out", "x.h5", cwd=workspace
    )
    assert missing.returncode == 2 and "nothing.h5 does not exist" in missing.stderr


@pytest.mark.long
def test_a_warning_is_one_line(workspace):
    (workspace / "raw.toml").write_text(
        QUICK.replace(
            'type = "TeacherStudent"',
            'type = "HiddenManifold", nonlinearity = "relu", latent_ratio = 0.5, centre = false',
        ).replace("N = 80", "N = 100")
    )
    done = run("run", "raw.toml", "--theory-only", "--no-figure", "--quiet", cwd=workspace)
    assert done.returncode == 0 and done.stderr.startswith(
        "teacherstudent: warning: task.centre = False leaves the inputs"
    )
    assert len(done.stderr.splitlines()) == 1
