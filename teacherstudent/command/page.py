"""What `show` prints of a result file: a page that says what it holds and how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from teacherstudent.command import printing

if TYPE_CHECKING:
    import xarray as xr

INDENT = "  "
MOST_LETTERS = 60  # of a value that is written out
PARTS = ("model", "task", "student", "rule")  # a model has all of its own
ENDS = ("duration", "until")  # of a phase of a protocol
KINDS = {"theory": "Theory", "simulation": "Networks", "comparison": "Comparison"}
# What a report says, with the words around it; what is not here is in `--json`.
SOLVED = (
    ("solver", "solver {}"),
    ("rtol", "rtol {:g}"),
    ("atol", "atol {:g}"),
    ("steps", "{} steps"),
    ("rejected_steps", "{} rejected"),
    ("seconds", "{:.3g} s"),
    ("averages", "averages: {}"),
)
TRAINED = (
    ("N", "N = {}"),
    ("method", "method {}"),
    ("dtype", "{}"),
    ("device", "on {}"),
    ("program", "by a {}"),
    ("seconds", "{:.3g} s"),
)


def print_page(tree: xr.DataTree, file: str) -> None:
    """The page of a file: its problem, its groups, its variables, and how each was made."""
    datasets = printing.named_datasets(tree)
    typer.echo(file)
    for line in _origin(datasets):
        typer.echo(line)
    shown: list[Any] = []
    for name, data in datasets:
        facts = _facts(data)
        problem = facts.get("problem")
        if problem is not None and problem not in shown:
            shown.append(problem)
            _print_section("Problem" if len(shown) == 1 else f"Problem of {name}")
            for line in problem_lines(problem, facts.get("protocol", [])):
                typer.echo(INDENT + line)
    for name, data in datasets:
        _print_group(name, data)
    typer.echo()


def descriptions(tree: xr.DataTree) -> dict[str, Any]:
    """What each group of a file says of itself: its problem, its start, how it was made."""
    return {name: _facts(data) for name, data in printing.named_datasets(tree)}


def _facts(data: xr.Dataset) -> dict[str, Any]:
    from teacherstudent.results.datasets import description

    return description(data)


def _origin(datasets: list[tuple[str, xr.Dataset]]) -> Iterator[str]:
    """When and with what a file was made."""
    for _, data in datasets:
        facts = _facts(data)
        if "versions" in facts:
            versions = facts["versions"]
            packages = ", ".join(
                f"{name} {versions[name]}" for name in ("python", "jax") if name in versions
            )
            made_by = f"teacherstudent {versions.get('teacherstudent', 'of unknown version')}"
            yield f"made {facts.get('created', 'at an unknown time')} by {made_by} ({packages})"
            return


def problem_lines(problem: Mapping[str, Any], phases: list[Mapping[str, Any]]) -> Iterator[str]:
    """The parts of a problem, a line each, and the phases of a protocol."""
    if phases:
        for number, phase in enumerate(phases, start=1):
            end = f"for t = {phase['duration']:g}" if "duration" in phase else "until a threshold"
            yield f"phase {number}, {end}"
            yield from (INDENT + line for line in problem_lines(phase, []))
        return
    for part in [one for one in PARTS if one in problem]:
        entries = dict(problem[part])
        name = entries.pop("type", "Student" if part == "student" else "")
        words = [f"{key} {in_words(value)}" for key, value in entries.items()]
        yield f"{part:<8} {name}: {', '.join(words)}"
    words = []
    for key, value in problem.items():
        if key not in PARTS and key not in ENDS:
            words.append(f"{key.replace('_', ' ')} {in_words(value)}")
    if words:
        yield f"{'':<8} {', '.join(words)}"


def in_words(value: Any) -> str:
    """A value of a description: a schedule as a call, what is long with its middle left out."""
    if isinstance(value, Mapping):
        numbers = [f"{name}={in_words(one)}" for name, one in value.items() if name != "schedule"]
        return f"{value.get('schedule', '')}({', '.join(numbers)})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}"
    text = str(value)
    if len(text) > MOST_LETTERS:
        half = MOST_LETTERS // 2 - 2
        return f"{text[:half]} ... {text[-half:]}"
    return text


def _print_group(name: str, data: xr.Dataset) -> None:
    facts = _facts(data)
    report = facts.get("report", {})
    title = KINDS.get(name, name)
    if "time" in data.dims:
        first, last = float(data.time[0]), float(data.time[-1])
        title += f": {data.sizes['time']} times, t = {first:g} to {last:g}"
    if "seed" in data.dims:
        title += f", {data.sizes['seed']} seeds"
    _print_section(title)
    words = _report_words(report, SOLVED if facts.get("kind") == "theory" else TRAINED)
    if words:
        typer.echo(INDENT + ", ".join(words))
    if facts.get("kind") == "comparison":
        return  # its numbers follow as a table
    for variable, array in data.data_vars.items():
        dims = ", ".join(f"{dim} {size}" for dim, size in array.sizes.items())
        meaning = array.attrs.get("long_name", "")
        typer.echo(f"{INDENT}{variable!s:<18} {meaning:<44} ({dims})".rstrip())


def _report_words(report: Mapping[str, Any], entries: tuple[tuple[str, str], ...]) -> list[str]:
    """What a report says, in words."""
    words = []
    for key, form in entries:
        value = report.get(key)
        if value in (None, ""):
            continue
        words.append(form.format(value))
    return words


def _print_section(title: str) -> None:
    typer.echo()
    typer.echo(typer.style(title, bold=True))
