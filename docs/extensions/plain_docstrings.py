"""Docstrings are plain text for `help()`; this writes them as the markup that Sphinx reads.

Their conventions are few.  A block that is indented by four blanks more than the text around it
is an equation or code, and is shown as it stands.  Words in `single backticks` are code, and a link
where they name something of this manual.  Lines that begin with "- " or "1. " are lists, and ">>> "
begins an example.  Everything else is text in which a star or a bar is that character: w*_m, |w|.
"""

import re
from collections.abc import Iterator

import teacherstudent

ITEM = re.compile(r"(- |\d+\. )")
CODE = re.compile(r"`([^`]+)`")
MARKUP = re.compile(r"([\\*|_])")


def process(app, what, name, obj, options, lines: list[str]) -> None:
    """Replace the lines of a docstring, as the event `autodoc-process-docstring` asks for."""
    lines[:] = list(as_markup(list(with_whole_code(lines))))


def with_whole_code(lines: list[str]) -> Iterator[str]:
    """The same lines, where a word of code that was broken at the margin is on one of them."""
    waiting = ""
    for line in lines:
        if waiting:
            line = f"{waiting} {line.strip()}"
        waiting = line if line.count("`") % 2 and not line.strip().startswith(">>>") else ""
        if not waiting:
            yield line
    if waiting:
        yield waiting


def as_markup(lines: list[str]) -> Iterator[str]:
    """A docstring as reStructuredText."""
    margin = 0  # of the paragraph or item that the text belongs to
    in_example = in_block = False
    before = ""
    for line in lines:
        indent = len(line) - len(line.lstrip())
        text = line.strip()
        begins = not before.strip()
        if not text:
            in_example = False
            yield ""
        elif in_example or text.startswith(">>> "):
            in_example = True
            in_block = False
            margin = 0
            yield line
        elif indent >= margin + 4 and (begins or in_block):
            if not in_block:
                yield f"{' ' * margin}.. code-block:: none"
                yield ""
            in_block = True
            yield line
        else:
            in_block = False
            item = ITEM.match(text)
            if item and before.strip() and not begins_list(before):
                yield ""
            margin = indent + len(item[0]) if item else min(indent, margin)
            yield " " * indent + marked(text)
        before = line
    yield ""


def begins_list(line: str) -> bool:
    """Whether an item may follow this line without an empty one between them."""
    return bool(ITEM.match(line.strip())) or line.startswith("  ")


def marked(text: str) -> str:
    """One line of text, with code marked and all other characters literal."""
    item = ITEM.match(text)
    start = item[0] if item else ""
    parts = CODE.split(text[len(start) :])
    for index, part in enumerate(parts):
        parts[index] = code(part) if index % 2 else MARKUP.sub(r"\\\1", part)
    return start + "".join(parts)


def code(text: str) -> str:
    """A word of code: a link where it is a public name."""
    name = text.removeprefix("ts.")
    if name in teacherstudent.MODULE_OF:
        return rf":py:obj:`{text} <teacherstudent.{name}>`\ "
    return rf"``{text}``\ "
