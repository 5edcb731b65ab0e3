"""What the page begins with: nothing, an experiment, or a result file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import teacherstudent as ts
from teacherstudent.explorer.result_files import Result, read_result

RESULTS = (".h5", ".hdf5", ".nc")


@dataclass(frozen=True)
class Opening:
    """What was given on the command line.

    - `tables`: of the experiment; empty if there is none.
    - `result`: the result file whose curves are shown beside the live ones.
    - `sentence`: what the page says of the result.
    """

    tables: Mapping[str, Any] = field(default_factory=dict)
    result: Result | None = None
    sentence: str = ""


def opened(file: str | None) -> Opening:
    """The opening of a name or a path.

    Raises what `Experiment.read` and `load` raise, and ValueError for what is no curve in time.
    """
    if file is None:
        return Opening()
    path = Path(file).expanduser()
    if path.suffix in RESULTS:
        return opening_of(read_result(path, path.name))
    experiment = ts.Experiment.read(file)
    for name in ("escape", "variants", "model"):
        if experiment.tables.get(name):
            raise ValueError(
                f"{file} has the table {name!r}, which is not one curve in time that the controls "
                f"know; use `teacherstudent run {file}`."
            )
    return Opening(experiment.tables)


def opening_of(result: Result) -> Opening:
    """The controls of a result file, where it has them."""
    if result.axes:
        return Opening(result=result)
    try:
        return Opening(result.tables(), result, f"The controls are those of {result.name}.")
    except ValueError as error:
        return Opening(result=result, sentence=str(error))
