"""The manual: every command on a page is one that the command line takes, every name is in the
reference once, every link leads somewhere, and what a shell does in seconds is done.

The Python of its pages runs when the manual is built.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import typer

import teacherstudent as ts
from teacherstudent.command import published, tables
from teacherstudent.command.cli import app
from teacherstudent.command.experiment import Experiment
from teacherstudent.command.sweeps import planned
from teacherstudent.command.tables import assigned
from tests.manual_pages import DOCS, ROOT, Command, blocks, commands, links, name_of, pages
from tests.processes import quick_compilation

COMMAND_LINE = typer.main.get_command(app)
SHELL_VARIABLE = re.compile(r"\$\w+")


def parsed(command: Command):
    """The options of a command, read by the command line itself, which then does nothing."""
    words = shlex.split(SHELL_VARIABLE.sub("1", command.line))[1:]
    name, *arguments = words
    assert name in COMMAND_LINE.commands, f"{command.page}: there is no command {name}"
    context = COMMAND_LINE.commands[name].make_context(name, arguments)
    return name, context.params


@pytest.mark.parametrize(
    "command", [one for one in commands() if "--version" not in one.line], ids=lambda one: one.line
)
def test_a_command_on_a_page_is_one(command):
    """Options exist, set-ups have their names, entries their places."""
    name, options = parsed(command)
    if name not in ("run", "sweep") or options["experiment_"] is None:
        return
    experiment = options["experiment_"]
    if experiment.endswith(".toml"):
        return  # the reader's own
    assert experiment in published.names(), f"{command.page}: no set-up is called {experiment}"
    changes = assigned(options["set_"] or [])
    if changes or name == "sweep":
        Experiment.read(experiment, changes)
    for text in options.get("over") or ():
        planned(experiment, [text], None, changes, bool(options["theory_only"]))


def test_there_are_commands():
    assert len(commands()) > 30


SHORT = (
    "teacherstudent --version",
    "teacherstudent list",
    "teacherstudent run linear-noisy --set times.stop=2 --set simulation.N=100 --out check.h5",
    "teacherstudent validate check.h5",
    "teacherstudent show check.h5",
)


@pytest.mark.slow
def test_what_installation_says_to_try_works(tmp_path):
    """The commands of the page on installation, in their order."""
    lines = [one.line for one in commands() if one.page == "docs/start/install.md"]
    assert set(SHORT[:4]) <= set(lines)
    for line in SHORT:
        words = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def environment() -> dict[str, str]:
    """That of this process, with the package that is tested."""
    return os.environ | quick_compilation() | {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_its_python_is_python(page):
    """Blocks that are shown and not run, too, are at least without mistakes of syntax."""
    for code in [*blocks(page, "{code-cell}"), *blocks(page, "python")]:
        ast.parse(code)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_its_links_lead_somewhere(page):
    for target in links(page):
        assert (page.parent / target).exists(), f"{name_of(page)} links to {target}"


def test_every_public_name_is_in_the_reference_once():
    text = "".join(path.read_text() for path in sorted((DOCS / "reference").glob("*.md")))
    named = re.findall(r"^\.\. (?:auto\w+|py:data):: teacherstudent\.(\w+)$", text, re.MULTILINE)
    assert sorted(named) == sorted(ts.__all__)


def test_every_table_of_an_experiment_is_in_the_reference():
    """Every model that validates a file, and every class that a file may name."""
    sys.path.insert(0, str(DOCS / "extensions"))
    try:
        pytest.importorskip("sphinx")
        from generated_tables import CLASSES, MODELS
    finally:
        sys.path.pop(0)
    validated = {
        one
        for one in vars(tables).values()
        if isinstance(one, type) and issubclass(one, tables.Table) and one is not tables.Table
    }
    assert validated <= set(MODELS.values())
    text = (DOCS / "reference" / "experiments.md").read_text()
    assert re.findall(r"\{experiment-tables\} (.*)", text) == list(MODELS)
    assert set(re.findall(r"\{class-fields\} (\w+)", text)) == set(CLASSES)


def test_tables_in_toml_are_valid():
    """Whole experiments on pages are taken as they are; parts are at least TOML."""
    whole = 0
    for page in pages():
        for code in blocks(page, "toml"):
            shown = tomllib.loads(code)
            if "title" in shown:
                Experiment.from_tables("shown", shown)
                whole += 1
    assert whole >= 2


OVERLAPS = ts.OrderParameters(Q=[[0.5, 0.1], [0.1, 0.3]], R=[[0.1, 0.0], [0.0, 0.1]])
MANIFOLD = ts.HiddenManifold(2, latent_ratio=0.5)


def problem(task=None, rule=None, loss="square", batch_size=1, batch_ratio=None, **student):
    """A problem of two student and two teacher units."""
    return ts.Problem(
        task or ts.TeacherStudent(2),
        ts.Student(2, **student),
        rule or ts.SGD(0.1),
        loss,
        batch_size,
        batch_ratio,
    )


def integrated(**parts):
    return ts.integrate(problem(**parts), OVERLAPS, [0.0, 1.0])


def simulated(method="weights", **parts):
    return ts.simulate(problem(**parts), OVERLAPS, [0.0, 1.0], N=50, method=method)


REFUSED = (
    lambda: integrated(rule=ts.Madam()),
    lambda: integrated(rule=ts.SignSGD(0.1), task=MANIFOLD),
    lambda: integrated(rule=ts.AGD(), train_readout=True),
    lambda: integrated(rule=ts.AGD(), task=MANIFOLD),
    lambda: integrated(rule=ts.Signum(0.1), batch_size=2),
    lambda: integrated(task=ts.HiddenManifold(2, latent_ratio=0.5, layers=(0.75,))),
    lambda: problem(batch_ratio=2.0),
    lambda: problem(activation="sign"),
    lambda: problem(task=ts.ClassifyingTeacher(2), train_bias=True),
    lambda: problem().check_start(ts.OrderParameters(np.eye(2), np.zeros((2, 2)), b=[0.1, 0.0])),
    lambda: integrated(rule=ts.SignSGD(0.1), train_bias=True),
    lambda: integrated(rule=ts.SignSGD(0.1), task=ts.ShiftedTeacherStudent(2)),
    lambda: problem(task=ts.ShiftedTeacherStudent(2, mean=ts.exponential(1.0, 0.1))),
    lambda: problem(loss="logistic"),
    lambda: simulated(rule=ts.GradientFlow()),
    lambda: simulated(rule=ts.SignSGD(0.1), method="reduced"),
    lambda: simulated(rule=ts.SGD([0.1, 0.2])),
)


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_limits_show_the_errors_that_there_are(case):
    """Each sentence that the page on limits quotes is the beginning of the one that is raised."""
    with pytest.raises(ValueError) as raised:
        REFUSED[case]()
    text = " ".join((DOCS / "limits.md").read_text().split())
    quoted = re.findall(r"`ValueError: ([^`]+)`", text)
    assert any(str(raised.value).startswith(one) for one in quoted), str(raised.value)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100
