"""Tables of the reference that are made of the definitions themselves.

An entry of a file that the package checks is here because the package checks it: the tables are the
pydantic models and the signatures of the classes that read it, and the pages cannot fall behind.
"""

import inspect
import typing
from collections.abc import Callable, Iterable

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.util.docutils import SphinxDirective

import teacherstudent as ts
from teacherstudent.activations.activation import Activation
from teacherstudent.checking import checks
from teacherstudent.command import published, tables
from teacherstudent.observables.built_in import DENSITIES, built_in
from teacherstudent.protocol import Until
from teacherstudent.results.datasets import COORDINATES, VARIABLES
from teacherstudent.results.description import StartTable
from teacherstudent.rules import RULES
from teacherstudent.schedules import KINDS, Schedule
from teacherstudent.tasks import TASKS
from teacherstudent.tasks.latents import Latent

OUTER = "the file itself"
ANY = "number or table"
# The verb that has the defaults of a table's entries; N of networks is the file's own.
VERBS: dict[type[BaseModel], Callable] = {
    tables.RandomTable: ts.random_start,
    tables.TimesTable: ts.log_times,
    tables.TheoryTable: ts.integrate,
    tables.QuadratureTable: ts.Quadrature,
    tables.SimulationTable: ts.simulate,
    tables.EscapeTable: ts.escape,
    tables.FixedPointTable: ts.follow_fixed_point,
    tables.ScheduleTable: ts.optimal_schedule,
    tables.ForgettingTable: ts.continual_start,
}
# The tables of a file in the order in which one writes them, and the model that checks each.
MODELS: dict[str, type[BaseModel]] = {
    OUTER: tables.Tables,
    "[start]": StartTable,
    "[start.random]": tables.RandomTable,
    "[times]": tables.TimesTable,
    "[theory]": tables.TheoryTable,
    "[theory.quadrature]": tables.QuadratureTable,
    "[simulation]": tables.SimulationTable,
    "[[protocol]]": tables.PhaseTable,
    "[sweep]": tables.SweepTable,
    "[forgetting]": tables.ForgettingTable,
    "[scaling]": tables.ScalingTable,
    "[escape]": tables.EscapeTable,
    "[fixed_point]": tables.FixedPointTable,
    "[schedule]": tables.ScheduleTable,
}
CLASSES: dict[str, dict[str, Callable]] = {
    "tasks": TASKS,
    "covariances": {"GaussianEquivalent": ts.GaussianEquivalent.from_file},
    "student": {"Student": ts.Student},
    "rules": RULES,
    "schedules": KINDS,
    "until": {"until": Until},
}


NUMBER = typing.get_args(checks.Parameter)  # the types of one number, or one for each of a sweep
# What fields of ours are in a file.
WORDS = {
    Activation: "name or list of coefficients",
    Latent: "name or list",
    Callable: "a function, from Python only",
    tuple[Callable, ...]: "functions, from Python only",
    tuple[float, ...]: "list of numbers",
    tuple[int, ...]: "list of integers",
    tuple: "list",
}


class Generated(SphinxDirective):
    """A directive whose content is Markdown that Python writes."""

    def markdown(self) -> Iterable[str]:
        """The lines of the content."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """The content, read as if it stood on the page."""
        content = nodes.container()
        lines = StringList(list(self.markdown()), source=self.get_source_info()[0])
        self.state.nested_parse(lines, self.content_offset, content)
        return content.children


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table in Markdown, with an empty line before and after it."""
    head = list(head)
    lines = ["", row(head), row("---" for _ in head)]
    lines += [row(cells) for cells in rows]
    return [*lines, ""]


def row(cells: Iterable[str]) -> str:
    """One line of a table; a bar within a cell is escaped."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


class ExperimentTables(Generated):
    """The entries of a table of an experiment's file, from the model that validates it."""

    required_arguments = 1
    final_argument_whitespace = True

    def markdown(self) -> Iterable[str]:
        model = MODELS[self.arguments[0]]
        rows = []
        for name, field in model.model_fields.items():
            kind = in_words(field.annotation, limits(field.metadata))
            rows.append((f"`{name}`", kind, default_of(default(model, name))))
        return table(("entry", "type", "unless given"), rows)


def default(model: type[BaseModel], name: str):
    """The default of an entry: the table's own, or that of the verb that takes it."""
    own = model.model_fields[name].default
    if own is not None or model not in VERBS:
        return own
    if (model, name) == (tables.SimulationTable, "N"):
        return tables.SIZE
    parameters = inspect.signature(VERBS[model]).parameters
    if name not in parameters or parameters[name].default is inspect.Parameter.empty:
        return None
    return parameters[name].default


def limits(metadata: Iterable) -> str:
    """What a number must obey: > 0, at least 2."""
    signs = {"gt": "> ", "ge": "≥ ", "lt": "< ", "le": "≤ "}
    found = []
    for one in metadata:
        for name, sign in signs.items():
            bound = getattr(one, name, None)
            if bound is not None:
                found.append(f"{sign}{bound}")
    return ", ".join(found)


