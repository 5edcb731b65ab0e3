"""How Sphinx builds the manual: `make docs`."""

import os
import sys
from pathlib import Path

import teacherstudent

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "teacherstudent"
author = "The teacherstudent developers"
project_copyright = f"2026, {author}"
version = release = teacherstudent.__version__

extensions = [
    "reference_pages",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "jupyter_execute", "extensions"]
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Every page's code runs when the manual is built; a page that has not changed is not run again.
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
os.environ["TQDM_DISABLE"] = "1"  # progress bars are for people who wait

autodoc_member_order = "bysource"
autodoc_typehints = "none"
add_module_names = False
smartquotes = False
python_maximum_signature_line_length = 80
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = f"teacherstudent {version}"
html_short_title = "teacherstudent"
html_static_path = ["static"]
html_css_files = ["manual.css"]
html_show_sphinx = False
html_copy_source = False
