"""What the page gives away: the TOML, the Python and the HDF5 file of what is seen."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import teacherstudent as ts
from teacherstudent.explorer.live import Answer
from teacherstudent.explorer.networks import Networks
from teacherstudent.explorer.python_text import python_text
from teacherstudent.explorer.toml_text import toml_text
from teacherstudent.protocol import Protocol
from teacherstudent.results.description import describe_protocol


def toml_of(answer: Answer, networks: Networks | None) -> str:
    """The file for `teacherstudent run`.

    Without networks it is run with --theory-only, which its first lines say.
    """
    if networks is not None:
        text = toml_text(networks.tables)
        return f"# teacherstudent run explored.toml\n{text}"
    return f"# teacherstudent run explored.toml --theory-only\n{toml_text(answer.tables)}"


def python_of(answer: Answer, networks: Networks | None) -> str:
    """The script that gives the same numbers."""
    tables = dict(answer.tables) if networks is None else networks.tables
    return python_text(tables, _problems(answer), simulated=networks is not None)


def _problems(answer: Answer) -> list[tuple[Mapping[str, Any], Any]]:
    """The tables of the problem, or of each phase of a protocol with its end."""
    if not isinstance(answer.problem, Protocol):
        return [(dict(answer.tables), None)]
    phases: list[tuple[Mapping[str, Any], Any]] = []
    for described in describe_protocol(answer.problem):
        end = described.pop("duration", None)
        if end is None:
            end = described.pop("until")
        phases.append((described, end))
    return phases


def hdf5_of(answer: Answer, networks: Networks | None) -> bytes:
    """The bytes of a result file with what is seen."""
    with tempfile.TemporaryDirectory(prefix="teacherstudent-explorer-") as folder:
        path = Path(folder) / "explored.h5"
        if networks is None:
            ts.save(path, theory=answer.theory)
        else:
            ts.save(
                path,
                theory=networks.theory,
                simulation=networks.simulation,
                comparison=networks.comparison,
            )
        return path.read_bytes()
