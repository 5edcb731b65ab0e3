"""How Sphinx builds the manual: `make docs`."""

import hashlib
import os
import sys
from pathlib import Path

import teacherstudent

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "teacherstudent"
author = "The teacherstudent developers"
project_copyright = f"2026, {author}"
version = release = teacherstudent.__version__

extensions = [
    "equations",
    "notebooks",
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
numfig = True  # equations are numbered by the sections of the theory, (2.1)


def digest_of_sources() -> str:
    """A hash of the package: what pages print may change with any of its files."""
    digest = hashlib.sha256()
    for package in ("teacherstudent", "odes", "sims"):
        for path in sorted((HERE.parent / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def left_out() -> list[str]:
    """The pages whose code does not run: none, unless MANUAL_PART = "2/6" says which part does.

    Continuous integration has no time for all of them: another sixth runs at each commit.
    """
    part, _, parts = os.environ.get("MANUAL_PART", "").partition("/")
    if not parts:
        return []
    pages = sorted(str(page.relative_to(HERE)) for page in HERE.glob("[a-z]*/*.md"))
    return [page for number, page in enumerate(pages) if number % int(parts) != int(part)]


# Every page's code runs when the manual is built; where neither the page nor the package has
# changed, what it printed is kept.
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "executed" / digest_of_sources())
nb_execution_raise_on_error = True
nb_execution_excludepatterns = left_out()
# Only a page whose code has run says in which language it is.
suppress_warnings = ["myst-nb.lexer"] if nb_execution_excludepatterns else []
nb_output_stderr = "warn"  # a warning on a page fails the build
nb_execution_timeout = 300
nb_execution_in_temp = True  # pages write files
nb_merge_streams = True
os.environ["TQDM_DISABLE"] = "1"  # progress bars are for people who wait
# Pages compile many small programs that run for moments, and several pages compile the same ones.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(HERE / "_build" / "compiled"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.03")

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
myst_html_meta = {
    "description lang=en": "Order-parameter equations of online learning in two-layer networks, "
    "beside simulations of finite networks.",
    "keywords": "teacher-student, online SGD, order parameters, statistical physics of learning",
}
