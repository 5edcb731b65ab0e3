"""The commands of `teacherstudent` with their options, as the command line itself defines them."""

import re
from collections.abc import Iterable

import typer
from generated_tables import Generated, table

from teacherstudent.command.cli import app

# An option, a file or an entry with its value, which stand in the help as plain words.
LITERAL = re.compile(r"(--[a-z-]+|[\w/]*[A-Z]{4}\.\w+|[\w.]+=[^\s;,]+)")


class Commands(Generated):
    """A section for each command: what it does, its arguments and its options."""

    def markdown(self) -> Iterable[str]:
        for name, command in typer.main.get_command(app).commands.items():
            yield f"## {name}"
            yield ""
            yield "```text"
            yield usage(name, command)
            yield "```"
            yield ""
            yield from (marked(command.help), "")
            if command.params:
                yield from table(("option", "value", "what it does"), map(option, command.params))


def usage(name: str, command) -> str:
    """How the command is written."""
    arguments = [one.metavar or one.name.upper() for one in command.params if is_argument(one)]
    options = [] if len(arguments) == len(command.params) else ["[OPTIONS]"]
    return " ".join(["teacherstudent", name, *arguments, *options])


def marked(text: str) -> str:
    """The text of a help with what is to be typed as such."""
    return LITERAL.sub(r"`\1`", text)


def option(parameter) -> tuple[str, str, str]:
    """A row for one argument or option."""
    if is_argument(parameter):
        names = [parameter.metavar or parameter.name.upper()]
    else:
        names = [*parameter.opts, *parameter.secondary_opts]
    return ", ".join(f"`{name}`" for name in names), kind_of(parameter), explained(parameter)


def explained(parameter) -> str:
    """What an option does, and its default."""
    default = parameter.default
    if isinstance(default, bool) and parameter.secondary_opts:
        used = parameter.opts[0] if default else parameter.secondary_opts[0]
        return f"{marked(parameter.help)} `{used}` unless given."
    if default is None or isinstance(default, bool):
        return marked(parameter.help or "")
    return f"{marked(parameter.help)} `{default}` unless given."


def kind_of(parameter) -> str:
    """The kind of value that an option takes; a switch takes none."""
    if getattr(parameter, "is_flag", False):
        return "–"
    kind = parameter.type_descriptor.annotation
    inner = getattr(kind, "__args__", (kind,))[0]
    names = {"str": "text", "int": "integer", "float": "number", "Path": "path"}
    word = names.get(getattr(inner, "__name__", ""), "text")
    return f"{word}, repeatable" if parameter.multiple else word


def is_argument(parameter) -> bool:
    """Whether it is an argument, not an option with a name."""
    return parameter.param_type_name == "argument"
