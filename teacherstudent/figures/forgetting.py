"""The figure of forgetting: the error of the first task in time, and what is lost and gained
against the similarity of the teachers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.figures.drawing import mark, shade, style
from teacherstudent.figures.layout import Kind, Layout, Row
from teacherstudent.figures.results import Results
from teacherstudent.figures.sweep import SMALL, FamilyPanel, Swept
from teacherstudent.figures.titles import title_of
from teacherstudent.results.datasets import description

ALONG = "similarity"
SHOWN = ("forgetting", "transfer")


@dataclass(frozen=True)
class SimilarityPanel:
    """Forgetting and transfer against similarity: theory, and networks with their deviation."""

    runs: Mapping[str, xr.Dataset]

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        for rank, name in enumerate(SHOWN):
            for kind, data in self.runs.items():
                values = data[name]
                label = f"{values.attrs['long_name']} {values.attrs['symbol']}"
                if kind == "theory":
                    axes.plot(data[ALONG], values, style(rank), color=shade(rank), label=label)
                    continue
                axes.errorbar(
                    data[ALONG].values,
                    values.mean("seed").values,
                    values.std("seed").values,
                    fmt=mark(rank),
                    color=shade(rank),
                    ms=4,
                    mfc="white",
                    lw=0.8,
                    label="_nolegend_" if "theory" in self.runs else label,
                )
        axes.axhline(0.0, color="0.7", lw=0.6, zorder=0)
        attributes = next(iter(self.runs.values()))[ALONG].attrs
        axes.set_xlabel(f"{attributes['long_name']} {attributes['symbol']}")
        axes.set_ylabel("change of the error since the switch")
        axes.set_title("at the last time; marks: networks", fontsize=9)
        axes.legend(fontsize=SMALL, framealpha=0.8, edgecolor="none")


class ForgettingKind(Kind):
    """Forgetting and transfer against the similarity of the teachers."""

    def fits(self, results: Results) -> bool:
        """Whether a sweep has them."""
        runs = results.swept.values()
        return bool(runs) and all({ALONG, *SHOWN} <= set(one.variables) for one in runs)

    def layout(self, results: Results) -> Layout:
        """The error of the first task in time, and what is left at the end."""
        runs = {kind: data.swap_dims(start=ALONG) for kind, data in results.swept.items()}
        first = next(iter(runs.values()))
        error = first.eps.isel(task=0)
        if "seed" in error.dims:
            error = error.mean("seed")
        error = error.assign_attrs(symbol=r"$\epsilon_1$")
        kind = str(description(first)["kind"])
        family = FamilyPanel(Swept({kind: error}, [ALONG], first))
        return Layout([Row([family, SimilarityPanel(runs)], width=4.3)], title_of(first))