def in_words(kind, limit: str = "") -> str:
    """A Python type as the value of a TOML file is called."""
    arguments = getattr(kind, "__args__", ())
    metadata = getattr(kind, "__metadata__", None)
    if metadata is not None:
        return in_words(kind.__origin__, limits(metadata))
    plain = {int: "integer", float: "number", str: "text", bool: "true or false", dict: "table"}
    if kind in plain:
        return plain[kind] + (f" {limit}" if limit else "")
    if getattr(kind, "__origin__", None) is list:
        return f"list of {plural(in_words(arguments[0]))}"
    if kind is list:
        return "list"
    if getattr(kind, "__origin__", None) is dict:
        return "table of tables"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table"
    if arguments and all(isinstance(one, str) for one in arguments):
        return " or ".join(f'`"{one}"`' for one in arguments)
    if arguments:
        return " or ".join(in_words(one, limit) for one in arguments if one is not type(None))
    return ANY


def plural(words: str) -> str:
    """list of numbers, list of lists of numbers."""
    first, *rest = words.split(" ", 1)
    return " ".join([f"{first}s" if first != "text" else "texts", *rest])


def default_of(value) -> str:
    """A default as a file would hold it, or that there is none."""
    if value is PydanticUndefined or value is inspect.Parameter.empty:
        return "*must be given*"
    if value is None or value in ({}, "", (), []):
        return "–"
    return f"`{in_toml(value)}`"


def in_toml(value) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


class ClassFields(Generated):
    """What the tables of tasks, rules and schedules take: the arguments of their classes."""

    required_arguments = 1

    def markdown(self) -> Iterable[str]:
        rows = []
        for name, kind in CLASSES[self.arguments[0]].items():
            documented = name.replace("until", "Until")
            first = "{py:obj}`" + f"{name} <teacherstudent.{documented}>`"
            hints = hints_of(kind)
            for argument in inspect.signature(kind).parameters.values():
                words = words_for(hints.get(argument.name), self.arguments[0])
                default = default_of(argument.default)
                rows.append((first, f"`{argument.name}`", words, default))
                first = ""
        return table(("class", "entry", "type", "unless given"), rows)


def hints_of(kind: Callable) -> dict:
    """The types of the fields of a class, or of what a method that reads a file takes."""
    if inspect.isclass(kind):
        return typing.get_type_hints(kind)
    of_class = typing.get_type_hints(kind.__self__)
    names_in_file = dict.fromkeys(("path", *kind.__self__.ARRAYS), str)
    return of_class | names_in_file


def words_for(hint, place: str) -> str:
    """The type of a field of ours in the words of TOML."""
    if hint in WORDS:
        return WORDS[hint]
    kinds = [one for one in typing.get_args(hint) if one is not type(None)] or [hint]
    if set(NUMBER) <= set(kinds):
        changes = place != "schedules" or Schedule in kinds
        return "number, list or schedule" if changes else "number or list"
    return WORDS.get(kinds[0]) or words_of_array(kinds[0]) or in_words(kinds[0])


def words_of_array(kind) -> str:
    """An array with its shape; "" for what is none."""
    shape = getattr(kind, "dim_str", None)
    if shape is None:
        return ""
    return f"nested list ({', '.join(shape.split())})" if " " in shape.strip() else "list"


class Observables(Generated):
    """The observables that have a name, and which verb records them."""

    def markdown(self) -> Iterable[str]:
        student, rule = ts.Student(2, train_readout=True), ts.SGD(0.1)
        teacher = ts.Problem(ts.TeacherStudent(2), student, rule)
        biased = ts.Student(2, train_readout=True, train_bias=True)
        classes = ts.Problem(ts.MixedCumulant(1.0, 1.0), biased, rule)
        rows = {}
        for problem, tasks in ((teacher, "a teacher"), (classes, "two classes")):
            for name, make in built_in(problem).items():
                found = described(name, make, tasks)
                if name in rows and found:
                    found = (*found[:-1], "both")
                if found:
                    rows[name] = found
        return table(
            ("name", "what it is", "dimensions", "recorded by", "tasks with"), rows.values()
        )


def described(name: str, make: Callable, tasks: str) -> tuple[str, ...] | None:
    """A row of the table of observables; None where tasks of this kind do not have it."""
    try:
        one = make()
    except ValueError:
        return None
    if one == DENSITIES:
        return f"`{name}`", "the overlaps by mode, q and r", "rho, ...", "integrate", tasks
    dims = ", ".join(one.dims) or "one number"
    verbs = "integrate, simulate"
    if one.needs_weights:
        verbs = 'simulate (method "weights")'
    elif one.IN_SOLVE:
        verbs = "integrate"
    what = one.long_name if one.long_name != name else ""
    return f"`{name}`", f"{what} {maths(one.symbol)}", dims, verbs, tasks


def maths(symbol: str) -> str:
    """A symbol of ours as the manual's mathematics."""
    return symbol if symbol.startswith("$") else ""


class ResultVariables(Generated):
    """The variables or the coordinates of a result file."""

    option_spec = {"coordinates": directives.flag}

    def markdown(self) -> Iterable[str]:
        if "coordinates" in self.options:
            rows = [
                (f"`{name}`", words, maths(symbol))
                for name, (words, symbol, _) in COORDINATES.items()
            ]
            return table(("coordinate", "what it is", "symbol"), rows)
        rows = [
            (f"`{name}`", words, maths(symbol), ", ".join(dims) or "one number")
            for name, (dims, words, symbol) in VARIABLES.items()
        ]
        return table(("variable", "what it is", "symbol", "dimensions"), rows)


class Setups(Generated):
    """The published set-ups that come with the package."""

    def markdown(self) -> Iterable[str]:
        rows = []
        for name in published.names():
            contents = published.read(name)[1]
            rows.append((f"`{name}`", contents["title"], contents.get("reference", "")))
        return table(("name", "what it is", "reference"), rows)
