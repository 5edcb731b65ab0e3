"""The figure of scaling laws: the loss in time, data, size and compute, beside its laws."""

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr
from matplotlib.axes import Axes

from teacherstudent.figures.drawing import draw_networks, networks_label, shade
from teacherstudent.figures.layout import Kind, Layout, Row, add_to_legend
from teacherstudent.figures.results import Results
from teacherstudent.figures.titles import title_of

PANELS = ("time", "samples", "size", "compute")
LOSS = {"time": "loss"}  # what a panel draws, unless it is called by the resource


def loss_of(resource: str) -> str:
    """The variable with the loss at amounts of a resource."""
    return LOSS.get(resource, f"loss_of_{resource}")


@dataclass(frozen=True)
class ResourcePanel:
    """The loss against one resource: exact, its law, and networks where time is the resource."""

    theory: xr.Dataset
    networks: Sequence[xr.Dataset]
    resource: str

    def __call__(self, axes: Axes) -> None:
        """Draw it."""
        axes.set_xscale("log")
        axes.set_yscale("log")
        amounts = self.theory[self.resource]
        positive = amounts.values > 0
        x = amounts.values[positive]
        exact = self.theory[loss_of(self.resource)].values[positive]
        law = self.theory[f"law_of_{self.resource}"]
        axes.plot(x, exact, color=shade(0), label="theory")
        axes.plot(law[law.dims[0]], law, "--", color="0.5", lw=1.0, label="its law")
        for rank, one in enumerate(self.networks):
            later = one["loss"].isel(time=one["time"].values > 0)
            draw_networks(axes, later, rank + 1, networks_label(one))
        axes.set_ylim(0.5 * exact.min(), 2.0 * exact.max())
        axes.set_xlabel(f"{amounts.attrs['long_name']} {amounts.attrs['symbol']}")
        axes.set_ylabel(self.theory[loss_of(self.resource)].attrs["symbol"])
        add_to_legend(axes, [])


class ScalingKind(Kind):
    """The loss against four resources."""

    def fits(self, results: Results) -> bool:
        """Whether the theory has its losses at the resources."""
        if not results.has_curves:
            return False
        theory = results.curves.theory
        return theory is not None and all(loss_of(one) in theory for one in PANELS)

    def layout(self, results: Results) -> Layout:
        """A panel for each resource, two in a row."""
        theory, networks = results.curves.theory, results.curves.networks
        assert theory is not None, "as fits says"
        panels = [ResourcePanel(theory, networks if one == "time" else (), one) for one in PANELS]
        rows = [Row(panels[:2], width=4.2), Row(panels[2:], width=4.2)]
        return Layout(rows, title_of(theory))
