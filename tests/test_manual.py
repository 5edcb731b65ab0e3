"""The manual: every command on a page is one that the command line takes, every name is in the
reference once, every link leads somewhere, and what a shell does in seconds is done.

The Python of its pages runs when the manual is built.
"""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import teacherstudent as ts
from teacherstudent.command import published
from teacherstudent.command.cli import app
from teacherstudent.command.experiment import Experiment
from teacherstudent.command.tables import assigned
from tests.manual_pages import BLOCK, DOCS, Command, blocks, commands, links, name_of, pages

COMMAND_LINE = typer.main.get_command(app)
# Published set-ups that draw matrices or look for scales before they run: their entries are looked
# at, but no problem is made.
SHELL_VARIABLE = re.compile(r"\$\w+")
RUN = ("list", "--version")


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
        from teacherstudent.command.sweeps import planned

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
    import os

    from tests.processes import quick_compilation

    return os.environ | quick_compilation() | {"PYTHONPATH": str(DOCS.parent)}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_its_python_is_python(page):
    """Blocks that are shown and not run, too, are at least without mistakes of syntax."""
    cells = [code for kind, code in BLOCK.findall(page.read_text()) if kind == "{code-cell}"]
    for code in [*cells, *blocks(page, "python")]:
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
    from teacherstudent.command import tables

    validated = {
        one
        for one in vars(tables).values()
        if isinstance(one, type) and issubclass(one, tables.Table) and one is not tables.Table
    }
    assert validated <= set(MODELS.values())
    text = (DOCS / "reference" / "experiments.md").read_text()
    assert re.findall(r"\{experiment-tables\} (.*)", text) == list(MODELS)
    assert set(re.findall(r"\{class-fields\} (\w+)", text)) == set(CLASSES)


def test_tables_in_toml_are_valid(tmp_path):
    """Whole experiments on pages are taken as they are; parts are at least TOML."""
    import tomllib

    whole = 0
    for page in pages():
        for code in blocks(page, "toml"):
            tables = tomllib.loads(code)
            if "title" in tables:
                Experiment.from_tables("shown", tables)
                whole += 1
    assert whole >= 2


def test_the_readme_is_short():
    assert len((Path(DOCS).parent / "README.md").read_text().splitlines()) <= 100
