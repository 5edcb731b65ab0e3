"""The directive `equations`: functions that hold equations, as the code states them.

    ```{equations} odes.inputs.moments
    Moments
    moments
    ```

shows the docstring of the module and those of the named objects, with a link to their source.  The
docstrings are shown as they were typed, since their equations are plain text.  Pages link to an
object as {py:func}`odes.inputs.moments.moments`.
"""

import importlib
import inspect

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def named(module: str, name: str):
    """An object of a module by its name, `Class.method` included."""
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def signature_of(one) -> str:
    """The arguments of a function without their types, which the source has."""
    if inspect.isclass(one):
        return ""
    parameters = inspect.signature(one).parameters
    return f"({', '.join(name for name in parameters if name != 'self')})"


def described(module: str, name: str) -> str:
    """The description of one object in MyST Markdown."""
    one = named(module, name)
    kind = "class" if inspect.isclass(one) else "method" if "." in name else "function"
    signature = signature_of(one)
    text = inspect.getdoc(one) or ""
    return "\n".join(
        [
            f"````{{py:{kind}}} {name}{signature}",
            f":module: {module}",
            "",
            "```{code-block} text",
            ":class: docstring",
            "",
            text,
            "```",
            "````",
            "",
        ]
    )


class Equations(SphinxDirective):
    """Documents a module that holds equations, and the named objects in it."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        module = self.arguments[0]
        about = inspect.getdoc(importlib.import_module(module)) or ""
        parts = ["```{code-block} text", ":class: docstring", "", about, "```", ""]
        for name in self.content:
            if name.strip():
                parts.append(described(module, name.strip()))
        return self.parse_text_to_nodes("\n".join(parts))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive with Sphinx, and how numbered equations are laid out."""
    app.add_directive("equations", Equations)
    app.add_css_file("equations.css")
    return {"parallel_read_safe": True}
