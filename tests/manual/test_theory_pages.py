"""The theory pages link equations to functions that exist, and to pages that show them."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import teacherstudent

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = sorted((DOCS / "theory").glob("*.md"))
TUTORIALS = sorted(page for page in (DOCS / "tutorials").glob("*.md") if page.stem != "index")
LINK = re.compile(r"\{py:(?:func|class|meth)\}`([\w.]+)`")
LABEL = re.compile(r"^\$\$ \(([\w-]+)\)$", flags=re.MULTILINE)
WITHOUT_EQUATIONS = {"index", "functions", "references"}


def links_of(page: Path) -> set[str]:
    """The full names of what a page links to."""
    return set(LINK.findall(page.read_text(encoding="utf-8")))


def shown() -> set[str]:
    """The full names that the page of functions shows."""
    text = (DOCS / "theory" / "functions.md").read_text(encoding="utf-8")
    names = set()
    for module, block in re.findall(r"```\{equations\} (\S+)\n(.*?)```", text, flags=re.DOTALL):
        names.update(f"{module}.{name}" for name in block.split())
    return names


def of_package(name: str) -> bool:
    """Whether a name is a public one, teacherstudent.NAME."""
    return name.count(".") == 1 and name.startswith("teacherstudent.")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_linked_function_exists_and_is_shown(page):
    for name in links_of(page):
        if of_package(name):
            assert name.split(".")[1] in teacherstudent.__all__, name
        else:
            assert name in shown(), f"{name} is not on theory/functions.md"


@pytest.mark.parametrize("name", sorted(shown()))
def test_each_shown_function_exists_and_says_what_it_computes(name):
    module, _, rest = name.rpartition(".")
    try:
        holder = importlib.import_module(module)
    except ModuleNotFoundError:  # a method: the last part but one is its class
        module, _, kind = module.rpartition(".")
        holder = getattr(importlib.import_module(module), kind)
    found = getattr(holder, rest)
    assert callable(found)
    assert found.__module__ == module


def test_no_shown_function_is_public():
    """Public names are in the reference; two descriptions of one object are an error."""
    public = {f"{module}.{name}" for name, module in teacherstudent.MODULE_OF.items()}
    assert not shown() & public


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_equation_of_a_table_is_on_some_page(page):
    labels = [label for one in PAGES for label in LABEL.findall(one.read_text(encoding="utf-8"))]
    assert len(labels) == len(set(labels))
    for used in re.findall(r"\{eq\}`([\w-]+)`", page.read_text(encoding="utf-8")):
        assert used in labels, used


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_checks_its_equations_and_says_who_holds_them(page):
    if page.stem in WITHOUT_EQUATIONS:
        return
    text = page.read_text(encoding="utf-8")
    assert text.count("```{code-cell}") >= 1
    assert "## Where it is in the code" in text


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_each_tutorial_is_a_notebook_to_download(page):
    pytest.importorskip("jupytext")
    sys.path.insert(0, str(DOCS / "extensions"))
    try:
        notebooks = importlib.import_module("notebooks")
    finally:
        sys.path.remove(str(DOCS / "extensions"))
    text = page.read_text(encoding="utf-8")
    assert f"{{download}}`this page as a notebook <../_build/notebooks/{page.stem}.ipynb>`" in text
    notebook = notebooks.notebook_of(text)
    assert '"cell_type": "code"' in notebook
    assert "{download}" not in notebook
