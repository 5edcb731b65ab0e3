"""What the groups of a result file must say of themselves before anything in them is read."""

import json
from typing import Any

from teacherstudent.results.datasets import DESCRIPTION, SCHEMA
from teacherstudent.results.hdf5_opening import ForeignFile, UnreadableFile
from teacherstudent.results.hdf5_reading import CheckGroup, place

UNCHECKED = 1  # the last schema without checksums
DEEPEST_DESCRIPTION = 20  # levels of a description
KINDS = (
    "theory",
    "simulation",
    "comparison",
    "escape",
    "fixed_point",
)
ENTRIES: dict[str, dict[str, type]] = {  # what a description of each kind must have, and what it is
    "theory": {"problem": dict, "start": dict, "report": dict},
    "simulation": {"problem": dict, "start": dict, "report": dict},
    "comparison": {"N": list, "seeds": list, "largest": list, "verdict": str},
    "escape": {"problem": dict, "report": dict},
    "fixed_point": {"problem": dict, "start": dict, "report": dict},
}


def group_check(name: str) -> CheckGroup:
    """What is asked of each group of a file called `name` before its members are looked at."""

    def check(parts: tuple[str, ...], attributes: dict[str, Any]) -> None:
        where = place(name, parts)
        if not parts:
            _check_mark(where, attributes)
            return
        kind = kind_of_group(parts)
        if kind is None:
            raise UnreadableFile(
                f"{where} is none that a result has ({', '.join(KINDS)}, variants)."
            )
        if kind in KINDS and (DESCRIPTION in attributes or parts[-1] != "simulation"):
            _check_description(where, kind, attributes)

    return check


def kind_of_group(parts: tuple[str, ...]) -> str | None:
    """What a group holds, by its name; None if no result has such a group."""
    first, *rest = parts
    if first == "variants":
        if len(rest) < 2:
            return "variants"
        return None if rest[1] == "variants" else kind_of_group(tuple(rest[1:]))
    one_of_several = first == "simulation" and len(rest) == 1 and rest[0].startswith("N_")
    if first in KINDS and (not rest or one_of_several):
        return first
    return None


def _check_mark(name: str, attributes: dict[str, Any]) -> None:
    """Raise UnreadableFile unless the attribute of the file says that it is ours, and of a schema
    that is known.
    """
    mark = _parsed(attributes.get(DESCRIPTION))
    if not isinstance(mark, dict) or "schema" not in mark or _deeper(mark, DEEPEST_DESCRIPTION):
        raise ForeignFile(
            f"{name} is an HDF5 file, but not one that teacherstudent wrote (no attribute "
            f"{DESCRIPTION!r} with a schema)."
        )
    _check_schema(name, mark)


def _check_schema(where: str, described: dict) -> None:
    schema = described.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise UnreadableFile(
            f"{where} has schema = {str(schema)[:40]!r}; it is to be a whole number from 1 to "
            f"{SCHEMA}."
        )
    if schema > SCHEMA:
        raise UnreadableFile(
            f"{where} was written by a newer teacherstudent (schema {str(schema)[:40]}); update it."
        )


def _check_description(where: str, kind: str, attributes: dict[str, Any]) -> None:
    """Raise UnreadableFile unless a group has a description of its kind."""
    described = _parsed(attributes.get(DESCRIPTION))
    if not isinstance(described, dict) or _deeper(described, DEEPEST_DESCRIPTION):
        raise UnreadableFile(
            f"{where} has no description (attribute {DESCRIPTION!r}, a table in JSON); "
            "teacherstudent did not write it."
        )
    _check_schema(where, described)
    if described.get("kind") != kind:
        raise UnreadableFile(
            f"{where} holds kind = {str(described.get('kind'))[:40]!r}; it is to be {kind!r}."
        )
    for entry, entry_type in ENTRIES[kind].items():
        if not isinstance(described.get(entry), entry_type):
            raise UnreadableFile(
                f"{where} has a description without {entry!r}, or with one of another type."
            )
    if kind == "simulation" and type(described["report"].get("N")) is not int:
        raise UnreadableFile(f"{where} has a report without a whole number N.")


def _parsed(text: Any) -> Any:
    """What is in a JSON text; None if it is none, or nested beyond what Python can follow."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def _deeper(value: Any, levels: int) -> bool:
    """Whether lists and tables are nested in each other more than so many times."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(one, levels - 1) for one in inner)
