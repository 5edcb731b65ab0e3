"""What Sphinx learns for the reference: docstrings, signatures, generated tables."""

import plain_docstrings
import written_signatures
from command_line import Commands
from generated_tables import (
    ClassFields,
    ExperimentTables,
    Observables,
    ResultVariables,
    Setups,
)


def setup(app):
    """Called by Sphinx once."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", plain_docstrings.process)
    app.connect("autodoc-process-signature", written_signatures.process)
    app.connect("doctree-read", written_signatures.without_links)
    app.add_directive("experiment-tables", ExperimentTables)
    app.add_directive("class-fields", ClassFields)
    app.add_directive("built-in-observables", Observables)
    app.add_directive("result-variables", ResultVariables)
    app.add_directive("commands", Commands)
    app.add_directive("published-setups", Setups)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
