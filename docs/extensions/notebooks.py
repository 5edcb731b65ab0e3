"""Tutorials as notebooks to download: docs/tutorials/NAME.md becomes _build/notebooks/NAME.ipynb.

Sphinx reads the tutorials themselves, so that there is one source.  What only a manual has, such as
the line that offers the download, is left out of the notebook.
"""

from pathlib import Path

import jupytext
from sphinx.application import Sphinx


def notebook_of(text: str) -> str:
    """The notebook, as JSON, of a tutorial in MyST Markdown."""
    notebook = jupytext.reads(text, fmt="md:myst")
    for cell in notebook.cells:
        lines = [line for line in cell.source.splitlines() if "{download}" not in line]
        cell.source = "\n".join(lines).strip()
    return jupytext.writes(notebook, fmt="ipynb")


def write_notebooks(app: Sphinx) -> None:
    """Write the notebooks of all tutorials, before the pages that offer them are read."""
    source = Path(app.srcdir)
    folder = source / "_build" / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for page in sorted((source / "tutorials").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if text.startswith("---"):  # a notebook, not the list of them
            (folder / f"{page.stem}.ipynb").write_text(notebook_of(text), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the conversion with Sphinx."""
    app.connect("builder-inited", write_notebooks)
    return {"parallel_read_safe": True}
