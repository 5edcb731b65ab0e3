"""The Python that does what the tables of an experiment say: ten lines to go on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PARTS = ("loss", "batch_size", "batch_ratio")  # of a problem, beside task, student and rule
RATES = ("learning_rate", "readout_learning_rate", "bias_learning_rate")


def python_text(
    tables: Mapping[str, Any], problems: list[tuple[Mapping[str, Any], Any]], *, simulated: bool
) -> str:
    """A script that gives the numbers of an experiment, and writes them to `explored.h5`.

    - `tables`: those of the experiment's file.
    - `problems`: the tables of each problem with its end: one problem with None, or the phases of a
      protocol, each with its duration or the table of its threshold.
    - `simulated`: whether networks are trained, as the table `simulation` says, and compared.
    """
    lines = [f"# {tables['title']}".rstrip(), "import teacherstudent as ts", ""]
    lines += _problem(problems)
    lines += _start(tables["start"], protocol=problems[0][1] is not None)
    lines += [f"times = {_times(tables['times'])}"]
    options = {"progress": False} | _theory(tables.get("theory", {}))
    lines += [f"theory = ts.integrate(problem, start, times{_more(options)})"]
    saved = "theory=theory"
    if simulated:
        networks = {"progress": False} | dict(tables["simulation"])
        lines += [f"networks = ts.simulate(problem, start, times{_more(networks)})"]
        lines += ["report = ts.compare(theory, networks)", 'print(report.attrs["verdict"])']
        saved += ", simulation=networks, comparison=report"
    lines += [f'tree = ts.save("explored.h5", {saved}, force=True)']
    lines += ['ts.plot(tree, "explored.png")']
    return "\n".join(lines) + "\n"


def _problem(problems: list[tuple[Mapping[str, Any], Any]]) -> list[str]:
    """The lines that make the problem, or the protocol of several."""
    if problems[0][1] is None:
        return [f"problem = {_made(problems[0][0], '')}"]
    lines = ["problem = ts.Protocol("]
    for table, end in problems:
        lines += [f"    ({_made(table, '    ')}, {_end(end)}),"]
    return [*lines, ")"]


def _made(table: Mapping[str, Any], indent: str) -> str:
    """The call that makes a problem."""
    lines = ["ts.Problem("]
    lines += [f"{indent}    task={_instance(table['task'])},"]
    lines += [f"{indent}    student=ts.Student({_arguments(table['student'])}),"]
    lines += [f"{indent}    rule={_instance(table['rule'])},"]
    for name in PARTS:
        if name in table:
            lines += [f"{indent}    {name}={_value(table[name])},"]
    return "\n".join([*lines, f"{indent})"])


def _instance(table: Mapping[str, Any]) -> str:
    """The call that makes a task or a rule."""
    given = {key: value for key, value in table.items() if key != "type"}
    maker = f"ts.{table['type']}"
    if "path" in given:
        maker += ".from_file"
    return f"{maker}({_arguments(given)})"


def _end(end: Any) -> str:
    """The duration of a phase, or its threshold."""
    if isinstance(end, Mapping):
        return f"ts.until({_arguments(end)})"
    return _value(end)


def _start(table: Mapping[str, Any], protocol: bool) -> list[str]:
    if "random" not in table:
        return [f"start = ts.OrderParameters({_arguments(table)})"]
    first = "problem.phases[0].problem" if protocol else "problem"
    return [f"start = ts.random_start({first}{_more(table['random'])})"]


def _times(table: Mapping[str, Any]) -> str:
    given = dict(table)
    if "values" in given:
        return _value(given["values"])
    spacing = given.pop("spacing", "log")
    if spacing == "linear":
        given.pop("first", None)
    return f"ts.{spacing}_times({_arguments(given)})"


def _theory(table: Mapping[str, Any]) -> dict[str, Any]:
    return dict(table)


def _more(options: Mapping[str, Any]) -> str:
    """Arguments after others."""
    return "".join(f", {name}={_argument(name, value)}" for name, value in options.items())


def _arguments(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in table.items())


def _argument(name: str, value: Any) -> str:
    """An option of a verb; the table of the quadrature is an object of its own."""
    if name == "quadrature":
        return f"ts.Quadrature({_arguments(value)})"
    return _value(value)


def _value(value: Any) -> str:
    """A value as Python writes it, the table of a schedule as the call that makes it."""
    if isinstance(value, Mapping):
        parameters = {key: one for key, one in value.items() if key != "schedule"}
        return f"ts.{value['schedule']}({_arguments(parameters)})"
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, float) and value == float("inf"):
        return 'float("inf")'
    return repr(value)
