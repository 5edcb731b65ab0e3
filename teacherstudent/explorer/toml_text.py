"""Tables as the text of a TOML file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def toml_text(tables: Mapping[str, Any]) -> str:
    """The text of the TOML file of some tables, so that reading it gives them back.

    >>> print(toml_text({"title": "A line", "rule": {"type": "SGD", "learning_rate": 0.5}}))
    title = "A line"
    <BLANKLINE>
    [rule]
    type = "SGD"
    learning_rate = 0.5
    <BLANKLINE>
    """
    lines = [_entry(key, value) for key, value in tables.items() if not _is_table(value)]
    for key, value in tables.items():
        if isinstance(value, Mapping):
            lines += _table(key, value)
        elif _is_table(value):
            for one in value:
                lines += ["", f"[[{_key(key)}]]", *_entries(one)]
    return "\n".join(lines) + "\n"


def _table(name: str, table: Mapping) -> list[str]:
    """A table with its title; one that holds nothing but tables has their titles."""
    if table and all(isinstance(value, Mapping) for value in table.values()):
        lines: list[str] = []
        for key, value in table.items():
            lines += ["", f"[{_key(name)}.{_key(key)}]", *_entries(value)]
        return lines
    return ["", f"[{_key(name)}]", *_entries(table)]


def _entries(table: Mapping) -> list[str]:
    return [_entry(key, value) for key, value in table.items()]


def _entry(key: str, value: Any) -> str:
    return f"{_key(key)} = {_value(value)}"


def _is_table(value: Any) -> bool:
    """Whether a value has a title of its own: a table, or a list of tables."""
    if isinstance(value, Mapping):
        return True
    return (
        isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)
    )


def _key(key: str) -> str:
    return key if BARE.match(key) else _string(key)


def _string(text: str) -> str:
    """JSON's escapes are among TOML's, but for the character DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: Any) -> str:
    """A value on one line, tables in braces."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_entries(value)) + " }"
    return "[" + ", ".join(_value(one) for one in value) + "]"
