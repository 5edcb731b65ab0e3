"""Whether a result has the numbers of the file in the gallery.

Theories are to agree to `RELATIVE` (or to the tolerance of their solver, where that is larger),
beside a floor of `FLOOR` of the largest value of a quantity: adaptive steps differ by the rounding
of sums, which another processor orders differently.  Networks are to be the same bit by bit where
the processor and the compiler are those of the file.  Elsewhere the rounding of float32 grows along
a run: there means are to agree within `ERRORS` standard errors, and single networks within as many
times their scatter, both of the new networks, since a wrong number in the file would widen its own.
They share their random streams, and so are in fact much nearer to each other.  On inputs with a
spectrum sums also depend on how many seeds the free memory holds together, so that this is all that
is asked of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from teacherstudent.command.gallery_entries import Entry
from teacherstudent.results.datasets import description

RELATIVE = 1e-6
FLOOR = 1e-8
ERRORS = 5.0
RUNNING = ("seconds", "steps")  # of a sweep, which no two runs have in common


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
    same_bits = kept.facts["processor"] == anew.facts["processor"]
    found = []
    others = {node.path: node for node in anew.tree.subtree}
    for node in kept.tree.subtree:
        if not node.data_vars:
            continue
        data = node.to_dataset()
        if node.path not in others:
            found.append(Difference(node.path, "is in the file, but not in the result."))
        elif description(data).get("kind") != "comparison":  # which follows from the others
            other = others[node.path].to_dataset()
            found += list(_differences(node.path, data, other, same_bits))
    return found


def _differences(
    path: str, kept: xr.Dataset, anew: xr.Dataset, same_bits: bool
) -> Iterator[Difference]:
    described = description(kept)
    for name, values in kept.variables.items():
        if name in RUNNING or values.dtype.kind not in "iuf":
            continue
        place = f"{path}/{name}"
        if name not in anew.variables or anew[name].shape != values.shape:
            yield Difference(place, "is missing, or of another shape.")
            continue
        one, other = values.values, anew[name].transpose(*values.dims).values
        if "seed" not in values.dims or name == "seed":
            sentence = _of_theory(one, other, described.get("report", {}).get("rtol", RELATIVE))
        else:
            exact = same_bits and not _has_spectrum(described)
            sentence = _of_networks(one, other, values.dims.index("seed"), exact)
        if sentence:
            yield Difference(place, sentence)


def _has_spectrum(described: dict) -> bool:
    """Whether inputs have a spectrum: sums over it depend on what is computed together."""
    return "nonlinearity" in described.get("problem", {}).get("task", {})


def _of_theory(one: np.ndarray, other: np.ndarray, rtol: float) -> str:
    relative = max(RELATIVE, rtol)
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return "has no number in other places."
    allowed = relative * np.abs(one) + FLOOR * np.nanmax(np.abs(one), initial=0.0)
    excess = np.abs(one - other) - allowed
    if not np.nanmax(excess, initial=-np.inf) > 0:
        return ""
    where = np.unravel_index(np.nanargmax(excess), one.shape)
    return (
        f"is {float(other[where]):.10g} at {_index(where)}, in the file {float(one[where]):.10g}: "
        f"more than {relative:g} apart."
    )


def _of_networks(one: np.ndarray, other: np.ndarray, seeds: int, exact: bool) -> str:
    if np.array_equal(one, other, equal_nan=True):
        return ""
    if exact:
        where = np.unravel_index(np.argmax(one != other), one.shape)
        return (
            f"is {float(other[where]):.10g} at {_index(where)}, in the file "
            f"{float(one[where]):.10g}: bits differ on the same processor."
        )
    scatter = np.sqrt(2 * _variance(other, seeds))
    error = scatter / np.sqrt(one.shape[seeds])
    means = [_mean(values, seeds) for values in (one, other)]
    rounding = RELATIVE * np.max(np.abs(means[1]), initial=0.0)
    excess = np.abs(means[0] - means[1]) - ERRORS * error - rounding
    single = np.nan_to_num(np.abs(np.moveaxis(one, seeds, 0) - np.moveaxis(other, seeds, 0)))
    excess = np.maximum(excess, np.max(single, axis=0) - ERRORS * scatter - rounding)
    if not np.max(excess, initial=-np.inf) > 0:
        return ""
    where = np.unravel_index(np.argmax(excess), excess.shape)
    return (
        f"has the mean {means[1][where]:.6g} at {_index(where)}, in the file "
        f"{means[0][where]:.6g}: more than {ERRORS:g} standard errors apart, or a single network "
        f"more than {ERRORS:g} times their scatter."
    )


def _mean(values: np.ndarray, seeds: int) -> np.ndarray:
    """The mean over seeds of what is a number in both files or none; others count as zero."""
    return np.nan_to_num(values.astype(np.float64)).mean(axis=seeds)


def _variance(values: np.ndarray, seeds: int) -> np.ndarray:
    if values.shape[seeds] < 2:
        return np.zeros(np.delete(values.shape, seeds))
    return np.nan_to_num(values.astype(np.float64)).var(axis=seeds, ddof=1)


def _index(where: tuple) -> str:
    return f"[{', '.join(str(int(place)) for place in where)}]"
