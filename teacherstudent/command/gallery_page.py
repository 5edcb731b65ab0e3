"""The page of the gallery: a card for each set-up, and a table of how theory and networks agree.

All that is on it comes from the set-ups and from the result files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from teacherstudent.command.gallery_entries import Agreement, Entry, picture_of, size_of_networks
from teacherstudent.command.sections import OTHERS, SECTIONS, section_of
from teacherstudent.results.datasets import VARIABLES

HEAD = """# Gallery

% Written by `teacherstudent gallery`: change the set-ups and their files, not this page.

Each picture is made by one command, from one HDF5 file in `results/`.  Lines are the theory of
infinitely large inputs, marks the means of finite networks that begin at the same start; what else
there is to see stands below.  [How well the two agree](#how-theory-and-networks-agree) is at the
end, for all of them.
"""
TABLE = """## How theory and networks agree

For each set-up, the quantity that deviates most beside what chance makes of it: its largest
deviation, theory minus the mean over networks, with the standard error at that time; z, the ratio
of the two over the fifth of all times where it is largest; and the z that chance explains.  A
deviation may be larger than that by a bias of order 1/N, for which the verdict allows.  Where
several sizes N were trained, the largest counts; of a sweep, the point that deviates most.

| set-up | networks | quantity | deviation | z | by chance | verdict | seconds |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def page_of(entries: Sequence[Entry], folder: Path, page: Path) -> str:
    """The page for some entries, whose pictures are in a folder."""
    parts = [HEAD]
    pictures = os.path.relpath(folder, page.parent).replace(os.sep, "/")
    for title, some in _by_section(entries):
        parts.append(f"## {title}\n\n:::::{{grid}} 1\n:gutter: 3\n")
        parts += [_card(entry, pictures) for entry in some]
        parts.append(":::::\n")
    parts.append(TABLE + "".join(_rows(entry) for entry in entries))
    return "\n".join(parts)


def _by_section(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """The entries of each section that has some."""
    sections: dict[str, list[Entry]] = {title: [] for title, _ in (*SECTIONS, (OTHERS, ()))}
    for entry in entries:
        sections[section_of(entry.name)].append(entry)
    return [(title, some) for title, some in sections.items() if some]


def _card(entry: Entry, pictures: str) -> str:
    """The card of a set-up."""
    picture = picture_of(entry.name, Path(pictures)).as_posix()
    lines = [
        f"::::{{grid-item-card}} {entry.text('title')}",
        f":img-top: {picture}",
        f":img-alt: {entry.text('title')}",
        "",
        f"`teacherstudent run {entry.name}`",
        "",
    ]
    for paragraph in (entry.text("seen"), _source(entry), entry.text("parameters")):
        if paragraph:
            lines += [paragraph, ""]
    lines += [_agreement_in_words(entry), ":::{card-footer}", _took(entry), ":::", "::::", ""]
    return "\n".join(lines)


def _source(entry: Entry) -> str:
    """The paper, with its figure where it has one that is like this."""
    said = [entry.text("reference"), entry.text("figure")]
    return ". ".join(one.removesuffix(".") for one in said if one) + "."


def _agreement_in_words(entry: Entry) -> str:
    """One sentence on each part, or on the exponents of an escape."""
    sentences = [_sentence(one) for one in entry.agreements]
    for number, (exponent, error) in enumerate(entry.exponents, start=1):
        if np.isfinite(exponent):
            sentences.append(f"Direction {number}: $N^{{{exponent:.2f} \\pm {error:.2f}}}$.")
        else:
            sentences.append(f"Direction {number}: too few networks escaped for an exponent.")
    if not sentences:
        return "*Theory alone.*\n"
    return "*" + " ".join(sentences) + "*\n"


def _sentence(one: Agreement) -> str:
    part = f"{one.part}: " if one.part else ""
    return (
        f"{part}{one.verdict}, largest deviation {one.deviation:.2g} ± {one.error:.1g} of "
        f"{_symbol(one.quantity)}."
    )


def _symbol(name: str) -> str:
    """How a quantity is written: its symbol, or of an observable its name."""
    return VARIABLES[name][2] if name in VARIABLES else name


def _took(entry: Entry) -> str:
    """The networks, and the time that all of it took."""
    networks = size_of_networks(entry)
    seconds = f"{entry.facts['seconds']:.0f} seconds of processor time"
    return f"{networks}, {seconds}" if networks else seconds


def _rows(entry: Entry) -> str:
    """The rows of the table for one set-up."""
    seconds = f"{entry.facts['seconds']:.0f}"
    networks = size_of_networks(entry)
    rows = []
    for one in entry.agreements:
        name = f"`{entry.name}`" + (f", {one.part}" if one.part else "")
        deviation = f"{one.deviation:.2g} ± {one.error:.1g}"
        ratio = [f"{one.z:.1f}", f"{one.chance:.1f}"]
        rows.append([name, networks, _symbol(one.quantity), deviation, *ratio, one.verdict])
    for number, (exponent, error) in enumerate(entry.exponents, start=1):
        quantity = f"exponent of direction {number}"
        if np.isfinite(exponent):
            quantity += f": {exponent:.2f} ± {error:.2f}"
        rows.append([f"`{entry.name}`", networks, quantity, "", "", "", "no theory of time"])
    if not rows:
        rows.append([f"`{entry.name}`", "", "", "", "", "", "theory alone"])
    return "".join(f"| {' | '.join([*row, seconds])} |\n" for row in rows)
