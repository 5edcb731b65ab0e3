"""The pages of the manual as text: their Python and their commands, for tests."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
SHELLS = ("console", "bash", "")
PROMPT = "$ "


class Command(NamedTuple):
    """One command of `teacherstudent` on a page."""

    page: str
    line: str


def pages() -> list[Path]:
    """The pages that people write, and the README."""
    written = [path for path in DOCS.rglob("*.md") if "_build" not in path.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(written)]


def name_of(page: Path) -> str:
    """A page as it is called in the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code in one language."""
    return [code for found, code in BLOCK.findall(page.read_text()) if found == language]


def commands() -> list[Command]:
    """All lines of shells on all pages that begin with `teacherstudent`."""
    found = []
    for page in pages():
        for language in SHELLS:
            for code in blocks(page, language):
                lines = map(without_shell, code.splitlines())
                found += [
                    Command(name_of(page), line)
                    for line in lines
                    if line.startswith("teacherstudent ")
                ]
    return found


def without_shell(line: str) -> str:
    """A command without the prompt before it, and without what a shell takes from behind it."""
    line = line.removeprefix(PROMPT).removeprefix("srun ")
    return line.split("  #")[0].split(" && ")[0].strip()


def links(page: Path) -> list[str]:
    """The files that a page links to, without anchors."""
    text = BLOCK.sub("", page.read_text())
    targets = [first or second for first, second in LINK.findall(text)]
    return [
        target.split("#")[0]
        for target in targets
        if not target.startswith(("http:", "https:", "#", "mailto:"))
    ]
