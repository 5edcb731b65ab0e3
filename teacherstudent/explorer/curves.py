"""Datasets as curves: what a chart draws of theories and of networks.

Each quantity (Q, R, v, ...) of a dataset is several curves, one for each entry, with a label such
as Q₁₂ and a colour that follows from the entry, so that theory and networks have the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from teacherstudent.results.datasets import VARIABLES

SYMBOLS = {"eps_g": "ε_g", "loss": "E ℓ", "accuracy": "P(y φ > 0)"}
DRAWN = ("eps_g", "loss", "accuracy", "Q", "R", "m", "v", "b")
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
# The colours of Okabe & Ito, which are told apart with any kind of colour vision.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#9A8400",
)
OTHERS = "#9aa0a6"  # entries beyond those that have a colour
DASHES = ("solid", "dashed", "dotdash", "dotted", "dashdot")


@dataclass(frozen=True)
class Curve:
    """One entry of a quantity along time.

    - `spread`: the standard deviation of single networks; `error`: that of their mean.  None of a
      theory.
    """

    label: str
    colour: str
    dash: str
    time: np.ndarray
    value: np.ndarray
    spread: np.ndarray | None = None
    error: np.ndarray | None = None


def quantities(*datasets: xr.Dataset) -> list[str]:
    """The quantities along time that some datasets have, in the order in which they are shown."""
    return [
        name for name in DRAWN if any(name in one and "time" in one[name].dims for one in datasets)
    ]


def curves_of(data: xr.Dataset, name: str) -> list[Curve]:
    """The curves of one quantity; of networks the mean over seeds, with its errors.

    Of the symmetric Q each pair is shown once.  Networks without a spread (one seed) have none.
    """
    if name not in data or "time" not in data[name].dims:
        return []
    values = data[name]
    seeds = values.sizes.get("seed", 0)
    values = values.transpose(*(["seed"] if seeds else []), "time", ...)
    time = np.asarray(data.time.values, float)
    curves = []
    for number, entry in enumerate(_entries(name, values)):
        along = np.asarray(values.isel(entry).values, float)
        colour, dash = style_of(name, tuple(entry.values()), number)
        label = label_of(name, tuple(entry.values()))
        if seeds:
            mean, spread, error = _statistics(along)
            curves.append(Curve(label, colour, dash, time, mean, spread, error))
        else:
            curves.append(Curve(label, colour, dash, time, along))
    return curves


def _statistics(along: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over seeds, standard deviation of one network, standard error of the mean."""
    seeds = len(along)
    if seeds == 1:
        return along[0], np.zeros_like(along[0]), np.zeros_like(along[0])
    spread = along.std(axis=0, ddof=1)
    return along.mean(axis=0), spread, spread / np.sqrt(seeds)


def _entries(name: str, values: xr.DataArray) -> Iterator[dict[str, int]]:
    dims = [dim for dim in values.dims if dim not in ("seed", "time")]
    sizes = [values.sizes[dim] for dim in dims]
    for place in np.ndindex(*sizes):
        if name == "Q" and place[0] > place[1]:
            continue
        yield dict(zip(map(str, dims), place, strict=True))


def symbol_of(name: str) -> str:
    """What the page calls a quantity."""
    return SYMBOLS.get(name, name)


def axis_label(name: str) -> str:
    """The label of its axis."""
    long_name = VARIABLES[name][1]
    return f"{long_name}  {symbol_of(name)}"


def label_of(name: str, place: tuple[int, ...]) -> str:
    """The label of an entry, such as R₁₂, with units counted from one."""
    if not place:
        return symbol_of(name)
    separator = "," if max(place) > 8 else ""
    return symbol_of(name) + separator.join(str(one + 1) for one in place).translate(SUBSCRIPTS)


def style_of(name: str, place: tuple[int, ...], number: int) -> tuple[str, str]:
    """Colour and dashes of an entry.

    The colour is that of the student unit, the dashes that of the teacher unit; of Q, that of a
    pair of different units is dashed in the colour of the first.
    """
    if not place:
        return COLOURS[0], "solid"
    unit = place[0]
    colour = COLOURS[unit] if unit < len(COLOURS) else OTHERS
    if len(place) == 1:
        return colour, "solid"
    second = place[1] - place[0] if name == "Q" else place[1]
    return colour, DASHES[min(second, len(DASHES) - 1)]
