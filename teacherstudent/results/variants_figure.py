"""The figure of several problems: the error of each along time, on logarithmic axes."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from teacherstudent.results.comparable import size_of
from teacherstudent.results.drawing import (
    error_name,
    figure_style,
    mark,
    shade,
    style,
    theory_and_networks,
    time_label,
)


class Variant:
    """One problem of several: its theory, if there is one, and its networks."""

    def __init__(self, name: str, tree: xr.DataTree):
        self.name = name
        self.theory, self.networks = theory_and_networks(tree)
        self.source = self.networks[-1] if self.theory is None else self.theory
        self.error = error_name(self.source)

    def has_logarithm(self) -> bool:
        """Whether the error is positive, which a loss such as -y phi is not."""
        return bool((self.source[self.error].fillna(1.0) > 0).all())


def draw_variants(trees: dict[str, xr.DataTree]) -> Figure:
    """A line for each theory, and marks for its networks."""
    variants = [Variant(name, tree) for name, tree in trees.items()]
    with figure_style():
        figure = Figure(figsize=(6.2, 4.2), layout="constrained")
        axes = figure.subplots()
        labels = labels_of(variants)
        for rank, variant in enumerate(variants):
            draw_variant(axes, variant, rank, labels[variant.name])
        axes.set_xscale("log")
        if all(variant.has_logarithm() for variant in variants):
            axes.set_yscale("log")
        axes.set_xlabel(time_label(*(variant.source for variant in variants)))
        errors = {variant.error: variant.source[variant.error].attrs for variant in variants}
        names = [f"{about['long_name']} {about['symbol']}" for about in errors.values()]
        axes.set_ylabel(" or ".join(names))
        axes.legend(fontsize=8, frameon=False)
        axes.set_title(f"lines: theory{_marks(variants)}", fontsize=8)
    return figure


def draw_variant(axes: Axes, variant: Variant, rank: int, label: str) -> None:
    """The theory's line with its label, and the marks of the largest networks."""
    colour = shade(rank)
    theory = variant.theory
    if theory is not None:
        later = theory[variant.error].isel(time=theory.time.values > 0)
        axes.plot(later.time, later, style(rank), color=colour, lw=1.4, label=label)
        label = "_nolegend_"
    if variant.networks:
        largest = variant.networks[-1]
        mean = largest[variant.error].isel(time=largest.time.values > 0).mean("seed")
        axes.plot(mean.time, mean, mark(rank), color=colour, ms=3.5, mfc="white", label=label)


def labels_of(variants: list[Variant]) -> dict[str, str]:
    """The name of each curve, with its time and its error where those of the curves differ."""
    times = {variant.name: f"t = {variant.source.time.attrs['units']}" for variant in variants}
    errors = {variant.name: variant.source[variant.error].attrs["symbol"] for variant in variants}
    differing = [beside for beside in (times, errors) if len(set(beside.values())) > 1]
    labels = {}
    for variant in variants:
        labels[variant.name] = variant.name
        if differing:
            beside = ", ".join(one[variant.name] for one in differing)
            labels[variant.name] += f" ({beside})"
    return labels


def _marks(variants: list[Variant]) -> str:
    """What the marks are, in the title."""
    sizes = {size_of(one) for variant in variants for one in variant.networks}
    if not sizes:
        return ""
    return f"; marks: means of networks, N = {', '.join(map(str, sorted(sizes)))}"
