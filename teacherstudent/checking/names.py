"""Public names that load on first use, and the sentences for those that do not."""

import importlib
from collections.abc import Iterable
from difflib import get_close_matches
from types import ModuleType

LAZY_PACKAGES = ("odes", "sims")


def unknown_name(name: str, known: Iterable[str]) -> str:
    """The sentence for a name that the package does not have."""
    sentence = f"module 'teacherstudent' has no attribute {name!r}"
    near = get_close_matches(name, known, n=1)
    if near:
        sentence += f"; did you mean {near[0]!r}?"
    return sentence


def defined_in(name: str) -> ModuleType:
    """A module of ours, imported.

    Raises ImportError that names the file of a user's own `odes` or `sims` if Python finds that
    first.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.split(".")[0]
        if package not in LAZY_PACKAGES or error.name not in (name, package):
            raise
        stranger = importlib.import_module(package)
        raise ImportError(
            f"teacherstudent needs its own package {package!r}, but Python finds "
            f"{stranger.__file__ or stranger.__path__} first; rename that file or folder, or run "
            "from another one."
        ) from error
