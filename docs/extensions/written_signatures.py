"""Signatures as they are written in the source.

Sphinx shows the objects that annotations evaluate to: `jaxtyping.Float[jaxlib._jax.Array, 'time']`
where the source says `Float[Array, " time"]`.  The source is what a reader can use.
"""

import ast
import inspect
import textwrap

from docutils import nodes
from sphinx import addnodes


def process(app, what, name, obj, options, signature, returns):
    """The signature from the source, as the event `autodoc-process-signature` asks for."""
    if what == "class":
        return class_signature(obj), None
    if what in ("function", "method"):
        return function_signature(obj)
    return signature, returns


def class_signature(cls) -> str | None:
    """What one writes to make an object: without types, which the docstring explains in words."""
    try:
        signature = inspect.signature(cls)
    except (TypeError, ValueError):
        return None
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    return str(inspect.Signature(plain))


def function_signature(function) -> tuple[str | None, str | None]:
    """Arguments and answer of a function with the types as its author wrote them."""
    function = inspect.unwrap(getattr(function, "__func__", function))
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None, None
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        return None, None
    arguments = definition.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        del arguments.args[0]
    returns = None if definition.returns is None else ast.unparse(definition.returns)
    return f"({ast.unparse(arguments)})", returns


def without_links(app, doctree) -> None:
    """Types in signatures are words: most are of other packages, or aliases without a page."""
    for signature in doctree.findall(addnodes.desc_signature):
        for reference in list(signature.findall(addnodes.pending_xref)):
            reference.replace_self(nodes.inline("", reference.astext()))
