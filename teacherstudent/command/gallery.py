"""The command `gallery`: the published set-ups with their results, pictures and one page.

What takes long is imported when it is used.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from teacherstudent.command import options, process, published

COLOURS = 128  # of a picture
# A few of each kind, which together take a minute or so: for continuous integration.
FAST = ("linear-noisy", "saad-solla-1995-k2", "sign-floor", "phase-diagram", "escape-k1")
PAGE = Path("docs/gallery.md")


def gallery(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Set-ups; all unless given.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Compute anew and compare with the files, which stay as they are."
        ),
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Only those that take seconds, one of each kind.")
    ] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only those whose file is not there or is outdated.")
    ] = False,
    theory: Annotated[
        bool,
        typer.Option("--theory", help="Integrate anew, and keep the networks of the files."),
    ] = False,
    redraw: Annotated[
        bool,
        typer.Option("--redraw", help="Draw the files and write the page, and compute nothing."),
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Say which set-ups there are, and stop.")
    ] = False,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where the files and pictures are.")
    ] = Path("results"),
    page: Annotated[
        Path | None,
        typer.Option(
            "--page", help="The page, where its folder exists.", show_default="docs/gallery.md"
        ),
    ] = None,
) -> None:
    """Compute the published set-ups again, with their pictures and the page that shows them.

    With --check the exit code is 1 if any number differs from those of the files.
    """
    if names:
        options.refuse("the names of set-ups", "are all that is meant", {"--fast": fast})
    making = {"--missing": missing, "--theory": theory, "--redraw": redraw, "--page": page}
    if list_:
        idle = {"--check": check} | making
        options.refuse("--list", "only says which set-ups there are", idle)
    if check:
        options.refuse("--check", "leaves all files as they are", making)
    if redraw:
        options.refuse("--redraw", "computes nothing", {"--theory": theory})
    some = _chosen(names or [], fast)
    if list_:
        _list(some, folder)
        return
    process.prepare_for_work()
    from teacherstudent.checking import checks

    if check:
        _check(some, folder)
        return
    if missing:
        some = [name for name in some if not _is_current(name, folder)]
    failed = []
    for number, name in enumerate(some, start=1):
        try:
            done = _draw(name, folder) if redraw else _make(name, folder, theory)
        except (ValueError, RuntimeError, OSError) as error:  # the others are made all the same
            done = f"FAILED, {checks.first_line(error)}"
            failed.append(name)
        typer.echo(f"{number}/{len(some)} {name}: {done}")
    _write_page(folder, page or PAGE)
    if failed:
        raise typer.Exit(process.FAILED)


def _chosen(names: Sequence[str], fast: bool) -> list[str]:
    """The set-ups that are meant; ValueError for an unknown name, with the nearest."""
    known = published.names()
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "`teacherstudent list` shows them."
            raise ValueError(f"{name!r} is no set-up of the gallery; {hint}")
    if fast:
        return list(FAST)
    return list(names) or known


def _list(names: Sequence[str], folder: Path) -> None:
    for name in names:
        there = "" if (folder / f"{name}.h5").is_file() else "  (no file yet)"
        typer.echo(f"{name:32} {published.read(name)[1]['title']}{there}")


def _is_current(name: str, folder: Path) -> bool:
    from teacherstudent.command.gallery_entries import Entry, file_of

    return file_of(name, folder).is_file() and Entry.read(name, folder).is_current()


def _make(name: str, folder: Path, theory: bool) -> str:
    """Compute and draw one set-up, and say how long that took."""
    import teacherstudent as ts
    from teacherstudent.command.gallery_entries import (
        Entry,
        computed,
        file_of,
        integrated_anew,
    )

    tree = integrated_anew(Entry.read(name, folder), None) if theory else computed(name, None)
    ts.save(file_of(name, folder), tree, force=True)
    _draw(name, folder)
    seconds = Entry(name, published.read(name)[1], tree).facts["seconds"]
    return f"{seconds:.0f} seconds of processor time"


def _draw(name: str, folder: Path) -> str:
    """Draw the picture of one file."""
    import teacherstudent as ts
    from teacherstudent.command.gallery_entries import Entry, picture_of

    entry = Entry.read(name, folder)
    picture = picture_of(name, folder)
    ts.plot(entry.titled(), picture, kind=entry.tables.get("kind"))
    _shrink(picture)
    return "drawn"


def _shrink(picture: Path) -> None:
    """Keep a picture with few colours, which takes a third of the room and looks the same."""
    from PIL import Image

    from teacherstudent.results.atomic_files import write_atomically

    content = io.BytesIO()
    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(content, format="png", optimize=True)
    write_atomically(picture, content.getvalue())


def _write_page(folder: Path, page: Path) -> None:
    """The page of all files that are there."""
    from teacherstudent.command.gallery_page import page_of
    from teacherstudent.results.atomic_files import write_atomically

    if not page.parent.is_dir():
        typer.echo(f"{page.parent} is not there, so that no page is written; --page names another.")
        return
    write_atomically(page, page_of(entries_in(folder), folder, page).encode())
    typer.echo(f"wrote {page}")


def entries_in(folder: Path) -> list:
    """The entries of all set-ups that have a file."""
    from teacherstudent.command.gallery_entries import Entry, file_of

    names = [name for name in published.names() if file_of(name, folder).is_file()]
    return [Entry.read(name, folder) for name in names]


def _check(names: Sequence[str], folder: Path) -> None:
    """Compute anew, compare, and say what differs.

    A file that is not there or cannot be read differs, and the others are checked all the same.
    """
    different = 0
    for name in names:
        try:
            found, seconds = _checked(name, folder)
        except (ValueError, RuntimeError, OSError) as error:
            found, seconds = [str(error)], 0.0
        different += bool(found)
        result = "DIFFERENT" if found else "the numbers of the file"
        typer.echo(f"{name}: {result} ({seconds:.0f} seconds)")
        for one in found:
            typer.echo(f"  {one}")
    if different:
        raise typer.Exit(process.FAILED)


def _checked(name: str, folder: Path) -> tuple[list[str], float]:
    """Sentences on all that differs in one file, and the seconds that its numbers took anew."""
    from teacherstudent.command.gallery_check import differences
    from teacherstudent.command.gallery_entries import Entry, computed

    kept = Entry.read(name, folder)
    anew = Entry(name, kept.tables, computed(name, None))
    return [str(one) for one in differences(kept, anew)], anew.facts["seconds"]
