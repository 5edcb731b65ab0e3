"""Warnings that point to the user's own line, however deep in the package they come from."""

import sys
import warnings

from teacherstudent.checking.contracts import PACKAGES


def warn_user(sentence: str) -> None:
    """Warn at the line outside these packages that led here."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_inside(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
        level += 1
    warnings.warn(sentence, stacklevel=level + 1)


def _is_inside(module: str) -> bool:
    """Whether a module is of these packages, or a wrapper around their functions."""
    return module.partition(".")[0] in (*PACKAGES, "jaxtyping", "equinox", "functools")
