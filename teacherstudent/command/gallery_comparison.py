"""Whether the comparison in a file of the gallery follows from the theory and networks beside it.

The table of the page is written from it.  It is made again from the numbers of the file, which is
exact on every processor.  Not compared is which error of the learning rate would have been seen:
for that a comparison has a second theory, which is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

import teacherstudent as ts
from teacherstudent.checking import checks
from teacherstudent.command.gallery_numbers import RELATIVE, are_equal, of_theory
from teacherstudent.results.datasets import description, simulations
from teacherstudent.results.differences import flat

# Of a description; the tests of directions are left out, which the second theory decides.
FOLLOWING = ("N", "seeds", "times_compared", "times_of_theory", "largest", "exponents", "fault")


def differences_of_comparison(node: xr.DataTree, verdict: str) -> Iterator[tuple[str, str]]:
    """Names of what does not follow from the other groups of the file, each with a sentence.

    `verdict` is that of the result that was computed anew.
    """
    kept = node.to_dataset()
    try:
        follows = _made_again(node)
    except (ValueError, TypeError, KeyError) as error:
        yield "verdict", f"does not follow from the file: {checks.first_line(error)}"
        return
    for name in sorted({*kept.variables, *follows.variables}, key=str):
        if name not in kept.variables or name not in follows.variables:
            yield str(name), "is only in one of the file and what follows from its other groups."
            continue
        sentence = _difference(str(name), kept, follows)
        if sentence:
            yield str(name), f"does not follow from the other groups of the file: it {sentence}"
    allowed = {_without_power(one) for one in (follows.attrs["verdict"], verdict)}
    if _without_power(str(kept.attrs.get("verdict", ""))) not in allowed:
        yield "verdict", f"is {follows.attrs['verdict']!r} by the other groups of the file."
    if not _are_equal(_numbers_of(kept), _numbers_of(follows)):
        yield "largest", "does not follow from the other groups of the file."


def _made_again(node: xr.DataTree) -> xr.Dataset:
    """The comparison of the theory and the networks beside it; KeyError if one is not there."""
    assert node.parent is not None
    networks = simulations(node.parent)
    if not networks:
        raise ValueError("there are no networks.")
    several = networks if len(networks) > 1 else networks[0]
    return ts.compare(node.parent["theory"].to_dataset(), several)


def _difference(name: str, kept: xr.Dataset, follows: xr.Dataset) -> str:
    """What a variable has of other numbers than what follows from the file; or ""."""
    values = kept.variables[name]
    other = follows.variables[name]
    if dict(values.sizes) != dict(other.sizes):
        return "is of another shape."
    expected = other.transpose(*values.dims).values
    parts = [name.removesuffix("_z") + ending for ending in ("_deviation", "_standard_error")]
    if name.endswith("_z") and all(part in kept for part in parts):
        # Of two numbers that are rounding, the ratio depends on the order of sums.
        deviation, error = (kept[part].transpose(*values.dims).values for part in parts)
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = deviation / error
    return of_theory(values.values, expected, RELATIVE)


def _without_power(verdict: str) -> str:
    """A verdict up to which error it would have seen."""
    return verdict.partition("; would have seen")[0]


def _numbers_of(comparison: xr.Dataset) -> dict[str, Any]:
    described = description(comparison)
    return flat({name: described[name] for name in FOLLOWING if name in described})


def _are_equal(kept: dict[str, Any], follows: dict[str, Any]) -> bool:
    """Whether all numbers are the same, up to rounding; words are to be equal."""
    if kept.keys() != follows.keys():
        return False
    return all(are_equal(kept[name], follows[name], floor=0.0) for name in kept)
