"""The examples in docstrings run, and print what they say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import quick_compilation

ROOT = Path(__file__).parent.parent
# Modules, and folders of modules, whose examples solve equations or train networks: they compile
# programs, which takes seconds each.
COMPILING = (
    "odes.analysis",
    "odes.inputs",
    "odes.integrate",
    "odes.solving",
    "sims",
    "teacherstudent.command",
    "teacherstudent.contrasts",
    "teacherstudent.errors",
    "teacherstudent.models",
    "teacherstudent.observables",
    "teacherstudent.results",
)


def modules_with_examples() -> list[str]:
    names = []
    for package in ("teacherstudent", "odes", "sims"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if ">>> " in path.read_text():
                parts = path.relative_to(ROOT).with_suffix("").parts
                names.append(".".join(part for part in parts if part != "__init__"))
    return names


def compiles(name: str) -> bool:
    """Whether a module is one of those above, or in one of their folders."""
    return name == "teacherstudent" or f"{name}.".startswith(tuple(f"{one}." for one in COMPILING))


# In a process of its own: without the tests' float64 and checks of types, as users have it.
RUN = """
import doctest, importlib, sys
failed = [name for name in sys.argv[1:] if doctest.testmod(importlib.import_module(name)).failed]
sys.exit(f"examples failed in {', '.join(failed)}" if failed else 0)
"""


def run_examples(names: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *names],
        cwd=folder,  # some examples write a file
        env=os.environ | quick_compilation() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_examples_run(tmp_path):
    names = [name for name in modules_with_examples() if not compiles(name)]
    assert len(names) > 20
    run_examples(names, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in modules_with_examples() if compiles(name)])
def test_examples_that_compile_run(name, tmp_path):
    run_examples([name], tmp_path)
