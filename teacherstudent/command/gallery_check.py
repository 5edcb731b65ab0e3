"""Whether a result has the numbers of the file in the gallery.

Both are to have the same groups, quantities, problems and starts.

Theories are to agree to `RELATIVE` (or to the tolerance of their solver, where that is larger),
beside a floor of `FLOOR` of the largest value of a quantity: adaptive steps differ by the rounding
of sums, which another processor orders differently.  Networks are to be the same bit by bit where
the processor and the compiler are those of the file.  Elsewhere the rounding of float32 grows along
a run: there means are to agree within `ERRORS` standard errors, and single networks within as many
times their scatter, both of the new networks, since a wrong number in the file would widen its own.
They share their random streams, and so are in fact much nearer to each other.  On inputs with a
spectrum sums also depend on how many seeds the free memory holds together, so that this is all that
is asked of them.  What an escape says of all its networks is to agree within its standard errors.

A comparison is to follow from theory and networks of the same file (`gallery_comparison.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from teacherstudent.command.gallery_comparison import differences_of_comparison
from teacherstudent.command.gallery_entries import Entry
from teacherstudent.command.gallery_numbers import (
    FLOOR,
    RELATIVE,
    are_equal,
    of_networks,
    of_theory,
    of_values,
    within,
)
from teacherstudent.results.datasets import description
from teacherstudent.results.differences import flat

# What no two runs have in common: of a sweep its cost, and of equal eigenvalues the vectors.
RUNNING = ("seconds", "steps", "eigenvectors", "eigenvectors_imag")
# What a description says that decides the numbers or stands on the page.
DESCRIBED = ("problem", "start", "protocol")
REPORTED = ("N", "rtol", "sweep", "threshold")
# A median scatters by this factor more than a mean, of a normal distribution.
MEDIAN = np.sqrt(np.pi / 2)


@dataclass(frozen=True)
class Difference:
    """What one quantity has of other numbers than the file."""

    place: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.place} {self.sentence}"


def differences(kept: Entry, anew: Entry) -> list[Difference]:
    """Where a result that was computed anew differs from the file."""
    if not kept.is_current():
        return [Difference(kept.name, "is of a set-up that has changed since; make it anew.")]
    same_bits = kept.facts.get("processor") == anew.facts["processor"]
    groups = _groups(kept.tree)
    others = _groups(anew.tree)
    found = list(_missing("", groups, others))
    for path, node in groups.items():
        if path not in others:
            continue
        data = node.to_dataset()
        other = others[path].to_dataset()
        if description(other).get("kind") == "comparison":
            sentences = differences_of_comparison(node, other.attrs["verdict"])
            found += [Difference(f"{path}/{name}", sentence) for name, sentence in sentences]
        else:
            found += _differences(path, data, other, same_bits)
    return found


def _groups(tree: xr.DataTree) -> dict[str, xr.DataTree]:
    """The groups that have data, by their paths."""
    return {node.path: node for node in tree.subtree if node.data_vars}


def _missing(prefix: str, kept: Mapping[Any, Any], anew: Mapping[Any, Any]) -> Iterator[Difference]:
    """What only one of the two has."""
    for name in kept:
        if name not in anew:
            yield Difference(f"{prefix}{name}", "is in the file, but not in the result.")
    for name in anew:
        if name not in kept:
            yield Difference(f"{prefix}{name}", "is in the result, but not in the file.")


def _kind(values: xr.Variable) -> str:
    """The kind of the values; texts are read back as objects."""
    return "U" if values.dtype.kind == "O" else values.dtype.kind


def _differences(
    path: str, kept: xr.Dataset, anew: xr.Dataset, same_bits: bool
) -> Iterator[Difference]:
    described = description(anew)
    exact = same_bits and not _has_spectrum(described)
    yield from _differences_of_descriptions(path, description(kept), described)
    yield from _missing(f"{path}/", kept.variables, anew.variables)
    for name, values in kept.variables.items():
        if name in RUNNING or name not in anew.variables:
            continue
        place = f"{path}/{name}"
        other = anew.variables[name]
        if dict(values.sizes) != dict(other.sizes) or _kind(values) != _kind(other):
            yield Difference(place, "is of another shape or type.")
            continue
        sentence = _difference(str(name), values, other.transpose(*values.dims), anew, exact)
        if sentence:
            yield Difference(place, sentence)


def _difference(
    name: str, kept: xr.Variable, other: xr.Variable, anew: xr.Dataset, exact: bool
) -> str:
    """What one variable of the file has of other values than that of the result; or ""."""
    if kept.dtype.kind not in "iuf":
        return of_values(kept.values, other.values)
    if "seed" in kept.dims and name != "seed":
        return of_networks(kept.values, other.values, kept.dims.index("seed"), exact)
    if not exact and name in ERRORS_OF_ESCAPES:
        error = ERRORS_OF_ESCAPES[name](anew).transpose(*kept.dims)
        return within(kept.values, other.values, error.values)
    rtol = description(anew).get("report", {}).get("rtol", RELATIVE)
    return of_theory(kept.values, other.values, rtol)


def _error_of_median(escape: xr.Dataset) -> xr.DataArray:
    """The standard error of the median step, from the steps of all networks that escaped."""
    steps = escape["escape_step"]
    with warnings.catch_warnings():  # of directions that at most one network has seen
        warnings.simplefilter("ignore", RuntimeWarning)
        return MEDIAN * steps.std("seed", ddof=1) / np.sqrt(steps.sizes["seed"])


# The standard errors of what an escape says of all its networks.  That of an exponent comes from
# networks that share their random streams, and is not to be wrong by more than a half.
ERRORS_OF_ESCAPES: Mapping[str, Callable[[xr.Dataset], xr.DataArray]] = {
    "median_step": _error_of_median,
    "exponent": lambda escape: escape["exponent_error"],
    "exponent_error": lambda escape: 0.1 * escape["exponent_error"],
}


def _has_spectrum(described: dict) -> bool:
    """Whether inputs have a spectrum: sums over it depend on what is computed together."""
    return "nonlinearity" in described.get("problem", {}).get("task", {})


def _differences_of_descriptions(path: str, kept: dict, anew: dict) -> Iterator[Difference]:
    """Where two results say of themselves that they are of other problems, starts or sizes."""
    entries, others = (_entries(one) for one in (kept, anew))
    yield from _missing(f"{path}: ", entries, others)
    for name in sorted(entries.keys() & others.keys()):
        if not are_equal(entries[name], others[name], FLOOR):
            yield Difference(
                f"{path}: {name}", f"is {others[name]!r}, in the file {entries[name]!r}."
            )


def _entries(described: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a description that are compared, by their places."""
    report = described.get("report", {})
    parts = {name: described[name] for name in DESCRIBED if name in described}
    parts["report"] = {name: report[name] for name in REPORTED if name in report}
    return flat(parts)
