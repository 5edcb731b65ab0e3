"""The figure of several problems: the error of each along time, on logarithmic axes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from teacherstudent.figures.drawing import (
    draw_line,
    draw_networks,
    keys_of_marks,
    networks_label,
    time_label,
)
from teacherstudent.figures.layout import Kind, Layout, Row
from teacherstudent.figures.results import Curves, Results

MOST_INSIDE = 6  # names in a legend inside the axes


class Variant(NamedTuple):
    """One problem of several."""

    name: str
    curves: Curves

    def has_logarithm(self) -> bool:
        """Whether the error is positive, which a loss such as -y phi is not."""
        return bool((self.curves.source[self.curves.error].fillna(1.0) > 0).all())

    def begin(self) -> float:
        """The first recorded time after zero; infinite if there is none."""
        times = self.curves.source.time.values
        return float(times[times > 0].min(initial=np.inf))


@dataclass(frozen=True)
class VariantsPanel:
    """A line for each theory, and marks with a band for its largest networks."""

    variants: list[Variant]

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        variants = self.variants
        logarithmic = any(one.begin() < np.inf for one in variants)
        if logarithmic:
            axes.set_xscale("log")
        if all(one.has_logarithm() for one in variants):
            axes.set_yscale("log")
        labels = labels_of(variants)
        for rank, one in enumerate(variants):
            begin = one.begin() if logarithmic else -np.inf
            draw_variant(axes, one, rank, labels[one.name], begin)
        axes.set_xlabel(time_label(*(one.curves.source for one in variants)))
        errors = {one.curves.error: one.curves.source[one.curves.error].attrs for one in variants}
        names = [f"{about['long_name']} {about['symbol']}" for about in errors.values()]
        axes.set_ylabel(" or ".join(names))
        if len(variants) > MOST_INSIDE:
            axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        else:
            axes.legend(fontsize=8, frameon=False)


class VariantsKind(Kind):
    """The errors of several problems."""

    def fits(self, results: Results) -> bool:
        """Whether there are several problems."""
        return bool(results.variants)

    def layout(self, results: Results) -> Layout:
        """One panel; ValueError if some of the problems were swept, and have no single curve."""
        _require_curves(results)
        variants = [Variant(name, one.curves) for name, one in results.variants.items()]
        theory = any(one.curves.theory is not None for one in variants)
        largest = [one.curves.networks[-1] for one in variants if one.curves.networks]
        keys = keys_of_marks(theory, largest[0] if largest else None)
        if len({networks_label(one) for one in largest}) > 1:
            keys[theory].set_label("mean of networks")
        return Layout([Row([VariantsPanel(variants)], width=6.4, height=4.2)], "", keys)


def _require_curves(results: Results) -> None:
    """Raise ValueError for variants of different kinds."""
    swept = [name for name, one in results.variants.items() if one.swept]
    if swept:
        raise ValueError(
            f"the variants are of different kinds: {', '.join(swept)} of "
            f"{', '.join(results.variants)} are sweeps over parameters of their own, and one "
            f"figure cannot show all; plot each by itself, such as results['variants/{swept[0]}']."
        )


def draw_variant(axes: Axes, variant: Variant, rank: int, label: str, begin: float) -> None:
    """The theory's line with its label, and the largest networks, from one time on."""
    curves = variant.curves
    line = curves.line(curves.error)
    shown: str | None = label
    if line is not None:
        draw_line(axes, line.isel(time=line.time.values >= begin), rank, label)
        shown = None
    for one in curves.networks[-1:]:
        draw_networks(axes, one[curves.error].isel(time=one.time.values >= begin), rank, shown)


def labels_of(variants: list[Variant]) -> dict[str, str]:
    """The name of each curve, with its time and its error where those of the curves differ."""
    sources = {one.name: one.curves.source for one in variants}
    times = {name: f"t = {source.time.attrs['units']}" for name, source in sources.items()}
    errors = {one.name: sources[one.name][one.curves.error].attrs["symbol"] for one in variants}
    differing = [beside for beside in (times, errors) if len(set(beside.values())) > 1]
    labels = {}
    for variant in variants:
        labels[variant.name] = variant.name
        if differing:
            beside = ", ".join(one[variant.name] for one in differing)
            labels[variant.name] += f" ({beside})"
    return labels
