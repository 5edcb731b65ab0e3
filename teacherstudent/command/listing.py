"""What `list` prints: the published set-ups in sections, or those that a word is found in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from teacherstudent.command import published
from teacherstudent.command.sections import OTHERS, SECTIONS, section_of


def print_list(words: Sequence[str]) -> None:
    """The set-ups in which all words are found, in any case of letters; without words all of them.

    Raises ValueError where there is none, with the nearest name.
    """
    found: dict[str, list[tuple[str, str]]] = {title: [] for title, _ in SECTIONS}
    found[OTHERS] = []
    for name in published.names():
        tables = published.read(name)[1]
        section = section_of(name)
        text = " ".join((name, section, tables["title"], tables.get("reference", ""))).lower()
        if all(word.lower() in text for word in words):
            found[section].append((name, tables["title"]))
    if not any(found.values()):
        sought = " ".join(words)
        near = get_close_matches(sought, published.names(), n=1)
        hint = f"did you mean {near[0]}?" if near else "`teacherstudent list` shows all of them."
        raise ValueError(f"no published set-up has {sought!r} in its name or title; {hint}")
    _print_sections(found)


def _print_sections(found: Mapping[str, list[tuple[str, str]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    width = max(len(name) for set_ups in found.values() for name, _ in set_ups)
    for section, set_ups in found.items():
        if not set_ups:
            continue
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=width)  # it is there to be copied
        table.add_column()
        for set_up in set_ups:
            table.add_row(*set_up)
        console.print(f"[bold]{section}[/bold]")
        console.print(table)
        console.print()
    console.print("teacherstudent run NAME runs one of them; with --print-toml it shows its file.")
