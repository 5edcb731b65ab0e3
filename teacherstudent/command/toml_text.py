"""The text of an experiment's file, with the changes of a command line in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit

from teacherstudent.command import published
from teacherstudent.command.tables import apply_changes


def text_with(name_or_file: str, changes: Mapping[str, Any]) -> str:
    """The file of an experiment with its comments, and with the entries that are changed.

    Raises what `published.text_of` and `apply_changes` raise.
    """
    document = tomlkit.parse(published.text_of(name_or_file))
    apply_changes(document, changes)
    return tomlkit.dumps(document)
