"""The command `explore`: a page in the browser on which a problem is changed by hand."""

from pathlib import Path
from typing import Annotated

import typer

from teacherstudent.command import process


def explore(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="A published set-up, a TOML file, or a result file (.h5)."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of this machine; the first free one from 5006 unless given.",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Change a problem by hand in the browser and see its theory at once.

    The page is served on this machine alone, at an address with a secret token that is printed.
    Ctrl-C ends it.
    """
    from teacherstudent.explorer.server import Explorer, require_panel

    require_panel()
    process.prepare_for_work()
    from teacherstudent.explorer.opening import opened

    explorer = Explorer(opened(file), Path.cwd(), port)
    typer.echo(f"The explorer is at {explorer.url}")
    typer.echo("Ctrl-C ends it.")
    if browser and not explorer.show():
        typer.echo("No browser was found; open this address in one.")
    process.tell_what_is_kept(lambda: "the explorer has ended.")
    explorer.run()
