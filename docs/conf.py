"""How Sphinx builds the manual: `make docs`."""

import sys
from pathlib import Path

import teacherstudent

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "teacherstudent"
author = "The teacherstudent developers"
project_copyright = f"2026, {author}"
version = release = teacherstudent.__version__

extensions = [
    "equations",
    "notebooks",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Every page's code runs when the manual is built; a page that has not changed is not run again.
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

html_theme = "furo"
html_title = f"teacherstudent {version}"
