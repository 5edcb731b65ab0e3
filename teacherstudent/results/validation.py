"""Whether a file is whole, and holds what results hold.

Everything is read, piece by piece, so that a file may be larger than memory.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import xarray as xr

from teacherstudent.checking import arguments, checks
from teacherstudent.results import array_files, hdf5_reading
from teacherstudent.results.datasets import (
    COORDINATES,
    DESCRIPTION,
    UNITS,
    VARIABLES,
    description,
)
from teacherstudent.results.differences import differing_entries
from teacherstudent.results.digests import Group
from teacherstudent.results.files import check_has_results, dataset_of, has_checksums
from teacherstudent.results.group_checks import group_check
from teacherstudent.results.hdf5_opening import ForeignFile, UnreadableFile, size_of_file
from teacherstudent.results.lazy_arrays import lazily_read
from teacherstudent.results.selection import problem_of, start_of

WHOLE = "the file"
RUNS = ("theory", "simulation")  # the kinds of groups that a run leaves
ORDER_PARAMETERS = ("Q", "R", "m", "v", "b")


@dataclass(frozen=True)
class Finding:
    """What was found out about one group of a file: what is wrong with it, if anything is, and what
    its reader should know.
    """

    group: str
    fault: str = ""
    note: str = ""

    def __str__(self) -> str:
        if self.fault:
            return f"{self.group}: {self.fault}"
        return f"{self.group}: OK ({self.note})" if self.note else f"{self.group}: OK"


@dataclass(frozen=True)
class Validation:
    """What was found out about a file, group by group; as text one line for each."""

    path: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not any(one.fault for one in self.findings)

    def __str__(self) -> str:
        return "\n".join(f"{self.path}, {one}" for one in self.findings)


@arguments.checked
def validate(path: str | PathLike) -> Validation:
    """Read all of a result file, or of a checkpoint of `simulate`, and say what is wrong with it.

    Checked are the checksums and digests of all arrays and attributes, names, types and dimensions,
    that times increase, that numbers are finite as far as a run came, and that theory and
    simulations have the same start.  It is no fault, but noted, where the problem or the start
    cannot be made again from the file (a Python function as activation).  The file may be larger
    than memory.

    >>> import tempfile
    >>> import teacherstudent as ts
    >>> problem = ts.Problem(ts.TeacherStudent(1, "linear"), ts.Student(1, "linear"), ts.SGD(0.3))
    >>> start = ts.OrderParameters(Q=[[0.5]], R=[[0.1]])
    >>> theory = ts.integrate(problem, start, times=[0.0, 1.0, 5.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = ts.save(f"{folder}/line.h5", theory=theory)
    ...     report = ts.validate(f"{folder}/line.h5")
    >>> report.ok, str(report.findings[0])
    (True, 'theory: OK')

    Raises FileNotFoundError if it is not there, ValueError if it is not a file of ours (or so
    damaged that it does not look like one), BlockingIOError if another process has it open for
    writing.
    """
    path = checks.path("path", path)
    size_of_file(path)
    found = _of_checkpoint if zipfile.is_zipfile(path) else _of_results
    return Validation(str(path), tuple(found(path)))


def _of_checkpoint(path: Path) -> Iterator[Finding]:
    try:
        array_files.read(path)
    except array_files.DamagedFile:
        yield Finding(WHOLE, "it is not what was written (sha256 differs): it is damaged.")
    except Exception as error:  # of zipfile and NumPy, in whatever they stumbled over
        raise ForeignFile(
            f"{path} is an archive, but not a checkpoint of teacherstudent, or a damaged one."
        ) from error
    else:
        yield Finding(WHOLE)


def _of_results(path: Path) -> Iterator[Finding]:
    try:
        with hdf5_reading.opened(path, group_check(str(path))) as root:
            check_has_results(path, root)
            yield from _of_groups(WHOLE, root, has_checksums(root))
    except ForeignFile:
        raise
    except UnreadableFile as error:  # before any group could be looked at
        yield Finding(WHOLE, _without(str(path), error))


def _of_groups(name: str, group: Group, checked: bool) -> Iterator[Finding]:
    """What was found out about a group, then about those in it."""
    try:
        if checked:
            group.check_outline()
            group.check_arrays()
        note = _check_content(dataset_of(lazily_read(group._replace(groups={}))), group.place)
    except UnreadableFile as error:
        yield Finding(name, _without(group.place, error))
    else:
        if group.variables:
            yield Finding(name, note=note)
    prefix = "" if name == WHOLE else f"{name}/"
    for child_name, child in group.groups.items():
        yield from _of_groups(f"{prefix}{child_name}", child, checked)
    yield from _of_starts(prefix, group)


def _check_content(data: xr.Dataset, place: str) -> str:
    """What a reader should know of a dataset; UnreadableFile if it is none that a run leaves."""
    _check_times(data, place)
    if DESCRIPTION not in data.attrs:
        return ""
    record = description(data)
    if record.get("kind") not in RUNS:
        return ""
    _check_names(data, place)
    for name in ORDER_PARAMETERS:
        if name in data and "time" in data[name].dims:
            _check_finite(_of_points_that_ended(data, name), record, place)
    try:
        problem_of(data)
        start_of(data)
    except ValueError as error:
        return checks.first_line(error)
    except Exception as error:
        raise UnreadableFile(
            f"{place} has a description that makes no problem and start "
            f"({type(error).__name__}: {checks.first_line(error)})."
        ) from error
    return ""


def _check_times(data: xr.Dataset, place: str) -> None:
    """Raise UnreadableFile unless the times increase."""
    if "time" not in data.coords or data["time"].ndim != 1:
        return
    times = data["time"].values
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise UnreadableFile(f"{place} has times that do not increase.")


def _check_names(data: xr.Dataset, place: str) -> None:
    """Raise UnreadableFile for an array that no run leaves; observables say what they are."""
    for name, variable in data.variables.items():
        known = name in VARIABLES or name in COORDINATES or name in data.dims
        if not known and "long_name" not in variable.attrs:
            raise UnreadableFile(f"{place} has {str(name)!r}, which is nothing that a run records.")


def _of_points_that_ended(data: xr.Dataset, name: str) -> xr.DataArray:
    """A quantity; of a sweep zero for units that a point has not, and where a point says why it has
    no numbers.
    """
    values = data[name]
    for mask, units in UNITS.items():
        if mask in data:
            for dim in set(units) & set(values.dims):
                values = values.where(data[mask].rename({units[0]: dim}), 0.0)
    if "error" in data and data["error"].dtype.kind in "OU":
        values = values.where(data["error"] == "", 0.0)
    return values


def _check_finite(values: xr.DataArray, record: dict, place: str) -> None:
    """Raise UnreadableFile for an order parameter that is not finite at a time that its run came
    to: all of them, but curves of a sweep and seeds of a protocol may end before the others.
    """
    own = [dim for dim in VARIABLES[str(values.name)][0] if dim != "time" and dim in values.dims]
    finite = (abs(values) < np.inf).all(own)
    if bool(finite.all()):
        return
    of_several = "protocol" in record or (record["kind"] == "theory" and finite.ndim > 1)
    before = finite.shift(time=1, fill_value=True)
    goes_on = bool((finite & ~before).any()) or not bool(finite.isel(time=0).all())
    if of_several and not goes_on:
        return
    all_finite = finite.all([dim for dim in finite.dims if dim != "time"]).values
    first = float(values["time"].values[~all_finite][0])
    raise UnreadableFile(
        f"{place} has {values.name} that is not finite at t = {first:g}, though the run came "
        "further."
    )


def _of_starts(prefix: str, group: Group) -> Iterator[Finding]:
    """A finding for each simulation in a group that began elsewhere than the theory beside it."""
    if "theory" not in group.groups or "simulation" not in group.groups:
        return
    simulation = group.groups["simulation"]
    several = {f"simulation/{name}": one for name, one in simulation.groups.items()}
    if simulation.variables:
        several["simulation"] = simulation
    for name, one in several.items():
        different = _different_starts(group.groups["theory"], one)
        if different:
            yield Finding(
                f"{prefix}{name}",
                f"it began elsewhere than the theory beside it ({', '.join(different)} differ).",
            )


def _different_starts(theory: Group, simulation: Group) -> list[str]:
    """In which entries the starts of two groups differ; none if they are batches, or unreadable."""
    try:
        first, second = (dataset_of(_without_numbers(one)) for one in (theory, simulation))
        if "start" in first.dims or np.ndim(description(second)["start"]["Q"]) > 2:
            return []
        different = differing_entries(first, second)
    except (ValueError, KeyError, TypeError):  # which was found out before
        return []
    return [entry for entry in different if entry.startswith("start.")]


def _without_numbers(group: Group) -> Group:
    """A group with its coordinates alone, which is what its description is read with."""
    kept = {name: one for name, one in group.variables.items() if name in COORDINATES}
    return lazily_read(group._replace(variables=kept, groups={}))


def _without(place: str, error: UnreadableFile) -> str:
    """What an error says of a place, without the place."""
    return str(error).removeprefix(place).lstrip(" ,:")
