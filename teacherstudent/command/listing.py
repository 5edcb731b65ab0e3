"""What `list` prints: the published set-ups in groups, or those that a word is found in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from teacherstudent.command import published

GROUPS = (
    "Teacher and student",
    "Structured inputs",
    "Two classes",
    "Escape from a random start",
    "Update rules",
    "Problems and rates that change",
    "Sweeps",
)
STRUCTURED = ("HiddenManifold", "GaussianEquivalent")


def group_of(tables: Mapping[str, Any]) -> str:
    """The group that a set-up is listed in, by what its file holds."""
    if tables.get("sweep"):
        return "Sweeps"
    if tables.get("escape"):
        return "Escape from a random start"
    if tables.get("protocol") or _has_schedule(tables):
        return "Problems and rates that change"
    if _is_about_rules(tables):
        return "Update rules"
    kind = tables.get("task", {}).get("type")
    if kind in STRUCTURED:
        return "Structured inputs"
    return "Teacher and student" if kind == "TeacherStudent" else "Two classes"


def _has_schedule(tables: Mapping[str, Any]) -> bool:
    """Whether some number of a rule changes with time, also in a variant."""
    rules = [tables, *tables.get("variants", {}).values()]
    numbers = [number for one in rules for number in one.get("rule", {}).values()]
    return any(isinstance(number, Mapping) and "schedule" in number for number in numbers)


def _is_about_rules(tables: Mapping[str, Any]) -> bool:
    """Whether a rule other than SGD is at work."""
    rules = [tables, *tables.get("variants", {}).values()]
    kinds = [one["rule"].get("type", "SGD") for one in rules if "rule" in one]
    return any(kind != "SGD" for kind in kinds)


def print_list(words: Sequence[str]) -> None:
    """The set-ups in which all words are found, in any case of letters; without words all of them.

    Raises ValueError where there is none, with the nearest name.
    """
    found: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
    for name in published.names():
        tables = published.read(name)[1]
        group = group_of(tables)
        text = " ".join((name, group, tables["title"], tables.get("reference", ""))).lower()
        if all(word.lower() in text for word in words):
            found[group].append((name, tables["title"]))
    if not any(found.values()):
        sought = " ".join(words)
        near = get_close_matches(sought, published.names(), n=1)
        hint = f"did you mean {near[0]}?" if near else "`teacherstudent list` shows all of them."
        raise ValueError(f"no published set-up has {sought!r} in its name or title; {hint}")
    _print_groups(found)


def _print_groups(found: Mapping[str, list[tuple[str, str]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    width = max(len(name) for set_ups in found.values() for name, _ in set_ups)
    for group, set_ups in found.items():
        if not set_ups:
            continue
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=width)  # it is there to be copied
        table.add_column()
        for set_up in set_ups:
            table.add_row(*set_up)
        console.print(f"[bold]{group}[/bold]")
        console.print(table)
        console.print()
    console.print("teacherstudent run NAME runs one of them; with --print-toml it shows its file.")
